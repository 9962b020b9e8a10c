//! A socket that callers wait at, while this process has no descriptor left for them.
//!
//! It stays readable, so waiting for it would tell of it again and again: nobody is taken for a moment.

use std::time::{Duration, Instant};

/// How long nobody is taken.
const RESTS: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rest(Option<Instant>);

impl Rest {
    /// Takes nobody for a moment.
    pub(super) fn begin(&mut self, now: Instant) {
        self.0 = Some(now + RESTS);
    }

    /// Tells whether it goes on.
    pub(super) const fn goes_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns when it is over.
    pub(super) const fn until(&self) -> Option<Instant> {
        self.0
    }

    /// Looks whether it is over by now, and tells whether it has just ended.
    pub(super) fn ends(&mut self, now: Instant) -> bool {
        self.0.take_if(|until| *until <= now).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_ends_once() {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let now = Instant::now();
        let mut rest = Rest::default();
        assert!(!rest.goes_on() && !rest.ends(now));
        rest.begin(now);
        assert!(rest.goes_on() && !rest.ends(now));
        let until = rest.until().unwrap();
        assert!(rest.ends(until) && !rest.ends(until) && !rest.goes_on());
    }
}
