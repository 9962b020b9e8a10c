//! Layers that are taken from a root which has them already.

use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use super::super::sharing::{self, Stored};
use super::*;
use crate::images::cache::{root_digest, root_name};

/// A layer with what is hard to put together: content that the upper one hides, zeros, tails behind
/// inodes, a file that ends with a block, empty ones.
fn base() -> Vec<u8> {
    let noise = |bytes: usize, seed: u32| -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        (0..bytes).map(|_| next()).collect()
    };
    let mut holes = noise(300_000, 1);
    holes[8192..200_000].fill(0);
    let long = "d/".repeat(40) + "name";
    Tar::default()
        .folder("bin")
        .file("bin/sh", &noise(5000, 2))
        .hard_link("bin/ash", "bin/sh")
        .file("hidden", &noise(70_000, 3))
        .file("holes", &holes)
        .file("block", &noise(8192, 4))
        .file("empty", b"")
        .file("zeros", &[0; 20_000])
        .file("small", b"x")
        .file(&long, &noise(4097, 5))
        .file("last", &noise(600_000, 6))
        .end()
}

fn top(content: &[u8]) -> Vec<u8> {
    Tar::default().file("hidden", content).file(".wh.small", b"").end()
}

fn root(store: &Store, layers: &[&[u8]]) -> File {
    let diff_ids: Vec<Digest> = layers.iter().map(|tar| Digest::of(tar)).collect();
    let name = root_name(&root_digest(&diff_ids, "linux/amd64"));
    File::open(store.home.root_path(&name)).unwrap()
}

fn bytes(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.metadata().unwrap().len()).unwrap()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// A layer whose stored bytes are of no use.
fn broken(tar: &[u8]) -> Stored {
    let blob = cache::spool(&std::env::temp_dir()).unwrap();
    blob.write_all_at(&[0x1f, 0x8b, 8, 0, 1, 2, 3], 0).unwrap();
    Stored { blob, digest: None, diff_id: Some(Digest::of(tar)) }
}

fn stored(tar: &[u8]) -> Stored {
    let blob = cache::spool(&std::env::temp_dir()).unwrap();
    blob.write_all_at(&gzip(tar), 0).unwrap();
    Stored { blob, digest: None, diff_id: Some(Digest::of(tar)) }
}

#[test]
fn a_layer_is_taken_from_the_root_that_has_it_to_the_byte() {
    let (base, one, other) = (base(), top(b"one"), top(&[7; 50_000]));
    let mut fresh = Store::new();
    let both = [gzip(&base), gzip(&other)];
    fresh.load(&docker("b:1", &[&base, &other], &both), &[]).unwrap();
    let mut store = Store::new();
    store.load(&docker("a:1", &[&base, &one], &[gzip(&base), gzip(&one)]), &[]).unwrap();
    assert_eq!(fs::read_dir(store.home.recipes()).unwrap().count(), 2, "one a layer");
    // Nobody could inflate this one.
    let layers = [broken(&base), stored(&other)];
    let hash = root_digest(&[Digest::of(&base), Digest::of(&other)], "linux/amd64");
    let (draft, ..) = sharing::build(&store.home, &layers, &hash).unwrap();
    let expected = root(&fresh, &[&base, &other]);
    assert!(bytes(draft.file()) == bytes(&expected), "the roots differ");
    let blocks = |file: &File| file.metadata().unwrap().blocks();
    assert!(blocks(draft.file()) <= blocks(&expected), "holes stay holes");
    // The layer alone shows what the upper one hid.
    let alone = root_digest(&[Digest::of(&base)], "linux/amd64");
    let (draft, ..) = sharing::build(&store.home, &[broken(&base)], &alone).unwrap();
    fresh.load(&docker("c:1", &[&base], &both[..1]), &[]).unwrap();
    assert!(bytes(draft.file()) == bytes(&root(&fresh, &[&base])), "the roots differ");
    // By `load` it is the same.
    store.load(&docker("b:1", &[&base, &other], &both), &[]).unwrap();
    assert!(bytes(&root(&store, &[&base, &other])) == bytes(&expected));
}

#[test]
fn a_root_or_a_recipe_that_is_damaged_is_no_source_of_layers() {
    let (base, one, other) = (base(), top(b"one"), top(b"other"));
    let mut store = Store::new();
    store.load(&docker("a:1", &[&base, &one], &[gzip(&base), gzip(&one)]), &[]).unwrap();
    let hash = root_digest(&[Digest::of(&base), Digest::of(&other)], "linux/amd64");
    let build = |layers: &[Stored]| {
        sharing::build(&store.home, layers, &hash).map(|(draft, ..)| bytes(draft.file()))
    };
    let good = build(&[broken(&base), stored(&other)]).unwrap();
    let recipes: Vec<PathBuf> =
        fs::read_dir(store.home.recipes()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let is_of_base = |path: &&PathBuf| {
        path.file_name().unwrap().to_str().unwrap().starts_with(&Digest::of(&base).hex())
    };
    let recipe = recipes.iter().find(is_of_base).unwrap().clone();
    let diff_ids = [Digest::of(&base), Digest::of(&one)];
    let root = store.home.root_path(&root_name(&root_digest(&diff_ids, "linux/amd64")));
    for path in [&root, &recipe] {
        let whole = fs::read(path).unwrap();
        for at in [whole.len() / 3, whole.len() - 9, 9000.min(whole.len() / 2)] {
            let mut flipped = whole.clone();
            flipped[at] ^= 0x10;
            rewrite(path, &flipped);
            // From what is stored it is built all the same; from nothing else.
            assert!(build(&[stored(&base), stored(&other)]).unwrap() == good, "{at}");
        }
        rewrite(path, &whole[..whole.len() / 2]);
        assert!(build(&[stored(&base), stored(&other)]).unwrap() == good);
        build(&[broken(&base), stored(&other)]).unwrap_err();
        rewrite(path, &whole);
        assert!(build(&[broken(&base), stored(&other)]).unwrap() == good);
    }
}

fn rewrite(path: &PathBuf, bytes: &[u8]) {
    fs::remove_file(path).ok();
    let mut file = File::create_new(path).unwrap();
    file.write_all(bytes).unwrap();
}
