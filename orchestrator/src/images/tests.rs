//! Whole loads, with the real builder as a child: this test program again.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use image::digest::Digest;
use image::erofs;
use schema::archive::craft::Archive as Tar;
use schema::project::ImageRef;

use super::*;
use crate::scratch::Scratch;
use crate::store::images::in_memory;

mod hostile;
mod shared;

/// Does the builder's work when this program was started for that, and nothing otherwise.
#[test]
fn acts_as_the_builder() {
    let stdin = rustix::fs::fstat(std::io::stdin()).unwrap();
    let is_socket = rustix::fs::FileType::from_raw_mode(stdin.st_mode).is_socket();
    if is_socket && std::env::args().any(|argument| argument == BUILDER_TEST) {
        let _code = builder::main();
    }
}

const BUILDER_TEST: &str = "images::tests::acts_as_the_builder";

/// A store of images for one test.
struct Store {
    _folder: Scratch,
    home: ImagesHome,
    catalog: Box<dyn Catalog>,
}

impl Store {
    fn new() -> Self {
        let folder = Scratch::new();
        let builder = Builder {
            program: std::env::current_exe().unwrap(),
            arguments: [BUILDER_TEST, "--exact", "--test-threads=1"].map(Into::into).to_vec(),
        };
        let home = ImagesHome { dir: folder.path().join("images"), builder };
        Self { _folder: folder, home, catalog: in_memory() }
    }

    fn load(&mut self, archive: &[u8], tags: &[&str]) -> Result<Vec<Loaded>, LoadError> {
        let tags = tags.iter().map(|tag| ImageRef::parse(tag).unwrap()).collect();
        let options = LoadOptions { tags, now_ms: 1_700_000_000_000 };
        load(&self.home, archive, &options, &mut *self.catalog, &mut |_| ())
    }

    fn files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.home.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().map(Result::unwrap) {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&self.home.dir).unwrap().display().to_string());
                }
            }
        }
        // The lock of the store holds nothing, and recipes are a help.
        files.retain(|path| path != "tmp/store.lock" && !path.starts_with("recipes/"));
        files.sort();
        files
    }

    fn read_root(&self, reference: &str) -> Vec<String> {
        let reference = ImageRef::parse(reference).unwrap().to_string();
        let image = self.catalog.find(&reference).unwrap().expect("the image is written down");
        let root = root_for(&self.home, &image).unwrap();
        let found = erofs::paths::paths(&File::open(root.path).unwrap());
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        found
            .iter()
            .map(|(path, inode)| format!("{}={}", text(path), text(&inode.content)))
            .collect()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn config(layers: &[&[u8]]) -> String {
    let diff_ids: Vec<_> = layers.iter().map(|tar| format!("\"{}\"", Digest::of(tar))).collect();
    format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["/bin/sh"]}},"rootfs":{{"type":"layers","diff_ids":[{}]}}}}"#,
        diff_ids.join(",")
    )
}

/// Packs layers as `docker save` does.
fn docker(tag: &str, layers: &[&[u8]], stored: &[Vec<u8>]) -> Vec<u8> {
    let config = config(layers);
    let names: Vec<_> = (0..layers.len()).map(|n| format!("\"{n}/layer.tar\"")).collect();
    let list = format!(
        r#"[{{"Config":"config.json","RepoTags":["{tag}"],"Layers":[{}]}}]"#,
        names.join(",")
    );
    let mut tar = Tar::default().file("config.json", config.as_bytes());
    for (n, stored) in stored.iter().enumerate() {
        tar = tar.file(&format!("{n}/layer.tar"), stored);
    }
    tar.file("manifest.json", list.as_bytes()).end()
}

fn two_layers() -> [Vec<u8>; 2] {
    [
        Tar::default().folder("bin").file("bin/sh", b"#!").file("gone", b"x").end(),
        Tar::default().file(".wh.gone", b"").hard_link("bin/ash", "bin/sh").end(),
    ]
}

const MERGED: [&str; 4] = ["=", "bin=", "bin/ash=#!", "bin/sh=#!"];

