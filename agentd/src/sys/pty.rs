//! Terminals made here for commands that want one.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use super::check;

/// `_IO('T', 0x41)`: the other side of a terminal, without a path.
const TIOCGPTPEER: libc::c_ulong = 0x5441;

/// A new terminal.
#[derive(Debug)]
pub(crate) struct Pty {
    /// Our side.
    pub(crate) master: OwnedFd,
    /// The command's side.
    pub(crate) slave: OwnedFd,
}

impl Pty {
    /// Makes a terminal of this size; it does not become ours to be interrupted from.
    pub(crate) fn open(rows: u16, cols: u16) -> io::Result<Self> {
        let master = OwnedFd::from(File::options().read(true).write(true).open("/dev/ptmx")?);
        let unlocked: libc::c_int = 0;
        // SAFETY: the request reads one `int`, which lives through the call.
        check(unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked) })?;
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        // SAFETY: the request takes an integer and touches no memory of ours.
        let raw = check(unsafe { libc::ioctl(master.as_raw_fd(), TIOCGPTPEER, flags) })?;
        // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
        let slave = unsafe { OwnedFd::from_raw_fd(raw) };
        resize(&master, rows, cols)?;
        Ok(Self { master, slave })
    }

    /// Gives the command's side to a user, as a login would.
    pub(crate) fn give_to(&self, uid: u32) -> io::Result<()> {
        std::os::unix::fs::fchown(&self.slave, Some(uid), None)
    }
}

/// Sets the size of a terminal, which tells its foreground processes.
pub(crate) fn resize(master: impl AsFd, rows: u16, cols: u16) -> io::Result<()> {
    let size = libc::winsize { ws_row: rows, ws_col: cols, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the request reads one `winsize`, which lives through the call.
    check(unsafe { libc::ioctl(master.as_fd().as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
}
