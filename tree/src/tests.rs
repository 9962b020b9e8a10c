//! Trees there and back.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

use schema::wire::files::{Destination, FileNote, Links, NoteKind, Owners};

use super::scratch::Scratch;
use super::*;

const RULES: Rules = Rules {
    owners: Owners::Own,
    links: LinkRule::All,
    file_bits: 0o7777,
    folder_bits: 0o7777,
    reserve_bytes: None,
};

fn packed(
    path: &Path,
    name: &[u8],
    links: Links,
) -> (Result<Totals, FileNote>, Vec<u8>, Vec<FileNote>) {
    let (mut archive, mut said) = (Vec::new(), Vec::new());
    let done = pack(Source { path, name, links }, &mut archive, &Gauge::default(), &mut |note| {
        said.push(note);
    });
    (done, archive, said)
}

fn copied(
    from: &Path,
    to: &Path,
    links: Links,
    into: Destination,
) -> (Result<Totals, FileNote>, Vec<FileNote>) {
    let name = from.file_name().unwrap().as_bytes();
    let (done, archive, mut said) = packed(from, name, links);
    let sent = match done {
        Ok(sent) => sent,
        Err(note) => return (Err(note), said),
    };
    let target = match Target::find(to, Some(name), into) {
        Ok(target) => target,
        Err(note) => return (Err(note), said),
    };
    let done =
        unpack(archive.as_slice(), &target, RULES, &Gauge::default(), &mut |note| said.push(note));
    if said.is_empty() {
        assert_eq!(done.as_ref(), Ok(&sent), "both sides count the same");
    }
    (done, said)
}

/// Describes a tree in lines, each with what must be the same in a copy.
fn described(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        let name =
            path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii().to_string();
        let content = if stat.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "folder".to_owned()
        } else if stat.is_symlink() {
            fs::read_link(&path).unwrap().display().to_string()
        } else {
            fs::read(&path).unwrap().escape_ascii().to_string()
        };
        let (mode, mtime) = (stat.mode(), (stat.mtime(), stat.mtime_nsec()));
        lines.push(format!("{name} {mode:o} {mtime:?} {content}"));
    }
    lines.sort();
    lines
}

