//! What a sandbox has mounted besides its root.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::source::{DirMount, DiskMount, FileChange, FileMount};
use crate::name::VolumeName;
use crate::units::Bytes;

/// One mount of a sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where in the guest.
    pub destination: GuestPath,
    /// What is mounted there.
    pub source: MountSource,
    /// How.
    pub options: MountOptions,
}

impl Mount {
    /// Returns the file of the host whose content counts, where a change of it is to do something.
    #[must_use]
    pub fn followed(&self) -> Option<&FileMount> {
        match &self.source {
            MountSource::File(file) => Some(file).filter(|it| it.on_change != FileChange::Ignore),
            MountSource::Named(_)
            | MountSource::Dir(_)
            | MountSource::Disk(_)
            | MountSource::Tmpfs { .. } => None,
        }
    }

    /// Returns the field that stands for the content of what is mounted.
    #[must_use]
    pub fn content_path(&self) -> String {
        format!("mounts.{}.content", self.destination)
    }
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A volume of the project, by name.
    Named(VolumeName),
    /// A folder of the host.
    Dir(DirMount),
    /// A file of the host.
    File(FileMount),
    /// A raw image or block device of the host.
    Disk(DiskMount),
    /// Memory of the guest.
    Tmpfs {
        /// The most it may hold.
        size: Bytes,
        /// The permission bits of its root.
        mode: u32,
    },
}

impl MountSource {
    /// Returns the key that the file writes it under.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Named(_) => "named",
            Self::Dir(_) => "dir",
            Self::File(_) => "file",
            Self::Disk(_) => "disk",
            Self::Tmpfs { .. } => "tmpfs",
        }
    }

    /// Returns the named volume, where it is one.
    #[must_use]
    pub const fn volume(&self) -> Option<&VolumeName> {
        match self {
            Self::Named(volume) => Some(volume),
            Self::Dir(_) | Self::File(_) | Self::Disk(_) | Self::Tmpfs { .. } => None,
        }
    }

    /// Returns where it lies on the host, where the file says that.
    #[must_use]
    pub fn host_path(&self) -> Option<&Path> {
        match self {
            Self::Dir(DirMount { path, .. })
            | Self::File(FileMount { path, .. })
            | Self::Disk(DiskMount { path, .. }) => Some(path),
            Self::Named(_) | Self::Tmpfs { .. } => None,
        }
    }
}

/// How a mount is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountOptions {
    /// Whether the guest may write.
    pub access: Access,
    /// What is forbidden below the mount.
    pub flags: BTreeSet<MountFlag>,
}

impl MountOptions {
    /// Returns whether `flag` is set.
    #[must_use]
    pub fn has(&self, flag: MountFlag) -> bool {
        self.flags.contains(&flag)
    }
}

/// Prints the options as the file writes them: `ro noexec`.
impl fmt::Display for MountOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.access {
            Access::ReadWrite => "rw",
            Access::ReadOnly => "ro",
        })?;
        self.flags.iter().try_for_each(|flag| write!(f, " {}", flag.as_str()))
    }
}

/// Whether the guest may write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Access {
    /// It may.
    #[default]
    ReadWrite,
    /// It may not, and the host holds it to that.
    ReadOnly,
}

/// One thing that is forbidden below a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MountFlag {
    /// Device nodes work as devices.
    NoDev,
    /// Programs can be started.
    NoExec,
    /// Set-user-id and set-group-id bits count.
    NoSuid,
}

impl MountFlag {
    /// Returns the flag as `mount` spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoDev => "nodev",
            Self::NoExec => "noexec",
            Self::NoSuid => "nosuid",
        }
    }
}

/// An absolute path in the guest, without `//`, `/./`, `..` and trailing `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct GuestPath(String);

/// Why a text is not a guest path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// It does not start at the root.
    #[error("`{0}` is not absolute")]
    NotAbsolute(String),
    /// It climbs.
    #[error("`{0}` holds `..`")]
    Climbs(String),
    /// It is longer than a path can be.
    #[error("a path has at most {GUEST_PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It holds a character with code zero.
    #[error("a path holds no NUL")]
    Nul,
}

const GUEST_PATH_BYTES_MAX: usize = 4095;

impl GuestPath {
    /// Reads an absolute path and normalises it in the text.
    ///
    /// # Errors
    /// [`PathError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        if !text.starts_with('/') {
            return Err(PathError::NotAbsolute(text.to_owned()));
        }
        if text.contains('\0') {
            return Err(PathError::Nul);
        }
        let mut path = String::with_capacity(text.len());
        for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
            if part == ".." {
                return Err(PathError::Climbs(text.to_owned()));
            }
            path.push('/');
            path.push_str(part);
        }
        if path.len() > GUEST_PATH_BYTES_MAX {
            return Err(PathError::TooLong);
        }
        Ok(Self(if path.is_empty() { "/".to_owned() } else { path }))
    }

    /// Returns the path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the components, outermost first; the root has none.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }

    /// Returns whether the path is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &str) -> bool {
        other == "/"
            || self
                .0
                .strip_prefix(other)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Where the guest's own file systems are.
const RESERVED: [&str; 4] = ["/proc", "/sys", "/dev", "/.msb"];

impl MountSource {
    /// Tells whether it can be mounted at a place: not over the root, nor over the guest's own.
    #[must_use]
    pub fn may_be_at(&self, path: &GuestPath) -> bool {
        let is_shared_memory = path.as_str() == "/dev/shm" && matches!(self, Self::Tmpfs { .. });
        let is_reserved = RESERVED.iter().any(|reserved| path.is_within(reserved));
        is_shared_memory || (path.as_str() != "/" && !is_reserved)
    }
}

impl fmt::Display for GuestPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for GuestPath {
    type Error = PathError;
    fn try_from(text: String) -> Result<Self, PathError> {
        Self::parse(&text)
    }
}

impl From<GuestPath> for String {
    fn from(path: GuestPath) -> Self {
        path.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_path_is_normalised_in_the_text() {
        for (text, path) in [("/", "/"), ("/a//b/./c/", "/a/b/c"), ("//", "/")] {
            assert_eq!(GuestPath::parse(text).unwrap().as_str(), path);
        }
    }

    #[test]
    fn a_guest_path_starts_at_the_root_and_does_not_climb() {
        assert!(matches!(GuestPath::parse("a/b"), Err(PathError::NotAbsolute(_))));
        assert!(matches!(GuestPath::parse("/a/../b"), Err(PathError::Climbs(_))));
        assert_eq!(GuestPath::parse(&format!("/{}", "a".repeat(4095))), Err(PathError::TooLong));
    }

    #[test]
    fn a_path_lies_within_by_whole_components() {
        let path = GuestPath::parse("/proc/sys").unwrap();
        assert!(path.is_within("/proc"));
        assert!(!path.is_within("/pro"));
    }
}
