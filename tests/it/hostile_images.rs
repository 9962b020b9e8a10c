//! Archives of images that mean harm, each through `msb load`: all are refused with a sentence and
//! leave the store as it was, but those few that have one safe meaning, whose root
//! `fsck.erofs` accepts. None takes more memory or time than an image may.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tests::home::{Home, put};
use tests::programs;
use tests::run::lasted;

/// What is loaded: it stays inside the image, whatever it holds.
const HARMLESS: &[&str] = &[
    "annotations-ours",
    "attributes",
    "codings",
    "group-1g",
    "gzip-members",
    "labels-2000",
    "link-then-folder",
    "link-then-through",
    "nodes",
    "path-absolute",
    "path-not-utf8",
    "pax-size-agrees",
    "size-base-256",
    "sparse-3g",
    "sparse-5g",
    "time-negative",
    "whiteout-through-link",
];

/// What each of the processes may have of address space, which is no less than its memory.
const LIMITED: [&str; 4] = ["/bin/sh", "-c", "ulimit -v 524288; exec \"$@\"", "limited"];

/// What `fsck.erofs` reads at once, at most.
const PIECE_BYTES: u64 = 2 << 30;

/// How long each archive may take.
const TIME_MAX: Duration = Duration::from_secs(60);

#[test]
fn s9_each_hostile_archive_is_refused_or_harmless() {
    let mut home = Home::process();
    home.go_through(&LIMITED);
    let folder = home.scratch("archives");
    fs::create_dir(&folder).unwrap();
    let canary = home.scratch("canary");
    put(&canary, "untouched");
    let make = programs::checkout().join("tests/fixtures/images/make");
    assert!(Command::new(make).arg(&folder).status().unwrap().success());
    let (mut wrong, mut count, mut with_root) = (Vec::new(), 0, 0);
    for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        count += 1;
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let before = home.msb(["image", "ls", "--output", "json"]).exits(0).stdout.clone();
        let there = roots(&home);
        let (run, took) = lasted(|| home.msb_with(&["load", "-i", path.to_str().unwrap()]));
        let is_harmless = HARMLESS.contains(&name.as_str());
        let says_why = run.stderr.contains("cause: ") && !run.stderr.contains("without an answer");
        let after = home.msb(["image", "ls", "--output", "json"]).exits(0).stdout.clone();
        let is_right =
            if is_harmless { run.code == 0 } else { run.code == 1 && says_why && before == after };
        if !is_right || run.stderr.contains('\u{1b}') {
            wrong.push(format!("{name}: {run}"));
        }
        if took > TIME_MAX {
            wrong.push(format!("{name}: it took {took:?}"));
        }
        let made: Vec<_> = roots(&home).difference(&there).cloned().collect();
        let told: Vec<_> = made.iter().filter_map(unreadable).collect();
        if !told.is_empty() || made.len() > usize::from(is_harmless) {
            wrong.push(format!("{name}: {made:?} {told:?}"));
        }
        with_root += made.len();
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "{count} archives");
    // Some have the same layer.
    assert!(with_root >= HARMLESS.len() - 4, "{with_root} roots");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
}

/// Returns the files of roots.
fn roots(home: &Home) -> BTreeSet<PathBuf> {
    let files = fs::read_dir(home.path().join("images/roots")).into_iter().flatten();
    files.map(|entry| entry.unwrap().path()).collect()
}

/// Returns what a reader that nobody here wrote has against a root; it reads every file of it, but
/// where one may be larger than the piece that it reads at once.
fn unreadable(root: &PathBuf) -> Option<String> {
    let mut command = Command::new("fsck.erofs");
    if fs::metadata(root).unwrap().len() < PIECE_BYTES {
        command.arg("--extract");
    }
    let output = command.arg(root).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    (!output.status.success()).then_some(told)
}
