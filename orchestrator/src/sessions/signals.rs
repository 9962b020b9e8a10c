//! Signals as something to poll: a byte in a pipe for each one that comes.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};
use signal_hook::low_level::{pipe, unregister};

use super::ears;

/// Those that are passed to a command.
pub const FORWARDED: [i32; 6] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2];

/// Those that end a command of ours.
pub const ENDING: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];

/// The size of our terminal changed.
pub const RESIZED: i32 = SIGWINCH;

/// Our terminal is gone.
pub const HUNG_UP: i32 = SIGHUP;

/// Somebody asks us to stop from the keyboard.
pub const INTERRUPT: i32 = SIGINT;

/// Signals that are caught as long as this lives.
#[derive(Debug)]
pub struct Signals(Vec<Caught>);

#[derive(Debug)]
struct Caught {
    signal: i32,
    pipe: UnixStream,
    id: SigId,
}

impl Signals {
    /// Catches `signals` from now on.
    ///
    /// # Errors
    /// The host has no descriptors left, or a signal cannot be caught.
    pub fn catch(signals: &[i32]) -> io::Result<Self> {
        let catch = |signal: &i32| {
            let (reader, writer) = UnixStream::pair()?;
            reader.set_nonblocking(true)?;
            let id = pipe::register(*signal, writer)?;
            Ok(Caught { signal: *signal, pipe: reader, id })
        };
        let caught = signals.iter().map(catch).collect::<io::Result<_>>().map(Self)?;
        // Only now: what is caught before there are pipes would be nobody's.
        ears::open()?;
        Ok(caught)
    }

    /// Returns what becomes readable when a signal comes.
    pub fn pipes(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|caught| caught.pipe.as_fd())
    }

    /// Waits until a signal comes, one of `others` can be read, or the time is over.
    ///
    /// # Errors
    /// The host cannot wait.
    pub fn wait_beside<'a>(
        &'a self,
        others: impl Iterator<Item = BorrowedFd<'a>>,
        time: Duration,
    ) -> io::Result<()> {
        let all = self.pipes().chain(others);
        let mut fds: Vec<PollFd<'_>> =
            all.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        match poll(&mut fds, Some(&time)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the signals that came since the last time, one entry for each time one came.
    pub fn take(&mut self) -> Vec<i32> {
        let mut came = Vec::new();
        for caught in &mut self.0 {
            let mut bytes = [0; 16];
            let count = caught.pipe.read(&mut bytes).unwrap_or(0);
            came.extend(std::iter::repeat_n(caught.signal, count));
        }
        if !came.is_empty() {
            ears::heard();
        }
        came
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for caught in &self.0 {
            unregister(caught.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_that_came_is_told_once() {
        let mut signals = Signals::catch(&[SIGUSR1, SIGUSR2]).unwrap();
        for _ in 0..2 {
            signal_hook::low_level::raise(SIGUSR2).unwrap();
        }
        assert_eq!(signals.take(), [SIGUSR2, SIGUSR2]);
        assert_eq!(signals.take(), [0; 0]);
    }
}
