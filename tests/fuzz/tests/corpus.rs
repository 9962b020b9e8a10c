//! What is kept stays found: every file of the corpora, and the official cases of KDL, through
//! every target.
#![cfg(test)]

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz::{Target, run};

fn house() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Returns the files below a folder, links followed.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_path_buf()];
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { left.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

fn replay(target: Target) {
    let mut kept = files(&house().join("tests/fuzz/corpus"));
    kept.extend(files(&house().join("tests/fixtures/kdl/input")));
    assert!(kept.len() > 380, "{} files are kept", kept.len());
    kept.retain(|path| {
        let bytes = fs::read(path).unwrap();
        catch_unwind(|| run(target, &bytes)).is_err()
    });
    let names: Vec<_> = kept.iter().map(|path| path.display().to_string()).collect();
    assert!(kept.is_empty(), "{target:?}, reasons above:\n{}", names.join("\n"));
}

#[test]
fn f1_what_is_kept_ends_in_a_tree_or_in_errors_as_kdl() {
    replay(Target::Kdl);
}

#[test]
fn f1_what_is_kept_ends_in_a_tree_or_in_errors_as_yaml() {
    replay(Target::Yaml);
}

#[test]
fn f1_what_is_kept_ends_in_a_project_or_in_errors() {
    replay(Target::Resolve);
}

#[test]
fn sf_t15_both_readers_agree_on_what_is_kept() {
    replay(Target::BothReaders);
}

#[test]
fn s14_what_is_kept_is_unpacked_below_its_folder_or_not_at_all() {
    replay(Target::Archive);
}

#[test]
fn no_call_of_a_guest_leaves_a_shared_folder() {
    replay(Target::Share);
}

#[test]
fn no_question_of_a_guest_leaves_unjudged() {
    replay(Target::Dns);
}

#[test]
fn what_is_read_of_a_policy_is_printed_so_that_it_reads_the_same() {
    replay(Target::Policy);
}

#[test]
fn no_frame_of_a_guest_is_too_strange() {
    replay(Target::Frames);
}

#[test]
fn f3_what_is_kept_of_layers_makes_a_root_that_says_the_same_or_none() {
    replay(Target::Layers);
}

#[test]
fn f3_what_is_kept_of_documents_is_understood_again_or_refused() {
    replay(Target::ImageJson);
}

#[test]
fn f3_what_is_kept_of_images_is_read_as_an_archive_or_refused() {
    replay(Target::Load);
}

#[test]
fn every_example_is_a_seed() {
    let seeds = files(&house().join("tests/fuzz/corpus"));
    let seeds: Vec<_> = seeds.iter().map(|seed| seed.canonicalize().unwrap()).collect();
    let mut examples = files(&house().join("examples"));
    examples.retain(|path| path.file_stem().is_some_and(|stem| stem == "Sandboxfile"));
    examples.push(house().join("Sandboxfile.example"));
    assert!(examples.len() > 3);
    for example in examples {
        let path = example.canonicalize().unwrap();
        assert!(seeds.contains(&path), "{} has no link in tests/fuzz/corpus", path.display());
    }
}
