//! Images that nobody uses go, with what only they needed and to the byte; those in use stay.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tests::configured::configured;
use tests::home::{Home, put};
use tests::listener::{Listener, answer};
use tests::programs;
use tests::run::eventually;

fn base() -> PathBuf {
    programs::target().join("base/base.oci.tar")
}

fn load(home: &Home, archive: &Path, name: &str) {
    home.msb(["load", "-i", archive.to_str().unwrap(), "-t", name]).exits(0);
}

fn json(home: &Home, words: &[&str]) -> Value {
    home.msb_with(words).exits(0).json()
}

fn names(home: &Home) -> Vec<String> {
    let rows = json(home, &["image", "ls", "--json"]);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["reference"].as_str().unwrap().to_owned()).collect()
}

/// Returns every file of blobs and roots.
fn data(home: &Home) -> Vec<PathBuf> {
    files(home, &["blobs/sha256", "roots"])
}

/// Returns them with the recipes, which go with the roots they speak of.
fn everything(home: &Home) -> Vec<PathBuf> {
    files(home, &["blobs/sha256", "roots", "recipes"])
}

fn files(home: &Home, folders: &[&str]) -> Vec<PathBuf> {
    let folders = folders.iter().map(|folder| home.path().join("images").join(folder));
    let entries = folders.flat_map(|folder| fs::read_dir(folder).into_iter().flatten());
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort_unstable();
    files
}

fn occupied(files: &[PathBuf]) -> u64 {
    files.iter().map(|path| fs::metadata(path).unwrap().blocks() * 512).sum()
}

/// A project of one sandbox of this image.
fn up(home: &Home, image: &str) {
    let sandbox = format!("sandbox \"web\" {{ image \"{image}\"; command \"sleep\" \"1000\" }}");
    home.write("Sandboxfile", &format!("project \"shop\"\n{sandbox}\n"));
    home.msb(["up", "-y"]).exits(0);
}

#[test]
fn a_prune_takes_what_nobody_uses_and_tells_its_bytes_exactly() {
    let home = Home::process();
    home.msb(["image", "prune", "-y"]).exits(0).says(&["Nothing to prune."]);
    let other = configured(&home, "other", "", &["--config.label=a=b"]);
    load(&home, &base(), "app:1");
    load(&home, &base(), "app:2");
    load(&home, &other, "other:1");
    // What commands have left that were killed.
    put(&home.path().join("images/blobs/sha256/stray.bad"), "damaged");
    put(&home.path().join("images/tmp/draft-0"), "half");
    let (before, listed) = (everything(&home), names(&home));
    home.msb(["image", "prune"]).exits(77).complains(&["msb::consent::needed", "-y"]);
    home.msb(["image", "prune", "--dry-run"]).exits(0).says(&[
        "would remove app:1",
        "would remove other:1",
        "Would reclaim",
        "3 names",
    ]);
    let would = json(&home, &["image", "prune", "--dry-run", "--json"]);
    assert_eq!((everything(&home), names(&home)), (before.clone(), listed), "nothing was done");
    // Of the two manifests, one root and the layer are the same: the files say how many there are.
    let of =
        |folder: &str| before.iter().filter(|path| path.iter().any(|part| part == folder)).count();
    let (roots, blobs) = (of("roots"), of("sha256"));
    let half = fs::metadata(home.path().join("images/tmp/draft-0")).unwrap().blocks() * 512;
    let bytes = occupied(&before) + half;
    let pruned = json(&home, &["image", "prune", "-y", "--json"]);
    assert_eq!(would, pruned);
    assert_eq!(pruned["bytes_reclaimed"], bytes);
    assert_eq!(
        (&pruned["references_removed"], &pruned["manifests_removed"]),
        (&3.into(), &2.into())
    );
    assert_eq!(pruned["roots_removed"], roots);
    assert_eq!(pruned["blobs_removed"], blobs);
    assert!(everything(&home).is_empty() && names(&home).is_empty());
    assert!(!home.path().join("images/tmp/draft-0").exists());
    home.msb(["image", "prune", "-y"]).exits(0).says(&["Nothing to prune."]);
    // What was remembered of the archive does not stand for what is gone.
    load(&home, &base(), "app:1");
    home.msb(["image", "verify"]).exits(0).says(&["ok"]);
}

#[test]
fn an_image_in_use_is_refused_by_name_and_its_data_stay_until_its_last_user_is_gone() {
    let home = Home::process();
    load(&home, &base(), "app:1");
    up(&home, "app:1");
    home.msb(["stop", "web"]).exits(0);
    let before = everything(&home);
    home.msb(["image", "rm", "app:1"]).exits(77).complains(&["msb::image::in-use", "shop/web"]);
    home.msb(["image", "prune", "-y"]).exits(0).says(&["Nothing to prune."]);
    assert_eq!((everything(&home), names(&home)), (before.clone(), vec!["app:1".to_owned()]));
    let rows = json(&home, &["image", "ls", "--json"]);
    assert_eq!(rows[0]["in_use_by"], serde_json::json!(["shop/web"]));
    let removed = json(&home, &["image", "rm", "-f", "app:1", "--json"]);
    assert_eq!(removed[0]["bytes_reclaimed"], 0);
    home.msb(["image", "prune", "-y"]).exits(0).says(&["Nothing to prune."]);
    assert_eq!((everything(&home), names(&home)), (before.clone(), Vec::new()));
    home.msb(["down"]).exits(0);
    let bytes = occupied(&before);
    let pruned = json(&home, &["image", "prune", "-y", "--json"]);
    assert_eq!(pruned["bytes_reclaimed"], bytes);
    assert!(everything(&home).is_empty());
}

