//! The second layer: a root that is empty but for the numbers of open descriptors.
//!
//! A descriptor of a folder leads up to everything above it. So each folder becomes a mount of
//! its own that hangs nowhere: above its top there is nothing. What is opened again by its
//! descriptor needs `/proc/self/fd`, which is all that the new root has.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, fstat, mkdirat, openat, readlink, symlinkat};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags, fsconfig_create, fsconfig_set_string, fsmount, fsopen,
    mount_change, move_mount, open_tree, unmount,
};
use rustix::process::{chdir, fchdir, pivot_root};

use super::namespaces::Own;
use super::{Access, Folder, Place, Use};
use crate::sys;

/// What nothing here is ever used for.
const NEVER: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Where the descriptors of this process are named.
const DESCRIPTORS: &str = "proc/self/fd";

/// Leaves the host's root behind; the folders stay, by other descriptors.
///
/// Every process with the old root in the same namespace would get the new one, so there must be
/// no other: that is what `_own` proves.
pub(super) fn leave(_own: &Own, folders: &mut [Folder], places: &[Place]) -> io::Result<()> {
    // What is mounted here from now on appears nowhere else, and nothing appears here.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    for folder in folders.iter_mut() {
        folder.fd = alone(folder.fd.as_fd(), folder.access)?;
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let descriptors = open_tree(CWD, format!("/{DESCRIPTORS}"), clone)?;
    let trees = places.iter().map(tree).collect::<io::Result<Vec<_>>>()?;
    let root = empty()?;
    let from_here = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&root, "", CWD, "/", from_here)?;
    move_mount(&descriptors, "", &root, DESCRIPTORS, from_here)?;
    for (place, tree) in places.iter().zip(trees) {
        appear(&root, place, &tree)?;
    }
    fchdir(&root)?;
    // The old root comes to lie above the new one, under one name, and goes.
    pivot_root(".", ".")?;
    unmount(".", UnmountFlags::DETACH)?;
    chdir("/")?;
    sys::set_mount(root.as_fd(), MountAttrFlags::MOUNT_ATTR_RDONLY, false)
}

/// Returns a folder as a mount that hangs nowhere.
fn alone(folder: BorrowedFd<'_>, access: Access) -> io::Result<OwnedFd> {
    // Only what is mounted in our own namespace can be mounted again, so the folder is found
    // once more by where it lies, and must be the same.
    let path = readlink(format!("/{DESCRIPTORS}/{}", folder.as_raw_fd()), Vec::new())?;
    let path = Path::new(OsStr::from_bytes(path.as_bytes()));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = openat(CWD, path, flags, Mode::empty())?;
    let (was, is) = (fstat(folder)?, fstat(&found)?);
    if (was.st_dev, was.st_ino) != (is.st_dev, is.st_ino) {
        return Err(io::Error::other(format!("{} is another folder by now", path.display())));
    }
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(&found, "", clone)?;
    let attributes = match access {
        Access::Read => NEVER | MountAttrFlags::MOUNT_ATTR_RDONLY,
        Access::Change | Access::Files => NEVER,
    };
    sys::set_mount(tree.as_fd(), attributes, true)?;
    Ok(tree)
}

/// Returns a place as a mount that hangs nowhere.
fn tree(place: &Place) -> io::Result<OwnedFd> {
    // What is mounted below comes along: a part of it alone nobody but its mounter may have.
    let clone = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = open_tree(CWD, &place.path, clone)?;
    let attributes = match place.of {
        Use::Programs => {
            MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
        }
        Use::Device => MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC,
    };
    sys::set_mount(tree.as_fd(), attributes, true)?;
    Ok(tree)
}

/// Puts a place under its name; programs find what they load under the short names too.
fn appear(root: &OwnedFd, place: &Place, tree: &OwnedFd) -> io::Result<()> {
    let name = place.path.strip_prefix("/").map_err(io::Error::other)?;
    let above: Vec<&Path> = name.ancestors().skip(1).collect();
    for folder in above.into_iter().rev().filter(|folder| !folder.as_os_str().is_empty()) {
        made(mkdirat(root, folder, Mode::from_raw_mode(0o755)))?;
    }
    match place.of {
        Use::Programs => {
            made(mkdirat(root, name, Mode::from_raw_mode(0o755)))?;
            for short in ["bin", "lib", "lib32", "lib64", "libx32", "sbin"] {
                let is_usr = place.path == Path::new(USR);
                if is_usr && readlink(format!("/{short}"), Vec::new()).is_ok() {
                    made(symlinkat(format!("usr/{short}"), root, short))?;
                }
            }
        }
        Use::Device => {
            let flags = OFlags::CREATE | OFlags::WRONLY | OFlags::CLOEXEC;
            drop(openat(root, name, flags, Mode::from_raw_mode(0o644))?);
        }
    }
    move_mount(tree, "", root, name, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}

/// Where programs of a distribution lie.
const USR: &str = "/usr";

/// What is there already was made for another place.
fn made(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// Makes a root with one empty folder.
fn empty() -> io::Result<OwnedFd> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in [("size", "64k"), ("nr_inodes", "64"), ("mode", "0755")] {
        fsconfig_set_string(context.as_fd(), key, value)?;
    }
    fsconfig_create(context.as_fd())?;
    let root = fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, NEVER)?;
    let mut path = String::new();
    for name in DESCRIPTORS.split('/') {
        path.push_str(name);
        mkdirat(&root, &path, Mode::from_raw_mode(0o755))?;
        path.push('/');
    }
    Ok(root)
}
