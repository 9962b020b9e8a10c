//! What a registry says that an image is at the moment.

use std::io;

use image::config;
use schema::sandboxfile::image_lock::Pinned;

use super::call::Call;
use super::failure::Failure;
use super::registry;
use crate::pins::{self, Key};
use crate::registry::{Registry, RegistryError};

/// The largest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// A pin, and when the image says it was built.
pub(crate) struct Found {
    /// What the name means now.
    pub(crate) pinned: Pinned,
    /// When it was built.
    pub(crate) built_at: Option<String>,
}

/// Asks the registries of several images, over one door.
pub(crate) struct Asking {
    registry: Registry,
}

impl Asking {
    /// Begins to ask; nothing is connected yet.
    pub(crate) fn of(call: &Call) -> Self {
        Self { registry: Registry::new(registry::settings(call)) }
    }

    /// Asks what an image is: its manifest, and of its configuration when it was built.
    pub(crate) fn ask(&self, key: &Key, now_ms: u64) -> Result<Found, RegistryError> {
        let (reference, platform) = key;
        let manifest = self.registry.manifest(reference, None, platform.as_str())?;
        let mut bytes = Vec::new();
        // Nobody needs the date of a configuration that no pull would take.
        let is_read = manifest.config.size <= CONFIG_BYTES_MAX;
        let mut take = |more: &[u8]| -> io::Result<()> {
            bytes.extend_from_slice(more);
            Ok(())
        };
        if is_read {
            self.registry.blob(reference, &manifest.config, 0, &mut take)?;
        }
        let layers: u64 = manifest.layers.iter().map(|layer| layer.size).sum();
        let size = layers + manifest.config.size + manifest.bytes.len() as u64;
        let (digest, config) = (manifest.digest.to_string(), manifest.config.digest.to_string());
        Ok(Found {
            pinned: pins::pin(digest, config, size, now_ms),
            // What does not prove to be the configuration tells no date.
            built_at: config::built_at(&bytes, &manifest.config.digest),
        })
    }
}

/// Returns what is told where an image cannot be resolved.
pub(crate) fn failed(error: &RegistryError, key: &Key) -> Failure {
    let (short, platform) = (key.0.short(), key.1.as_str());
    Failure::of(error.code(), "image", error)
        .note(format!("wanted: {short} for {platform}"))
        .hint(error.hint())
}
