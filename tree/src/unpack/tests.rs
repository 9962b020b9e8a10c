//! What an archive may make of a target, and what it tries in vain.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use schema::archive::craft::{Archive, Head};
use schema::wire::files::Destination;

use super::*;
use crate::scratch::Scratch;

const RULES: Rules = Rules {
    owners: Owners::Own,
    links: LinkRule::Inside,
    file_bits: 0o777,
    folder_bits: 0o777,
    reserve_bytes: None,
};

/// What was said of each path, or why it ended.
type Said = Vec<(NoteKind, String, String)>;

fn take(
    stream: impl Read,
    path: &Path,
    name: Option<&[u8]>,
    rules: Rules,
) -> (Result<Totals, FileNote>, Said) {
    let mut said = Vec::new();
    let target = Target::find(path, name, Destination::Either).unwrap();
    let mut tell = |note: FileNote| {
        let path = note.path.escape_ascii().to_string();
        said.push((note.kind, path, note.why));
    };
    let done = unpack(stream, &target, rules, &Gauge::default(), &mut tell);
    (done, said)
}

/// Unpacks an archive named `t` into a folder `in`, beside which lies a secret.
fn attack(archive: &[u8]) -> (Scratch, Result<Totals, FileNote>, Said) {
    let ground = Scratch::new();
    fs::create_dir(ground.join("in")).unwrap();
    ground.write("secret", b"untouched");
    let (done, said) = take(archive, &ground.join("in"), Some(b"t"), RULES);
    assert_eq!(fs::read(ground.join("secret")).unwrap(), b"untouched");
    let mut beside: Vec<_> =
        fs::read_dir(ground.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    beside.sort();
    assert_eq!(beside, ["in", "secret"], "only the target is written");
    (ground, done, said)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> =
        entries.map(|name| name.as_bytes().escape_ascii().to_string()).collect();
    names.sort();
    names
}

#[test]
fn a_tree_is_made_with_modes_and_times() {
    let mut file = Head::new(b'0', "t/a", 5);
    file.put(100, b"0004751\0").put(136, b"00000001234\0");
    let mut folder = Head::new(b'5', "t/ro", 0);
    folder.put(100, b"0001555\0").put(136, b"00000000777\0");
    let archive = Archive::default()
        .folder("t")
        .entry(file, b"hello")
        .entry(folder, b"")
        .file("t/ro/b", b"in a folder that may not be written")
        .symlink("t/ro/l", "../a")
        .hard_link("t/h", "t/a")
        .end();
    let (ground, done, said) = attack(&archive);
    assert_eq!((done, said), (Ok(Totals { files: 4, bytes: 40 }), vec![]));
    let root = ground.join("in/t");
    let stat = fs::metadata(root.join("a")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o751, 0o1234), "no set-user-id bit");
    let stat = fs::metadata(root.join("ro")).unwrap();
    assert_eq!((stat.mode() & 0o7777, stat.mtime()), (0o555, 0o777));
    assert_eq!(fs::read_link(root.join("ro/l")).unwrap(), Path::new("../a"));
    assert_eq!(
        fs::metadata(root.join("h")).unwrap().ino(),
        fs::metadata(root.join("a")).unwrap().ino()
    );
    fs::set_permissions(root.join("ro"), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn names_that_lead_out_are_left_out_and_the_rest_is_made() {
    let long = "x".repeat(300);
    let archive = Archive::default()
        .folder("t")
        .file("t/../../secret", b"evil")
        .file("../secret", b"evil")
        .file("/secret", b"evil")
        .file("other", b"evil")
        .pax(b'x', &[("path", long.as_bytes())])
        .file("short", b"evil")
        .device(b'3', "t/null", (1, 3))
        .device(b'4', "t/disk", (8, 0))
        .entry(Head::new(b'6', "t/pipe", 0), b"")
        .entry(Head::new(b'V', "t/label", 0), b"")
        .file("t/good", b"good")
        .end();
    let (ground, done, said) = attack(&archive);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 4 }));
    assert!(said.iter().all(|(kind, ..)| *kind == NoteKind::Unsafe), "{said:?}");
    assert_eq!(said.len(), 9, "{said:?}");
    assert_eq!(names(&ground.join("in")), ["t"]);
    assert_eq!(names(&ground.join("in/t")), ["good"]);
}

