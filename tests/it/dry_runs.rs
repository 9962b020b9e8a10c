//! `--dry-run` of what acts without a file: the plan, and not one byte of the state.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tests::home::Home;

const DISK: [&str; 4] = ["--kind", "disk", "--size", "16MiB"];

/// Returns what a home holds, every file with its bytes. What only readers of the database share is
/// left out, and a journal that they opened and nobody wrote to.
fn state(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    collect(&home.path(), &mut found);
    found
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.insert(path.clone(), Vec::new());
            collect(&path, found);
            continue;
        }
        if !path.is_file() {
            continue;
        }
        let name = path.to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        if !(name.ends_with("-shm") || name.ends_with("-wal") && bytes.is_empty()) {
            found.insert(path, bytes);
        }
    }
}

/// Runs a command dry and holds that it says this, ends well and changes nothing.
fn dry(home: &Home, words: &[&str], says: &[&str]) {
    let before = state(home);
    home.msb_with(&[words, &["--dry-run"]].concat()).exits(0).says(says);
    let json = home.msb_with(&[words, &["--dry-run", "--json"]].concat()).exits(0).json();
    assert_eq!(json["format_version"], "1.0", "{words:?}");
    let after = state(home);
    let changed = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let changed: Vec<_> = before.keys().chain(after.keys()).filter(changed).collect();
    assert!(changed.is_empty(), "{words:?} changed {changed:?}");
}

#[test]
fn what_makes_sandboxes_shows_its_plan_and_makes_none() {
    let home = Home::process();
    let run = ["run", "--dry-run", "-n", "web", "builtin:base", "true"];
    home.msb(run).exits(0).says(&["+ sandbox.web", "Plan: 1 create"]);
    assert_eq!(state(&home), BTreeMap::new(), "a bare home stays bare");
    home.msb(["create", "-n", "web", "builtin:base"]).exits(0);
    home.msb(["stop", "web"]).exits(0);
    let before = state(&home);
    for words in [
        &["run", "--dry-run", "-d", "-n", "other", "builtin:base"][..],
        &["create", "--dry-run", "--replace", "-n", "web", "builtin:base"],
        &["run", "--dry-run", "--replace", "-n", "web", "builtin:base", "true"],
        &["run", "--dry-run", "-n", "web", "builtin:base", "true"],
    ] {
        home.msb_with(words).exits(0).says(&["Plan: "]);
    }
    home.msb(["run", "--dry-run", "--replace", "-n", "web", "builtin:base", "true"])
        .exits(0)
        .says(&["sandbox.web", "Plan: 1 "]);
    assert!(before == state(&home), "the state changed");
    home.msb(["rm", "-f", "web"]).exits(0);
}

#[test]
fn what_is_done_to_volumes_by_hand_shows_its_plan_and_does_nothing() {
    let home = Home::process();
    home.msb_with(&[&["volume", "create", "data", "--dry-run"][..], &DISK].concat())
        .exits(0)
        .says(&["+ volume.data", "16 MiB", "Plan: 1 create"]);
    assert_eq!(state(&home), BTreeMap::new(), "a bare home stays bare");
    home.msb_with(&[&["volume", "create", "data"][..], &DISK].concat()).exits(0);
    let again = [&["volume", "create", "data", "--if-missing"][..], &DISK].concat();
    dry(&home, &again, &["no changes (1 unchanged)"]);
    dry(&home, &["volume", "rm", "data"], &["! volume.data  trash", "it can be restored"]);
    dry(&home, &["volume", "rm", "data", "--purge"], &["volume.data  destroy", "for good"]);
    home.msb(["volume", "rm", "data"]).exits(0);
    dry(&home, &["volume", "restore", "data"], &["+ volume.data", "from the trash"]);
    dry(&home, &["volume", "restore", "data", "--as", "old"], &["+ volume.old", "it is data"]);
    dry(&home, &["volume", "rm", "data", "--purge"], &["volume.data  destroy"]);
    home.msb_with(&[&["volume", "create", "data"][..], &DISK].concat()).exits(0);
    dry(&home, &["volume", "restore", "data"], &["Refused", "already", "1 refused"]);
}

#[test]
fn what_would_be_refused_stands_in_the_plan_of_its_project() {
    let home = Home::process();
    home.write(
        "Sandboxfile",
        r#"
project "shop"
volume "data" { kind "disk"; size "16MiB" }
volume "kept" { kind "disk"; size "16MiB"; lifecycle { protect #true } }
sandbox "db" { image "builtin:base"; command "sleep" "1000"; mount "/data" { named "data" } }
"#,
    );
    home.msb(["up"]).exits(0);
    let both = home.msb(["volume", "rm", "data", "kept", "--dry-run"]).exits(0);
    both.says(&["Project shop", "in use by shop/db", "kept is protected", "Plan: 2 refused"]);
    home.msb(["volume", "rm", "nothing", "--dry-run"]).exits(1);
    home.msb(["down"]).exits(0);
}
