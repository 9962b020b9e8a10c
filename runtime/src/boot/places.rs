//! What stands in for mounts where there is no machine.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use schema::launch::{Mount, MountSource};

use super::BootError;
use crate::hypervisor::Place;

/// Returns what appears in the scratch root; `folders` are by serial.
pub(super) fn places(
    mounts: &[Mount],
    mut folders: BTreeMap<String, OwnedFd>,
) -> Result<Vec<Place>, BootError> {
    let mut places = Vec::new();
    for mount in mounts {
        let folder = match &mount.source {
            MountSource::Tmpfs { .. } => None,
            MountSource::Named { serial, volume } => {
                let folder = folders.remove(serial);
                let folder = folder.ok_or_else(|| BootError::Launch {
                    why: format!("volume {volume} has no folder with the serial {serial}"),
                })?;
                Some(folder)
            }
        };
        places.push(Place { target: mount.target.clone(), folder });
    }
    Ok(places)
}