fn set_time(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    File::open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_tree_is_the_same_on_the_other_side() {
    let ground = Scratch::new();
    let root = ground.join("tree");
    fs::create_dir_all(root.join("a/empty")).unwrap();
    let odd = OsStr::from_bytes(b"new\nline \xff\xfe and spaces");
    File::create(root.join(odd)).unwrap();
    let long = root.join("n".repeat(255)).join("m".repeat(255));
    fs::create_dir_all(long.parent().unwrap()).unwrap();
    fs::hard_link(root.join(odd), &long).unwrap();
    ground.write("tree/a/file", &b"0123456789".repeat(100_000));
    fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("../nowhere/at all", root.join("a/link")).unwrap();
    symlink("/".to_owned() + &"long/".repeat(300), root.join("far")).unwrap();
    set_time(&root.join("a/file"), 1_234_567_890, 123_456_789);
    set_time(&root.join("a/empty"), 5, 0);
    set_time(&root.join("a"), 1, 999_999_999);
    let (done, said) = copied(&root, &ground.join("copy"), Links::Kept, Destination::Either);
    assert_eq!((done.map(|totals| totals.files), said), (Ok(5), vec![]));
    assert_eq!(described(&ground.join("copy")), described(&root));
}

#[test]
fn a_destination_is_a_folder_or_a_new_name() {
    let ground = Scratch::new();
    ground.write("a", b"x");
    fs::create_dir(ground.join("there")).unwrap();
    let go = |to: &str, into| copied(&ground.join("a"), &ground.join(to), Links::Kept, into).0;
    go("there", Destination::Either).unwrap();
    go("there/new", Destination::Either).unwrap();
    go("made/", Destination::NewFolder).unwrap();
    go("there/", Destination::NewFolder).unwrap();
    for path in ["there/a", "there/new", "made/a"] {
        assert!(ground.join(path).is_file(), "{path}");
    }
    for (to, into) in [
        ("missing/a", Destination::Either),
        ("missing/a/", Destination::NewFolder),
        ("missing", Destination::Folder),
        ("a", Destination::Folder),
        ("a/", Destination::NewFolder),
        ("a/b", Destination::Either),
    ] {
        assert_eq!(go(to, into).unwrap_err().kind, NoteKind::Target, "{to}");
    }
}

#[test]
fn what_links_lead_to_is_copied_when_they_are_followed() {
    let ground = Scratch::new();
    fs::create_dir_all(ground.join("tree/d")).unwrap();
    ground.write("outside", b"x");
    symlink("../outside", ground.join("tree/file")).unwrap();
    symlink("d", ground.join("tree/folder")).unwrap();
    symlink("..", ground.join("tree/d/round")).unwrap();
    symlink("nothing", ground.join("tree/dangling")).unwrap();
    let (done, said) =
        copied(&ground.join("tree"), &ground.join("copy"), Links::Followed, Destination::Either);
    assert_eq!(done.map(|totals| totals.files), Ok(1));
    let mut why: Vec<String> =
        said.iter().map(|n| format!("{} {}", n.path.escape_ascii(), n.why)).collect();
    why.sort();
    assert_eq!(
        why,
        [
            "tree/d/round the link leads back to a folder above it",
            "tree/dangling it cannot be read",
            "tree/folder/round the link leads back to a folder above it",
        ]
    );
    assert_eq!(fs::read(ground.join("copy/file")).unwrap(), b"x");
    assert!(fs::symlink_metadata(ground.join("copy/folder")).unwrap().is_dir());
}

#[test]
fn what_is_no_file_is_left_out_by_name() {
    let ground = Scratch::new();
    fs::create_dir(ground.join("tree")).unwrap();
    let socket = UnixListener::bind(ground.join("tree/socket")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        ground.join("tree/pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    ground.write("tree/file", b"x");
    let (done, _, mut said) = packed(&ground.join("tree"), b"t", Links::Kept);
    assert_eq!(done, Ok(Totals { files: 1, bytes: 1 }));
    said.sort_by(|a, b| a.path.cmp(&b.path));
    let why: Vec<_> = said.iter().map(|note| (note.kind, note.why.as_str())).collect();
    assert_eq!(
        why,
        [
            (NoteKind::Unsafe, "a named pipe is not copied"),
            (NoteKind::Unsafe, "a socket is not copied"),
        ]
    );
    drop(socket);
}

#[test]
fn what_is_not_there_is_told_from_what_cannot_be_read() {
    let (done, archive, _) = packed(Path::new("/no/such/thing"), b"thing", Links::Kept);
    let note = done.unwrap_err();
    assert_eq!((note.kind, note.path.as_slice()), (NoteKind::Missing, &b"/no/such/thing"[..]));
    assert!(archive.is_empty());
}

#[test]
fn the_content_of_a_folder_goes_without_its_name() {
    let ground = Scratch::new();
    fs::create_dir_all(ground.join("tree/sub")).unwrap();
    fs::create_dir(ground.join("to")).unwrap();
    ground.write("tree/sub/x", b"x");
    let (_, archive, _) = packed(&ground.join("tree"), b"", Links::Kept);
    for (to, expected) in [("to", "to/sub/x"), ("new", "new/sub/x")] {
        let target = Target::find(&ground.join(to), Some(b""), Destination::Either).unwrap();
        let totals = unpack(archive.as_slice(), &target, RULES, &Gauge::default(), &mut |note| {
            panic!("{note:?}")
        });
        assert_eq!(totals.map(|totals| totals.files), Ok(1));
        assert!(ground.join(expected).is_file());
    }
}

#[test]
fn a_file_that_shrinks_while_it_is_read_does_not_break_the_stream() {
    // `/proc` has files whose size is said to be zero, and others that are shorter than they say.
    let sys = Path::new("/sys/kernel/mm/transparent_hugepage/enabled");
    if !sys.exists() {
        return;
    }
    let (done, archive, said) = packed(sys, b"t", Links::Kept);
    let said: Vec<_> = said.iter().map(|note| note.kind).collect();
    assert_eq!((done.map(|totals| totals.bytes), said), (Ok(4096), vec![NoteKind::Changed]));
    let ground = Scratch::new();
    let target = Target::find(&ground.join("t"), Some(b"t"), Destination::Either).unwrap();
    unpack(archive.as_slice(), &target, RULES, &Gauge::default(), &mut |note| panic!("{note:?}"))
        .unwrap();
    assert_eq!(fs::metadata(ground.join("t")).unwrap().len(), 4096);
}
