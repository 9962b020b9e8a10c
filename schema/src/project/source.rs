//! Mounts whose source lies on the host.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::process::StopSignal;
use crate::units::Bytes;

/// A folder of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirMount {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Whether it is made where it is absent.
    pub ensure: HostEnsure,
    /// The most that it may hold.
    pub quota: Option<Bytes>,
    /// Whether owners and modes of the guest are kept beside the files.
    pub stat_virt: StatVirt,
    /// The modes of new files on the host.
    pub host_perms: HostPerms,
    /// Whether the source itself may be a link.
    pub follow_symlink: bool,
}

/// A file of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Whether it is made where it is absent.
    pub ensure: HostEnsure,
    /// What a change of its content does.
    pub on_change: FileChange,
}

/// A raw image or block device of the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskMount {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// Its file system; `None` is told by its signature, in the guest.
    pub fstype: Option<FsType>,
}

/// Returns the format of a disk image whose name says that it is not raw.
#[must_use]
pub fn disk_format(path: &Path) -> Option<&'static str> {
    let suffix = path.extension()?.to_str()?.to_ascii_lowercase();
    ["qcow2", "qcow", "vmdk", "vdi", "vhd", "vhdx"].into_iter().find(|format| *format == suffix)
}

/// Whether a source of the host is made where it is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostEnsure {
    /// It must be there.
    #[default]
    MustExist,
    /// It is made, empty and for its owner alone.
    Ensure,
}

impl HostEnsure {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MustExist => "must-exist",
            Self::Ensure => "ensure",
        }
    }
}

/// Whether owners and modes of the guest are kept beside the files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StatVirt {
    /// They are, or the change fails.
    #[default]
    Strict,
    /// They are where that is possible.
    Relaxed,
    /// The host's are shown.
    Off,
}

impl StatVirt {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Relaxed => "relaxed",
            Self::Off => "off",
        }
    }
}

/// The modes of new files on the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostPerms {
    /// For their owner alone.
    #[default]
    Private,
    /// As the guest sets them.
    Mirror,
}

impl HostPerms {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Mirror => "mirror",
        }
    }
}

/// What a change of a file's content does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    /// Nothing.
    #[default]
    Ignore,
    /// A restart.
    Restart,
    /// The workload gets this signal.
    Signal(StopSignal),
}

impl std::fmt::Display for FileChange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ignore => f.write_str("ignore"),
            Self::Restart => f.write_str("restart"),
            Self::Signal(signal) => write!(f, "signal:{signal}"),
        }
    }
}

impl FileChange {
    /// Reads `ignore`, `restart` or `signal:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ignore" => Some(Self::Ignore),
            "restart" => Some(Self::Restart),
            _ => StopSignal::parse(text.strip_prefix("signal:")?).map(Self::Signal),
        }
    }
}

/// The file system of a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FsType {
    /// ext4.
    Ext4,
    /// EROFS, read-only.
    Erofs,
}

impl FsType {
    /// Returns the type as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Erofs => "erofs",
        }
    }
}