#[test]
fn an_archive_becomes_blobs_a_root_and_a_row() {
    let [one, two] = two_layers();
    let zstd = zstd::encode_all(&two[..], 1).unwrap();
    for (stored, outer) in
        [([one.clone(), two.clone()], 0), ([gzip(&one), zstd], 1), ([gzip(&one), two.clone()], 2)]
    {
        let archive = docker("app:1", &[&one, &two], &stored);
        let archive = match outer {
            0 => archive,
            1 => gzip(&archive),
            _ => zstd::encode_all(&archive[..], 1).unwrap(),
        };
        let mut store = Store::new();
        let loaded = store.load(&archive, &[]).unwrap();
        assert_eq!(loaded[0].reference, "docker.io/library/app:1");
        assert_eq!(loaded[0].layers, 2);
        assert_eq!(store.read_root("app:1"), MERGED);
        let files = store.files();
        assert_eq!(files.len(), 5, "two layers, configuration, manifest, root: {files:?}");
        for file in files {
            let mode = fs::metadata(store.home.dir.join(&file)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o444, "{file}");
        }
        assert_eq!(store.load(&archive, &[]).unwrap(), loaded, "loading again changes nothing");
        assert_eq!(store.files().len(), 5);
    }
}

#[test]
fn a_file_is_read_again_only_if_something_changed() {
    let [one, two] = two_layers();
    let archive = docker("app:1", &[&one, &two], &[gzip(&one), gzip(&two)]);
    let folder = Scratch::new();
    let path = folder.path().join("app.tar");
    File::create(&path).unwrap().write_all(&archive).unwrap();
    let mut store = Store::new();
    let is_read = |file: &File, store: &mut Store| {
        let mut is_read = false;
        let options = LoadOptions { tags: Vec::new(), now_ms: 1_700_000_000_000 };
        let progress = &mut |_| is_read = true;
        load_file(&store.home, file, &options, &mut *store.catalog, progress).map(|_| is_read)
    };
    let open = || File::options().read(true).write(true).open(&path).unwrap();
    assert!(is_read(&open(), &mut store).unwrap());
    assert!(!is_read(&open(), &mut store).unwrap());
    let blob = store.files().into_iter().find(|file| file.starts_with("blobs")).unwrap();
    fs::remove_file(store.home.dir.join(blob)).unwrap();
    assert!(is_read(&open(), &mut store).unwrap(), "a missing blob is brought back");
    assert_eq!(store.files().len(), 5);
    let times = open().metadata().unwrap().modified().unwrap();
    std::os::unix::fs::FileExt::write_all_at(&open(), b"x", archive.len() as u64 - 1).unwrap();
    open().set_modified(times).unwrap();
    is_read(&open(), &mut store).unwrap_err();
}

#[test]
fn a_damaged_or_missing_root_is_built_again_from_blobs() {
    let [one, two] = two_layers();
    let mut store = Store::new();
    store.load(&docker("app:1", &[&one, &two], &[gzip(&one), gzip(&two)]), &[]).unwrap();
    let image = store.catalog.find("docker.io/library/app:1").unwrap().unwrap();
    let path = store.home.root_path(&image.root_digest);
    let before = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    root_for(&store.home, &image).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before, "the same layers give the same bytes");
    let cut = before.len() as u64 - 1;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(cut).unwrap();
    root_for(&store.home, &image).unwrap();
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(path.with_extension("bad").exists(), "the damaged one is kept aside");
    let blob = store.home.blob(&Digest::parse(&image.layers[0].blob).unwrap());
    fs::remove_file(&path).unwrap();
    let mut bytes = fs::read(&blob).unwrap();
    bytes[4] ^= 1;
    fs::remove_file(&blob).unwrap();
    File::create(&blob).unwrap().write_all(&bytes).unwrap();
    let error = root_for(&store.home, &image).unwrap_err();
    assert!(error.to_string().contains("cannot build the root"), "{error}");
    assert!(!path.exists());
}

#[test]
fn names_come_from_the_archive_or_the_command() {
    let [one, two] = two_layers();
    let archive = docker("app:1", &[&one, &two], &[one.clone(), two.clone()]);
    let mut store = Store::new();
    let loaded = store.load(&archive, &["other", "ghcr.io/a/b:2"]).unwrap();
    let names: Vec<_> = loaded.iter().map(|image| image.reference.as_str()).collect();
    assert_eq!(names, ["docker.io/library/other:latest", "ghcr.io/a/b:2"]);
    let own = docker("builtin:base", &[&one, &two], &[one.clone(), two.clone()]);
    assert!(matches!(store.load(&own, &[]), Err(LoadError::Layout(_))), "ours cannot be replaced");
}

