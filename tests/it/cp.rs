//! Files into a sandbox, out of it, from one to another: what arrives, what is left out, what stays.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use tests::home::Home;

/// A home with one sandbox `box` that waits, with a working folder.
pub(crate) fn with_a_box() -> Home {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"box\" { image \"builtin:base\"; workdir \"/srv\"; \
         command \"sleep\" \"1000\" }\n",
    );
    home.msb(["up"]).exits(0);
    home.msb(["exec", "box", "sh", "-c", "mkdir -p \"$MSB_ROOT/srv\""]).exits(0);
    home
}

/// Returns where a path of the sandbox lies on this host.
pub(crate) fn inside(home: &Home, path: &str) -> PathBuf {
    let root = home.msb(["exec", "box", "sh", "-c", "printf %s \"$MSB_ROOT\""]).exits(0).stdout;
    Path::new(&root).join(path)
}

fn put(path: &Path, bytes: &[u8]) {
    File::create(path).and_then(|mut file| file.write_all(bytes)).unwrap();
}

fn set_time(path: &Path, seconds: u64, nanos: u32) {
    let time = SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos);
    File::open(path).unwrap().set_modified(time).unwrap();
}

/// Describes a tree in lines, each with what must be the same in a copy.
fn described(root: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    let mut left = vec![root.to_path_buf()];
    while let Some(path) = left.pop() {
        let stat = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(root).unwrap().as_os_str().as_bytes().escape_ascii();
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

/// Makes a tree of all that can be copied either way.
fn make_tree(root: &Path) {
    fs::create_dir_all(root.join("a/empty")).unwrap();
    put(&root.join("a/file"), &b"0123456789".repeat(50_000));
    put(&root.join(OsStr::from_bytes(b"new\nline \xff and spaces")), b"odd");
    let long = root.join("n".repeat(200));
    fs::create_dir(&long).unwrap();
    put(&long.join("m".repeat(200)), b"long");
    symlink("../a/file", root.join("a/link")).unwrap();
    fs::set_permissions(root.join("a/file"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::set_permissions(root.join("a/empty"), fs::Permissions::from_mode(0o700)).unwrap();
    set_time(&root.join("a/file"), 1_234_567_890, 123_456_789);
    set_time(&root.join("a/empty"), 86_400, 0);
    set_time(&root.join("a"), 1_000_000_000, 1);
}

#[test]
fn a_tree_goes_in_and_comes_back_the_same() {
    let home = with_a_box();
    let tree = home.project().join("tree");
    make_tree(&tree);
    let run = home.msb(["cp", "tree", "box:/data"]).exits(0);
    assert!(run.stderr.contains("copied 4 files, 488 KiB in "), "{run}");
    assert_eq!(run.stdout, "");
    assert_eq!(described(&inside(&home, "data")), described(&tree));
    home.msb(["copy", "box:/data", "back"]).exits(0);
    assert_eq!(described(&home.project().join("back")), described(&tree));
    // What is there is merged.
    home.msb(["cp", "box:/data/a/file", "back/a/empty/"]).exits(0);
    home.msb(["cp", "box:/data", "back/."]).exits(0);
    assert!(home.project().join("back/a/empty/file").is_file());
    assert_eq!(described(&home.project().join("back/data")), described(&tree));
}

#[test]
fn a_destination_is_a_folder_or_a_new_name() {
    let home = with_a_box();
    home.write("a", "one");
    home.write("b", "two");
    home.msb(["cp", "a", "box:name"]).exits(0);
    home.msb(["cp", "a", "box:/srv"]).exits(0);
    home.msb(["cp", "a", "b", "box:made/"]).exits(0);
    home.msb(["cp", "b", "box:name"]).exits(0);
    let read = |path: &str| fs::read_to_string(inside(&home, path)).unwrap();
    assert_eq!((read("srv/name"), read("srv/a")), ("two".into(), "one".into()));
    assert_eq!((read("srv/made/a"), read("srv/made/b")), ("one".into(), "two".into()));
    home.msb(["cp", "box:made/a", "box:made/b", "both/"]).exits(0);
    home.msb(["cp", "box:made", "box:name", "both"]).exits(0);
    for path in ["both/a", "both/b", "both/made/a", "both/name"] {
        assert!(home.project().join(path).is_file(), "{path}");
    }
    // The content of a folder, without its name.
    home.msb(["cp", "both/.", "box:content"]).exits(0);
    assert_eq!(read("srv/content/made/b"), "two");
}

#[test]
fn a_destination_that_cannot_be_one_is_refused() {
    let home = with_a_box();
    home.write("a", "one");
    home.write("b", "two");
    let target = ["msb::transfer::target", "stage: transfer"];
    home.msb(["cp", "a", "box:/missing/folder/a"]).exits(1).complains(&target);
    home.msb(["cp", "a", "b", "box:/missing"]).exits(1).complains(&target);
    home.msb(["cp", "a", "box:there"]).exits(0);
    home.msb(["cp", "b", "box:there/"]).exits(1).complains(&target);
    home.msb(["cp", "box:there", "missing/folder/a"]).exits(1).complains(&target);
    home.msb(["cp", "box:there", "a/"]).exits(1).complains(&target);
    assert_eq!(fs::read_to_string(home.project().join("a")).unwrap(), "one");
}

#[test]
fn a_source_that_is_missing_is_named_and_keeps_no_other() {
    let home = with_a_box();
    home.write("a", "one");
    let run = home.msb(["cp", "none", "a", "box:/srv"]).exits(1);
    run.complains(&["there is no none", "msb::transfer::not-found", "copied 1 file, 3 B"]);
    assert!(inside(&home, "srv/a").is_file());
    let run = home.msb(["cp", "box:/no/such", "back"]).exits(1);
    run.complains(&["there is no box:/no/such", "msb::transfer::not-found"]);
    assert!(!home.project().join("back").exists());
}

#[test]
fn a_file_over_a_folder_and_a_folder_over_a_file_are_left_out_by_name() {
    let home = with_a_box();
    fs::create_dir_all(home.project().join("t/one")).unwrap();
    home.write("t/two", "file");
    home.write("t/three", "file");
    let there = inside(&home, "srv/t");
    fs::create_dir_all(there.join("two")).unwrap();
    put(&there.join("one"), b"old");
    let run = home.msb(["cp", "t", "box:/srv"]).exits(1);
    run.complains(&[
        "note: t/one: a file is in the way of its folder",
        "note: t/two: a folder is in its way",
        "msb::transfer::incomplete",
        "copied 1 file",
    ]);
    assert_eq!(fs::read(there.join("one")).unwrap(), b"old");
    assert!(there.join("two").is_dir() && there.join("three").is_file());
}

#[test]
fn links_are_copied_as_links_unless_they_are_followed() {
    let home = with_a_box();
    fs::create_dir_all(home.project().join("t")).unwrap();
    home.write("outside", "content");
    symlink("../outside", home.project().join("t/out")).unwrap();
    symlink("/etc/hostname", home.project().join("t/far")).unwrap();
    // Into a guest they go as they are.
    home.msb(["cp", "t", "box:kept"]).exits(0);
    assert_eq!(fs::read_link(inside(&home, "srv/kept/far")).unwrap(), Path::new("/etc/hostname"));
    home.msb(["cp", "-L", "t/out", "box:followed"]).exits(0);
    assert_eq!(fs::read(inside(&home, "srv/followed")).unwrap(), b"content");
    // Out of a guest none comes that leads out of what was copied.
    let run = home.msb(["cp", "box:kept", "back"]).exits(1);
    run.complains(&[
        "kept/far: the link leads out of what is copied",
        "kept/out: the link leads out of what is copied",
        "msb::transfer::unsafe",
        "-L",
    ]);
    assert_eq!(fs::read_dir(home.project().join("back")).unwrap().count(), 0);
}

#[test]
fn what_is_no_file_is_left_out_by_name() {
    let home = with_a_box();
    let script = "cd \"$MSB_ROOT\" && mkdir srv/t && mkfifo srv/t/pipe && echo x >srv/t/file";
    home.msb(["exec", "box", "sh", "-c", script]).exits(0);
    let run = home.msb(["cp", "box:t", "t"]).exits(1);
    run.complains(&[
        "t/pipe: a named pipe is not copied",
        "msb::transfer::unsafe",
        "copied 1 file, 2 B",
    ]);
    assert!(home.project().join("t/file").is_file() && !home.project().join("t/pipe").exists());
}

#[test]
fn bits_that_lend_a_user_go_only_where_owners_are_kept() {
    let home = with_a_box();
    home.write("tool", "x");
    let tool = home.project().join("tool");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o4755)).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
    home.msb(["cp", "tool", "box:plain"]).exits(0);
    assert_eq!(mode(&inside(&home, "srv/plain")), 0o755);
    home.msb(["cp", "-a", "tool", "box:kept"]).exits(0);
    assert_eq!(mode(&inside(&home, "srv/kept")), 0o4755);
    home.msb(["cp", "--archive", "box:kept", "back"]).exits(0);
    assert_eq!(mode(&home.project().join("back")), 0o755, "never on the host");
}

#[test]
fn owners_are_kept_where_asked_and_allowed() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = with_a_box();
    home.write("mine", "x");
    let mine = home.project().join("mine");
    std::os::unix::fs::chown(&mine, Some(1234), Some(2345)).unwrap();
    let owner = |path: &Path| fs::metadata(path).map(|stat| (stat.uid(), stat.gid())).unwrap();
    home.msb(["cp", "mine", "box:plain"]).exits(0);
    assert_eq!(owner(&inside(&home, "srv/plain")), (0, 0));
    home.msb(["cp", "-a", "mine", "box:kept"]).exits(0);
    assert_eq!(owner(&inside(&home, "srv/kept")), (1234, 2345));
    home.msb(["cp", "box:kept", "plain"]).exits(0);
    home.msb(["cp", "-a", "box:kept", "kept"]).exits(0);
    assert_eq!(owner(&home.project().join("plain")), (0, 0));
    assert_eq!(owner(&home.project().join("kept")), (1234, 2345));
}

#[test]
fn an_archive_goes_through_our_own_streams() {
    let home = with_a_box();
    make_tree(&home.project().join("tree"));
    home.msb(["cp", "tree", "box:/data"]).exits(0);
    let archive = home.scratch("archive.tar");
    let mut command = home.command();
    command.args(["cp", "box:/data", "-"]);
    let run = command.stdout(File::create(&archive).unwrap()).status().unwrap();
    assert!(run.success());
    home.msb_reading(["cp", "-", "box:/srv"], &archive).exits(0);
    assert_eq!(described(&inside(&home, "srv/data")), described(&home.project().join("tree")));
    home.msb_reading(["cp", "-", "box:/fresh/"], &archive).exits(0);
    assert!(inside(&home, "fresh/data/a/file").is_file());
    home.msb_reading(["cp", "-", "box:/missing"], &archive)
        .exits(1)
        .complains(&["msb::transfer::target"]);
    put(&archive, b"this is no archive, however long it may be\n".repeat(50).as_slice());
    home.msb_reading(["cp", "-", "box:/srv"], &archive)
        .exits(1)
        .complains(&["msb::transfer::failed"]);
}

#[test]
fn a_tree_goes_from_one_sandbox_to_another() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        "project \"shop\"\nsandbox \"box\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n\
         sandbox \"other\" { image \"builtin:base\"; command \"sleep\" \"1000\" }\n",
    );
    home.msb(["up"]).exits(0);
    make_tree(&home.project().join("tree"));
    home.msb(["cp", "tree", "box:/data"]).exits(0);
    home.msb(["cp", "box:/data", "shop/other:/data"]).exits(0).complains(&["copied 4 files"]);
    home.msb(["cp", "other:/data", "back"]).exits(0);
    assert_eq!(described(&home.project().join("back")), described(&home.project().join("tree")));
    home.msb(["cp", "box:/none", "other:/x"]).exits(1).complains(&["msb::transfer::not-found"]);
    home.msb(["cp", "box:/data", "other:/no/such/x"])
        .exits(1)
        .complains(&["msb::transfer::target", "other"]);
}

