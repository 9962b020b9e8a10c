//! R6: a full disk hurts nobody; the message says which one, and how to make room.
//!
//! State, images and machines each lie on a small file system in memory in turn. It is filled to
//! the last byte, everything is run, room is made, and everything is run again.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use tests::home::Home;
use tests::mounts::Mounts;
use tests::oracle::{converged, pids, reversed};
use tests::run::Run;
use tests::scenes::{Scene, TRIO};
use tests::skip::skip;

/// The size of the small file systems, in MiB.
const SMALL: u32 = 32;

#[test]
fn r6_a_full_disk_of_the_state_hurts_nobody() {
    full("db");
}

#[test]
fn r6_a_full_disk_of_images_hurts_nobody() {
    full("images");
}

#[test]
fn r6_a_full_disk_of_machines_and_logs_hurts_nobody() {
    full("machines");
}

#[test]
fn r6_a_full_disk_of_volumes_hurts_nobody() {
    full("volumes");
}

#[test]
fn r6_a_home_on_a_small_disk_is_refused_before_anything_is_made() {
    let Some(mounts) = Mounts::own() else { return skip("R6") };
    let home = Home::process();
    home.write("Sandboxfile", TRIO);
    mounts.tmpfs(&home.path(), SMALL);
    let run = home.msb(["up"]).exits(1).complains(&["msb::host::disk-space", "hint: "]);
    assert!(run.stderr.contains(&home.path().display().to_string()), "which disk: {run}");
    home.msb(["ps"]).exits(0);
    home.msb(["down"]).exits(0);
    mounts.take_away(&home.path());
}

/// Commands, each with whether it may go on without writing.
const COMMANDS: &[&[&str]] = &[
    &["ps"],
    &["diff"],
    &["list"],
    &["logs"],
    &["exec", "db", "--", "true"],
    &["up"],
    &["stop", "web"],
    &["start", "web"],
    &["restart", "web"],
    &["down"],
    &["up"],
];

fn full(part: &str) {
    let Some(mounts) = Mounts::own() else { return skip("R6") };
    let home = Home::process();
    home.write("Sandboxfile", TRIO);
    // The first file system is there before anything is, and full from the start.
    let folder = home.path().join(part);
    fs::create_dir_all(&folder).unwrap();
    mounts.tmpfs(&folder, SMALL);
    let filler = fill(&folder);
    tell(&home, part, &["up"]);
    make_room(&filler);
    converged(&home);
    let before = pids(&home);

    let filler = fill(&folder);
    for words in COMMANDS {
        let reads = ["ps", "diff", "list", "logs", "exec"].contains(&words[0]);
        let run = tell(&home, part, words);
        assert!(!reads || run.code == 0, "reading needs no room: {run}");
        if reads {
            assert_eq!(pids(&home), before, "{words:?} touched a machine");
        }
    }
    let load: Vec<String> = Scene::Load.words();
    tell(&home, part, &load.iter().map(String::as_str).collect::<Vec<_>>());
    make_room(&filler);

    home.msb(["up"]).exits(0);
    converged(&home);
    reversed(&home);
    mounts.take_away(&folder);
}

/// Runs a command on a full disk: it works, or it says which disk is full and how to make room.
fn tell(home: &Home, part: &str, words: &[&str]) -> Run {
    let run = home.msb_with(words);
    if run.code == 0 {
        return run;
    }
    assert_eq!(run.code, 1, "{run}");
    let folder = home.path().join(part).display().to_string();
    assert!(run.stderr.contains("error: "), "{run}");
    assert!(run.stderr.contains(&folder), "which disk is full? {run}");
    assert!(run.stderr.contains("hint: "), "how is room made? {run}");
    run
}

/// Writes until there is no room left; returns the file that took it.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join(".filler");
    let mut file = File::create(&path).unwrap();
    for size in [1 << 20, 1 << 12, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    path
}

fn make_room(filler: &Path) {
    fs::remove_file(filler).unwrap();
}
