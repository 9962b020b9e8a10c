//! Which descriptors are waited for, each by a number that says whose it is.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

/// How many events are taken at once.
const EVENTS: usize = 256;

/// What is waited for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Interest {
    pub(super) read: bool,
    pub(super) write: bool,
}

impl Interest {
    pub(super) const READ: Self = Self { read: true, write: false };

    const fn is_none(self) -> bool {
        !self.read && !self.write
    }

    fn flags(self) -> epoll::EventFlags {
        let mut flags = epoll::EventFlags::empty();
        flags.set(epoll::EventFlags::IN, self.read);
        flags.set(epoll::EventFlags::OUT, self.write);
        flags
    }
}

/// Something happened to a descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) token: u64,
    pub(super) writable: bool,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    epoll: OwnedFd,
    /// What is waited for now. A descriptor that nothing is waited for is not in the set at all:
    /// the kernel would tell of its end again and again.
    known: HashMap<u64, Interest>,
}

impl Watch {
    pub(super) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, known: HashMap::new() })
    }

    /// Says what is waited for from now on.
    pub(super) fn set(
        &mut self,
        token: u64,
        fd: BorrowedFd<'_>,
        interest: Interest,
    ) -> io::Result<()> {
        let before = self.known.get(&token).copied().unwrap_or_default();
        if before == interest {
            return Ok(());
        }
        let data = epoll::EventData::new_u64(token);
        match (before.is_none(), interest.is_none()) {
            (_, true) => epoll::delete(&self.epoll, fd)?,
            (true, false) => epoll::add(&self.epoll, fd, data, interest.flags())?,
            (false, false) => epoll::modify(&self.epoll, fd, data, interest.flags())?,
        }
        if interest.is_none() {
            self.known.remove(&token);
        } else {
            self.known.insert(token, interest);
        }
        Ok(())
    }

    /// Forgets a descriptor that is about to be closed.
    pub(super) fn forget(&mut self, token: u64, fd: BorrowedFd<'_>) {
        if self.known.remove(&token).is_some() {
            // It may be copied somewhere, so closing it is not enough.
            epoll::delete(&self.epoll, fd).ok();
        }
    }

    /// Waits; returns what happened.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap_or(LONG));
        let mut events = Vec::with_capacity(EVENTS);
        let room = rustix::buffer::spare_capacity(&mut events);
        match epoll::wait(self.epoll.as_fd(), room, timeout.as_ref()) {
            Ok(_) => {}
            Err(Errno::INTR) => return Ok(Vec::new()),
            Err(errno) => return Err(errno.into()),
        }
        let told = events.into_iter().map(|event: epoll::Event| {
            let flags = event.flags;
            let ended = epoll::EventFlags::ERR | epoll::EventFlags::HUP;
            let writable = flags.intersects(epoll::EventFlags::OUT | ended);
            Event { token: event.data.u64(), writable }
        });
        Ok(told.collect())
    }
}

const LONG: Timespec = Timespec { tv_sec: 3600, tv_nsec: 0 };
