//! What time it is, as an argument.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Something that tells the time.
pub trait Clock {
    /// Returns the wall clock, in milliseconds since 1970.
    fn unix_ms(&self) -> u64;

    /// Returns how long this process has been running; never goes back.
    fn elapsed(&self) -> Duration;
}

/// The host's clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts counting.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is handed in")]
    fn unix_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}
