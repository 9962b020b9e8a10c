//! What was removed: kept whole for a while, then gone.
//!
//! ```text
//! volumes/FOLDER ──trash──► .trash/ID ──purge──► .trash/ID.gone ──► nothing
//!        ▲────────rename───────┘
//! ```
//!
//! Each arrow is one rename, so what lies in the trash is always whole.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::VolumeError;
use crate::store::atomic;

/// The folder, below `volumes/`, of what was removed and can be restored for a while.
const TRASH: &str = ".trash";

/// Returns the folder of a volume in the trash, below `volumes/`.
#[must_use]
pub fn trash_name(id: &str) -> String {
    format!("{TRASH}/{id}")
}

/// Tells whether a volume lies in the trash.
#[must_use]
pub fn is_trashed(home: &Path, id: &str) -> bool {
    home.join("volumes").join(trash_name(id)).is_dir()
}

/// Puts a volume into the trash; one that is there already stays.
///
/// # Errors
/// Its folder cannot be renamed.
pub fn trash(home: &Path, folder: &str, id: &str) -> Result<(), VolumeError> {
    let (from, to) = (home.join("volumes").join(folder), home.join("volumes").join(trash_name(id)));
    let failed = |source| VolumeError::Folder { path: to.clone(), source };
    if is_trashed(home, id) {
        return Ok(());
    }
    let trash = home.join("volumes").join(TRASH);
    DirBuilder::new().recursive(true).mode(0o700).create(&trash).map_err(failed)?;
    fs::rename(&from, &to).and_then(|()| atomic::sync_folder(&to)).map_err(failed)
}

/// What the folder of a volume ends with that goes for good.
const GONE: &str = ".gone";

/// Takes a volume out of the trash for good; one that is not there has gone.
///
/// # Errors
/// Its folder cannot be renamed; it is then still whole.
pub fn purge(home: &Path, id: &str) -> Result<(), VolumeError> {
    let from = home.join("volumes").join(trash_name(id));
    let to = gone(home, id);
    match fs::rename(&from, &to).and_then(|()| atomic::sync_folder(&to)) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(VolumeError::Folder { path: to, source })
        }
        _ => Ok(()),
    }
}

/// Returns the ids of volumes that went for good and are not all removed yet.
#[must_use]
pub fn purged(home: &Path) -> Vec<String> {
    let entries = fs::read_dir(home.join("volumes").join(TRASH)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    names.filter_map(|name| Some(name.strip_suffix(GONE)?.to_owned())).collect()
}

/// Removes what is left of a volume that went for good.
///
/// # Errors
/// Something of it cannot be removed; the next command tries again.
pub fn remove_purged(home: &Path, id: &str) -> io::Result<()> {
    match fs::remove_dir_all(gone(home, id)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn gone(home: &Path, id: &str) -> PathBuf {
    home.join("volumes").join(trash_name(id) + GONE)
}
