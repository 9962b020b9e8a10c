//! `msb pull` from a real registry, and from servers that lie.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tests::home::Home;
use tests::listener::{Listener, answer};
use tests::programs;
use tests::registry::Registry;

fn base() -> PathBuf {
    programs::target().join("base/base.oci.tar")
}

fn row(home: &Home, arguments: &[&str]) -> Value {
    home.msb_with(arguments).exits(0).json()[0].clone()
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::File::create_new(path).unwrap().write_all(bytes).unwrap();
}

fn blobs(home: &Home) -> PathBuf {
    home.path().join("images/blobs/sha256")
}

/// Returns the blobs that a registry was asked for, in order.
fn asked_for(registry: &Registry) -> Vec<String> {
    let asked = registry.requests().into_iter();
    let blobs = asked.filter(|line| line.starts_with("GET ") && line.contains("/blobs/"));
    let mut blobs: Vec<_> =
        blobs.filter_map(|line| Some(line.rsplit_once('/')?.1.to_owned())).collect();
    blobs.sort_unstable();
    blobs
}

/// Returns the largest blob of the store: a layer.
fn largest(home: &Home) -> PathBuf {
    let files = fs::read_dir(blobs(home)).unwrap().map(|entry| entry.unwrap().path());
    files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
}

#[test]
fn an_image_is_pulled_once_and_keeps_the_digest_of_its_registry() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    let pulled = row(&home, &["pull", &name, "--json"]);
    assert_eq!((&pulled["result"], &pulled["reference"]), (&"pulled".into(), &name.clone().into()));
    assert_eq!(pulled["digest"], registry.digest("app:1"));
    assert!(pulled["downloaded_bytes"].as_u64().unwrap() > 0, "{pulled}");
    let asked = asked_for(&registry);
    assert_eq!(asked.len(), 2, "a configuration and a layer: {asked:?}");
    let again = row(&home, &["pull", &name, "--json"]);
    assert_eq!((&again["result"], &again["downloaded_bytes"]), (&"present".into(), &0.into()));
    // Another name of the same bytes costs nothing, and whoever names bytes asks nobody.
    registry.push(&base(), "other:2");
    let other = row(&home, &["pull", &format!("{}/other:2", registry.address()), "--json"]);
    assert_eq!(other["downloaded_bytes"], 0);
    assert_eq!(asked_for(&registry), asked, "no blob was asked for again");
    let digest = pulled["digest"].as_str().unwrap().to_owned();
    let pinned = format!("{}/app@{digest}", registry.address());
    drop(registry);
    assert_eq!(row(&home, &["pull", &pinned, "--json"])["result"], "present");
    home.msb(["pull", &name]).exits(1).complains(&["cannot reach the registry"]);
}

#[test]
fn one_image_that_fails_keeps_no_other_from_coming() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let at = registry.address();
    let (good, bad) = (format!("{at}/app:1"), format!("{at}/app:2"));
    let run = home.msb(["pull", &bad, &good]).exits(1);
    run.says(&[&format!("{good}  sha256:")]).complains(&["msb::image::not-found", "app:2"]);
    home.msb(["pull", "--platform", "linux/arm64", &good, "--force"]).exits(1).complains(&[
        "msb::image::unresolved",
        "linux/amd64",
        "linux/arm64",
    ]);
    home.msb(["pull", "builtin:base"]).exits(64).complains(&["never fetched"]);
}

#[test]
fn two_commands_that_want_the_same_image_fetch_it_once_and_both_have_it() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    // Made before, so that both begin at once.
    home.msb(["image", "ls"]).exits(0);
    let rows: Vec<Value> = std::thread::scope(|scope| {
        let pull = || row(&home, &["pull", &name, "--json"]);
        let both = [scope.spawn(pull), scope.spawn(pull)];
        both.map(|one| one.join().unwrap()).into_iter().collect()
    });
    let mut asked = asked_for(&registry);
    let all = asked.len();
    asked.dedup();
    assert_eq!((all, asked.len()), (2, 2), "each blob came once");
    let came: u64 = rows.iter().map(|row| row["downloaded_bytes"].as_u64().unwrap()).sum();
    let whole = rows[0]["size_bytes"].as_u64().unwrap();
    assert!(came <= whole, "{came} bytes came of {whole}: {rows:?}");
    home.msb(["image", "ls"]).exits(0).says(&[&name]);
}

#[test]
fn a_damaged_blob_is_fetched_again_by_force_and_one_of_another_size_unasked() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["pull", &name]).exits(0);
    let path = largest(&home);
    let before = fs::read(&path).unwrap();
    overwrite(&path, &before[..before.len() / 2]);
    let cut = home.msb(["pull", &name]).exits(0);
    cut.says(&["  pulled  "]).complains(&["damaged in the store and fetched again: sha256:"]);
    assert_eq!(fs::read(&path).unwrap(), before, "cut");
    let mut flipped = before.clone();
    flipped[before.len() / 2] ^= 1;
    overwrite(&path, &flipped);
    home.msb(["pull", "--force", &name]).exits(0);
    assert_eq!(fs::read(&path).unwrap(), before, "flipped");
}

