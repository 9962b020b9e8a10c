//! Images on disk: blobs by their digest, and the roots built from them.
//!
//! ```text
//! images/blobs/sha256/HEX     manifests, configurations, layers, as they came
//! images/roots/DIGEST-V.erofs what a machine mounts; V is the writer's version
//! images/recipes/            how a layer is put together from a root that has it
//! images/tmp/                 locks, and files that are not whole yet
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use image::digest::{Digest, hex};
use image::draft::{Draft, sync_folder};
use image::erofs::{BLOCK, SUPERBLOCK_END, WRITER_VERSION, check_superblock};
use image::layers::Layer;
use rustix::fs::FlockOperation;
use thiserror::Error;

use super::builder::{BuildError, Builder, Built};
use super::catalog::ImageEntry;
use super::prune::prune_leftovers;
use super::sharing::{self, Stored};
use super::using::Using;

/// The folder of images, and how roots are built there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagesHome {
    /// `images/` of the home.
    pub dir: PathBuf,
    /// The program that builds roots.
    pub builder: Builder,
}

/// A root image that is whole and ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootImage {
    /// The file, read-only.
    pub path: PathBuf,
    /// The root's name: hex of the digest over layers and platform.
    pub digest: String,
    /// Its size.
    pub size: u64,
}

/// Why there is no root for an image.
#[derive(Debug, Error)]
pub enum RootError {
    /// The folder of images could not be used.
    #[error("cannot use {}", path.display())]
    Folder {
        /// Which folder or file.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// A layer is not in the store, or its record cannot be read.
    #[error("the layer {blob} is not in the store")]
    Layer {
        /// The layer's digest.
        blob: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The layers did not become a root.
    #[error("cannot build the root of {reference}")]
    Build {
        /// The image.
        reference: String,
        /// What went wrong.
        #[source]
        source: BuildError,
    },
}

impl ImagesHome {
    /// Makes the folders that are missing.
    pub(crate) fn prepare(&self) -> Result<(), RootError> {
        for folder in [self.blobs(), self.roots(), self.recipes(), self.tmp()] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|source| RootError::Folder { path: folder, source })?;
        }
        Ok(())
    }

    pub(crate) fn blobs(&self) -> PathBuf {
        self.dir.join("blobs/sha256")
    }

    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    pub(crate) fn roots(&self) -> PathBuf {
        self.dir.join("roots")
    }

    pub(crate) fn recipes(&self) -> PathBuf {
        self.dir.join("recipes")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.dir.join("tmp")
    }

    /// Returns the file of a root, whether it is there or not.
    #[must_use]
    pub fn root_path(&self, digest: &str) -> PathBuf {
        self.roots().join(format!("{digest}-{WRITER_VERSION}.erofs"))
    }

    /// Builds a root into a draft, in a confined child.
    pub(crate) fn build(
        &self,
        layers: &[Layer],
        digest: &blake3::Hash,
    ) -> Result<(Draft, Built), BuildError> {
        let mut uuid = [0; 16];
        uuid.copy_from_slice(&digest.as_bytes()[..16]);
        // Where the next command looks for what one that was killed has left.
        let draft = Draft::create(&self.tmp()).map_err(BuildError::Talk)?;
        let built = self.builder.build(layers, draft.file(), uuid)?;
        Ok((draft, built))
    }

    /// Gives a built root its name, unless a good one has it already.
    pub(crate) fn publish_root(&self, draft: Draft, digest: &str) -> Result<RootImage, RootError> {
        if let Some(root) = self.good_root(digest) {
            return Ok(root);
        }
        let path = self.root_path(digest);
        let published = draft.publish(&path).and_then(|()| sync_folder(&self.roots()));
        published.map_err(|source| RootError::Folder { path: path.clone(), source })?;
        let size = fs::metadata(&path).map_or(0, |metadata| metadata.len());
        Ok(RootImage { path, digest: digest.to_owned(), size })
    }

