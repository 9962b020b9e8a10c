//! An image between the moment when its layers lie in files and the one when it has a name.
//!
//! It is built and checked while nobody can see it. Blobs, the root and at last the catalogue are
//! written in that order, each after what it speaks of.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use image::config::Described;
use image::digest::Digest;
use image::draft::Draft;
use image::erofs::WRITER_VERSION;
use schema::project::ImageRef;

use super::builder::BuildError;
use super::cache::{ImagesHome, RootError, lock, root_digest, root_name};
use super::catalog::{Catalog, CatalogError, ImageEntry, LayerEntry, RootEntry};
use super::load::Loaded;
use super::sharing::{self, Recipes, Stored};

/// What an image is, wherever it came from.
#[derive(Debug, Clone)]
pub(super) struct Whole {
    /// What it is called from now on, at least one name.
    pub(super) names: Vec<ImageRef>,
    /// The manifest, byte for byte.
    pub(super) manifest: Vec<u8>,
    /// The digest of the configuration, and its size.
    pub(super) config: (Digest, u64),
    /// What the configuration says.
    pub(super) described: Described,
    /// The layers from the bottom up.
    pub(super) layers: Vec<Part>,
}

/// A layer as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Part {
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// How many they are.
    pub(super) bytes: u64,
    /// How they are stored.
    pub(super) media_type: String,
}

/// An image whose root is there, but which nobody can see yet.
#[derive(Debug)]
pub(super) struct Ready {
    pub(super) image: Whole,
    pub(super) digest: Digest,
    root_digest: String,
    /// `None` where the store has the root already.
    root: Option<Draft>,
    recipes: Recipes,
    pub(super) notes: Vec<String>,
}

impl Ready {
    /// Builds the root of `layers`, and holds each layer against its digests.
    ///
    /// They must be checked even if the root is there: these very bytes may not be the ones it was
    /// built from.
    pub(super) fn build(
        home: &ImagesHome,
        image: Whole,
        layers: &[Stored],
    ) -> Result<Self, BuildError> {
        let described = &image.described;
        let hash = root_digest(&described.diff_ids, &described.platform);
        let (draft, built, recipes) = sharing::build(home, layers, &hash)?;
        let mut ready = Self::over(image, &hash);
        if built.dropped_xattrs > 0 {
            ready.notes.push(format!(
                "{} attributes that mean nothing to a guest were left out",
                built.dropped_xattrs
            ));
        }
        ready.root = home.good_root(&ready.root_digest).is_none().then_some(draft);
        ready.recipes = recipes;
        Ok(ready)
    }

    /// Returns an image whose layers, by their digests, are known to be what its root was built
    /// from; `None` where one is not, or there is no such root.
    ///
    /// The bytes that these digests were taken of are not looked at again.
    pub(super) fn known(
        home: &ImagesHome,
        image: &Whole,
        catalog: &dyn Catalog,
    ) -> Result<Option<Self>, CatalogError> {
        let described = &image.described;
        let hash = root_digest(&described.diff_ids, &described.platform);
        if home.good_root(&root_name(&hash)).is_none() {
            return Ok(None);
        }
        for (layer, diff_id) in image.layers.iter().zip(&described.diff_ids) {
            if !catalog.has_layer(&layer.digest.to_string(), &diff_id.to_string())? {
                return Ok(None);
            }
        }
        Ok(Some(Self::over(image.clone(), &hash)))
    }

    /// Waits until nobody else builds the root of these layers.
    pub(super) fn hold(home: &ImagesHome, described: &Described) -> Result<File, RootError> {
        let hash = root_digest(&described.diff_ids, &described.platform);
        lock(home, &format!("root-{}", root_name(&hash)))
    }

    fn over(image: Whole, root: &blake3::Hash) -> Self {
        let mut notes = Vec::new();
        if image.described.dropped_labels > 0 {
            let count = image.described.dropped_labels;
            notes.push(format!("{count} labels beyond the limits were left out"));
        }
        let digest = Digest::of(&image.manifest);
        Self {
            image,
            digest,
            root_digest: root_name(root),
            root: None,
            recipes: Recipes::default(),
            notes,
        }
    }

    /// Gives the manifest its name in the store.
    pub(super) fn publish_manifest(&self, home: &ImagesHome) -> io::Result<()> {
        let draft = Draft::create(&home.tmp())?;
        draft.file().write_all_at(&self.image.manifest, 0)?;
        draft.publish(&home.blob(&self.digest))
    }

    /// Gives the root its name, and returns what is to be written down.
    pub(super) fn publish_root(
        &mut self,
        home: &ImagesHome,
        now_ms: u64,
    ) -> Result<RootEntry, RootError> {
        if let Some(draft) = self.root.take() {
            home.publish_root(draft, &self.root_digest)?;
        }
        std::mem::take(&mut self.recipes).publish(home, &self.root_digest);
        let path = home.root_path(&self.root_digest);
        let metadata =
            path.metadata().map_err(|source| RootError::Folder { path: path.clone(), source })?;
        Ok(RootEntry {
            file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            digest: self.root_digest.clone(),
            bytes_apparent: metadata.len(),
            bytes_on_disk: metadata.blocks() * 512,
            writer: WRITER_VERSION,
            built_at_ms: now_ms,
        })
    }

    /// Returns the size of everything that is stored of the image.
    pub(super) fn bytes(&self) -> u64 {
        let layers: u64 = self.image.layers.iter().map(|layer| layer.bytes).sum();
        layers + self.image.manifest.len() as u64 + self.image.config.1
    }

    /// Returns what is told of each name.
    pub(super) fn loaded(&self) -> Vec<Loaded> {
        let one = |name: &ImageRef| Loaded {
            reference: name.to_string(),
            digest: self.digest.to_string(),
            layers: self.image.layers.len(),
            size_bytes: self.bytes(),
            notes: self.notes.clone(),
        };
        self.image.names.iter().map(one).collect()
    }

    /// Returns what is written down of each name.
    pub(super) fn entries(&self, now_ms: u64) -> Vec<ImageEntry> {
        let described = &self.image.described;
        let layers = self.image.layers.iter().zip(&described.diff_ids);
        let layers: Vec<_> = layers
            .map(|(layer, diff_id)| LayerEntry {
                blob: layer.digest.to_string(),
                media_type: layer.media_type.clone(),
                bytes: layer.bytes,
                diff_id: diff_id.to_string(),
            })
            .collect();
        let one = |name: &ImageRef| ImageEntry {
            reference: name.to_string(),
            manifest_digest: self.digest.to_string(),
            config_digest: self.image.config.0.to_string(),
            root_digest: self.root_digest.clone(),
            platform: described.platform.clone(),
            bytes: self.bytes(),
            layers: layers.clone(),
            config: described.config.clone(),
            created_at: described.created_at.clone(),
            pulled_at_ms: now_ms,
        };
        self.image.names.iter().map(one).collect()
    }
}
