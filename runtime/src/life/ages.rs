//! What ends a machine by the clock alone: that nobody uses it, and that it is old.
//!
//! The idle clock begins when the guest is up, and anew with whatever counts as use. It stands still while
//! something holds it. How old a machine is counts from its first boot, restarts included.

use std::time::{Duration, Instant};

use schema::control::Left;

/// See the module.
#[derive(Debug)]
pub(crate) struct Ages {
    idle: Option<Duration>,
    max: Option<Duration>,
    born: Instant,
    /// When it was last used; absent while no guest is up.
    used: Option<Instant>,
    is_held: bool,
}

/// What is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Over {
    /// Nobody used the machine for too long.
    Idle,
    /// The machine is too old.
    Old,
}

impl Ages {
    /// Returns the clocks of a machine that boots now.
    pub(crate) fn new((idle_ms, max_ms): (Option<u64>, Option<u64>), now: Instant) -> Self {
        let (idle, max) = (idle_ms.map(Duration::from_millis), max_ms.map(Duration::from_millis));
        Self { idle, max, born: now, used: None, is_held: false }
    }

    /// Other limits hold from now on; the clocks go on.
    pub(crate) fn limit(&mut self, (idle_ms, max_ms): (Option<u64>, Option<u64>)) {
        self.idle = idle_ms.map(Duration::from_millis);
        self.max = max_ms.map(Duration::from_millis);
    }

    /// The guest is up: the idle clock begins.
    pub(crate) const fn wake(&mut self, now: Instant) {
        self.used = Some(now);
    }

    /// No guest is up.
    pub(crate) const fn sleep(&mut self) {
        self.used = None;
    }

    /// The machine was used at `at`; what is older than the last use says nothing.
    pub(crate) fn saw(&mut self, at: Instant) {
        self.used = self.used.map(|used| used.max(at));
    }

    /// Says whether something holds the idle clock.
    pub(crate) const fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// Returns when to look again. What holds the clock may let go at any moment, and then says when.
    pub(crate) fn deadline(&self, now: Instant) -> Option<Instant> {
        let used = if self.is_held { self.used.map(|_| now) } else { self.used };
        let idle = self.idle.zip(used).and_then(|(idle, used)| used.checked_add(idle));
        [idle, self.old_at()].into_iter().flatten().min()
    }

    /// Returns what is over.
    pub(crate) fn due(&self, now: Instant) -> Option<Over> {
        if self.old_at().is_some_and(|at| now >= at) {
            return Some(Over::Old);
        }
        self.idle_at().is_some_and(|at| now >= at).then_some(Over::Idle)
    }

    /// Returns what is left of each.
    pub(crate) fn left(&self, now: Instant) -> Left {
        let until = |at: Instant| {
            u64::try_from(at.saturating_duration_since(now).as_millis()).unwrap_or(u64::MAX)
        };
        let held = self.idle.filter(|_| self.is_held).map(|idle| now + idle);
        Left {
            idle_ms: held.or_else(|| self.idle_at()).map(until),
            max_ms: self.old_at().map(until),
        }
    }

    fn idle_at(&self) -> Option<Instant> {
        let used = self.used.filter(|_| !self.is_held)?;
        used.checked_add(self.idle?)
    }

    fn old_at(&self) -> Option<Instant> {
        self.born.checked_add(self.max?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Told {
        ages: Ages,
        start: Instant,
    }

    fn told(idle_s: Option<u64>, max_s: Option<u64>) -> Told {
        let start = crate::clock::Clock::now(&crate::clock::HostClock);
        let limits = (idle_s.map(|s| s * 1000), max_s.map(|s| s * 1000));
        Told { ages: Ages::new(limits, start), start }
    }

    impl Told {
        fn at(&self, second: u64) -> Instant {
            self.start + Duration::from_secs(second)
        }

        /// Returns the second at which it looks again, as seen from `second`.
        fn deadline(&self, second: u64) -> Option<u64> {
            let at = self.ages.deadline(self.at(second))?;
            Some((at - self.start).as_secs())
        }
    }

    #[test]
    fn rt_10_10_the_idle_clock_begins_with_the_guest_and_anew_with_each_use() {
        let mut told = told(Some(10), None);
        assert_eq!(told.deadline(5), None, "a boot is not idle, however long it takes");
        told.ages.wake(told.at(20));
        assert_eq!(told.deadline(21), Some(30));
        told.ages.saw(told.at(25));
        told.ages.saw(told.at(22));
        assert_eq!(told.deadline(26), Some(35), "what is older says nothing");
        assert_eq!(told.ages.due(told.at(34)), None);
        assert_eq!(told.ages.due(told.at(35)), Some(Over::Idle));
        told.ages.sleep();
        told.ages.saw(told.at(40));
        assert_eq!(told.ages.due(told.at(90)), None, "between two boots nothing is idle");
    }

    #[test]
    fn rt_10_10_what_holds_the_clock_holds_it_whole() {
        let mut told = told(Some(10), None);
        told.ages.wake(told.at(0));
        told.ages.hold(true);
        assert_eq!(told.ages.due(told.at(50)), None);
        assert_eq!(told.deadline(50), Some(60), "it may let go at once");
        assert_eq!(told.ages.left(told.at(50)).idle_ms, Some(10_000));
        // It let go at 52, which is found out at 60.
        told.ages.saw(told.at(52));
        told.ages.hold(false);
        assert_eq!(told.ages.due(told.at(60)), None);
        assert_eq!(told.deadline(60), Some(62));
        assert_eq!(told.ages.left(told.at(60)).idle_ms, Some(2000));
    }

    #[test]
    fn rt_10_11_a_machine_is_as_old_as_its_first_boot() {
        let mut told = told(None, Some(60));
        told.ages.wake(told.at(5));
        told.ages.sleep();
        told.ages.wake(told.at(50));
        assert_eq!((told.deadline(50), told.ages.due(told.at(59))), (Some(60), None));
        assert_eq!(told.ages.due(told.at(60)), Some(Over::Old));
        told.ages.limit((Some(5000), None));
        assert_eq!(told.ages.due(told.at(60)), Some(Over::Idle), "a new limit holds at once");
        told.ages.limit((None, None));
        assert_eq!((told.deadline(70), told.ages.left(told.at(70))), (None, Left::default()));
    }
}
