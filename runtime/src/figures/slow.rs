//! What takes too long to be read for each sample: read now and then, by a thread of its own.

use std::time::{Duration, Instant};

use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How old it may get before it is read again.
const AGE_MAX: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Slow {
    last: Option<(Instant, Option<u64>)>,
    reading: Option<JoinHandle<Option<u64>>>,
}

impl Slow {
    /// Returns the figure, which `read` reads where the last one is too old; waits for it only so
    /// long, and returns the last one where it is late.
    pub(super) async fn get(
        &mut self,
        now: Instant,
        patience: Duration,
        read: impl FnOnce() -> Option<u64> + Send + 'static,
    ) -> Option<u64> {
        let is_old = |at: Instant| now.saturating_duration_since(at) >= AGE_MAX;
        if self.reading.is_none() && self.last.is_none_or(|(at, _)| is_old(at)) {
            self.reading = Some(tokio::task::spawn_blocking(read));
        }
        if let Some(reading) = &mut self.reading
            && let Ok(read) = timeout(patience, reading).await
        {
            // A thread that panicked has read nothing.
            self.last = Some((now, read.unwrap_or(None)));
            self.reading = None;
        }
        self.last.and_then(|(_, figure)| figure)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, HostClock};

    #[tokio::test]
    async fn what_is_slow_is_read_once_in_ten_seconds_and_never_waited_for_long() {
        let (begin, patience) = (HostClock.now(), Duration::from_secs(5));
        let mut slow = Slow::default();
        assert_eq!(slow.get(begin, patience, || Some(1)).await, Some(1));
        let later = begin + AGE_MAX - Duration::from_millis(1);
        assert_eq!(slow.get(later, patience, || Some(2)).await, Some(1));
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let late = move || wait.recv().ok().map(|()| 3);
        let old = begin + AGE_MAX;
        assert_eq!(slow.get(old, Duration::from_millis(1), late).await, Some(1));
        go.send(()).unwrap();
        assert_eq!(slow.get(old, patience, || Some(4)).await, Some(3));
    }
}
