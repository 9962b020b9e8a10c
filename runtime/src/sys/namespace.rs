//! New namespaces, and what holds for a mount.

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};

use rustix::mount::MountAttrFlags;
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Moves this process into namespaces of its own; into one of users too where `users` says so.
///
/// # Errors
/// The host does not allow it, or this process has several threads.
pub(crate) fn unshare(users: bool) -> io::Result<()> {
    let mut flags = UnshareFlags::NEWNS
        | UnshareFlags::NEWNET
        | UnshareFlags::NEWIPC
        | UnshareFlags::NEWUTS
        | UnshareFlags::NEWCGROUP;
    if users {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: descriptors stay shared, which is what could be unsound.
    Ok(unsafe { unshare_unsafe(flags) }?)
}

/// Sets attributes of a mount, and of those below it where `all` says so.
///
/// # Errors
/// The kernel is older than 5.12, or the mount is somebody else's.
pub(crate) fn set_mount(mount: BorrowedFd<'_>, set: MountAttrFlags, all: bool) -> io::Result<()> {
    let attributes =
        libc::mount_attr { attr_set: set.bits().into(), attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if all { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path ends with a zero, the attributes live through the call and are as long as is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