    /// Returns the root of this name if it is there, of the size that its
    /// checksummed superblock says; a damaged one is set aside as `.bad`.
    #[must_use]
    pub fn good_root(&self, digest: &str) -> Option<RootImage> {
        let path = self.root_path(digest);
        let file = File::open(&path).ok()?;
        let size = file.metadata().ok()?.len();
        let mut block = [0; SUPERBLOCK_END];
        let blocks = file.read_exact_at(&mut block, 0).ok().and_then(|()| check_superblock(&block));
        if blocks.map(|blocks| u64::from(blocks) * BLOCK) == Some(size) {
            return Some(RootImage { path, digest: digest.to_owned(), size });
        }
        // Without this the next build would be refused or overwrite evidence; either way it is rebuilt.
        drop(fs::rename(&path, path.with_extension("bad")));
        None
    }
}

/// Returns the root of an image, built from its blobs if it is missing.
///
/// Two commands that want the same root build it once.
///
/// # Errors
/// A blob is missing or damaged, or the host did not let the root be built;
/// nothing new is in the store then.
pub fn root_for(home: &ImagesHome, image: &ImageEntry) -> Result<RootImage, RootError> {
    if let Some(root) = home.good_root(&image.root_digest) {
        return Ok(root);
    }
    home.prepare()?;
    let _using = Using::begin(home)?;
    // Here nobody says how late it is: what is whole and nobody's goes all the same.
    prune_leftovers(home, 0);
    let _lock = lock(home, &format!("root-{}", image.root_digest))?;
    // Somebody else may have built it while we waited.
    if let Some(root) = home.good_root(&image.root_digest) {
        return Ok(root);
    }
    let layers = open_layers(home, image)?;
    let digest = blake3::Hash::from_hex(&image.root_digest).map_err(|error| RootError::Layer {
        blob: image.root_digest.clone(),
        source: io::Error::other(error),
    })?;
    let (draft, _, recipes) = sharing::build(home, &layers, &digest)
        .map_err(|source| RootError::Build { reference: image.reference.clone(), source })?;
    let root = home.publish_root(draft, &image.root_digest)?;
    recipes.publish(home, &image.root_digest);
    Ok(root)
}

pub(super) fn open_layers(home: &ImagesHome, image: &ImageEntry) -> Result<Vec<Stored>, RootError> {
    let open = |text: &str| Digest::parse(text).ok_or_else(|| io::Error::other("not a digest"));
    let layer = |entry: &super::catalog::LayerEntry| -> io::Result<Stored> {
        let digest = open(&entry.blob)?;
        Ok(Stored {
            blob: File::open(home.blob(&digest))?,
            digest: Some(digest),
            diff_id: Some(open(&entry.diff_id)?),
        })
    };
    let layers = image.layers.iter().map(|entry| {
        layer(entry).map_err(|source| RootError::Layer { blob: entry.blob.clone(), source })
    });
    layers.collect()
}

/// Returns an empty file for the contents of one layer.
pub(crate) fn spool(folder: &Path) -> io::Result<File> {
    Draft::create(folder)?.file().try_clone()
}

/// Waits until nobody else holds the lock of this name, and takes it.
pub(super) fn lock(home: &ImagesHome, name: &str) -> Result<File, RootError> {
    let path = home.tmp().join(format!("{name}.lock"));
    flocked(&path, FlockOperation::LockExclusive)
        .map_err(|source| RootError::Folder { path: path.clone(), source })
}

/// Opens the file of a lock and locks it.
pub(super) fn flocked(path: &Path, operation: FlockOperation) -> io::Result<File> {
    loop {
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
        rustix::fs::flock(&file, operation)?;
        // Whoever tidies up may have taken the name away while we waited.
        let is_named = fs::metadata(path)
            .is_ok_and(|named| file.metadata().is_ok_and(|held| held.ino() == named.ino()));
        if is_named {
            return Ok(file);
        }
    }
}

/// Returns the name of the root that these layers make on this platform.
pub(crate) fn root_digest(diff_ids: &[Digest], platform: &str) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for diff_id in diff_ids {
        hasher.update(diff_id.to_string().as_bytes()).update(b"\n");
    }
    hasher.update(platform.as_bytes()).finalize()
}

/// Returns a root's digest as it stands in file names.
pub(crate) fn root_name(digest: &blake3::Hash) -> String {
    hex(digest.as_bytes())
}
