//! Mounting and its opposite.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{c_string, check};

/// Opens a folder or file to name it, and does nothing else with it.
pub(crate) const NAME_ONLY: libc::c_int = libc::O_PATH;

/// How a file system is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flags(libc::c_ulong);

impl Flags {
    /// Nothing special.
    pub(crate) const NONE: Self = Self(0);
    /// Nothing is written.
    pub(crate) const READ_ONLY: Self = Self(libc::MS_RDONLY);
    /// No program is run from it.
    pub(crate) const NO_EXEC: Self = Self(libc::MS_NOEXEC);
    /// Set-user-id bits are ignored.
    pub(crate) const NO_SUID: Self = Self(libc::MS_NOSUID);
    /// Device nodes are ignored.
    pub(crate) const NO_DEV: Self = Self(libc::MS_NODEV);
    /// Reading does not change access times.
    pub(crate) const NO_ATIME: Self = Self(libc::MS_NOATIME);

    /// Returns both together.
    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns both together where `condition` holds.
    pub(crate) const fn and_if(self, condition: bool, other: Self) -> Self {
        if condition { self.and(other) } else { self }
    }
}

/// Mounts a file system.
pub(crate) fn mount(
    source: &str,
    target: &Path,
    fstype: &str,
    flags: Flags,
    options: &str,
) -> io::Result<()> {
    let (source, target) = (c_string(source)?, path(target)?);
    let (fstype, options) = (c_string(fstype)?, c_string(options)?);
    // SAFETY: all four texts end with a zero and live through the call.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            target.as_ptr(),
            fstype.as_ptr(),
            flags.0,
            options.as_ptr().cast(),
        )
    })?;
    Ok(())
}

/// Moves what is mounted at one place to another.
pub(crate) fn move_to(from: &Path, to: &Path) -> io::Result<()> {
    change(Some(from), to, libc::MS_MOVE)
}

/// Shows at one place what is mounted at another, with flags of its own.
pub(crate) fn bind(from: &Path, to: &Path, flags: Flags) -> io::Result<()> {
    change(Some(from), to, libc::MS_BIND)?;
    if flags == Flags::NONE {
        return Ok(());
    }
    change(None, to, libc::MS_REMOUNT | libc::MS_BIND | flags.0)
}

/// Ends the connection of a file system that another process serves: who waits for it gets an error.
pub(crate) fn abort(root: impl AsFd) -> io::Result<()> {
    let target = path(&path_of(root))?;
    // SAFETY: the text ends with a zero and lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), libc::MNT_FORCE) })?;
    Ok(())
}

/// Returns the path under which the kernel knows what a descriptor names.
pub(crate) fn path_of(fd: impl AsFd) -> std::path::PathBuf {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd()).into()
}

/// Makes what is mounted here read-only, for everybody who has it mounted.
pub(crate) fn make_read_only(target: &Path) -> io::Result<()> {
    change(None, target, libc::MS_REMOUNT | libc::MS_RDONLY)
}

/// Makes the mount whose root folder this is read-only, also where no path leads to it.
pub(crate) fn make_read_only_at(root: impl AsFd) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed, so it is open.
    check(unsafe { libc::fchdir(root.as_fd().as_raw_fd()) })?;
    let made = make_read_only(Path::new("."));
    std::env::set_current_dir("/").and(made)
}

/// Unmounts what nobody uses.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let target = path(target)?;
    // SAFETY: the text ends with a zero and lives through the call.
    check(unsafe { libc::umount2(target.as_ptr(), 0) })?;
    Ok(())
}

/// Makes this folder the root of this process and of its children.
pub(crate) fn change_root(to: &Path) -> io::Result<()> {
    std::os::unix::fs::chroot(to)?;
    std::env::set_current_dir("/")
}

fn change(source: Option<&Path>, target: &Path, flags: libc::c_ulong) -> io::Result<()> {
    let source = source.map(path).transpose()?;
    let source_text = source.as_ref().map_or(std::ptr::null(), |text| text.as_ptr());
    let target = path(target)?;
    // SAFETY: both texts end with a zero and live through the call; a null source, type and
    // options are what these flags ask for.
    check(unsafe {
        libc::mount(source_text, target.as_ptr(), std::ptr::null(), flags, std::ptr::null())
    })?;
    Ok(())
}

fn path(path: &Path) -> io::Result<CString> {
    c_string(path.as_os_str().as_bytes())
}
