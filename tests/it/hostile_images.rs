//! Archives of images that mean harm, each through `msb load`: all are refused with a sentence and
//! leave the store as it was, but those few that have one safe meaning.

use std::fs;
use std::process::Command;

use tests::home::{Home, put};
use tests::programs;

/// What is loaded: it stays inside the image, whatever it holds.
const HARMLESS: &[&str] = &[
    "annotations-ours",
    "attributes",
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

#[test]
fn s9_each_hostile_archive_is_refused_or_harmless() {
    let home = Home::process();
    let folder = home.scratch("archives");
    fs::create_dir(&folder).unwrap();
    let canary = home.scratch("canary");
    put(&canary, "untouched");
    let make = programs::checkout().join("tests/fixtures/images/make");
    assert!(Command::new(make).arg(&folder).status().unwrap().success());
    let (mut wrong, mut count) = (Vec::new(), 0);
    for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        count += 1;
        let path = entry.path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let before = home.msb(["image", "ls", "--output", "json"]).exits(0).stdout.clone();
        let run = home.msb_with(&["load", "-i", path.to_str().unwrap()]);
        let is_harmless = HARMLESS.contains(&name.as_str());
        let says_why = run.stderr.contains("cause: ") && !run.stderr.contains("without an answer");
        let after = home.msb(["image", "ls", "--output", "json"]).exits(0).stdout.clone();
        let is_right =
            if is_harmless { run.code == 0 } else { run.code == 1 && says_why && before == after };
        if !is_right || run.stderr.contains('\u{1b}') {
            wrong.push(format!("{name}: {run}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count >= 60, "{count} archives");
    assert_eq!(fs::read_to_string(&canary).unwrap(), "untouched");
}
