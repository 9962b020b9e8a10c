//! What a command writes: read no further than the client has granted.
//!
//! When the command itself has ended, its background children may hold the
//! other end for as long as they live. What was in the pipe at that moment is
//! always delivered, however slowly the client takes it; what comes later is
//! delivered until [`LINGER_MS`] have gone by; then the stream ends.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use schema::wire::frame::DATA_BYTES_MAX;
use schema::wire::{CREDIT_START_BYTES, Frame};

use crate::channel::{Channel, is_temporary};
use crate::sys;

/// How long a stream stays open after the command, for those it left behind.
pub(crate) const LINGER_MS: u64 = 100;

/// The reading end of a command's standard output or error.
#[derive(Debug)]
pub(crate) struct Output {
    stream: u16,
    /// Gone once the stream has ended.
    fd: Option<OwnedFd>,
    credit: u32,
    /// After the command has ended: bytes of its own that are still in the pipe.
    own_left: Option<u64>,
}

impl Output {
    /// Takes the end to read.
    pub(crate) fn new(stream: u16, fd: OwnedFd) -> Self {
        Self { stream, fd: Some(fd), credit: CREDIT_START_BYTES, own_left: None }
    }

    /// Returns the stream's number.
    pub(crate) const fn stream(&self) -> u16 {
        self.stream
    }

    /// Takes note of a grant.
    pub(crate) fn grant(&mut self, bytes: u32) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Returns the descriptor to wait for, where reading it is allowed.
    pub(crate) fn wants_read(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| self.credit > 0).map(OwnedFd::as_fd)
    }

    /// Tells whether the stream has ended.
    pub(crate) const fn has_ended(&self) -> bool {
        self.fd.is_none()
    }

    /// Reads once and sends it on.
    pub(crate) fn pump(&mut self, session: u32, channel: &mut Channel, buffer: &mut [u8]) {
        let Some(fd) = &self.fd else {
            return;
        };
        let own = self.own_left.filter(|left| *left > 0).unwrap_or(u64::MAX);
        let most = DATA_BYTES_MAX
            .min(self.credit as usize)
            .min(usize::try_from(own).unwrap_or(usize::MAX));
        let Some(space) = buffer.get_mut(..most).filter(|space| !space.is_empty()) else {
            return;
        };
        match sys::io::read(fd.as_fd(), space) {
            Ok(count) if count > 0 => {
                let bytes = space.get(..count).unwrap_or_default();
                channel.send_data(session, self.stream, bytes);
                self.credit -= u32::try_from(count).unwrap_or(self.credit);
                self.own_left = self.own_left.map(|left| left.saturating_sub(count as u64));
            }
            Err(error) if is_temporary(&error) => {}
            // A terminal says it with an error when the last process has closed it.
            Ok(_) | Err(_) => self.end(session, channel),
        }
    }

    /// Takes note that the command has ended: what is in the pipe now is its own.
    pub(crate) fn command_ended(&mut self) {
        let left = self.fd.as_ref().map(|fd| sys::io::available(fd).unwrap_or(0));
        self.own_left = left;
    }

    /// Tells whether only those that the command left behind could write more.
    pub(crate) fn may_be_cut(&self) -> bool {
        self.fd.is_some() && self.own_left == Some(0)
    }

    /// Ends the stream; returns the descriptor, which others may still write to.
    pub(crate) fn cut(&mut self, session: u32, channel: &mut Channel) -> Option<OwnedFd> {
        let fd = self.fd.take()?;
        channel.send(&Frame::end(session, self.stream));
        Some(fd)
    }

    /// Lets go of the stream without a word.
    pub(crate) fn take(&mut self) -> Option<OwnedFd> {
        self.fd.take()
    }

    fn end(&mut self, session: u32, channel: &mut Channel) {
        drop(self.cut(session, channel));
    }
}
