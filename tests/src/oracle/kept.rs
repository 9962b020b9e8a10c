//! *Untouched* and *reversible*: what is as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::pids;
use crate::home::Home;

/// What a change must leave alone.
#[derive(Debug)]
pub struct Untouched {
    data: BTreeMap<PathBuf, Option<Vec<u8>>>,
    machines: BTreeSet<(String, u32, u64)>,
}

impl Untouched {
    /// Notes the bytes of these files and folders, and the processes of these sandboxes.
    pub fn note(home: &Home, data: &[PathBuf], sandboxes: &[&str]) -> Self {
        let mut files = BTreeMap::new();
        for path in data {
            walk(path, &mut |path, _| {
                files.insert(path.to_path_buf(), fs::read(path).ok());
                Into::In
            });
        }
        let mut machines = pids(home);
        machines.retain(|(whose, ..)| sandboxes.iter().any(|name| is_of(whose, name)));
        assert_eq!(machines.len(), sandboxes.len(), "not all of {sandboxes:?} run");
        Self { data: files, machines }
    }

    /// Holds that all of it is as it was noted.
    ///
    /// # Panics
    /// When something is not.
    pub fn holds(&self, home: &Home) {
        for (path, bytes) in &self.data {
            assert!(fs::read(path).ok() == *bytes, "{} was changed", path.display());
        }
        let now = pids(home);
        for machine in &self.machines {
            assert!(now.contains(machine), "{machine:?} was touched; now there are {now:?}");
        }
    }
}

/// Tells whether `PROJECT/NAME[INSTANCE]` is an instance of `name`.
fn is_of(whose: &str, name: &str) -> bool {
    let rest = whose.split_once('/').map(|(_, rest)| rest);
    rest.and_then(|rest| rest.split_once('[')).is_some_and(|(found, _)| found == name)
}

/// A home without machines, to compare with after they are gone.
#[derive(Debug)]
pub struct Bare(BTreeSet<PathBuf>);

impl Bare {
    /// Notes what there is.
    pub fn note(home: &Home) -> Self {
        Self(listing(home))
    }

    /// Holds that nothing is there that was not noted, but for volumes, images and history.
    ///
    /// # Panics
    /// When something is.
    pub fn holds(&self, home: &Home) {
        let now = listing(home);
        let new: Vec<_> = now.difference(&self.0).collect();
        assert!(new.is_empty(), "after down there is more than before up: {new:#?}");
    }
}

/// The letters of a project's id.
const PROJECT_ID: usize = 26;

/// What a home may gain and keep.
fn is_kept(path: &Path) -> bool {
    let mut parts = path.iter().filter_map(|part| part.to_str());
    match (parts.next(), parts.next(), parts.next()) {
        (Some("db" | "images" | "volumes"), ..)
        | (Some("machines" | "locks" | "templates"), None, _)
        | (Some("machines"), Some("names"), None) => true,
        (Some("templates"), Some(name), None) => name.starts_with("blank-"),
        // A project keeps its id, and a home its migrations; each has one lock.
        (Some("locks"), Some(name), None) => {
            let project = name.strip_suffix(".lock").is_some_and(|id| id.len() == PROJECT_ID);
            name == "migrate.lock" || project
        }
        _ => false,
    }
}

fn listing(home: &Home) -> BTreeSet<PathBuf> {
    let root = home.path();
    let mut found = BTreeSet::new();
    walk(&root, &mut |path, _| {
        let Ok(below) = path.strip_prefix(&root) else { return Into::In };
        if below.as_os_str().is_empty() {
            return Into::In;
        }
        if !is_kept(below) {
            found.insert(below.to_path_buf());
        }
        Into::In
    });
    found
}

/// Whether a walk goes into a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Into {
    /// It does.
    In,
    /// It passes by.
    By,
}

/// Visits a path and everything below it; links are visited, not followed.
pub(super) fn walk(path: &Path, visit: &mut dyn FnMut(&Path, &fs::Metadata) -> Into) {
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    if visit(path, &metadata) == Into::By || !metadata.is_dir() {
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        walk(&path, visit);
    }
}
