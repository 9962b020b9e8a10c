//! R8: a damaged image cache heals.
//!
//! Each part of an image is damaged in each way. `msb image verify` names that part and no other,
//! and the command that brought the image brings the part again.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tests::codings::codings;
use tests::home::Home;
use tests::registry::Registry;

/// A part of an image as it is stored.
struct Part {
    /// What `verify` calls it.
    name: String,
    path: PathBuf,
    good: Vec<u8>,
    /// Whether it can be made anew of the others.
    is_root: bool,
}

/// Returns the manifest, the configuration, the layers of each coding and the root of `image`.
fn parts(home: &Home, image: &str) -> Vec<Part> {
    let rows = home.msb(["image", "inspect", image, "--json"]).exits(0).json();
    let row = &rows[0];
    let layers = row["layers"].as_array().unwrap();
    let ends = ["layer.v1.tar", "+gzip", "+zstd"];
    assert_eq!(layers.len(), ends.len(), "{row}");
    for (layer, end) in layers.iter().zip(ends) {
        assert!(layer["media_type"].as_str().unwrap().ends_with(end), "{layer} is not {end}");
    }
    let folder = home.path().join("images");
    let blob = |text: &Value| {
        let digest = text.as_str().unwrap();
        let path = folder.join("blobs/sha256").join(digest.strip_prefix("sha256:").unwrap());
        let good = fs::read(&path).unwrap();
        Part { name: format!("blob {digest}"), path, good, is_root: false }
    };
    let mut parts = vec![blob(&row["digest"]), blob(&row["config_digest"])];
    parts.extend(layers.iter().map(|layer| blob(&layer["blob_digest"])));
    let mut roots = fs::read_dir(folder.join("roots")).unwrap();
    let path = roots.next().unwrap().unwrap().path();
    assert!(roots.next().is_none(), "one image has one root");
    let digest = path.file_name().unwrap().to_str().unwrap().split_once('-').unwrap().0;
    let (name, good) = (format!("root {digest}"), fs::read(&path).unwrap());
    parts.push(Part { name, path, good, is_root: true });
    parts
}

/// Returns a part flipped at four places, cut and emptied, each with what was done.
fn damages(good: &[u8]) -> Vec<(String, Vec<u8>)> {
    // A decoder passes over byte 5 of a gzip stream, and a mount over the first 1024 of a root.
    let places = [0, 5, 1030, good.len() / 2, good.len() - 1];
    let flipped = places.into_iter().filter(|at| *at < good.len()).map(|at| {
        let mut bytes = good.to_vec();
        bytes[at] ^= 0x40;
        (format!("flipped at {at}"), bytes)
    });
    let cut = ("cut".to_owned(), good[..good.len() - 1].to_vec());
    let halved = ("halved".to_owned(), good[..good.len() / 2].to_vec());
    flipped.chain([cut, halved, ("emptied".to_owned(), Vec::new())]).collect()
}

/// Damages each part of `image` in each way; `bring` is the command that brought it.
fn heals(home: &Home, image: &str, bring: &[&str]) {
    let parts = parts(home, image);
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    for part in &parts {
        for (how, bytes) in damages(&part.good) {
            let what = format!("{}, {how}", part.name);
            overwrite(&part.path, &bytes);
            let found = home.msb(["image", "verify"]).exits(1);
            let found = found.says(&["damaged"]).complains(&["msb::image::damaged"]);
            let named: Vec<_> = names.iter().filter(|name| found.stderr.contains(**name)).collect();
            assert_eq!(named, [&part.name.as_str()], "{what}: {found}");
            assert!(part.path.with_extension("bad").exists(), "{what}: it is not set aside");
            // What is missing is no more whole than what is damaged; a root is made when needed.
            if !part.is_root {
                home.msb(["image", "verify"]).exits(1).complains(&[&part.name, "it is not there"]);
            }
            home.msb_with(bring).exits(0);
            assert!(fs::read(&part.path).unwrap() == part.good, "{what}: it is not as it was");
            home.msb(["image", "verify"]).exits(0).says(&["ok"]);
        }
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::remove_file(path).unwrap();
    fs::File::create_new(path).unwrap().write_all(bytes).unwrap();
}

#[test]
fn r8_every_part_of_an_image_that_is_flipped_or_cut_is_found_and_repaired_by_the_next_load() {
    let home = Home::process();
    let archive = codings(&home).display().to_string();
    let bring = ["load", "-i", &archive, "-t", "app:1"];
    home.msb(bring).exits(0);
    heals(&home, "app:1", &bring);
}

#[test]
fn r8_every_part_of_an_image_that_is_flipped_or_cut_is_found_and_repaired_by_the_next_pull() {
    let (home, registry) = (Home::process(), Registry::plain());
    registry.push_as_it_is(&codings(&home), "app:1");
    let name = format!("{}/app:1", registry.address());
    home.msb(["pull", &name]).exits(0);
    heals(&home, &name, &["pull", &name]);
}
