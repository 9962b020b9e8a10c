//! `msb pull` from a real registry, and from servers that lie.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use tests::home::Home;
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

#[test]
fn an_image_is_pulled_once_and_keeps_the_digest_of_its_registry() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push(&base(), "app:1");
    let name = format!("{}/app:1", registry.address());
    let pulled = row(&home, &["pull", &name, "--json"]);
    assert_eq!((&pulled["result"], &pulled["reference"]), (&"pulled".into(), &name.clone().into()));
    assert_eq!(pulled["digest"], registry.digest("app:1"));
    assert!(pulled["downloaded_bytes"].as_u64().unwrap() > 0, "{pulled}");
    let again = row(&home, &["pull", &name, "--json"]);
    assert_eq!((&again["result"], &again["downloaded_bytes"]), (&"present".into(), &0.into()));
    // Another name of the same bytes costs nothing, and whoever names bytes asks nobody.
    registry.push(&base(), "other:2");
    let other = row(&home, &["pull", &format!("{}/other:2", registry.address()), "--json"]);
    assert_eq!(other["downloaded_bytes"], 0);
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
    let largest = || {
        let files = fs::read_dir(blobs(&home)).unwrap().map(|entry| entry.unwrap().path());
        files.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap()
    };
    let (path, before) = (largest(), fs::read(largest()).unwrap());
    overwrite(&path, &before[..before.len() / 2]);
    let cut = row(&home, &["pull", &name, "--json"]);
    assert_eq!(cut["result"], "pulled");
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
