//! Whole messages over the stream to the guest; each worker takes one at a time.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::io::{Errno, read, retry_on_intr, write};
use thiserror::Error;

use super::wire::{BadLength, HEAD_BYTES, Head, MESSAGE_BYTES_MAX};

/// Why the stream is over.
#[derive(Debug, Error)]
pub(super) enum Over {
    /// The guest, or the machine, is gone.
    #[error("the stream ended")]
    Ended,
    /// The kernel refused to read or write.
    #[error("the stream does not work")]
    Broken(#[source] std::io::Error),
    /// What comes is not this protocol.
    #[error("the guest says something else than the protocol")]
    Strange(#[source] BadLength),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Stream {
    fd: OwnedFd,
    reads: Mutex<()>,
    writes: Mutex<()>,
}

/// A message, in the buffer of the worker that took it.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    pub(super) const fn new() -> Self {
        Self { bytes: Vec::new() }
    }
}

impl Stream {
    pub(super) fn new(fd: OwnedFd) -> Self {
        Self { fd, reads: Mutex::default(), writes: Mutex::default() }
    }

    /// Takes the next message; `first` sees its head before anybody else takes the one behind it.
    pub(super) fn next<'a>(
        &self,
        into: &'a mut Incoming,
        first: impl FnOnce(&Head, &[u8]),
    ) -> Result<(Head, &'a [u8]), Over> {
        let turn = self.reads.lock().unwrap_or_else(PoisonError::into_inner);
        let mut head = [0; HEAD_BYTES];
        self.fill(&mut head)?;
        let head = Head::parse(&head).map_err(Over::Strange)?;
        if into.bytes.len() < head.body_bytes() {
            into.bytes.resize(head.body_bytes().clamp(1 << 16, MESSAGE_BYTES_MAX), 0);
        }
        let body = &mut into.bytes[..head.body_bytes()];
        self.fill(body)?;
        first(&head, body);
        drop(turn);
        Ok((head, body))
    }

    /// Writes a whole message.
    pub(super) fn say(&self, mut bytes: &[u8]) -> Result<(), Over> {
        let _turn = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        while !bytes.is_empty() {
            match retry_on_intr(|| write(&self.fd, bytes)) {
                Ok(count) => bytes = &bytes[count..],
                Err(Errno::PIPE | Errno::CONNRESET) => return Err(Over::Ended),
                Err(errno) => return Err(Over::Broken(errno.into())),
            }
        }
        Ok(())
    }

    fn fill(&self, mut into: &mut [u8]) -> Result<(), Over> {
        while !into.is_empty() {
            match retry_on_intr(|| read(&self.fd, &mut *into)) {
                Ok(0) | Err(Errno::CONNRESET) => return Err(Over::Ended),
                Ok(count) => into = &mut into[count..],
                Err(errno) => return Err(Over::Broken(errno.into())),
            }
        }
        Ok(())
    }
}
