//! Named volumes: made under a hidden name, marked, renamed when whole.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use schema::name::{ProjectName, VolumeName};
use schema::project::VolumeKind;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::disks::{self, DiskError, Purpose};
use crate::store::atomic;

mod trash;

pub use trash::{is_trashed, purge, purged, remove_purged, trash, trash_name};

/// The name of the marker in a volume's folder.
pub(crate) const MARKER: &str = "volume";

/// The name of the disk in a volume's folder.
const DISK: &str = "disk.raw";

/// The folder of a volume that is one.
const DATA: &str = "data";

/// What a volume's folder holds: its bytes, its files, and the most bytes it may hold.
const USAGE: &str = "usage";

/// A limit that nothing reaches: one may be set later, while guests write.
pub const UNLIMITED: u64 = u64::MAX;

/// Where in that file the limit stands.
const LIMIT_AT: u64 = 16;

/// The folder that stands in for the disk where there is no machine.
const STAND_IN: &str = "process";

/// What a volume's folder says of itself, so that state can be made anew from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// The marker's format.
    pub format: u32,
    /// The volume's id.
    pub id: String,
    /// Its name.
    pub name: VolumeName,
    /// Whose it is.
    pub project_id: Option<String>,
    /// Where its project's file lies.
    #[serde(default)]
    pub project_folder: Option<PathBuf>,
    /// Disk or folder.
    pub kind: VolumeKind,
    /// The size of a disk; of a folder, zero.
    pub size_bytes: u64,
    /// The most that a folder may hold; never, for a disk.
    pub quota_bytes: Option<u64>,
}