#[test]
fn a_pull_that_is_killed_leaves_a_store_that_the_next_one_uses() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    for millis in [5, 20, 40, 60, 80, 120] {
        let mut command = home.command();
        command.args(["pull", &name, "--force"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // Nothing is said by then, so this is a pause and no more.
        let (_held, never) = channel::<()>();
        never.recv_timeout(Duration::from_millis(millis)).unwrap_err();
        drop(child.kill());
        child.wait().unwrap();
    }
    home.msb(["pull", &name]).exits(0);
    let left = fs::read_dir(home.path().join("images/tmp")).unwrap();
    let left: Vec<_> =
        left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.ends_with(".lock")), "{left:?}");
}

#[test]
fn a_registry_whose_authority_is_unknown_is_trusted_with_its_certificate_alone() {
    let (home, registry) = (Home::process(), Registry::tls());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["pull", &name]).exits(1).complains(&["cannot be trusted", "--ca-certs"]);
    let authority = registry.authority();
    home.msb(["pull", &name, "--ca-certs", authority.to_str().unwrap()]).exits(0);
}

#[test]
fn a_flipped_bit_is_found_when_a_root_is_built_or_a_document_read_and_mended_once() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["pull", &name]).exits(0);
    let documents = |path: &PathBuf| *path != largest(&home);
    let files = fs::read_dir(blobs(&home)).unwrap().map(|entry| entry.unwrap().path());
    let small: Vec<PathBuf> = files.filter(documents).collect();
    assert_eq!(small.len(), 2, "a manifest and a configuration: {small:?}");
    let flip = |path: &Path, at: usize| {
        let before = fs::read(path).unwrap();
        let mut flipped = before.clone();
        flipped[at] ^= 1;
        overwrite(path, &flipped);
        before
    };
    for path in &small {
        let before = flip(path, 20);
        home.msb(["pull", &name]).exits(0).says(&["  pulled  "]);
        assert_eq!(fs::read(path).unwrap(), before, "{}", path.display());
    }
    let path = largest(&home);
    let length = fs::read(&path).unwrap().len();
    for at in [0, 5, length / 2, length - 1] {
        let before = flip(&path, at);
        fs::remove_dir_all(home.path().join("images/roots")).unwrap();
        let run = home.msb(["pull", &name]).exits(0);
        run.says(&["  pulled  "]).complains(&["damaged in the store and fetched again: sha256:"]);
        assert_eq!(fs::read(&path).unwrap(), before, "byte {at}");
        assert!(path.with_extension("bad").exists(), "byte {at}");
        home.msb(["pull", &name]).exits(0).says(&["  present"]);
    }
}

#[test]
fn what_a_lying_registry_gives_is_not_kept() {
    let (home, honest) = (Home::process(), Registry::plain());
    honest.push(&base(), "app:1");
    let good = format!("{}/app:1", honest.address());
    home.msb(["pull", &good]).exits(0);
    let mut files = fs::read_dir(blobs(&home)).unwrap().map(|entry| entry.unwrap().path());
    let digest = honest.digest("app:1");
    let is_manifest =
        |path: &PathBuf| digest.ends_with(path.file_name().unwrap().to_str().unwrap());
    let manifest = fs::read_to_string(files.find(is_manifest).unwrap()).unwrap();
    let told: Value = serde_json::from_str(&manifest).unwrap();
    let parts = [&told["config"], &told["layers"][0]]
        .map(|part| (part["digest"].as_str().unwrap().to_owned(), part["size"].as_u64().unwrap()));
    let kind = format!("content-type: {}", told["mediaType"].as_str().unwrap());
    // Every part has the right size, and other bytes.
    let liar = Listener::start(move |head| {
        let part = parts.iter().find(|(digest, _)| head.contains(digest.as_str()));
        match part {
            Some((_, size)) => answer("200 OK", &[], &"x".repeat(usize::try_from(*size).unwrap())),
            None => answer("200 OK", &[&kind], &manifest),
        }
    });
    let fresh = Home::process();
    let name = format!("{}/app:1", liar.address);
    let run = fresh.msb(["pull", &name]).exits(1);
    run.complains(&["msb::image::damaged", "hashes to sha256:"]);
    assert_eq!(fs::read_dir(blobs(&fresh)).unwrap().count(), 0, "nothing was kept");
    assert_eq!(fresh.msb(["image", "ls", "--json"]).exits(0).json().as_array().unwrap().len(), 0);
    // A digest that is asked for is the one that comes, or none.
    let other = format!("{}/app@sha256:{}", liar.address, "0".repeat(64));
    fresh.msb(["pull", &other]).exits(1);
    assert_eq!(fs::read_dir(blobs(&fresh)).unwrap().count(), 0, "nothing was kept");
}
