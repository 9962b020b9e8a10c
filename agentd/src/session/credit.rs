//! How much may be under way on a stream before the receiver has taken it.
//!
//! A receiver grants what it consumed, in portions of half a window, so that a
//! sender whose bytes are taken never runs dry. A sender that used up all it
//! had is held up by the window alone: it is doubled, up to the most.

use schema::wire::{CREDIT_BYTES_MAX, CREDIT_START_BYTES};
use thiserror::Error;

/// More came than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{sent} bytes came where {granted} were granted")]
pub(crate) struct BeyondCredit {
    sent: usize,
    granted: u32,
}

/// The receiving end of a stream.
#[derive(Debug)]
pub(crate) struct Window {
    /// What the sender may still send.
    granted: u32,
    /// What was consumed and not granted again.
    consumed: u32,
    /// How much may be under way.
    size: u32,
    /// The sender used up all it had.
    is_busy: bool,
}

impl Default for Window {
    fn default() -> Self {
        let size = CREDIT_START_BYTES;
        Self { granted: size, consumed: 0, size, is_busy: false }
    }
}

impl Window {
    /// Takes note of bytes that came.
    ///
    /// # Errors
    /// The sender had no right to send that many.
    pub(crate) fn receive(&mut self, bytes: usize) -> Result<(), BeyondCredit> {
        let left = u32::try_from(bytes).ok().and_then(|bytes| self.granted.checked_sub(bytes));
        let Some(left) = left else {
            return Err(BeyondCredit { sent: bytes, granted: self.granted });
        };
        self.granted = left;
        // A sender keeps frames whole where it can, so a rest below a quarter is as good as none.
        self.is_busy |= left < self.size / 4;
        Ok(())
    }

    /// Takes note of bytes that were consumed, and returns what to grant now.
    pub(crate) fn consume(&mut self, bytes: usize) -> Option<u32> {
        self.consumed = self.consumed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if self.consumed < self.size / 2 {
            return None;
        }
        let grown = if self.is_busy { (self.size * 2).min(CREDIT_BYTES_MAX) } else { self.size };
        let grant = self.consumed + (grown - self.size);
        *self = Self { granted: self.granted + grant, consumed: 0, size: grown, is_busy: false };
        Some(grant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: usize = CREDIT_START_BYTES as usize;

    #[test]
    fn a_sender_may_use_what_it_was_granted_and_no_more() {
        let mut window = Window::default();
        assert_eq!(window.receive(START), Ok(()));
        assert_eq!(window.receive(1), Err(BeyondCredit { sent: 1, granted: 0 }));
    }

    #[test]
    fn a_sender_that_is_held_up_gets_a_larger_window() {
        let mut window = Window::default();
        let mut size = START;
        while size < CREDIT_BYTES_MAX as usize {
            window.receive(size).unwrap();
            let grant = window.consume(size).unwrap() as usize;
            assert_eq!(grant, size * 2);
            size = grant;
        }
        window.receive(size).unwrap();
        assert_eq!(window.consume(size), Some(CREDIT_BYTES_MAX), "it grows no further");
    }

    #[test]
    fn a_sender_that_takes_its_time_keeps_its_window() {
        let mut window = Window::default();
        let mut outstanding = START;
        for _ in 0..1000 {
            window.receive(1000).unwrap();
            outstanding -= 1000;
            outstanding += window.consume(1000).unwrap_or(0) as usize;
            assert!(outstanding > START / 4 && outstanding <= START);
        }
    }
}
