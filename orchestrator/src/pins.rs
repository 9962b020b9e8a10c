//! What images mean: the lock beside the files pins them, else the store knows them by name.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use schema::project::{Image, ImageRef, InputFile, Place, Platform, Project};
use schema::sandboxfile::image_lock::{ImageLock, Pinned};
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::resolve::Failed;
use schema::sandboxfile::source::{Format, SourceFile};
use thiserror::Error;

use crate::images::{Catalog, CatalogError, ImageEntry};
use crate::store::{atomic, time};

/// The pinned images of a project, and where they are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pins {
    /// What is pinned.
    pub lock: ImageLock,
    /// The lock's file; `None` where the project has no folder of its own.
    pub path: Option<PathBuf>,
    /// Whether no registry may be asked.
    pub offline: bool,
}

/// Why a lock cannot be read.
#[derive(Debug, Error)]
pub enum PinsError {
    /// The host does not hand it out.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// It is not a lock.
    #[error(transparent)]
    Broken(Box<Failed>),
}

/// One image that a project uses, on one platform.
pub type Key = (ImageRef, Platform);

impl Pins {
    /// Reads the lock at `path`, which need not be there; `shown` is what messages call it.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn read(
        path: PathBuf,
        shown: &Path,
        limits: &Limits,
    ) -> Result<(Self, Option<InputFile>), PinsError> {
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok((Self { path: Some(path), ..Self::default() }, None));
            }
            Err(source) => return Err(PinsError::Read { path, source }),
        };
        let input =
            InputFile { path: path.clone(), blake3: blake3::hash(&bytes).to_hex().to_string() };
        let file = SourceFile { path: shown.to_path_buf(), bytes, format: Format::Kdl };
        let lock = ImageLock::read(&file, limits).map_err(PinsError::Broken)?;
        Ok((Self { lock, path: Some(path), offline: false }, Some(input)))
    }

    /// Returns what an image is pinned to.
    #[must_use]
    pub fn get(&self, image: &Image) -> Option<&Pinned> {
        self.lock.get(&image.reference, image.platform.unwrap_or(Platform::host()))
    }

    /// Returns the digest of the manifest that an image is, where the lock or its name says so.
    #[must_use]
    pub fn digest(&self, image: &Image) -> Option<String> {
        match &image.reference {
            ImageRef::Registry(name) if name.digest.is_some() => name.digest.clone(),
            ImageRef::Registry(_) | ImageRef::Builtin(_) => {
                self.get(image).map(|pinned| pinned.digest.clone())
            }
        }
    }

    /// Returns where an image is pinned.
    #[must_use]
    pub fn place(&self, image: &Image) -> Option<Place> {
        self.get(image)?.place.clone()
    }

    /// Returns the entry of the store that an image means.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub fn find(
        &self,
        catalog: &dyn Catalog,
        image: &Image,
    ) -> Result<Option<ImageEntry>, CatalogError> {
        match self.get(image) {
            Some(pinned) => catalog.find(&format!("{}@{}", image.reference, pinned.digest)),
            None => catalog.find(&image.reference.to_string()),
        }
    }

    /// Returns the images of a project that need a pin and have none, in order.
    #[must_use]
    pub fn missing(&self, project: &Project) -> Vec<Key> {
        used(project).into_iter().filter(|key| !self.lock.entries.contains_key(key)).collect()
    }

    /// Pins what is missing to what the store has; tells whether anything was.
    ///
    /// # Errors
    /// The catalogue cannot be read.
    pub fn add_missing(
        &mut self,
        project: &Project,
        catalog: &dyn Catalog,
        now_ms: u64,
    ) -> Result<bool, CatalogError> {
        let mut added = false;
        for key in self.missing(project) {
            if let Some(entry) = catalog.find(&key.0.to_string())? {
                self.lock.entries.insert(key, pinned(&entry, now_ms));
                added = true;
            }
        }
        Ok(added)
    }

    /// Writes the lock, whole or not at all.
    ///
    /// # Errors
    /// The host does not take it; the old one stays.
    pub fn write(&self) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        atomic::write_owned(path, self.lock.text().as_bytes())
    }
}

/// Returns the images that a project uses and that can move: no builtin one, none by digest.
#[must_use]
pub fn used(project: &Project) -> BTreeSet<Key> {
    let images = project.sandboxes.values().filter_map(|sandbox| sandbox.root.image());
    let can_move = images.filter(|image| match &image.reference {
        ImageRef::Builtin(_) => false,
        ImageRef::Registry(reference) => reference.digest.is_none(),
    });
    let key = |image: &Image| (image.reference.clone(), image.platform.unwrap_or(Platform::host()));
    can_move.map(key).collect()
}

/// Returns the pin of what the store has.
#[must_use]
pub fn pinned(entry: &ImageEntry, now_ms: u64) -> Pinned {
    pin(entry.manifest_digest.clone(), entry.config_digest.clone(), entry.bytes, now_ms)
}

/// Returns the pin of an image that has not been written down yet.
#[must_use]
pub fn pin(digest: String, config: String, bytes: u64, now_ms: u64) -> Pinned {
    Pinned { digest, config, bytes, at: time::rfc3339(now_ms), place: None }
}
