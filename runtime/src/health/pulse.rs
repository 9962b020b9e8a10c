//! The pulse: what is asked by an interval once the sandbox is ready.

use std::time::{Duration, Instant};

use schema::launch;
use schema::record::Health;

use super::run::Question;

/// See the module.
#[derive(Debug)]
pub(super) struct Pulse {
    question: Question,
    interval: Duration,
    timeout: Duration,
    failures: u32,
    successes: u32,
    misses: u32,
    passes: u32,
    says: Health,
    /// When the next probe is due; absent until the sandbox is ready.
    next: Option<Instant>,
}

impl Pulse {
    /// Returns the pulse of a launch record; none where its kind is not asked again and again.
    pub(super) fn new(health: &launch::Health) -> Option<Self> {
        Some(Self {
            question: Question::of(&health.kind)?,
            interval: Duration::from_millis(health.interval_ms),
            timeout: Duration::from_millis(health.timeout_ms),
            failures: health.failures,
            successes: health.successes,
            misses: 0,
            passes: 0,
            says: Health::Starting,
            next: None,
        })
    }

    /// Returns what it says of the sandbox.
    pub(super) const fn says(&self) -> Health {
        self.says
    }

    /// Goes on from what another one said last.
    pub(super) fn after(self, says: Health) -> Self {
        let says = if says == Health::Failing { says } else { Health::Starting };
        Self { says, ..self }
    }

    /// Begins: the first probe is due at once.
    pub(super) fn start(&mut self, now: Instant) {
        self.next.get_or_insert(now);
    }

    /// Returns when the next probe is due.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Returns what is to be asked now, and how long it may take.
    pub(super) fn ask(&mut self, now: Instant) -> (&Question, Duration) {
        self.next = Some(now + self.interval);
        (&self.question, self.timeout)
    }

    /// Takes the answer of a probe; tells whether it says something else by it.
    pub(super) fn answered(&mut self, passed: bool) -> bool {
        let (row, other, needed, says) = if passed {
            (&mut self.passes, &mut self.misses, self.successes, Health::Passing)
        } else {
            (&mut self.misses, &mut self.passes, self.failures, Health::Failing)
        };
        *other = 0;
        *row = row.saturating_add(1);
        let turns = *row >= needed && self.says != says;
        if turns {
            self.says = says;
        }
        turns
    }
}
