//! What the home takes of its disk, by what it is for; sparse files count what they occupy.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use schema::peer::NAMES;

use crate::disks::occupied;
use crate::engine::{SandboxView, VolumeView};
use crate::images::{ImagesHome, Sweep};
use crate::machines::Folder;
use crate::volumes;

/// One kind of what takes room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// `blobs`, `roots`, `recipes`, `uppers`, `volumes`, `trash`, `logs` or `kernels`.
    pub kind: &'static str,
    /// What there is of it.
    pub items: Vec<Item>,
}

/// One thing that takes room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is called.
    pub address: String,
    /// What it occupies.
    pub bytes: u64,
    /// Whether nobody uses it, so that a command may take it away.
    pub reclaimable: bool,
}

/// What is known of a home.
#[derive(Debug)]
pub struct Known<'a> {
    /// Its folder.
    pub home: &'a Path,
    /// Its images.
    pub images: &'a ImagesHome,
    /// What a prune would take of them.
    pub unused: &'a Sweep,
    /// Its sandboxes.
    pub sandboxes: &'a [SandboxView],
    /// Its volumes, and what lies in the trash.
    pub storage: (&'a [VolumeView], &'a [VolumeView]),
}

impl Usage {
    /// Returns what all of it occupies.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.items.iter().map(|item| item.bytes).sum()
    }

    /// Returns what of it a command may take away.
    #[must_use]
    pub fn reclaimable(&self) -> u64 {
        self.items.iter().filter(|item| item.reclaimable).map(|item| item.bytes).sum()
    }
}

/// Returns what takes room, kind by kind; what cannot be looked at counts for nothing.
#[must_use]
pub fn of(known: &Known<'_>) -> Vec<Usage> {
    let Known { home, images, unused, sandboxes, storage: (live, trashed) } = *known;
    let blobs = files(&images.dir.join("blobs/sha256")).into_iter();
    let roots = files(&images.dir.join("roots")).into_iter();
    let blobs = blobs.map(|path| file(format!("sha256:{}", stem(&path)), &path, &unused.blobs));
    let roots = roots.map(|path| file(stem(&path), &path, &unused.roots));
    let recipes = files(&images.dir.join("recipes")).into_iter();
    let recipes = recipes.map(|path| file(name(&path), &path, &unused.recipes));
    let named = |view: &VolumeView| match &view.owner {
        Some(owner) => format!("{owner}/{}", view.row.name),
        None => view.row.name.to_string(),
    };
    let live = live.iter().map(|view| Item {
        address: named(view),
        bytes: volumes::used(home, &view.row.folder).unwrap_or(0),
        reclaimable: view.users.is_empty() && !view.row.protect,
    });
    let trashed = trashed.iter().map(|view| Item {
        address: named(view),
        bytes: occupied(&home.join("volumes").join(volumes::trash_name(&view.row.id))),
        reclaimable: true,
    });
    let (mut uppers, mut logs) = (Vec::new(), Vec::new());
    for (folder, address) in machines(home, sandboxes) {
        let item = |bytes| Item { address: address.clone(), bytes, reclaimable: false };
        if folder.upper().exists() {
            uppers.push(item(occupied(&folder.upper())));
        }
        let written = files(folder.path()).into_iter().filter(|path| is_log(path));
        let written: Vec<u64> = written.map(|path| occupied(&path)).collect();
        if !written.is_empty() {
            logs.push(item(written.iter().sum()));
        }
    }
    let kernels = folders(&home.join("kernels")).into_iter().map(|path| {
        let (address, bytes) = (name(&path), occupied(&path));
        Item { address, bytes, reclaimable: false }
    });
    vec![
        Usage { kind: "blobs", items: blobs.collect() },
        Usage { kind: "roots", items: roots.collect() },
        Usage { kind: "recipes", items: recipes.collect() },
        Usage { kind: "uppers", items: uppers },
        Usage { kind: "volumes", items: live.collect() },
        Usage { kind: "trash", items: trashed.collect() },
        Usage { kind: "logs", items: logs },
        Usage { kind: "kernels", items: kernels.collect() },
    ]
}

/// Returns what is free where the home lies, or would lie.
#[must_use]
pub fn free_bytes(home: &Path) -> Option<u64> {
    let there = home.ancestors().find(|path| path.exists())?;
    let found = rustix::fs::statvfs(there).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// Returns the folders of machines, each with whose it is; those that nobody knows go by their ids.
fn machines(home: &Path, sandboxes: &[SandboxView]) -> Vec<(Folder, String)> {
    let named = folders(&home.join("machines")).into_iter().filter(|path| name(path) != NAMES);
    let whose = |path: PathBuf| {
        let id = name(&path);
        let view = sandboxes.iter().find(|view| view.machine_id.as_deref() == Some(&id));
        let address = view.map(|view| format!("{}/{}", view.project, view.name));
        (Folder::of(home, &id), address.unwrap_or(id))
    };
    let mut machines: Vec<_> = named.map(whose).collect();
    machines.sort_by(|(_, one), (_, other)| one.cmp(other));
    machines
}

fn file(address: String, path: &Path, unused: &[PathBuf]) -> Item {
    let bytes = fs::symlink_metadata(path).map_or(0, |found| found.blocks() * 512);
    Item {
        address,
        bytes,
        reclaimable: unused.binary_search_by(|one| one.as_path().cmp(path)).is_ok(),
    }
}

fn is_log(path: &Path) -> bool {
    // `exec.log`, and `exec.log.1` of before.
    name(path).split('.').nth(1) == Some("log")
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

fn files(folder: &Path) -> BTreeSet<PathBuf> {
    below(folder, fs::FileType::is_file)
}

fn folders(folder: &Path) -> BTreeSet<PathBuf> {
    below(folder, fs::FileType::is_dir)
}

fn below(folder: &Path, is_it: impl Fn(&fs::FileType) -> bool) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let wanted = entries.filter(|entry| entry.file_type().is_ok_and(|kind| is_it(&kind)));
    wanted.map(|entry| entry.path()).collect()
}