#[test]
fn no_link_is_made_that_leads_out_and_none_is_gone_through() {
    let archive = Archive::default()
        .folder("t")
        .symlink("t/abs", "/etc")
        .symlink("t/up", "../..")
        .symlink("t/here", ".")
        .symlink("t/through", "here/../../secret")
        .folder("t/d")
        .symlink("t/d/root", "..")
        // A link that the archive made, and a file beneath it.
        .file("t/here/file", b"evil")
        .file("t/d/root/file", b"evil")
        .hard_link("t/d/second", "t/d/root")
        .hard_link("t/outside", "secret")
        .hard_link("t/above", "../secret")
        .end();
    let (ground, done, said) = attack(&archive);
    assert_eq!(done, Ok(Totals { files: 2, bytes: 0 }));
    let left: Vec<&str> = said.iter().map(|(_, path, _)| path.as_str()).collect();
    let expected = [
        "t/abs",
        "t/up",
        "t/through",
        "t/here/file",
        "t/d/root/file",
        "t/d/second",
        "t/outside",
        "t/above",
    ];
    assert_eq!(left, expected);
    assert_eq!(names(&ground.join("in/t")), ["d", "here"]);
    assert_eq!(names(&ground.join("in/t/d")), ["root"]);
}

#[test]
fn links_that_were_there_are_replaced_and_not_gone_through() {
    let ground = Scratch::new();
    fs::create_dir_all(ground.join("in/t")).unwrap();
    ground.write("secret", b"untouched");
    fs::create_dir(ground.join("elsewhere")).unwrap();
    symlink("../../secret", ground.join("in/t/file")).unwrap();
    symlink("../../elsewhere", ground.join("in/t/folder")).unwrap();
    let archive = Archive::default()
        .file("t/file", b"mine")
        .folder("t/folder")
        .file("t/folder/x", b"evil")
        .end();
    let (done, said) = take(archive.as_slice(), &ground.join("in"), Some(b"t"), RULES);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 4 }));
    assert_eq!(said.len(), 2, "{said:?}");
    assert_eq!(fs::read(ground.join("secret")).unwrap(), b"untouched");
    assert_eq!(fs::read(ground.join("in/t/file")).unwrap(), b"mine");
    assert_eq!(names(&ground.join("elsewhere")), [""; 0]);
}

#[test]
fn a_file_never_replaces_a_folder_nor_a_folder_a_file() {
    let ground = Scratch::new();
    fs::create_dir_all(ground.join("t/was-folder")).unwrap();
    ground.write("t/was-file", b"old");
    ground.write("t/was-folder/kept", b"old");
    let archive = Archive::default()
        .file("t/was-folder", b"new")
        .symlink("t/was-folder", "x")
        .folder("t/was-file")
        .file("t/was-file/x", b"new")
        .file("t/next", b"new")
        .end();
    let (done, said) = take(archive.as_slice(), ground.path(), Some(b"t"), RULES);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 3 }));
    let why: Vec<&str> = said.iter().map(|(.., why)| why.as_str()).collect();
    assert_eq!(why[..2], ["a folder is in its way"; 2]);
    assert_eq!(why[2..], ["a file is in the way of its folder"; 2]);
    assert_eq!(fs::read(ground.join("t/was-file")).unwrap(), b"old");
    assert_eq!(fs::read(ground.join("t/was-folder/kept")).unwrap(), b"old");
}

#[test]
fn a_file_whose_last_byte_never_comes_leaves_nothing() {
    let ground = Scratch::new();
    ground.write("a", b"old");
    let archive = Archive::default().file("t", &[7; 100_000]).end();
    for length in [600, 50_000, 100_000] {
        let (done, _) = take(&archive[..length], &ground.join("a"), Some(b"t"), RULES);
        assert_eq!(done.unwrap_err().kind, NoteKind::Failed);
        assert_eq!(names(ground.path()), ["a"]);
        assert_eq!(fs::read(ground.join("a")).unwrap(), b"old");
    }
}