/// Why a volume was not made.
#[derive(Debug, Error)]
pub enum VolumeError {
    /// Its folder could not be made.
    #[error("cannot make {}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// Its disk could not be made.
    #[error("cannot make its disk")]
    Disk(#[source] DiskError),
    /// Another volume lies there.
    #[error("{} belongs to another volume", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
}

/// Returns the folder's name of a project's volume; those of nobody have no dot.
#[must_use]
pub fn folder_name(project: &ProjectName, name: &VolumeName) -> String {
    if project.as_str() == ProjectName::ADHOC {
        name.to_string()
    } else {
        format!("{project}.{name}")
    }
}

/// Returns the disk of the volume in `folder`.
#[must_use]
pub fn disk(home: &Path, folder: &str) -> PathBuf {
    home.join("volumes").join(folder).join(DISK)
}

/// Returns the folder that guests see of the volume in `folder`.
#[must_use]
pub fn data(home: &Path, folder: &str) -> PathBuf {
    home.join("volumes").join(folder).join(DATA)
}

/// Returns the file of what the volume in `folder` holds.
#[must_use]
pub fn usage(home: &Path, folder: &str) -> PathBuf {
    home.join("volumes").join(folder).join(USAGE)
}

/// Returns where the bytes of the volume in `folder` lie, disk or folder.
#[must_use]
pub fn content(home: &Path, folder: &str) -> PathBuf {
    let data = data(home, folder);
    if data.is_dir() { data } else { disk(home, folder) }
}

/// Returns what the volume in `folder` occupies on the host; `None` where there is nothing.
#[must_use]
pub fn used(home: &Path, folder: &str) -> Option<u64> {
    let path = content(home, folder);
    path.exists().then(|| disks::occupied(&path))
}

/// Returns the folder that stands in for the disk where there is no machine; makes it.
///
/// # Errors
/// It cannot be made.
pub fn stand_in(home: &Path, folder: &str) -> io::Result<PathBuf> {
    let path = home.join("volumes").join(folder).join(STAND_IN);
    DirBuilder::new().recursive(true).mode(0o700).create(&path)?;
    Ok(path)
}

/// Returns the marker of the volume in `folder`.
#[must_use]
pub fn marker(home: &Path, folder: &str) -> Option<Marker> {
    let path = home.join("volumes").join(folder).join(MARKER);
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

/// Makes a volume, whole or not at all; one with the same marker is there already.
///
/// # Errors
/// Nothing new is left, or somebody else's volume lies there.
pub fn make(home: &Path, folder: &str, wanted: &Marker) -> Result<(), VolumeError> {
    let path = home.join("volumes").join(folder);
    match marker(home, folder) {
        Some(there) if there.id == wanted.id => return Ok(()),
        Some(_) => return Err(VolumeError::Foreign { path }),
        None => {}
    }
    let hidden = hidden(home, folder);
    let failed = |source| VolumeError::Folder { path: hidden.clone(), source };
    remove_unfinished(home, folder).map_err(failed)?;
    DirBuilder::new().mode(0o700).create(&hidden).map_err(failed)?;
    let made = furnish(home, &hidden, wanted).and_then(|()| {
        fs::rename(&hidden, &path)
            .and_then(|()| atomic::sync_folder(&path))
            .map_err(|source| VolumeError::Folder { path: path.clone(), source })
    });
    if made.is_err() {
        // It is new and empty, also where it has its name and only that could not be made durable.
        let is_ours = marker(home, folder).is_some_and(|there| there.id == wanted.id);
        for path in [Some(hidden), is_ours.then_some(path)].into_iter().flatten() {
            drop(fs::remove_dir_all(path));
        }
    }
    made
}

/// Makes the disk of a volume larger; one that is large enough stays as it is.
///
/// The file system follows when a guest mounts it.
///
/// # Errors
/// A machine uses it, or the host does not let it grow.
pub fn grow(home: &Path, folder: &str, bytes: u64) -> Result<(), VolumeError> {
    let path = disk(home, folder);
    disks::grow(&path, bytes).map_err(VolumeError::Disk)?;
    let Some(marker) = marker(home, folder) else { return Ok(()) };
    let marker = serde_json::to_vec(&Marker { size_bytes: bytes, ..marker });
    marker
        .map_err(io::Error::other)
        .and_then(|marker| atomic::write(&path.with_file_name(MARKER), &marker))
        .map_err(|source| VolumeError::Folder { path, source })
}

/// Sets the most that a volume may hold; machines that have it mounted heed it from now on.
///
/// # Errors
/// It cannot be written down.
pub fn limit(home: &Path, folder: &str, quota_bytes: Option<u64>) -> Result<(), VolumeError> {
    use std::os::unix::fs::FileExt as _;
    let path = usage(home, folder);
    let failed = |source| VolumeError::Folder { path: path.clone(), source };
    let Some(marker) = marker(home, folder) else { return Ok(()) };
    let bytes = serde_json::to_vec(&Marker { quota_bytes, ..marker });
    bytes
        .map_err(io::Error::other)
        .and_then(|marker| atomic::write(&path.with_file_name(MARKER), &marker))
        .map_err(failed)?;
    // Nobody has mounted it yet where there is no such file.
    match fs::OpenOptions::new().write(true).open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
        Ok(file) => {
            let limit = quota_bytes.unwrap_or(UNLIMITED);
            file.write_all_at(&limit.to_ne_bytes(), LIMIT_AT).map_err(failed)
        }
    }
}

/// Gives a volume another name, and the folder that goes with it.
///
/// # Errors
/// Its folder cannot be renamed, or another volume lies there.
pub fn rename(
    home: &Path,
    id: &str,
    from: &str,
    (to, name): (&str, &VolumeName),
) -> Result<(), VolumeError> {
    relabel(home, id, (from, to), |marker| Marker { name: name.clone(), ..marker })
}

/// Gives a volume another owner and name, and the folder that goes with them.
///
/// # Errors
/// Its folder cannot be renamed, or another volume lies there.
pub fn give(
    home: &Path,
    id: &str,
    from: &str,
    (to, name): (&str, &VolumeName),
    (project_id, project_folder): (&str, &Path),
) -> Result<(), VolumeError> {
    relabel(home, id, (from, to), |marker| Marker {
        name: name.clone(),
        project_id: Some(project_id.to_owned()),
        project_folder: Some(project_folder.to_path_buf()),
        ..marker
    })
}

/// Writes the marker first: whoever finds the folder under its new name finds it whole.
fn relabel(
    home: &Path,
    id: &str,
    (from, to): (&str, &str),
    edit: impl FnOnce(Marker) -> Marker,
) -> Result<(), VolumeError> {
    let path = home.join("volumes").join(to);
    match marker(home, to) {
        Some(there) if there.id == id => return Ok(()),
        Some(_) => return Err(VolumeError::Foreign { path }),
        None => {}
    }
    let failed = |source| VolumeError::Folder { path: path.clone(), source };
    let old = home.join("volumes").join(from);
    if let Some(marker) = marker(home, from) {
        let marker = serde_json::to_vec(&edit(marker));
        let marker = marker.map_err(|error| failed(io::Error::other(error)))?;
        atomic::write(&old.join(MARKER), &marker).map_err(failed)?;
    }
    fs::rename(&old, &path).and_then(|()| atomic::sync_folder(&path)).map_err(failed)
}

/// Says in a volume's folder where its project's file lies.
///
/// # Errors
/// It cannot be written.
pub fn tie(home: &Path, folder: &str, project_folder: &Path) -> Result<(), VolumeError> {
    let Some(marker) = marker(home, folder) else { return Ok(()) };
    let path = home.join("volumes").join(folder).join(MARKER);
    let marker = Marker { project_folder: Some(project_folder.to_path_buf()), ..marker };
    serde_json::to_vec(&marker)
        .map_err(io::Error::other)
        .and_then(|bytes| atomic::write(&path, &bytes))
        .map_err(|source| VolumeError::Folder { path, source })
}

/// Removes what a making that was cut off has left.
///
/// # Errors
/// It cannot be removed.
pub fn remove_unfinished(home: &Path, folder: &str) -> io::Result<()> {
    match fs::remove_dir_all(hidden(home, folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn hidden(home: &Path, folder: &str) -> PathBuf {
    home.join("volumes").join(format!(".{folder}.making"))
}

fn furnish(home: &Path, folder: &Path, wanted: &Marker) -> Result<(), VolumeError> {
    let failed = |source| VolumeError::Folder { path: folder.to_owned(), source };
    match wanted.kind {
        VolumeKind::Disk => {
            disks::make(home, Purpose::Volume, wanted.size_bytes, &folder.join(DISK))
                .map_err(VolumeError::Disk)?;
        }
        VolumeKind::Dir => {
            DirBuilder::new().mode(0o700).create(folder.join(DATA)).map_err(failed)?;
        }
    }
    let marker = serde_json::to_vec(wanted).map_err(io::Error::other);
    marker.and_then(|marker| atomic::write(&folder.join(MARKER), &marker)).map_err(failed)
}
