//! What a command reads: bytes that came, waiting for it to take them.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::credit::{BeyondCredit, Window};
use crate::channel::is_temporary;
use crate::sys;

/// What ends the input of a terminal.
const END_OF_INPUT: u8 = 0x04;

/// How much is offered to the command at once.
const WRITE_BYTES_MAX: usize = 64 * 1024;

/// The writing end of a command's standard input.
#[derive(Debug)]
pub(crate) struct Input {
    /// Gone once the command was told of the end, or reads no more.
    fd: Option<OwnedFd>,
    waiting: VecDeque<u8>,
    window: Window,
    /// Nothing more comes.
    is_over: bool,
    is_terminal: bool,
}

impl Input {
    /// Takes the end to write; none means that the command reads nothing.
    pub(crate) fn new(fd: Option<OwnedFd>, is_terminal: bool) -> Self {
        let (waiting, window) = (VecDeque::new(), Window::default());
        Self { fd, waiting, window, is_over: false, is_terminal }
    }

    /// Takes bytes that came.
    ///
    /// # Errors
    /// More came than was granted.
    pub(crate) fn receive(&mut self, bytes: &[u8]) -> Result<(), BeyondCredit> {
        self.window.receive(bytes.len())?;
        if !self.is_over {
            self.waiting.extend(bytes);
        }
        Ok(())
    }

    /// Takes note that nothing more comes.
    pub(crate) fn end(&mut self) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        if self.is_terminal {
            self.waiting.push_back(END_OF_INPUT);
        }
    }

    /// Writes what the command takes; returns what to grant for it.
    pub(crate) fn pump(&mut self) -> Option<u32> {
        let taken = self.write();
        if self.waiting.is_empty() && self.is_over {
            self.fd = None;
        }
        if taken == 0 { None } else { self.window.consume(taken) }
    }

    /// Returns the descriptor to wait for, where something waits.
    pub(crate) fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().filter(|_| !self.waiting.is_empty()).map(OwnedFd::as_fd)
    }

    /// Tells whether nothing more can be written.
    pub(crate) const fn has_ended(&self) -> bool {
        self.fd.is_none()
    }

    /// Lets go of the command's end.
    pub(crate) fn close(&mut self) {
        self.fd = None;
        self.waiting.clear();
        self.is_over = true;
    }

    /// Returns how many bytes were written, or thrown away because nobody will read them.
    fn write(&mut self) -> usize {
        let mut taken = 0;
        while !self.waiting.is_empty() {
            let (first, _) = self.waiting.as_slices();
            let chunk = first.get(..WRITE_BYTES_MAX).unwrap_or(first);
            let answer = self.fd.as_ref().map(|fd| sys::io::write(fd.as_fd(), chunk));
            let count = match answer {
                Some(Ok(count)) => count,
                Some(Err(error)) if is_temporary(&error) => break,
                // The command closed its end. What comes is still taken, as a pipe's reader that
                // left would leave the sender waiting for credit.
                Some(Err(_)) | None => {
                    self.fd = None;
                    self.waiting.len()
                }
            };
            self.waiting.drain(..count);
            taken += count;
        }
        taken
    }
}
