//! The home folder: ours alone, and on a file system whose locks can be trusted.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a home folder is not used.
#[derive(Debug, Error)]
pub enum HomeError {
    /// The folder cannot be looked at.
    #[error("cannot look at the home folder {}", path.display())]
    Look {
        /// The folder.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The folder cannot be made.
    #[error("cannot make the home folder {}", path.display())]
    Make {
        /// The folder.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// Something else lies there.
    #[error("the home {} is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// Somebody else owns it.
    #[error("the home folder {} belongs to user {owner}, not to user {us}", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user this process runs as.
        us: u32,
    },
    /// Others may write to it.
    #[error("the home folder {} may be written by others (mode {mode:04o})", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It lies on a file system of the network.
    #[error("the home folder {} is on {kind}, whose locks cannot be trusted", path.display())]
    Network {
        /// The folder.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
}

impl HomeError {
    /// Returns the code of the catalogue.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Foreign { .. } | Self::Open { .. } => "msb::home::foreign",
            Self::Network { .. } => "msb::home::network-fs",
            Self::Look { .. } | Self::Make { .. } | Self::NotAFolder(_) => "msb::state::home",
        }
    }

    /// Returns what to do.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::Open { path, .. } => {
                format!("Run `chmod 0700 {}` after looking at what lies in it.", path.display())
            }
            Self::Foreign { .. } => "Name a folder of your own with MSB_HOME or --home.".into(),
            Self::Network { .. } => "Set MSB_HOME to a folder on a local disk.".into(),
            Self::Look { .. } | Self::Make { .. } | Self::NotAFolder(_) => {
                "Name a folder that can be made with MSB_HOME or --home.".into()
            }
        }
    }
}

/// File systems that keep neither locks nor write-ahead logs as a local one does.
const NETWORK: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
];

/// Tells whether the home folder exists.
///
/// # Errors
/// It exists and cannot be trusted.
pub(super) fn check(path: &Path) -> Result<bool, HomeError> {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(source) => return Err(HomeError::Look { path: path.to_path_buf(), source }),
    };
    judge(path, &metadata, rustix::process::geteuid().as_raw())?;
    judge_file_system(path)?;
    Ok(true)
}

/// Makes the home folder where it is absent.
///
/// # Errors
/// It cannot be made, or cannot be trusted.
pub(super) fn prepare(path: &Path) -> Result<(), HomeError> {
    if check(path)? {
        return Ok(());
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| HomeError::Make { path: path.to_path_buf(), source })?;
    check(path).map(|_| ())
}

fn judge(path: &Path, metadata: &Metadata, us: u32) -> Result<(), HomeError> {
    let path = path.to_path_buf();
    if !metadata.is_dir() {
        return Err(HomeError::NotAFolder(path));
    }
    let (owner, mode) = (metadata.uid(), metadata.mode() & 0o7777);
    if owner != us {
        return Err(HomeError::Foreign { path, owner, us });
    }
    if mode & 0o022 != 0 {
        return Err(HomeError::Open { path, mode });
    }
    Ok(())
}

fn judge_file_system(path: &Path) -> Result<(), HomeError> {
    let looked = rustix::fs::statfs(path);
    let looked = looked
        .map_err(|error| HomeError::Look { path: path.to_path_buf(), source: error.into() })?;
    #[expect(clippy::cast_sign_loss, reason = "the kernel's magic numbers are bit patterns")]
    let magic = (looked.f_type as u64) & 0xffff_ffff;
    match NETWORK.iter().find(|(known, _)| *known == magic) {
        Some((_, kind)) => Err(HomeError::Network { path: path.to_path_buf(), kind }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn scratch(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("msb-home-{}-{name}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        folder
    }

    #[test]
    fn a_home_is_made_for_its_owner_alone() {
        let home = scratch("made");
        assert!(!check(&home).unwrap(), "looking makes nothing");
        prepare(&home).unwrap();
        assert_eq!(std::fs::metadata(&home).unwrap().mode() & 0o7777, 0o700);
        assert!(check(&home).unwrap());
        std::fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn a_home_that_others_may_write_is_refused() {
        let home = scratch("open");
        prepare(&home).unwrap();
        std::fs::set_permissions(&home, PermissionsExt::from_mode(0o770)).unwrap();
        assert_eq!(check(&home).unwrap_err().code(), "msb::home::foreign");
        std::fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn a_home_of_somebody_else_is_refused() {
        let metadata = std::fs::metadata("/").unwrap();
        let refused = judge(Path::new("/"), &metadata, metadata.uid() + 1).unwrap_err();
        assert!(matches!(refused, HomeError::Foreign { .. }));
    }
}
