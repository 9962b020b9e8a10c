//! Step `pivot`: what was put together becomes `/`, with the kernel's file systems in it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::root::NEW_ROOT;
use super::{Attempt as _, Booting, StepError};
use crate::log::note;
use crate::sys::mount::{Flags, change_root, mount, move_to};

const HARMLESS: Flags = Flags::NO_SUID.and(Flags::NO_DEV);
const INERT: Flags = HARMLESS.and(Flags::NO_EXEC);

/// What is mounted in the new root: type, place, how, options.
const FILE_SYSTEMS: [(&str, &str, Flags, &str); 6] = [
    ("devpts", "/dev/pts", Flags::NO_SUID.and(Flags::NO_EXEC), "gid=5,mode=620,ptmxmode=666"),
    ("tmpfs", "/dev/shm", HARMLESS, "size=50%,mode=1777"),
    ("mqueue", "/dev/mqueue", INERT, ""),
    ("cgroup2", "/sys/fs/cgroup", INERT, "nsdelegate"),
    ("tmpfs", "/run", HARMLESS, "size=64m,mode=755"),
    ("tmpfs", "/.msb", HARMLESS, "size=16m,mode=755"),
];

/// What programs expect in `/dev` beside devices.
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
];

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let new_root = Path::new(NEW_ROOT);
    for name in ["dev", "proc", "sys"] {
        let (from, to) = (Path::new("/").join(name), new_root.join(name));
        make_folder(&to)?;
        move_to(&from, &to).attempt(|| format!("moving {}", from.display()))?;
    }
    // The program itself stays alive until the end; its name only costs memory.
    drop(fs::remove_file("/init"));
    std::env::set_current_dir(new_root).attempt(|| format!("entering {NEW_ROOT}"))?;
    move_to(Path::new("."), Path::new("/")).attempt(|| "moving the root".into())?;
    change_root(Path::new(".")).attempt(|| "changing the root".into())?;
    for (fstype, target, flags, options) in FILE_SYSTEMS {
        mount_at(fstype, target, flags, options)?;
    }
    for (original, link) in LINKS {
        symlink(original, link).attempt(|| format!("linking {link}"))?;
    }
    if booting.record.root.upper.is_none() && booting.held.root_disks.is_empty() {
        mount_at("tmpfs", "/tmp", HARMLESS, "mode=1777")?;
    }
    Ok(())
}

fn mount_at(fstype: &str, target: &str, flags: Flags, options: &str) -> Result<(), StepError> {
    match make_folder(Path::new(target)) {
        // A root that is not written and has no such folder goes without.
        Err(StepError::Kernel { source, .. })
            if source.kind() == io::ErrorKind::ReadOnlyFilesystem =>
        {
            note!("there is no {target} in a root that is read-only");
            return Ok(());
        }
        answer => answer?,
    }
    mount(fstype, Path::new(target), fstype, flags, options)
        .attempt(|| format!("mounting {fstype} at {target}"))
}

/// Makes a folder, unless there is one.
fn make_folder(path: &Path) -> Result<(), StepError> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // A root that cannot be written may still have the folder: the kernel says so first.
        Err(_) if path.is_dir() => Ok(()),
        answer => answer.attempt(|| format!("making {}", path.display())),
    }
}
