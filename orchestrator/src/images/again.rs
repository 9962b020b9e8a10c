//! The same archive once more: a file that was loaded and has not been touched
//! since is known by its inode, and need not be read.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;

use image::digest::Digest;

use super::cache::ImagesHome;
use super::catalog::{Catalog, ImageEntry};
use super::load::{LoadOptions, Loaded};

/// Returns what tells this file, in its present state, from every other, and
/// the names that were asked for; `None` for what is no regular file.
///
/// The kernel sets the time of change at every write, and nobody else can.
pub(crate) fn identity(file: &File, options: &LoadOptions) -> Option<String> {
    let found = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let mut identity = format!(
        "{}:{} {} {}.{:09} {}.{:09}",
        found.dev(),
        found.ino(),
        found.size(),
        found.mtime(),
        found.mtime_nsec(),
        found.ctime(),
        found.ctime_nsec()
    );
    for tag in &options.tags {
        identity = format!("{identity} {tag}");
    }
    Some(identity)
}

/// Returns what an archive gave when it was loaded, if all of it still stands.
pub(crate) fn recall(
    home: &ImagesHome,
    catalog: &dyn Catalog,
    identity: &str,
) -> Option<Vec<Loaded>> {
    // What cannot be recalled is loaded, so an error here is not worth a word.
    let held = catalog.recall_archive(identity).ok()??;
    let loaded: Vec<Loaded> = serde_json::from_str(&held).ok()?;
    let stands = |image: &Loaded| {
        let found = catalog.find(&image.reference).ok().flatten();
        found.is_some_and(|entry| entry.manifest_digest == image.digest && is_whole(home, &entry))
    };
    loaded.iter().all(stands).then_some(loaded)
}

/// Remembers what an archive gave.
pub(crate) fn remember(catalog: &mut dyn Catalog, identity: &str, loaded: &[Loaded]) {
    if let Ok(held) = serde_json::to_string(loaded) {
        // Without it the next load is slower, and no less right.
        drop(catalog.remember_archive(identity, &held));
    }
}

/// Says whether every blob of an image is there, and its root: layers are known by their size.
pub(super) fn is_whole(home: &ImagesHome, entry: &ImageEntry) -> bool {
    let bytes = |text: &str| {
        let digest = Digest::parse(text)?;
        fs::metadata(home.blob(&digest)).ok().map(|found| found.len())
    };
    let has_layers = entry.layers.iter().all(|layer| bytes(&layer.blob) == Some(layer.bytes));
    // They are small: that they are what they are called is worth reading them.
    let is_document = |text: &str| {
        let digest = Digest::parse(text)?;
        let found = File::open(home.blob(&digest)).and_then(|file| Digest::of_file(&file)).ok()?;
        Some(found == digest)
    };
    let has_documents = [&entry.manifest_digest, &entry.config_digest]
        .into_iter()
        .all(|document| is_document(document) == Some(true));
    has_layers && has_documents && home.good_root(&entry.root_digest).is_some()
}
