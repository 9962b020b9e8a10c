//! The kernel's random numbers.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

use super::check;

/// `_IOW('R', 0x03, int[2])` of the kernel's random interface.
const RNDADDENTROPY: libc::c_ulong = 0x4008_5203;

/// `_IO('R', 0x07)` of the kernel's random interface.
const RNDRESEEDCRNG: libc::c_ulong = 0x5207;

/// The most that is credited at once.
const POOL_BYTES: usize = 64;

/// What the kernel takes: how much it may believe, how long it is, the bytes.
#[repr(C)]
struct PoolInfo {
    entropy_bits: libc::c_int,
    length: libc::c_int,
    bytes: [u8; POOL_BYTES],
}

/// Credits bytes to the kernel's pool and makes its generator start from it anew.
pub(crate) fn add_entropy(bytes: &[u8]) -> io::Result<()> {
    let mut info = PoolInfo { entropy_bits: 0, length: 0, bytes: [0; POOL_BYTES] };
    let count = bytes.len().min(POOL_BYTES);
    let too_long = |_| io::Error::from_raw_os_error(libc::EINVAL);
    info.length = libc::c_int::try_from(count).map_err(too_long)?;
    info.entropy_bits = info.length * 8;
    for (to, from) in info.bytes.iter_mut().zip(bytes) {
        *to = *from;
    }
    let device = File::options().write(true).open("/dev/urandom")?;
    // SAFETY: the request reads the two integers and as many bytes as the second one says, all
    // of which are inside `info`.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const info) })?;
    // SAFETY: the request takes nothing.
    check(unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG, 0) })?;
    Ok(())
}
