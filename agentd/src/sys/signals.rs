//! Signals: those that come are read like bytes, those that go are sent here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Hang-up.
pub(crate) const HUP: u8 = 1;
/// The end that cannot be refused.
pub(crate) const KILL: u8 = 9;
/// Please end.
pub(crate) const TERM: u8 = 15;

/// What a signal says to this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// A child ended.
    Child,
    /// Somebody in the guest wants it to shut down.
    ShutDown,
}

/// Signals as something to wait for and read.
#[derive(Debug)]
pub(crate) struct Signals {
    fd: OwnedFd,
}

impl Signals {
    /// Takes the signals this process answers to; from now on they interrupt nothing.
    pub(crate) fn take() -> io::Result<Self> {
        let set =
            set_of(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2]);
        // SAFETY: `set` lives through the call, which only reads it; no old mask is asked for.
        check(unsafe { libc::sigprocmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) })?;
        let flags = libc::SFD_CLOEXEC | libc::SFD_NONBLOCK;
        // SAFETY: `set` lives through the call, which only reads it.
        let raw = check(unsafe { libc::signalfd(-1, &raw const set, flags) })?;
        // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Returns the next signal that came, or `None`.
    pub(crate) fn next(&self) -> Option<Heard> {
        let mut buffer = [0_u8; size_of::<libc::signalfd_siginfo>()];
        // SAFETY: the buffer is writable for exactly the length that is passed.
        let count =
            unsafe { libc::read(self.fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
        let (number, _) = buffer.split_first_chunk::<4>()?;
        if count <= 0 {
            return None;
        }
        // The first field is the signal's number.
        let is_child = u32::from_ne_bytes(*number).cast_signed() == libc::SIGCHLD;
        Some(if is_child { Heard::Child } else { Heard::ShutDown })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Goes on when somebody hangs up.
pub(crate) fn ignore_hang_up() {
    // SAFETY: to ignore a signal is no function of ours.
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

/// Sends a signal to one process.
pub(crate) fn send(pid: u32, number: u8) -> io::Result<()> {
    send_to(pid_of(pid)?, number)
}

/// Sends a signal to a process group.
pub(crate) fn send_to_group(group: u32, number: u8) -> io::Result<()> {
    send_to(-pid_of(group)?, number)
}

/// Ends every process but this one; for process 1 only.
pub(crate) fn kill_everything() -> io::Result<()> {
    send_to(-1, KILL)
}

fn pid_of(pid: u32) -> io::Result<libc::pid_t> {
    // Zero and one would name this process's own group, or everything.
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 1);
    pid.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
}

fn send_to(target: libc::pid_t, number: u8) -> io::Result<()> {
    // SAFETY: the call takes two integers.
    check(unsafe { libc::kill(target, libc::c_int::from(number)) })?;
    Ok(())
}

fn set_of(numbers: &[libc::c_int]) -> libc::sigset_t {
    // SAFETY: an all-zero set is a valid value of a plain C struct.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    for number in numbers {
        // SAFETY: `set` is a live set; the number is one of the kernel's.
        unsafe { libc::sigaddset(&raw mut set, *number) };
    }
    set
}
