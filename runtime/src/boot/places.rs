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
        let serial = match &mount.source {
            // Nothing here reads a disk: a folder stands in for it.
            MountSource::Tmpfs { .. } | MountSource::Disk { .. } => None,
            MountSource::Named { serial, .. } => Some(serial),
            MountSource::Share(share) => Some(&share.serial),
        };
        let folder = serial.map(|serial| {
            folders.remove(serial).ok_or_else(|| BootError::Launch {
                why: format!("nothing with the serial {serial} stands in for {}", mount.target),
            })
        });
        let folder = folder.transpose()?;
        places.push(Place { target: mount.target.clone(), folder });
    }
    Ok(places)
}
