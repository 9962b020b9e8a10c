//! Named storage that outlives sandboxes.

use serde::{Deserialize, Serialize};

use super::Labels;
use crate::name::{NameError, ProjectName, VolumeName};
use crate::units::Bytes;

/// A named volume of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// What it is on the host; `None` matches whatever exists.
    pub kind: Option<VolumeKind>,
    /// Its size; needed to create a disk. `None` matches whatever exists.
    pub size: Option<Bytes>,
    /// The most that a folder may hold; `None` matches whatever holds.
    pub quota: Option<Quota>,
    /// Whether it may be made.
    pub ensure: Ensure,
    /// What it is called on the host, where it is somebody else's.
    pub external: Option<External>,
    /// Constants by key.
    pub labels: Labels,
    /// Whether removing it or losing its data is refused; read from state at the next run.
    pub protect: bool,
    /// What it was called before.
    pub moved_from: Option<VolumeName>,
}

impl Volume {
    /// What a folder may hold where the file does not say.
    pub const QUOTA: Quota = Quota::Bytes(Bytes::gib(10));

    /// Returns a volume that says nothing of itself: whatever is there fits.
    #[must_use]
    pub fn unsaid() -> Self {
        Self {
            kind: None,
            size: None,
            quota: None,
            ensure: Ensure::default(),
            external: None,
            labels: Labels::new(),
            protect: false,
            moved_from: None,
        }
    }
}

/// The most that a folder may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Quota {
    /// So many bytes.
    Bytes(Bytes),
    /// What the host has.
    None,
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bytes(bytes) => bytes.fmt(f),
            Self::None => f.write_str("none"),
        }
    }
}

/// A volume of somebody else, by its name on the host: `pgdata`, `other/pgdata`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct External {
    /// Whose it is; `None` for nobody's.
    pub project: Option<ProjectName>,
    /// Its name there.
    pub name: VolumeName,
}

impl External {
    /// Reads a volume's name, perhaps with its project before it.
    ///
    /// # Errors
    /// One of the two is no name.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let (project, name) = match text.split_once('/') {
            Some((project, name)) => (Some(ProjectName::parse(project)?), name),
            None => (None, text),
        };
        Ok(Self { project, name: VolumeName::parse(name)? })
    }
}

impl std::fmt::Display for External {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(project) = &self.project {
            write!(f, "{project}/")?;
        }
        self.name.fmt(f)
    }
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