#[test]
fn many_small_files_and_a_large_one_with_holes_arrive_whole() {
    let home = with_a_box();
    let tree = home.project().join("many");
    for folder in 0..50 {
        fs::create_dir_all(tree.join(folder.to_string())).unwrap();
        for file in 0..100 {
            let text = format!("{folder}.{file}");
            put(&tree.join(folder.to_string()).join(file.to_string()), text.as_bytes());
        }
    }
    home.msb(["cp", "many", "box:many"]).exits(0).complains(&["copied 5000 files"]);
    home.msb(["cp", "box:many", "back"]).exits(0).complains(&["copied 5000 files"]);
    assert_eq!(described(&home.project().join("back")), described(&tree));
    let holes = home.project().join("holes");
    let file = File::create(&holes).unwrap();
    file.set_len(200 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (200 << 20) - 3).unwrap();
    home.msb(["cp", "holes", "box:holes"]).exits(0).complains(&["copied 1 file, 200 MiB"]);
    home.msb(["cp", "box:holes", "back/"]).exits(0);
    let back = fs::read(home.project().join("back/holes")).unwrap();
    assert_eq!((back.len(), &back[back.len() - 4..]), (200 << 20, &b"\0end"[..]));
}

#[test]
fn json_is_one_document_that_counts_and_names() {
    let home = with_a_box();
    home.write("a", "one");
    let told: Value = home.msb(["cp", "--output", "json", "a", "box:a"]).exits(0).json();
    assert_eq!(
        (&told["files"], &told["bytes"], &told["skipped"]),
        (&json!(1), &json!(3), &json!([]))
    );
    assert!(told["duration_ms"].is_u64(), "{told}");
    let script = "cd \"$MSB_ROOT\" && mkdir srv/t && mkfifo srv/t/pipe";
    home.msb(["exec", "box", "sh", "-c", script]).exits(0);
    let run = home.msb(["cp", "--output", "json", "box:t", "t"]).exits(1);
    let row = json!({"path": "t/pipe", "why": "a named pipe is not copied"});
    assert_eq!(run.json()["skipped"], json!([row]));
    let error: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(error["error"]["code"], "msb::transfer::unsafe");
    assert_eq!(error["error"]["stage"], "transfer");
}

#[test]
fn what_cannot_be_meant_is_a_mistake_of_usage() {
    let home = with_a_box();
    home.write("a", "one");
    for words in [
        &["cp"][..],
        &["cp", "a"],
        &["cp", "a", "b"],
        &["cp", "-", "b"],
        &["cp", "box:a", "box:b", "-"],
        &["cp", "-", "a", "box:b"],
        &["cp", "--output", "json", "box:a", "-"],
    ] {
        home.msb_with(words).exits(64);
    }
    home.msb(["cp", "a", "no-such:b"]).exits(1).complains(&["msb::sandbox::not-found"]);
    home.msb(["stop", "box"]).exits(0);
    home.msb(["cp", "a", "box:b"]).exits(1).complains(&["not running", "msb start box"]);
}
