//! What time it is: the only place that asks the host.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Everything that waits or stamps is handed one.
pub trait Clock {
    /// Returns a moment that never goes back.
    fn now(&self) -> Instant;

    /// Returns the time since 1970 as the host has it.
    fn wall(&self) -> Duration;

    /// Returns milliseconds since 1970.
    fn wall_ms(&self) -> u64 {
        u64::try_from(self.wall().as_millis()).unwrap_or(u64::MAX)
    }

    /// Returns nanoseconds since 1970.
    fn wall_ns(&self) -> u64 {
        u64::try_from(self.wall().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The host's clocks.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

impl Clock for HostClock {
    #[expect(clippy::disallowed_methods, reason = "this is the door to the clock")]
    fn now(&self) -> Instant {
        Instant::now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the door to the clock")]
    fn wall(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
