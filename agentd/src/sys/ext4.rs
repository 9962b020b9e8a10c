//! Growing a mounted ext4 file system to the size of its device.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// `_IOW('f', 16, __u64)` of the kernel's ext4 interface.
const EXT4_IOC_RESIZE_FS: libc::c_ulong = 0x4008_6610;

/// Makes the file system that holds this folder `blocks` long.
pub(crate) fn grow(folder: &File, blocks: u64) -> io::Result<()> {
    // SAFETY: the request reads one `u64`, which lives through the call.
    check(unsafe { libc::ioctl(folder.as_raw_fd(), EXT4_IOC_RESIZE_FS, &raw const blocks) })?;
    Ok(())
}
