//! The checkout as text, for tests that look at how it is written.

use std::fs;
use std::path::{Path, PathBuf};

use crate::programs;

/// A file of the checkout.
#[derive(Debug, Clone)]
pub struct Source {
    /// Its path below the checkout.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// Returns the Rust files of one crate, by path.
pub fn rust(name: &str) -> Vec<Source> {
    files(name, "rs")
}

/// Returns the files below a folder of the checkout that end so, by path.
///
/// # Panics
/// When one cannot be read as text.
pub fn files(folder: &str, ending: &str) -> Vec<Source> {
    let checkout = programs::checkout();
    let mut paths = Vec::new();
    walk(&checkout.join(folder), &mut paths);
    paths.retain(|path| path.extension().is_some_and(|have| have == ending));
    paths.sort();
    paths
        .into_iter()
        .map(|path| Source {
            text: fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display())),
            path: path.strip_prefix(&checkout).expect("walked from there").display().to_string(),
        })
        .collect()
}

fn walk(folder: &Path, into: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name == "target" || name.as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            walk(&path, into);
        } else {
            into.push(path);
        }
    }
}