#[test]
fn what_a_machine_runs_from_stays_when_its_name_has_moved() {
    let home = Home::process();
    let other = configured(&home, "other", "", &["--config.label=a=b"]);
    load(&home, &base(), "app:1");
    up(&home, "app:1");
    let before = data(&home);
    load(&home, &other, "app:1");
    let both = data(&home);
    home.msb(["image", "prune", "-y"]).exits(0).says(&["Nothing to prune."]);
    assert_eq!(data(&home), both, "the old one runs, the new one is named");
    // Without it, `up` keeps to what the lock pins.
    fs::remove_file(home.project().join("Sandboxfile.lock")).unwrap();
    home.msb(["up", "-y"]).exits(0);
    let pruned = json(&home, &["image", "prune", "-y", "--json"]);
    assert_eq!(
        (&pruned["references_removed"], &pruned["manifests_removed"]),
        (&0.into(), &1.into())
    );
    let left = data(&home);
    assert!(left.len() < both.len() && left != before);
    home.msb(["image", "verify"]).exits(0).says(&["ok"]);
    home.msb(["down"]).exits(0);
}

#[test]
fn rm_takes_what_only_that_image_needed() {
    let home = Home::process();
    let other = configured(&home, "other", "", &["--config.label=a=b"]);
    load(&home, &base(), "app:1");
    let before = data(&home);
    load(&home, &other, "other:1");
    load(&home, &other, "other:2");
    let both = data(&home);
    home.msb(["image", "rm", "other:2"]).exits(0).says(&["removed other:2"]);
    assert_eq!(data(&home), both, "another name means the same");
    let only: Vec<PathBuf> = both.iter().filter(|path| !before.contains(path)).cloned().collect();
    let bytes = occupied(&only);
    let removed = json(&home, &["image", "rm", "other:1", "--json"]);
    assert_eq!(removed[0]["bytes_reclaimed"], bytes);
    assert_eq!(data(&home), before);
    home.msb(["image", "verify"]).exits(0).says(&["app:1", "ok"]);
    home.msb(["image", "rm", "other:1"]).exits(1).complains(&["msb::image::not-found"]);
}

#[test]
fn nothing_goes_while_another_command_fills_the_store() {
    let home = Home::process();
    load(&home, &base(), "app:1");
    let (go_on, held) = channel::<()>();
    let held = Mutex::new(held);
    let registry = Listener::start(move |_| {
        let _ = held.lock().unwrap().recv();
        answer("404 Not Found", &[], "")
    });
    let name = format!("{}/app:1", registry.address);
    let pulling = home.start(["pull", &name]);
    eventually("the pull holds the store", Duration::from_secs(60), || {
        let run = home.msb(["--lock-timeout", "0s", "image", "prune", "-y"]);
        (run.code == 75).then(|| run.complains(&["msb::lock::busy", "--lock-timeout"])).or_else(
            || {
                load(&home, &base(), "app:1");
                None
            },
        )
    });
    let before = everything(&home);
    home.msb(["image", "rm", "app:1"]).exits(0).complains(&["its data stay until the next"]);
    assert_eq!(everything(&home), before);
    drop(go_on);
    pulling.wait(Duration::from_secs(60)).exits(1);
    let bytes = occupied(&before);
    let pruned = json(&home, &["image", "prune", "-y", "--json"]);
    assert_eq!(pruned["bytes_reclaimed"], bytes);
    assert!(everything(&home).is_empty());
}

#[test]
fn df_tells_what_is_taken_and_what_would_come_back() {
    let home = Home::process();
    home.msb(["df"]).exits(0).says(&["TYPE", "RECLAIMABLE", "blobs", "total", "free on"]);
    load(&home, &base(), "app:1");
    let (taken, files) = (occupied(&everything(&home)), everything(&home).len());
    home.msb(["volume", "create", "data"]).exits(0);
    let volume = json(&home, &["volume", "inspect", "data", "--json"]);
    put(&Path::new(volume[0]["path"].as_str().unwrap()).join("file"), &"x".repeat(10_000));
    let of = |document: &Value, kind: &str, key: &str| {
        let types = document["types"].as_array().unwrap();
        types.iter().find(|one| one["type"] == kind).unwrap()[key].clone()
    };
    let document = json(&home, &["df", "--json"]);
    assert!(document["free_bytes"].as_u64().unwrap() > 0);
    let kinds = ["blobs", "roots", "recipes"].map(|kind| {
        assert_eq!(of(&document, kind, "size_bytes"), of(&document, kind, "reclaimable_bytes"));
        let number = |key: &str| of(&document, kind, key).as_u64().unwrap();
        (number("size_bytes"), number("count"))
    });
    let sum = kinds.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    assert_eq!(sum, (taken, files as u64));
    assert_eq!(of(&document, "volumes", "size_bytes"), 12_288);
    assert_eq!(of(&document, "blobs", "items"), Value::Null);
    let items = json(&home, &["df", "--items", "--json"]);
    assert_eq!(of(&items, "volumes", "items")[0]["address"], "data");
    up(&home, "app:1");
    let used = json(&home, &["df", "--json"]);
    assert_eq!(
        (of(&used, "blobs", "reclaimable_bytes"), of(&used, "logs", "count")),
        (0.into(), 1.into())
    );
    home.msb(["df", "--items"]).exits(0).says(&["shop/web", "sha256:"]);
    home.msb(["down"]).exits(0);
}
