//! `msb save`, and what others read of it; `image inspect` and `image verify`.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tests::home::Home;
use tests::programs;
use tests::registry::Registry;

fn base() -> String {
    programs::target().join("base/base.oci.tar").display().to_string()
}

/// Returns a home with one image, `app:1`.
fn loaded() -> Home {
    let home = Home::process();
    home.msb(["load", "-i", &base(), "-t", "app:1"]).exits(0);
    home
}

fn digest(home: &Home, name: &str) -> String {
    let rows = home.msb(["image", "ls", name, "--json"]).exits(0).json();
    rows[0]["digest"].as_str().unwrap().to_owned()
}

/// Runs a script of programs that nobody here wrote, in a folder of its own.
fn script(home: &Home, text: &str) -> String {
    let folder = home.scratch("script");
    fs::create_dir_all(&folder).unwrap();
    let run = Command::new("sh").args(["-ec", text]).current_dir(&folder).output().unwrap();
    assert!(run.status.success(), "{text}: {}", String::from_utf8_lossy(&run.stderr));
    String::from_utf8(run.stdout).unwrap().trim().to_owned()
}

/// Returns the stored file of the largest layer of `app:1`, and its digest.
fn layer(home: &Home) -> (PathBuf, String) {
    let rows: Value = home.msb(["image", "inspect", "app:1", "--json"]).exits(0).json();
    let digest = rows[0]["layers"][0]["blob_digest"].as_str().unwrap().to_owned();
    let hex = digest.strip_prefix("sha256:").unwrap();
    (home.path().join("images/blobs/sha256").join(hex), digest)
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::File::create_new(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn an_image_goes_out_and_comes_back_with_its_digest_in_both_forms() {
    let home = loaded();
    let before = digest(&home, "app:1");
    for format in ["oci", "docker"] {
        let (one, two) = (home.scratch("one.tar"), home.scratch("two.tar"));
        for path in [&one, &two] {
            let path = path.to_str().unwrap();
            home.msb(["save", "app:1", "--format", format, "--output", path]).exits(0);
        }
        assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap(), "{format}: not the same bytes");
        let fresh = Home::process();
        fresh.msb(["load", "-i", one.to_str().unwrap()]).exits(0).says(&["app:1"]);
        assert_eq!(digest(&fresh, "app:1"), before, "{format}");
        fresh.msb(["image", "verify"]).exits(0).says(&["ok"]);
    }
}

#[test]
fn who_reads_archives_elsewhere_finds_the_same_image_in_ours() {
    let (home, registry) = (loaded(), Registry::plain());
    let (before, name) = (digest(&home, "app:1"), "docker.io/library/app:1");
    let (oci, docker) = (home.scratch("a.oci.tar"), home.scratch("a.docker.tar"));
    home.msb(["save", "app:1", "--format", "oci", "-o", oci.to_str().unwrap()]).exits(0);
    home.msb(["image", "save", "app:1", "-o", docker.to_str().unwrap()]).exits(0);
    let (oci, docker, at) = (oci.display(), docker.display(), registry.address());
    let read = format!("skopeo --insecure-policy inspect --raw oci-archive:{oci}:{name}");
    let read = format!("{read} | sha256sum | cut -c1-64");
    assert_eq!(format!("sha256:{}", script(&home, &read)), before, "skopeo reads the layout");
    script(&home, &format!("skopeo --insecure-policy copy -q docker-archive:{docker} dir:d"));
    // To a registry and back by digest: the same manifest at both ends.
    script(
        &home,
        &format!(
            "skopeo --insecure-policy copy -q --preserve-digests --dest-tls-verify=false \
             oci-archive:{oci}:{name} docker://{at}/app:1"
        ),
    );
    assert_eq!(registry.digest("app:1"), before);
    let fresh = Home::process();
    let pinned = format!("{at}/app@{before}");
    let pulled = fresh.msb(["pull", &pinned, "--json"]).exits(0).json();
    assert_eq!(pulled[0]["digest"], before);
    fresh.msb(["run", "--rm", &pinned, "echo", "it runs"]).exits(0).says(&["it runs"]);
    // What umoci unpacks is a whole root.
    let unpack = format!(
        "skopeo --insecure-policy copy -q oci-archive:{oci}:{name} oci:layout:one; \
         umoci unpack --rootless --image layout:one bundle; ls bundle/rootfs/bin/busybox"
    );
    script(&home, &unpack);
}

#[test]
fn an_archive_goes_to_a_stream_with_several_images_and_no_name_is_lost() {
    let home = loaded();
    home.msb(["load", "-i", &base(), "-t", "other:2"]).exits(0);
    let path = home.scratch("both.tar");
    let mut command = home.command();
    command.args(["save", "app:1", "other:2"]).stdout(fs::File::create(&path).unwrap());
    assert!(command.status().unwrap().success());
    let fresh = Home::process();
    fresh.msb(["load", "-i", path.to_str().unwrap()]).exits(0).says(&["app:1", "other:2"]);
    let before = home.msb(["--output", "json", "save", "app:1"]).exits(64);
    before.complains(&["`--output` of `save` is the archive's path"]);
    assert!(!home.project().join("json").exists(), "a form was taken for a path");
    home.msb(["save", "app:1", "--json"]).exits(64).complains(&["-o PATH"]);
    home.msb(["save", "nobody:1", "-o", "x.tar"]).exits(1).complains(&["image::not-found"]);
    let out = home.scratch("named.tar");
    let told = home.msb(["save", "app:1", "-o", out.to_str().unwrap(), "--json"]).exits(0).json();
    assert_eq!(told["bytes"], fs::metadata(&out).unwrap().len());
    assert_eq!(
        (&told["format"], &told["images"][0]["reference"]),
        (&"docker".into(), &"app:1".into())
    );
}

#[test]
fn what_is_damaged_is_not_saved_but_named_and_the_next_load_repairs_it() {
    let home = loaded();
    let (path, digest) = layer(&home);
    let good = fs::read(&path).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 1;
    overwrite(&path, &flipped);
    let out = home.scratch("out.tar");
    let run = home.msb(["save", "app:1", "-o", out.to_str().unwrap()]).exits(1);
    run.complains(&[&digest, "msb::image::damaged"]);
    assert!(!out.exists(), "half an archive was left");
    home.msb(["load", "-i", &base(), "-t", "app:1"]).exits(0);
    assert_eq!(fs::read(&path).unwrap(), good);
    overwrite(&path, &flipped);
    home.msb(["image", "verify"]).exits(1).says(&["damaged"]).complains(&[&digest, "hash to"]);
    home.msb(["image", "verify", "app:1"]).exits(1).complains(&["it is not there"]);
    home.msb(["load", "-i", &base(), "-t", "app:1"]).exits(0);
    home.msb(["image", "verify"]).exits(0).says(&["ok"]);
    assert_eq!(fs::read(&path).unwrap(), good);
    // What went into a stream before the damage was met is no archive.
    overwrite(&path, &flipped);
    let mut command = home.command();
    command.args(["save", "app:1"]).stdout(fs::File::create(&out).unwrap());
    assert_eq!(command.status().unwrap().code(), Some(1));
    Home::process().msb(["load", "-i", out.to_str().unwrap()]).exits(1);
}

#[test]
fn what_nobody_can_read_is_unknown_and_keeps_no_other_image_from_being_looked_at() {
    let home = loaded();
    let (path, _) = layer(&home);
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let run = home.msb(["image", "verify"]).exits(1);
    run.says(&["unknown"]).complains(&["msb::image::store", "image: app:1"]);
    let rows = home.msb(["image", "verify", "--json"]).exits(1).json();
    assert_eq!(rows[0]["status"], "unknown");
}
