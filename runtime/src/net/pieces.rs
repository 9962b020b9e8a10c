//! Small pieces for a guest wait for each other: a frame costs a guest far more than its bytes do.
//!
//! What comes from far away comes in small segments. A piece goes at once while both sides speak, after a
//! while in which nothing came, and as long as they are few. In a stream of them that the guest only hears,
//! they are gathered.

use std::time::{Duration, Instant};

/// So many small pieces go one after the other before they are gathered …
const LOOSE: u32 = 4;
/// … and none where a guest has not answered this much …
const FLIGHT_BYTES: usize = 16 << 10;
/// … until this much waits, …
const PIECE_BYTES: usize = 16 << 10;
/// … or for so long.
const GATHER: Duration = Duration::from_millis(2);
/// When nothing came for so long, what comes is a new stream.
const QUIET: Duration = Duration::from_millis(4);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// How many of the stream were small.
    small: u32,
    /// When the last one went.
    last: Option<Instant>,
    /// What the guest had said by then.
    heard: u64,
    /// Until when they are gathered.
    until: Option<Instant>,
    /// Whether the one that goes now was.
    gathered: bool,
}

impl Pieces {
    /// Tells whether what is there waits for more. `flight` is what the guest has not answered, `heard` what
    /// it has said; `there` asks how many bytes there are. An end never waits.
    pub(super) fn wait(
        &mut self,
        (flight, heard): (usize, u64),
        now: Instant,
        there: impl FnOnce() -> Option<u64>,
    ) -> bool {
        let is_quiet = self.last.is_none_or(|last| now.saturating_duration_since(last) >= QUIET);
        if heard != self.heard || (is_quiet && self.until.is_none()) {
            (self.small, self.heard) = (0, heard);
        }
        let is_stream = flight >= FLIGHT_BYTES || self.small >= LOOSE;
        let is_small = |there| (1..PIECE_BYTES as u64).contains(&there);
        if is_stream && there().is_some_and(is_small) {
            let until = *self.until.get_or_insert(now + GATHER);
            if now < until {
                return true;
            }
        }
        self.gathered = self.until.take().is_some();
        false
    }

    /// Notes that a piece of so many bytes went.
    pub(super) fn went(&mut self, bytes: usize, now: Instant) {
        self.last = Some(now);
        if bytes < PIECE_BYTES {
            self.small = self.small.saturating_add(1);
        } else if !self.gathered {
            self.small = 0;
        }
    }

    /// Returns when they go at the latest, while they are gathered.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, HostClock};

    const SMALL: usize = 1448;

    /// Lets a small piece go; tells whether it had to wait.
    fn small(pieces: &mut Pieces, heard: u64, now: Instant) -> bool {
        let waits = pieces.wait((0, heard), now, || Some(SMALL as u64));
        if !waits {
            pieces.went(SMALL, now);
        }
        waits
    }

    fn start() -> Instant {
        HostClock.now()
    }

    #[test]
    fn a_stream_of_small_pieces_is_gathered_after_the_first_few() {
        let (mut pieces, now) = (Pieces::default(), start());
        for _ in 0..LOOSE {
            assert!(!small(&mut pieces, 0, now));
        }
        assert!(small(&mut pieces, 0, now));
        assert_eq!(pieces.until(), Some(now + GATHER));
        assert!(small(&mut pieces, 0, now + GATHER / 2), "less than a piece is there");
        let much = || Some(PIECE_BYTES as u64);
        assert!(!pieces.wait((0, 0), now + GATHER / 2, much), "a piece is there");
        pieces.went(PIECE_BYTES, now + GATHER / 2);
        assert_eq!(pieces.until(), None);
        // It is the same stream.
        assert!(small(&mut pieces, 0, now + GATHER));
        assert!(!small(&mut pieces, 0, now + GATHER * 2), "for no longer than that");
    }

    #[test]
    fn who_talks_never_waits() {
        let (mut pieces, now) = (Pieces::default(), start());
        for turn in 0..100 {
            assert!(!small(&mut pieces, turn, now), "turn {turn}");
        }
    }

    #[test]
    fn what_comes_now_and_then_never_waits() {
        let (mut pieces, now) = (Pieces::default(), start());
        for turn in 0..100 {
            assert!(!small(&mut pieces, 0, now + QUIET * turn), "turn {turn}");
        }
    }

    #[test]
    fn a_guest_that_has_much_to_answer_is_not_sent_little() {
        let (mut pieces, now) = (Pieces::default(), start());
        assert!(pieces.wait((FLIGHT_BYTES, 0), now, || Some(1)));
        assert!(!pieces.wait((FLIGHT_BYTES, 0), now, || Some(0)), "an end, or nothing");
        assert_eq!(pieces.until(), None);
    }

    #[test]
    fn large_pieces_that_come_as_such_are_no_stream_of_small_ones() {
        let (mut pieces, now) = (Pieces::default(), start());
        for _ in 0..100 {
            assert!(!small(&mut pieces, 0, now));
            assert!(!pieces.wait((0, 0), now, || Some(PIECE_BYTES as u64)));
            pieces.went(PIECE_BYTES, now);
        }
    }
}
