//! What the reader takes, and what it refuses.

use std::io::BufReader;

use super::craft::{Archive, Head};
use super::*;

fn read(bytes: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, TarError> {
    // A tiny buffer cuts every piece somewhere.
    let mut reader = Reader::new(BufReader::with_capacity(700, bytes));
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = vec![0; usize::try_from(entry.size).unwrap()];
        reader.take_data(|offset, _, piece| {
            let offset = usize::try_from(offset).unwrap();
            data[offset..offset + piece.len()].copy_from_slice(piece);
            Ok(())
        })?;
        entries.push((entry, data));
    }
    Ok(entries)
}

fn refused(archive: &[u8], why: &str) {
    let error = read(archive).expect_err(why).to_string();
    assert!(error.contains(why), "{error}: not {why}");
}

#[test]
fn every_kind_of_entry_is_read() {
    let archive = Archive::default()
        .folder("./")
        .file("./a", b"hello")
        .symlink("s", "/a")
        .hard_link("h", "./a")
        .device(b'3', "null", (1, 3))
        .device(b'4', "disk", (8, 300))
        .entry(Head::new(b'6', "pipe", 0), b"")
        .end();
    let entries = read(&archive).unwrap();
    let kinds: Vec<_> = entries.iter().map(|(e, _)| (e.path.as_slice(), e.kind.clone())).collect();
    let expected = [
        (&b""[..], Kind::Folder),
        (b"a", Kind::File),
        (b"s", Kind::Symlink(b"/a".to_vec())),
        (b"h", Kind::HardLink(b"a".to_vec())),
        (b"null", Kind::Character(1, 3)),
        (b"disk", Kind::Block(8, 300)),
        (b"pipe", Kind::Fifo),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(entries[1].1, b"hello");
}

#[test]
fn pax_wins_over_the_header() {
    let archive = Archive::default()
        .pax(b'g', &[("comment", b"x"), ("uid", b"7")])
        .pax(
            b'x',
            &[
                ("path", b"long/name"),
                ("mtime", b"5.25"),
                ("gid", b"70000"),
                ("SCHILY.xattr.user.k", b"v"),
            ],
        )
        .file("short", b"abc")
        .file("next", b"")
        .end();
    let entries = read(&archive).unwrap();
    let first = &entries[0].0;
    assert_eq!((first.path.as_slice(), first.uid, first.gid), (&b"long/name"[..], 7, 70000));
    assert_eq!(first.mtime, Time { seconds: 5, nanos: 250_000_000 });
    assert_eq!(first.xattrs, [(b"user.k".to_vec(), b"v".to_vec())]);
    assert_eq!((entries[1].0.path.as_slice(), entries[1].0.gid), (&b"next"[..], 0));
}

#[test]
fn gnu_long_names_are_read_and_a_huge_one_is_refused() {
    let long = "n/".repeat(150);
    let gnu = |kind, body: &[u8]| {
        let mut head = Head::new(kind, "././@LongLink", body.len());
        head.put(257, b"ustar  \0");
        (head, body.to_vec())
    };
    let (head, body) = gnu(b'L', &[long.as_bytes(), b"\0"].concat());
    let archive = Archive::default().entry(head, &body).file("short", b"").end();
    assert_eq!(read(&archive).unwrap()[0].0.path.len(), 299);
    let claim = Head::new(b'L', "././@LongLink", 1 << 30);
    refused(&Archive::default().entry(claim, b"").end(), "an extended header is too large");
}

#[test]
fn sparse_files_of_both_formats_are_laid_out() {
    let mut old = Head::new(b'S', "old", 3);
    old.put(257, b"ustar  \0").put(386, b"00000001000\0").put(398, b"00000000003\0");
    old.put(483, b"00000002000\0");
    let map = [&b"1\n512\n3\n"[..], &[0; 504], b"abc"].concat();
    let archive = Archive::default()
        .entry(old, b"xyz")
        .pax(
            b'x',
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"new"),
                ("GNU.sparse.realsize", b"1024"),
            ],
        )
        .file("GNUSparseFile.0/new", &map)
        .pax(b'x', &[("GNU.sparse.map", b"0,1,9,1"), ("GNU.sparse.size", b"10")])
        .file("older", b"()")
        .end();
    let entries = read(&archive).unwrap();
    assert_eq!((entries[0].0.size, &entries[0].1[512..515]), (1024, &b"xyz"[..]));
    assert_eq!((entries[1].0.path.as_slice(), &entries[1].1[512..515]), (&b"new"[..], &b"abc"[..]));
    assert_eq!(entries[2].1, b"(\0\0\0\0\0\0\0\0)");
}

#[test]
fn what_is_ambiguous_is_refused() {
    let file = || Archive::default().file("a", b"abc");
    let sized = |size: &[u8]| Archive::default().pax(b'x', &[("size", size)]).file("a", b"abc");
    refused(&sized(b"4").end(), "sizes in the header and its PAX record differ");
    refused(
        &Archive::default().pax(b'x', &[("size", b"3")]).symlink("l", "t").end(),
        "only a file",
    );
    refused(&file().raw(&[0; 1024]).file("b", b"").end(), "bytes follow the end");
    refused(&file().raw(&[0; 512]).file("b", b"").end(), "a block of zeros");
    refused(&Archive::default().file("../a", b"").end(), "`..`");
    refused(&Archive::default().hard_link("h", "../a").end(), "`..`");
    refused(&Archive::default().entry(Head::new(b'V', "v", 0), b"").end(), "its kind is unknown");
    refused(&Archive::default().pax(b'g', &[("path", b"p")]).file("a", b"").end(), "global");
    refused(&Archive::default().pax(b'x', &[("uid", b"1")]).end(), "stands before nothing");
    let mut wrong = file().end();
    wrong[0] = b'b';
    refused(&wrong, "checksum");
    let huge = [
        ("GNU.sparse.map", &b"9223372036854775807,3"[..]),
        ("GNU.sparse.size", b"9223372036854775810"),
    ];
    refused(&Archive::default().pax(b'x', &huge).file("a", b"abc").end(), "larger than is allowed");
    refused(&Archive::default().pax(b'x', &[("uid", b"4294967295")]).file("a", b"").end(), "owner");
}

#[test]
fn an_archive_cut_anywhere_is_truncated() {
    let whole = Archive::default().pax(b'x', &[("uid", b"1")]).file("a", &[1; 600]).end();
    for length in (0..whole.len()).step_by(97) {
        assert!(
            matches!(read(&whole[..length]), Err(TarError::Truncated { .. })),
            "cut at {length}"
        );
    }
    let open = Archive::default().file("a", b"").unfinished();
    assert!(matches!(read(&open), Err(TarError::Truncated { .. })));
}
