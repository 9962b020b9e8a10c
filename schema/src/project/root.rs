//! What the root of a sandbox is made from.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::image::{Image, ImageRef};

/// Exactly one of an image, a disk of the host and a folder of the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Root {
    /// An image of a registry or an archive, or one that comes with msb.
    Image(Image),
    /// A raw disk image that holds one ext4 file system.
    Disk(HostRoot),
    /// A folder that is served as the root.
    Dir(HostRoot),
}

/// A root that lies on the host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostRoot {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Where writes go.
    pub write: Write,
}

/// Where the writes of a guest go that its root is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Write {
    /// Into the upper of its own.
    #[default]
    Private,
    /// Into the source.
    InPlace,
    /// Nowhere: the root is read-only.
    None,
}

impl Write {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::InPlace => "in-place",
            Self::None => "none",
        }
    }
}

impl Root {
    /// Returns the image, where it is one.
    #[must_use]
    pub const fn image(&self) -> Option<&Image> {
        match self {
            Self::Image(image) => Some(image),
            Self::Disk(_) | Self::Dir(_) => None,
        }
    }

    /// Returns the reference of the image, where it is one.
    #[must_use]
    pub fn reference(&self) -> Option<&ImageRef> {
        self.image().map(|image| &image.reference)
    }

    /// Returns what it is made from as tables show it: `redis:7`, `dir:/srv/rootfs`.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Self::Image(image) => image.reference.short(),
            Self::Disk(root) => format!("disk:{}", root.path.display()),
            Self::Dir(root) => format!("dir:{}", root.path.display()),
        }
    }
}
