//! How fast the host's cycle counter runs, which is the clock of an emulated guest.
//!
//! QEMU's emulator hands the host's counter to the guest as it is. A guest's
//! kernel that has to find out its pace by itself fails on a busy host, and then
//! keeps time in steps of 4 ms and ticks 250 times a second while it is idle.
//! So the pace is measured here and told on the command line.

use std::time::{Duration, Instant};

use crate::clock::Clock;
use crate::sys::cycles;

/// The least time between two looks: an error of 50 ns in each is 25 parts in a million.
const APART_MIN: Duration = Duration::from_millis(4);

/// How often a look is tried again, for one that nothing interrupted.
const LOOKS: usize = 5;

/// The clock and the counter at one moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    at: Instant,
    cycles: u64,
}

impl Look {
    /// Looks at both, or returns `None` where the counter cannot be relied upon.
    pub(super) fn take(clock: &impl Clock) -> Option<Self> {
        let mut best: Option<(Duration, Self)> = None;
        for _ in 0..LOOKS {
            let before = clock.now();
            let cycles = cycles()?;
            let took = clock.now() - before;
            if best.is_none_or(|(least, _)| took < least) {
                best = Some((took, Self { at: before + took / 2, cycles }));
            }
        }
        best.map(|(_, look)| look)
    }

    /// Returns how many thousand cycles a second have passed since this look.
    ///
    /// Waits for a moment where it was taken just now.
    pub(super) fn pace_khz(self, clock: &impl Clock) -> Option<u32> {
        let missing = APART_MIN.saturating_sub(clock.now() - self.at);
        if !missing.is_zero() {
            let rest = rustix::time::Timespec::try_from(missing).ok()?;
            // A wait cut short by a signal makes the figure coarser, not wrong.
            let _: rustix::thread::NanosleepRelativeResult = rustix::thread::nanosleep(&rest);
        }
        let now = Self::take(clock)?;
        pace(now.cycles.checked_sub(self.cycles)?, now.at - self.at)
    }
}

/// Returns a pace in thousands a second, if it is one that a processor has.
fn pace(cycles: u64, time: Duration) -> Option<u32> {
    const KHZ: std::ops::RangeInclusive<u32> = 100_000..=10_000_000;
    let khz = u128::from(cycles).checked_mul(1_000_000)?.checked_div(time.as_nanos())?;
    u32::try_from(khz).ok().filter(|khz| KHZ.contains(khz))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::HostClock;

    #[test]
    fn a_pace_is_cycles_over_time() {
        assert_eq!(pace(25_961_000, Duration::from_millis(10)), Some(2_596_100));
        assert_eq!(pace(25_961_000, Duration::ZERO), None);
        assert_eq!(pace(5, Duration::from_secs(1)), None);
    }

    #[test]
    fn two_measurements_agree() {
        let Some(look) = Look::take(&HostClock) else { return };
        let first = look.pace_khz(&HostClock).unwrap();
        let second = look.pace_khz(&HostClock).unwrap();
        // A thousandth: a test host may be busy. A quiet one agrees to a hundred-thousandth.
        assert!(first.abs_diff(second) < first / 1000, "{first} and {second}");
    }
}
