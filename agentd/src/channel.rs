//! The one stream to the runtime: frames in, frames out.
//!
//! What is to be written waits in one buffer. Sources are read only while it
//! [`Channel::has_room`], so a slow channel slows the commands and memory stays
//! bounded; messages are small and always taken.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use schema::wire::frame::{DATA_BYTES_MAX, encode_data};
use schema::wire::{CONTROL_SESSION, Decoder, Frame, FrameError, Message};
use thiserror::Error;

use crate::sys;
use crate::sys::poll::{Interest, PollSet};

/// Beyond this, nothing more is read that would have to be written here.
const OUT_BYTES_SOFT_MAX: usize = 2 * DATA_BYTES_MAX;

/// Beyond this, nothing is read any more that could ask for an answer.
const OUT_BYTES_MAX: usize = 1024 * 1024;

/// How often the channel is read before anything else has its turn.
const FILL_READS_MAX: usize = 16;

/// What one read of a console port gives at most.
const PORT_PIECE_BYTES: usize = 4096;

/// Why the channel is of no use any more.
#[derive(Debug, Error)]
pub(crate) enum ChannelError {
    /// The other side closed it.
    #[error("the channel was closed")]
    Closed,
    /// The kernel refused to read or write.
    #[error("the channel does not work")]
    Broken(#[source] io::Error),
    /// What came is not this protocol.
    #[error("the channel carries something else")]
    Frame(#[source] FrameError),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Channel {
    fd: OwnedFd,
    decoder: Decoder,
    out: Vec<u8>,
    written: usize,
    buffer: Vec<u8>,
}

impl Channel {
    /// Takes a descriptor that does not block.
    pub(crate) fn new(fd: OwnedFd) -> Self {
        let buffer = vec![0; DATA_BYTES_MAX];
        Self { fd, decoder: Decoder::default(), out: Vec::new(), written: 0, buffer }
    }

    /// Returns the next whole frame among those that came.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, ChannelError> {
        self.decoder.next_frame().map_err(ChannelError::Frame)
    }

    /// Reads what is there, up to [`FILL_READS_MAX`] pieces.
    pub(crate) fn fill(&mut self) -> Result<(), ChannelError> {
        for _ in 0..FILL_READS_MAX {
            // A console port gives a page at a time: a full one is likely to have a successor.
            if self.fill_once()? < PORT_PIECE_BYTES {
                break;
            }
        }
        Ok(())
    }

    fn fill_once(&mut self) -> Result<usize, ChannelError> {
        match sys::io::read(self.fd.as_fd(), &mut self.buffer) {
            Ok(0) => Err(ChannelError::Closed),
            Ok(count) => {
                self.decoder.push(self.buffer.get(..count).unwrap_or_default());
                Ok(count)
            }
            Err(error) if is_temporary(&error) => Ok(0),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {
                Err(ChannelError::Closed)
            }
            Err(error) => Err(ChannelError::Broken(error)),
        }
    }

    /// Waits for the next frame until a moment of the monotonic clock; `None` when it is over.
    pub(crate) fn wait_frame(&mut self, until_ms: u64) -> Result<Option<Frame>, ChannelError> {
        loop {
            self.flush()?;
            if let Some(frame) = self.next_frame()? {
                return Ok(Some(frame));
            }
            let now = sys::clock::monotonic_ms();
            if now >= until_ms {
                return Ok(None);
            }
            let mut set = PollSet::default();
            let slot = set.add(&self.fd, self.interest());
            set.wait(Some(until_ms - now)).map_err(ChannelError::Broken)?;
            if set.can_read(slot) {
                self.fill()?;
            }
        }
    }

    /// Puts a frame behind what waits to be written.
    pub(crate) fn send(&mut self, frame: &Frame) {
        frame.encode(&mut self.out);
    }

    /// Puts bytes of a stream behind what waits to be written.
    pub(crate) fn send_data(&mut self, session: u32, stream: u16, bytes: &[u8]) {
        encode_data(session, stream, bytes, &mut self.out);
    }

    /// Puts bytes that are no frame behind what waits to be written.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Puts a message of a session behind what waits to be written.
    pub(crate) fn say(&mut self, session: u32, message: impl Into<Message>) {
        self.send(&message.into().to_frame(session));
    }

    /// Puts a message of the runtime's own session behind what waits to be written.
    pub(crate) fn report(&mut self, message: impl Into<Message>) {
        self.say(CONTROL_SESSION, message);
    }

    /// Writes what is taken without waiting.
    pub(crate) fn flush(&mut self) -> Result<(), ChannelError> {
        while let Some(waiting) = self.out.get(self.written..).filter(|bytes| !bytes.is_empty()) {
            match sys::io::write(self.fd.as_fd(), waiting) {
                Ok(count) => self.written += count,
                Err(error) if is_temporary(&error) => break,
                Err(error) => return Err(ChannelError::Broken(error)),
            }
        }
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        } else if self.written > OUT_BYTES_SOFT_MAX {
            self.out.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Writes everything, waiting at most until a moment of the monotonic clock.
    pub(crate) fn flush_until(&mut self, until_ms: u64) -> Result<(), ChannelError> {
        loop {
            self.flush()?;
            let now = sys::clock::monotonic_ms();
            if self.out.is_empty() || now >= until_ms {
                return Ok(());
            }
            let mut set = PollSet::default();
            set.add(&self.fd, Interest::Write);
            set.wait(Some(until_ms - now)).map_err(ChannelError::Broken)?;
        }
    }

    /// Tells whether a source may be read whose bytes are to be written here.
    pub(crate) fn has_room(&self) -> bool {
        self.out.len() - self.written < OUT_BYTES_SOFT_MAX
    }

    /// Returns what this channel waits for.
    pub(crate) fn interest(&self) -> Interest {
        match self.out.len() - self.written {
            0 => Interest::Read,
            waiting if waiting < OUT_BYTES_MAX => Interest::Both,
            _ => Interest::Write,
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Tells whether the same call may go well later.
pub(crate) fn is_temporary(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
