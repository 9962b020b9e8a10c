//! Descriptors that came with the process.

use std::io;
use std::os::fd::{AsFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::sync::Mutex;

/// Numbers that were taken already, so that no descriptor gets two owners.
static TAKEN: Mutex<Vec<RawFd>> = Mutex::new(Vec::new());

/// Takes ownership of a descriptor that this process was started with, once.
///
/// It is closed on exec from here on.
///
/// # Errors
/// It is not open, or it was taken before.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    let mut taken = TAKEN.lock().map_err(|_| io::Error::other("a taker of descriptors died"))?;
    if number < 3 || taken.contains(&number) {
        return Err(io::Error::from(io::ErrorKind::AlreadyExists));
    }
    // SAFETY: `fcntl` with integers touches no memory of ours.
    let set = unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    taken.push(number);
    // SAFETY: it is open, came from the parent, and the list above gives it one owner only.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes every descriptor above standard error that is not in `keep`.
///
/// Must be called before anything else in the process opens one.
///
/// # Errors
/// The kernel is older than 5.9.
pub(crate) fn close_others(keep: &[RawFd]) -> io::Result<()> {
    let mut sorted: Vec<u32> = keep.iter().filter_map(|fd| u32::try_from(*fd).ok()).collect();
    sorted.sort_unstable();
    let mut first = 3;
    for fd in sorted {
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = first.max(fd + 1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> io::Result<()> {
    // SAFETY: the caller's contract: nobody owns a descriptor of the range yet.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Returns a copy of standard error, closed on exec.
///
/// # Errors
/// There is none.
pub(crate) fn standard_error() -> io::Result<OwnedFd> {
    io::stderr().as_fd().try_clone_to_owned()
}
