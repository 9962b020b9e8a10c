//! What came from the guest and was no frame or no packet: counted, and told where it is very much.

use std::time::{Duration, Instant};

/// More than so many in a second are told.
const MANY: u64 = 1_000;
const SECOND: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug)]
pub(super) struct Faults {
    total: u64,
    /// The second that is counted.
    began: Instant,
    within: u64,
}

impl Faults {
    pub(super) const fn new(now: Instant) -> Self {
        Self { total: 0, began: now, within: 0 }
    }

    /// Returns how many there were.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    /// Counts some more; tells whether there were too many in this second by now.
    pub(super) fn add(&mut self, count: u64, now: Instant) -> bool {
        if count == 0 {
            return false;
        }
        if self.began + SECOND <= now {
            (self.began, self.within) = (now, 0);
        }
        self.total += count;
        self.within += count;
        self.within > MANY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_9_1_more_than_a_thousand_in_a_second_are_too_many() {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let now = Instant::now();
        let mut faults = Faults::new(now);
        assert!(!faults.add(1_000, now) && !faults.add(0, now));
        assert!(!faults.add(1_000, now + SECOND), "another second");
        assert!(faults.add(1, now + SECOND));
        assert!(!faults.add(1, now + 2 * SECOND));
        assert_eq!(faults.total(), 2_002);
    }
}
