//! Restarts by policy: how many there are in a window, and how long it is until the next.
//!
//! A restart is allowed while fewer than `max` happened within the last `window`. Delays grow from one to
//! the next, and begin anew after a window without any.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use schema::project::{Restart, RestartPolicy, Thousandths};

const THOUSAND: u64 = 1000;

/// Numbers that nobody can foresee, for delays that vary.
pub(crate) struct Chance(Box<dyn FnMut() -> u64>);

impl Chance {
    /// Takes them from `next`.
    pub(crate) fn from_fn(next: impl FnMut() -> u64 + 'static) -> Self {
        Self(Box::new(next))
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Restarts {
    /// Absent: there are none.
    policy: Option<Restart>,
    chance: Chance,
    /// When the last ones were, the oldest first.
    recent: VecDeque<Instant>,
    /// How many there were since a window without one.
    row: u32,
    count: u32,
}

impl Restarts {
    pub(super) const fn new(policy: Option<Restart>, chance: Chance) -> Self {
        Self { policy, chance, recent: VecDeque::new(), row: 0, count: 0 }
    }

    /// Another policy holds from now on; what happened is not forgotten.
    pub(super) fn follow(&mut self, policy: Option<Restart>) {
        self.policy = policy;
    }

    /// Tells whether the policy restarts what ended so.
    pub(super) fn wants(&self, ended_well: bool) -> bool {
        self.policy.as_ref().is_some_and(|policy| match policy.policy {
            RestartPolicy::No => false,
            RestartPolicy::OnFailure => !ended_well,
            RestartPolicy::Always => true,
        })
    }

    /// Tells whether a workload that runs is one that ends for good.
    pub(super) fn is_batch(&self) -> bool {
        self.policy.as_ref().is_none_or(|policy| policy.policy == RestartPolicy::No)
    }

    /// Tells whether there is one left.
    pub(super) fn has_one_left(&mut self, now: Instant) -> bool {
        let Some(policy) = &self.policy else { return false };
        let window = Duration::from_millis(policy.window.0);
        while self.recent.front().is_some_and(|at| now.saturating_duration_since(*at) >= window) {
            self.recent.pop_front();
        }
        if self.recent.is_empty() {
            self.row = 0;
        }
        self.recent.len() < usize::try_from(policy.max).unwrap_or(usize::MAX)
    }

    /// Returns how long it is until the next; `None` where they are used up.
    pub(super) fn next(&mut self, now: Instant) -> Option<Duration> {
        if !self.has_one_left(now) {
            return None;
        }
        let policy = self.policy.as_ref()?;
        let delay = grown(policy, self.row);
        let spread = delay.saturating_mul(policy.jitter.0.into()) / THOUSAND;
        let most = spread.saturating_mul(2).saturating_add(1);
        let varied = (self.chance.0)() % most;
        Some(Duration::from_millis(delay.saturating_sub(spread).saturating_add(varied)))
    }

    /// One is done; returns how many that makes.
    pub(super) fn begin(&mut self, now: Instant) -> u32 {
        self.recent.push_back(now);
        self.row = self.row.saturating_add(1);
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Returns how many there were.
    pub(super) const fn count(&self) -> u32 {
        self.count
    }
}

/// Returns the delay after `row` others, in milliseconds, before it varies.
fn grown(policy: &Restart, row: u32) -> u64 {
    let Thousandths(factor) = policy.factor;
    let mut delay = policy.delay.0.min(policy.cap.0);
    for _ in 0..row {
        let next = (delay.saturating_mul(factor.into()) / THOUSAND).min(policy.cap.0);
        if next == delay {
            break;
        }
        delay = next;
    }
    delay
}

#[cfg(test)]
mod tests {
    use schema::project::Kind;
    use schema::units::Millis;

    use super::*;

    fn start() -> Instant {
        crate::clock::Clock::now(&crate::clock::HostClock)
    }

    fn restarts(change: impl FnOnce(&mut Restart), chance: u64) -> Restarts {
        let mut policy = Restart::of(Kind::Service);
        change(&mut policy);
        Restarts::new(Some(policy), Chance::from_fn(move || chance))
    }

    /// Restarts at once until none is left; returns the delays.
    fn delays(restarts: &mut Restarts, now: Instant) -> Vec<u64> {
        let mut delays = Vec::new();
        while let Some(delay) = restarts.next(now) {
            delays.push(u64::try_from(delay.as_millis()).unwrap());
            restarts.begin(now);
        }
        delays
    }

    #[test]
    fn rt_10_13_a_delay_grows_to_its_cap_and_varies_by_its_jitter() {
        let check = |chance: u64, expected: [u64; 5]| {
            let mut all = restarts(|policy| policy.cap = Millis(2000), chance);
            assert_eq!(delays(&mut all, start()), expected, "{chance}");
        };
        // A fifth less for the smallest number; the cap is that of the delay before it varies.
        check(0, [160, 320, 640, 1280, 1600]);
        let mut even = restarts(|policy| policy.jitter = Thousandths(0), u64::MAX);
        assert_eq!(delays(&mut even, start()), [200, 400, 800, 1600, 3200]);
        // The largest is a fifth more.
        let mut most = restarts(|policy| policy.max = 1, 80);
        assert_eq!(delays(&mut most, start()), [240]);
    }

    #[test]
    fn sf_3_7_so_many_are_allowed_in_a_window_that_moves_on() {
        let mut all = restarts(
            |policy| {
                (policy.max, policy.window) = (2, Millis::seconds(10));
                policy.jitter = Thousandths(0);
            },
            0,
        );
        let start = start();
        let at = |second| start + Duration::from_secs(second);
        for second in [0, 6] {
            assert!(all.next(at(second)).is_some(), "{second}");
            all.begin(at(second));
        }
        assert_eq!(all.next(at(9)), None, "two within ten seconds");
        assert_eq!(all.next(at(10)), Some(Duration::from_millis(800)), "the first is out of it");
        all.begin(at(10));
        assert_eq!(all.next(at(20)), Some(Duration::from_millis(200)), "a window without one");
        assert_eq!(all.count(), 3);
    }

    #[test]
    fn a_policy_is_asked_how_the_workload_ended() {
        let check = |policy: RestartPolicy, expected: [bool; 2]| {
            let all = restarts(|it| it.policy = policy, 0);
            assert_eq!([all.wants(true), all.wants(false)], expected, "{policy:?}");
        };
        check(RestartPolicy::No, [false, false]);
        check(RestartPolicy::OnFailure, [false, true]);
        check(RestartPolicy::Always, [true, true]);
        assert!(!Restarts::new(None, Chance::from_fn(|| 0)).wants(false));
    }

    #[test]
    fn a_delay_of_any_policy_comes_to_an_end() {
        for (delay, factor, expected) in [(0, 9000, 0), (100, 500, 0), (100, 1000, 100)] {
            let mut policy = Restart::of(Kind::Service);
            (policy.delay, policy.factor) = (Millis(delay), Thousandths(factor));
            assert_eq!(grown(&policy, u32::MAX), expected, "{delay} x {factor}");
        }
    }
}