#[test]
fn an_endless_stream_ends_where_the_room_ends() {
    struct Endless(Vec<u8>, usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            for byte in &mut *buffer {
                *byte = self.0.get(self.1).copied().unwrap_or(7);
                self.1 += 1;
            }
            Ok(buffer.len())
        }
    }
    let ground = Scratch::new();
    let stat = rustix::fs::statvfs(ground.path()).unwrap();
    let free = stat.f_bavail * stat.f_frsize;
    // All but 4 MiB are to stay free.
    let rules = Rules { reserve_bytes: Some(free.saturating_sub(4 << 20)), ..RULES };
    let mut head = Head::new(b'0', "t", 0);
    head.put(124, &[0x80, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf0, 0]);
    let endless = Endless(head.summed().to_vec(), 0);
    let (done, _) = take(endless, &ground.join("t"), Some(b"t"), rules);
    let note = done.unwrap_err();
    assert_eq!((note.kind, note.errno), (NoteKind::Failed, Some(Errno::NOSPC.raw_os_error())));
    assert_eq!(names(ground.path()), [""; 0]);
    // The same in pieces that are each allowed.
    let small = Archive::default().file("t", &[1; 1 << 16]).unfinished();
    struct Again(Vec<u8>, usize);
    impl Read for Again {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let rest = &self.0[self.1 % self.0.len()..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.1 += count;
            Ok(count)
        }
    }
    let (done, _) = take(Again(small, 0), &ground.join("t"), Some(b"t"), rules);
    assert_eq!(done.unwrap_err().errno, Some(Errno::NOSPC.raw_os_error()));
}

#[test]
fn a_claim_of_eight_exbibytes_is_refused() {
    let claim = |size: &'static [u8]| {
        Archive::default()
            .pax(b'x', &[("GNU.sparse.map", b"0,3"), ("GNU.sparse.size", size)])
            .file("t/huge", b"abc")
            .file("t/next", b"abc")
            .end()
    };
    let rules = Rules { reserve_bytes: Some(0), ..RULES };
    let ground = Scratch::new();
    let (done, _) =
        take(claim(b"9223372036854775807").as_slice(), ground.path(), Some(b"t"), rules);
    assert_eq!(done.unwrap_err().errno, Some(Errno::NOSPC.raw_os_error()));
    let (done, said) =
        take(claim(b"9223372036854775808").as_slice(), ground.path(), Some(b"t"), rules);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 3 }));
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(names(&ground.join("t")), ["next"]);
}

#[test]
fn a_hole_stays_a_hole() {
    let archive = Archive::default()
        .pax(b'x', &[("GNU.sparse.map", b"1048576,3"), ("GNU.sparse.size", b"4194304")])
        .file("t", b"abc")
        .end();
    let ground = Scratch::new();
    let (done, _) = take(archive.as_slice(), ground.path(), Some(b"t"), RULES);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 4 << 20 }));
    let bytes = fs::read(ground.join("t")).unwrap();
    assert_eq!((bytes.len(), &bytes[1 << 20..(1 << 20) + 4]), (4 << 20, &b"abc\0"[..]));
}

#[test]
fn a_file_that_has_both_names_keeps_them() {
    let archive =
        Archive::default().file("t/a", b"x").hard_link("t/b", "t/a").hard_link("t/b", "t/a").end();
    let ground = Scratch::new();
    let (done, said) = take(archive.as_slice(), ground.path(), Some(b"t"), RULES);
    assert_eq!((done.map(|totals| totals.files), said), (Ok(3), vec![]));
    assert_eq!(names(&ground.join("t")), ["a", "b"]);
}

#[test]
fn an_archive_of_any_names_goes_into_a_folder() {
    let archive = Archive::default().file("a/b", b"x").symlink("l", "a").symlink("out", "..").end();
    let ground = Scratch::new();
    let (done, said) = take(archive.as_slice(), ground.path(), None, RULES);
    assert_eq!(done.map(|totals| totals.files), Ok(2));
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!(names(ground.path()), ["a", "l"]);
}
