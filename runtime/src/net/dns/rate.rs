//! How many questions a guest may ask.

use std::time::{Duration, Instant};

/// Questions that may come at once.
pub(super) const BURST: u32 = 200;

/// What each question takes of the time: a hundred fill a second.
pub(super) const EACH: Duration = Duration::from_millis(10);

/// A bucket, as the moment at which it will be full again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    full: Option<Instant>,
}

impl Rate {
    /// Takes one question out; `false` where the bucket is empty.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let full = self.full.map_or(now, |full| full.max(now)) + EACH;
        let may = full.saturating_duration_since(now) <= EACH * BURST;
        if may {
            self.full = Some(full);
        }
        may
    }
}