/// Runs a tool that makes archives; `None` where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<()> {
    let output = Command::new(program).args(arguments).output().ok()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(())
}

#[test]
fn archives_of_other_tools_load_alike() {
    let [one, two] = two_layers();
    let folder = Scratch::new();
    let path = |name: &str| -> PathBuf { folder.path().join(name) };
    let ours = path("ours.tar");
    let archive = docker("docker.io/library/app:1", &[&one, &two], &[one.clone(), two.clone()]);
    File::create(&ours).unwrap().write_all(&archive).unwrap();
    let mut digests = Vec::new();
    for (form, tag) in
        [("docker-archive", ":app:1"), ("oci-archive", ":app:1"), ("oci-archive", "")]
    {
        let made = path(&format!("made-{}", digests.len()));
        let from = format!("docker-archive:{}", ours.display());
        let to = format!("{form}:{}{tag}", made.display());
        let policy = ["--insecure-policy", "copy", "-q", &from, &to];
        if run("skopeo", &policy).is_none() {
            return;
        }
        let mut store = Store::new();
        let tags: &[&str] = if tag.is_empty() { &["app:1"] } else { &[] };
        let loaded = store.load(&fs::read(&made).unwrap(), tags).unwrap();
        assert_eq!(store.read_root("app:1"), MERGED, "{form}");
        let image = store.catalog.find("docker.io/library/app:1").unwrap().unwrap();
        digests.push((loaded[0].digest.clone(), image.root_digest));
    }
    assert_eq!(digests[1].0, digests[2].0, "a manifest is kept byte for byte");
    assert!(digests.iter().all(|(_, root)| *root == digests[0].1), "one root for all");
}

#[test]
fn a_sweep_that_was_killed_is_finished_by_the_next_and_leaves_what_is_locked() {
    let mut store = Store::new();
    let [bottom, top] = two_layers();
    let stored = [bottom.clone(), top.clone()];
    store.load(&docker("a:1", &[&bottom, &top], &stored), &[]).unwrap();
    store.load(&docker("b:1", &[&bottom], &stored[..1]), &[]).unwrap();
    let used = BTreeSet::new();
    let before = store.files();
    let all = store.catalog.manifests().unwrap();
    let a = all.iter().find(|one| one.layers.len() == 2).unwrap().digest.clone();
    // As after a kill between rows and files.
    store.catalog.forget(&[a]).unwrap();
    let used_b: BTreeSet<String> =
        store.catalog.manifests().unwrap().into_iter().map(|one| one.digest).collect();
    let find = |store: &Store, used: &BTreeSet<String>| {
        Sweep::find(&store.home, &*store.catalog, used, Reach::Everything).unwrap()
    };
    let sweep = find(&store, &used_b);
    assert_eq!((sweep.manifests.len(), sweep.blobs.len(), sweep.roots.len()), (0, 3, 1));
    let bytes = sweep.bytes();
    // A machine holds its root, whatever the catalogue says.
    let root = File::open(&sweep.roots[0]).unwrap();
    rustix::fs::flock(&root, rustix::fs::FlockOperation::LockShared).unwrap();
    let alone = Alone::try_begin(&store.home).unwrap().unwrap();
    let swept = sweep.carry_out(&store.home, &mut *store.catalog, &alone).unwrap();
    assert_eq!((swept.blobs, swept.roots), (3, 0));
    drop(root);
    let rest = find(&store, &used_b).carry_out(&store.home, &mut *store.catalog, &alone).unwrap();
    assert_eq!((rest.blobs, rest.roots, rest.bytes + swept.bytes), (0, 1, bytes));
    assert_eq!(store.read_root("b:1"), ["=", "bin=", "bin/sh=#!", "gone=x"]);
    let last = find(&store, &used).carry_out(&store.home, &mut *store.catalog, &alone).unwrap();
    assert_eq!((last.references.len(), last.manifests, last.roots), (1, 1, 1));
    assert!(before.len() > 5 && store.files().is_empty(), "{:?}", store.files());
}
