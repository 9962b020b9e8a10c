//! Named storage that outlives sandboxes.

use serde::{Deserialize, Serialize};

use super::Labels;
use crate::units::Bytes;

/// A named volume of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What it is on the host; `None` matches whatever exists.
    pub kind: Option<VolumeKind>,
    /// Its size; needed to create a disk. `None` matches whatever exists.
    pub size: Option<Bytes>,
    /// Whether it may be made.
    pub ensure: Ensure,
    /// Constants by key.
    pub labels: Labels,
    /// Whether removing it or losing its data is refused; read from state at the next run.
    pub protect: bool,
}

/// What a volume is on the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeKind {
    /// A folder that is shared in.
    Dir,
    /// A private disk image with an ext4 file system.
    Disk,
}

impl VolumeKind {
    /// Returns the kind as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dir => "dir",
            Self::Disk => "disk",
        }
    }
}

/// Whether a volume may be made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ensure {
    /// It must be there; it is used and never owned.
    MustExist,
    /// It is made and owned; one of anybody else is in the way.
    Create,
    /// It is made and owned where absent, and used where present.
    #[default]
    Ensure,
}

impl Ensure {
    /// Returns the mode as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MustExist => "must-exist",
            Self::Create => "create",
            Self::Ensure => "ensure",
        }
    }
}
