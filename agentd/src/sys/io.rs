//! Descriptors: pipes, modes, and how much waits in one.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::check;

/// Returns a new pipe, closed on exec: the end to read, the end to write.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends: [RawFd; 2] = [-1; 2];
    // SAFETY: `ends` has room for the two descriptors that the call writes.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) })?;
    let [read, write] = ends;
    // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
    let read = unsafe { OwnedFd::from_raw_fd(read) };
    // SAFETY: as above, for the other end.
    let write = unsafe { OwnedFd::from_raw_fd(write) };
    Ok((read, write))
}

/// Makes reads and writes of this descriptor return at once.
pub(crate) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let raw = fd.as_fd().as_raw_fd();
    // SAFETY: the descriptor is borrowed, so it is open; the call takes integers.
    let flags = check(unsafe { libc::fcntl(raw, libc::F_GETFL) })?;
    // SAFETY: as above.
    check(unsafe { libc::fcntl(raw, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Makes a pipe hold so many bytes.
pub(crate) fn set_pipe_size(end: impl AsFd, bytes: i32) -> io::Result<()> {
    // SAFETY: the descriptor is borrowed, so it is open; the call takes integers.
    check(unsafe { libc::fcntl(end.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes) })?;
    Ok(())
}

/// Returns how many bytes can be read without waiting.
pub(crate) fn available(fd: impl AsFd) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the request writes one `int`, which lives through the call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    Ok(u64::try_from(bytes).unwrap_or(0))
}

/// Reads what is there, up to the length of `buffer`.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is writable for exactly the length that is passed.
    let count = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Writes as much of `bytes` as is taken.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is readable for exactly the length that is passed.
    let count = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(count).map_err(|_| io::Error::last_os_error())
}

/// Tells whether a call of the kernel was interrupted, or what it was about is there no more.
pub(crate) fn is_gone_or_interrupted(error: &io::Error) -> bool {
    let passing = [libc::ENOENT, libc::EINTR, libc::EAGAIN];
    error.raw_os_error().is_some_and(|errno| passing.contains(&errno))
}

/// Takes over a descriptor that this process was started with, and closes it on exec.
///
/// # Errors
/// No descriptor of that number is open, or it is one of the standard three.
pub(crate) fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the call takes integers; a number that is not open is answered with an error.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and the command line hands it to this function alone, once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
