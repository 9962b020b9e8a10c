//! Copies that are ended before their end: by a signal or by force, here and in the guest.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tests::home::Home;
use tests::run::{Started, eventually};

use crate::cp::{inside, with_a_box};

/// How long something may take to begin, or to be gone.
const SOON: Duration = Duration::from_secs(20);

/// Tells whether a folder holds something with a temporary name.
fn has_draft(folder: &Path) -> bool {
    fs::read_dir(folder).is_ok_and(|mut found| {
        found.any(|entry| entry.unwrap().file_name().as_bytes().starts_with(b".msb-cp."))
    })
}

/// A home with a box, and a file that is large enough to be met on its way, here and there.
fn with_a_large_file() -> Home {
    let home = with_a_box();
    let large = File::create(home.project().join("large")).unwrap();
    large.set_len(400 << 20).unwrap();
    fs::create_dir(home.project().join("back")).unwrap();
    home
}

#[test]
fn a_copy_into_a_guest_that_is_ended_leaves_nothing_there() {
    let home = with_a_large_file();
    let there = inside(&home, "srv");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::KILL, 137)] {
        let started = home.start(["cp", "large", "box:/srv/copy"]);
        eventually("it has begun", SOON, || has_draft(&there).then_some(()));
        started.signal(signal);
        started.wait(home.rung().patience()).exits(code);
        // The agent hears of it, and what was half done goes.
        eventually("nothing is left", SOON, || (!has_draft(&there)).then_some(()));
        assert!(!there.join("copy").exists(), "{signal:?}");
    }
}

#[test]
fn a_copy_out_of_a_guest_that_is_ended_leaves_nothing_here() {
    let home = with_a_large_file();
    home.msb(["cp", "large", "box:/srv/large"]).exits(0);
    let here = home.project().join("back");
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        // The second source is not begun any more.
        let started = home.start(["cp", "box:large", "box:large", "back/"]);
        eventually("it has begun", SOON, || has_draft(&here).then_some(()));
        started.signal(signal);
        let run = started.wait(home.rung().patience()).exits(code);
        assert_eq!(fs::read_dir(&here).unwrap().count(), 0, "{signal:?}: {run}");
        assert_eq!(run.stderr, "", "nothing was copied, and nothing is wrong");
    }
}

/// A large and a small file in the box, and a copy of the large one that has begun to come back.
fn half_way_back() -> (Home, Started) {
    let home = with_a_large_file();
    home.write("small", "x");
    home.msb(["cp", "large", "small", "box:/srv"]).exits(0);
    let here = home.project().join("back");
    let started = home.start(["cp", "box:large", "back/copy"]);
    eventually("it has begun", SOON, || has_draft(&here).then_some(()));
    (home, started)
}

#[test]
fn what_a_killed_copy_left_goes_with_the_next_one_into_the_folder() {
    let (home, started) = half_way_back();
    let here = home.project().join("back");
    started.signal(Signal::KILL);
    started.wait(home.rung().patience()).exits(137);
    assert!(has_draft(&here) && !here.join("copy").exists(), "no other name was ever given");
    home.msb(["cp", "box:small", "back/"]).exits(0);
    let left: Vec<_> = fs::read_dir(&here).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["small"]);
}

#[test]
fn what_a_living_copy_writes_is_left_alone() {
    let (home, started) = half_way_back();
    let here = home.project().join("back");
    started.signal(Signal::STOP);
    home.msb(["cp", "box:small", "back/"]).exits(0);
    assert!(has_draft(&here), "its maker lives");
    started.signal(Signal::CONT);
    started.wait(home.rung().patience()).exits(0);
    assert_eq!(fs::metadata(here.join("copy")).unwrap().len(), 400 << 20);
    assert_eq!(fs::read_dir(&here).unwrap().count(), 2);
}
