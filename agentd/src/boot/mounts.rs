//! Step `mounts`: what the file mounts over the root, parents first.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, chown};
use std::path::{Component, Path};

use schema::wire::boot::{Mount, MountSource};

use super::root::mount_disk;
use super::{Attempt as _, Booting, StepError};
use crate::sys::mount::{Flags, bind, mount};
use crate::users::{Identity, Users};

/// What an ext4 that was just made holds.
const FRESH: &str = "lost+found";

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let mut mounts = std::mem::take(&mut booting.record.mounts);
    mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
    say_user(booting)?;
    for mount in &mounts {
        make(booting, mount)?;
        booting.held.mounts.push(mount.target.clone().into());
    }
    booting.record.mounts = mounts;
    Ok(())
}

fn make(booting: &mut Booting, wanted: &Mount) -> Result<(), StepError> {
    let target = checked(&wanted.target)?;
    match wanted.source {
        MountSource::Share { is_file: true, .. } => make_file(target)?,
        _ => make_folder(target)?,
    }
    let restricted = booting.record.restricted;
    let flags = Flags::NONE
        .and_if(wanted.noexec, Flags::NO_EXEC)
        .and_if(wanted.nosuid || restricted, Flags::NO_SUID)
        .and_if(wanted.nodev || restricted, Flags::NO_DEV);
    match &wanted.source {
        MountSource::Disk { serial, fstype, own_when_empty } => {
            let mut device = booting.device(serial)?.clone();
            device.read_only |= wanted.read_only;
            let written =
                mount_disk(&device, fstype.as_deref().unwrap_or_default(), &wanted.target, flags)?;
            if let Some(root) = written {
                booting.watch_disk(&device, &root);
                if *own_when_empty {
                    own(booting, target)?;
                }
            }
            Ok(())
        }
        MountSource::Share { index, is_file } => {
            let shares = booting.shares.as_ref();
            let shares = shares.ok_or_else(|| StepError::Record("no folder is shared".into()))?;
            let flags = flags.and_if(wanted.read_only, Flags::READ_ONLY);
            bind(&shares.path(*index, *is_file), target, flags)
                .attempt(|| format!("mounting share {index} at {}", wanted.target))
        }
        MountSource::Tmpfs { size_bytes, mode } => {
            let size = size_bytes.map_or_else(|| "50%".into(), |bytes| bytes.to_string());
            let options = format!("size={size},mode={mode:o}");
            let flags = flags.and_if(wanted.read_only, Flags::READ_ONLY);
            mount("tmpfs", target, "tmpfs", flags, &options)
                .attempt(|| format!("mounting tmpfs at {}", wanted.target))
        }
    }
}

/// Says whose the shared folders are, before the first of them is looked at.
fn say_user(booting: &Booting) -> Result<(), StepError> {
    let Some(shares) = &booting.shares else { return Ok(()) };
    let who = user(booting)?;
    shares.say_user(who.uid, who.gid).attempt(|| "speaking to who shares the folders".into())
}

fn user(booting: &Booting) -> Result<Identity, StepError> {
    let spec = booting.record.user.as_deref().unwrap_or("0");
    Users::read().resolve(spec).map_err(|error| StepError::Record(error.to_string()))
}

fn make_folder(target: &Path) -> Result<(), StepError> {
    if target.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(target)
        .attempt(|| format!("making {}", target.display()))
}

/// Makes the file that another one will be seen in place of.
fn make_file(target: &Path) -> Result<(), StepError> {
    if target.is_dir() {
        let target = target.display();
        return Err(StepError::Record(format!(
            "{target} is a folder, and a file is mounted there"
        )));
    }
    if target.exists() {
        return Ok(());
    }
    if let Some(parent) = target.parent() {
        make_folder(parent)?;
    }
    let made = fs::File::options().write(true).create_new(true).mode(0o644).open(target);
    made.map(drop).attempt(|| format!("making {}", target.display()))
}

/// Refuses a target that is not one absolute path below the root.
fn checked(target: &str) -> Result<&Path, StepError> {
    let path = Path::new(target);
    let is_plain = |part| matches!(part, Component::RootDir | Component::Normal(_));
    if path.is_absolute() && path.parent().is_some() && path.components().all(is_plain) {
        return Ok(path);
    }
    Err(StepError::Record(format!("nothing can be mounted at `{target}`")))
}

/// Gives a new volume to the sandbox's user.
fn own(booting: &Booting, folder: &Path) -> Result<(), StepError> {
    if !is_fresh(folder).attempt(|| format!("listing {}", folder.display()))? {
        return Ok(());
    }
    let who = user(booting)?;
    chown(folder, Some(who.uid), Some(who.gid))
        .attempt(|| format!("giving {} to its user", folder.display()))
}

fn is_fresh(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        if entry?.file_name() != FRESH {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_absolute_paths_are_targets() {
        for target in ["/data", "/var/lib/x"] {
            assert!(checked(target).is_ok(), "{target}");
        }
        for target in ["data", "/", "", "/a/../b"] {
            assert!(checked(target).is_err(), "{target}");
        }
    }
}
