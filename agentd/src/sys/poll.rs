//! Waiting for whichever descriptor is ready first.

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Interest {
    /// Something can be read, or the other side is gone.
    Read,
    /// Something can be written.
    Write,
    /// Either.
    Both,
    /// A file of the kernel says that it changed.
    Change,
}

/// A place in a [`PollSet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot(usize);

/// Descriptors to wait for, made anew for each wait.
#[derive(Debug, Default)]
pub(crate) struct PollSet {
    entries: Vec<libc::pollfd>,
}

impl PollSet {
    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds a descriptor; it must stay open until the wait is over.
    pub(crate) fn add(&mut self, fd: impl AsFd, interest: Interest) -> Slot {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::Both => libc::POLLIN | libc::POLLOUT,
            Interest::Change => libc::POLLPRI,
        };
        self.entries.push(libc::pollfd { fd: fd.as_fd().as_raw_fd(), events, revents: 0 });
        Slot(self.entries.len() - 1)
    }

    /// Waits until one is ready or the time is over; `None` waits without end.
    pub(crate) fn wait(&mut self, timeout_ms: Option<u64>) -> io::Result<()> {
        let timeout =
            timeout_ms.map_or(-1, |ms| libc::c_int::try_from(ms).unwrap_or(libc::c_int::MAX));
        let count = libc::nfds_t::try_from(self.entries.len()).unwrap_or(0);
        // SAFETY: the entries are a live array of exactly that length. A descriptor that was
        // closed meanwhile is answered with an event, not with harm.
        let answer = unsafe { libc::poll(self.entries.as_mut_ptr(), count, timeout) };
        if answer >= 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() == io::ErrorKind::Interrupted {
            for entry in &mut self.entries {
                entry.revents = 0;
            }
            return Ok(());
        }
        Err(error)
    }

    /// Tells whether a read would return at once, with bytes, the end or an error.
    pub(crate) fn can_read(&self, slot: Slot) -> bool {
        self.has(slot, libc::POLLIN | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL)
    }

    /// Tells whether a write would return at once, with progress or an error.
    pub(crate) fn can_write(&self, slot: Slot) -> bool {
        self.has(slot, libc::POLLOUT | libc::POLLHUP | libc::POLLERR | libc::POLLNVAL)
    }

    /// Tells whether a file of the kernel changed.
    pub(crate) fn has_changed(&self, slot: Slot) -> bool {
        self.has(slot, libc::POLLPRI)
    }

    fn has(&self, slot: Slot, events: libc::c_short) -> bool {
        self.entries.get(slot.0).is_some_and(|entry| entry.revents & events != 0)
    }
}

/// Does nothing for a while.
pub(crate) fn pause(ms: u64) {
    // The only way this fails is by an argument that is never passed here.
    drop(PollSet::default().wait(Some(ms)));
}
