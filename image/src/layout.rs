//! Which images an archive holds: an OCI layout or what `docker save` writes,
//! told apart by content.

use std::collections::BTreeMap;

use schema::project::ImageRef;
use thiserror::Error;

use super::archive::Archive;
use super::config::{self, Described};
use super::digest::Digest;

mod docker;
mod oci;

/// Why an archive holds no usable image.
#[derive(Debug, Error)]
pub enum LayoutError {
    /// It is an archive of something else.
    #[error("the archive holds neither `index.json` with `oci-layout` nor `manifest.json`")]
    NotImages,
    /// A document of the archive is not what it should be.
    #[error("`{path}` in the archive is refused: {why}")]
    Refused {
        /// The path in the archive.
        path: String,
        /// What is wrong with it.
        why: String,
    },
    /// Something that is named is not there.
    #[error("`{0}` is not in the archive")]
    Missing(String),
    /// Bytes are not what their digest says.
    #[error("`{path}` is damaged: it is not {expected}, its bytes hash to {found}")]
    Damaged {
        /// The path in the archive.
        path: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// An index has no image for the wanted platform.
    #[error("the archive has no image for {wanted}, only for {}", found.join(", "))]
    Platform {
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: Vec<String>,
    },
}

/// An image that an archive holds, with everything it needs present and checked.
#[derive(Clone, Debug)]
pub struct Found {
    /// The names that the archive gives it.
    pub names: Vec<ImageRef>,
    /// The manifest, byte for byte as it came or as we made it.
    pub manifest: Vec<u8>,
    /// The path of the configuration in the archive, and its digest.
    pub config: (Vec<u8>, Digest),
    /// The size of the configuration.
    pub config_bytes: u64,
    /// The layers from the bottom up.
    pub layers: Vec<FoundLayer>,
    /// What the configuration says.
    pub described: Described,
}

/// A layer that an archive holds.
#[derive(Clone, Debug)]
pub struct FoundLayer {
    /// Its path in the archive.
    pub path: Vec<u8>,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
    /// How they are stored.
    pub media_type: String,
}

/// Returns the images of an archive; `platform` chooses where there are several.
pub fn images(archive: &Archive, platform: &str) -> Result<Vec<Found>, LayoutError> {
    if archive.get(b"oci-layout").is_some() && archive.get(b"index.json").is_some() {
        let tags = docker::tags_by_config(archive)?;
        oci::images(archive, platform, &tags)
    } else if archive.get(b"manifest.json").is_some() {
        docker::images(archive)
    } else {
        Err(LayoutError::NotImages)
    }
}

/// Names by the digest of the configuration they stand for.
type Tags = BTreeMap<Digest, Vec<ImageRef>>;

/// Returns the content of a document of the archive.
fn document(archive: &Archive, path: &str) -> Result<Vec<u8>, LayoutError> {
    let stored =
        archive.get(path.as_bytes()).ok_or_else(|| LayoutError::Missing(path.to_owned()))?;
    stored.document().map_err(|why| refused(path, why))
}

fn refused(path: &str, why: impl Into<String>) -> LayoutError {
    LayoutError::Refused { path: path.escape_debug().to_string(), why: why.into() }
}

/// Reads a configuration and checks it against the number of layers.
fn described(path: &str, bytes: &[u8], layers: usize) -> Result<Described, LayoutError> {
    let described = config::read(bytes).map_err(|why| refused(path, why))?;
    if described.diff_ids.len() != layers {
        let count = described.diff_ids.len();
        return Err(refused(path, format!("it lists {count} layers, the manifest {layers}")));
    }
    Ok(described)
}

/// Reads a name that an archive gives an image.
///
/// What is shipped with msb cannot be named from outside.
fn name(path: &str, text: &str) -> Result<ImageRef, LayoutError> {
    match ImageRef::parse(text) {
        Ok(ImageRef::Builtin(_)) => Err(refused(path, "it names an image that comes with msb")),
        Ok(reference) => Ok(reference),
        Err(error) => Err(refused(path, error.to_string())),
    }
}
