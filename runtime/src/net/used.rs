//! When bytes of a connection or a datagram last passed: whether anybody uses the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See the module. Clones tell of the same.
#[derive(Debug, Clone)]
pub(crate) struct Used {
    since: Instant,
    /// Milliseconds after that, and one more; zero is never.
    last: Arc<AtomicU64>,
}

impl Used {
    /// Begins without any.
    pub(super) fn new(since: Instant) -> Self {
        Self { since, last: Arc::default() }
    }

    /// Bytes passed.
    pub(super) fn note(&self, bytes: u64, now: Instant) {
        if bytes > 0 {
            let ms = now.saturating_duration_since(self.since).as_millis();
            let ms = u64::try_from(ms).unwrap_or(u64::MAX);
            self.last.store(ms.saturating_add(1), Ordering::Relaxed);
        }
    }

    /// Returns when they last did.
    pub(crate) fn last(&self) -> Option<Instant> {
        let ms = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        self.since.checked_add(Duration::from_millis(ms))
    }
}
