//! What is remembered of images: which name means which manifest, and what
//! that manifest is made of.

use std::error::Error;

use image::config::ImageConfig;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Everything that is written down for one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageEntry {
    /// The name, in full.
    pub reference: String,
    /// The digest of the manifest: `sha256:…`.
    pub manifest_digest: String,
    /// The digest of the configuration.
    pub config_digest: String,
    /// The name of the root: hex, as it stands in `roots/`.
    pub root_digest: String,
    /// `os/architecture`.
    pub platform: String,
    /// The size of manifest, configuration and layers as they are stored.
    pub bytes: u64,
    /// The layers from the bottom up.
    pub layers: Vec<LayerEntry>,
    /// What a sandbox starts from.
    pub config: ImageConfig,
    /// When the image says it was made.
    pub created_at: Option<String>,
    /// When it came here, in milliseconds since 1970.
    pub pulled_at_ms: u64,
}

/// One layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerEntry {
    /// The digest of the stored bytes.
    pub blob: String,
    /// How they are stored.
    pub media_type: String,
    /// How many they are.
    pub bytes: u64,
    /// The digest of the tar.
    pub diff_id: String,
}

/// A manifest, whether a name means it or none does any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestEntry {
    /// Its digest.
    pub digest: String,
    /// The digest of its configuration.
    pub config: String,
    /// The name of its root: hex.
    pub root: String,
    /// The digests of its layers as they are stored.
    pub layers: Vec<String>,
    /// The names that mean it, in full.
    pub references: Vec<String>,
}

/// A root image as it was built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootEntry {
    /// The name of the root: hex.
    pub digest: String,
    /// The file's name in `roots/`.
    pub file: String,
    /// Its size.
    pub bytes_apparent: u64,
    /// What it occupies.
    pub bytes_on_disk: u64,
    /// Which writer made it.
    pub writer: u32,
    /// When, in milliseconds since 1970.
    pub built_at_ms: u64,
}

/// The catalogue could not be read or written.
#[derive(Debug, Error)]
#[error("cannot {what} in the catalogue of images")]
pub struct CatalogError {
    /// What was attempted.
    pub what: &'static str,
    /// What the store answered.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

/// Where images are written down.
pub trait Catalog {
    /// Writes images down, all or none; a name that was there moves.
    ///
    /// # Errors
    /// Nothing was written.
    fn put_images(&mut self, images: &[ImageEntry], root: &[RootEntry])
    -> Result<(), CatalogError>;

    /// Returns the image of a name in full, or of any name with this manifest
    /// digest if the name ends in one.
    ///
    /// # Errors
    /// The catalogue could not be read.
    fn find(&self, reference: &str) -> Result<Option<ImageEntry>, CatalogError>;

    /// Tells whether a build has held this blob against this diff id.
    ///
    /// # Errors
    /// The catalogue could not be read.
    fn has_layer(&self, blob: &str, diff_id: &str) -> Result<bool, CatalogError>;

    /// Returns all images by name.
    ///
    /// # Errors
    /// The catalogue could not be read.
    fn list(&self) -> Result<Vec<ImageEntry>, CatalogError>;

    /// Remembers what an archive held, by what identifies its file.
    ///
    /// # Errors
    /// Nothing was written.
    fn remember_archive(&mut self, identity: &str, held: &str) -> Result<(), CatalogError>;

    /// Returns what was remembered of an archive.
    ///
    /// # Errors
    /// The catalogue could not be read.
    fn recall_archive(&self, identity: &str) -> Result<Option<String>, CatalogError>;

    /// Takes a name away and says whether it was there; what it meant stays.
    ///
    /// # Errors
    /// Nothing was changed.
    fn remove(&mut self, reference: &str) -> Result<bool, CatalogError>;

    /// Returns every manifest, by digest.
    ///
    /// # Errors
    /// The catalogue could not be read.
    fn manifests(&self) -> Result<Vec<ManifestEntry>, CatalogError>;

    /// Forgets manifests with their names, and what is then nobody's: all of it or nothing.
    ///
    /// # Errors
    /// Nothing was changed.
    fn forget(&mut self, manifests: &[String]) -> Result<(), CatalogError>;
}
