//! The gate: what has to pass once before the sandbox is ready.
//!
//! Until it passes: at once, then 50 ms × 1.5 up to 1 s between probes. After the
//! gate was missed every 10 s.

use std::time::{Duration, Instant};

use regex::bytes::Regex;
use schema::launch::ProbeKind;

use super::run::Question;
use crate::logs::Lines;

/// The first pause between two probes, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pause once the gate was missed.
const PAUSE_STALLED: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    asks: Asks,
    state: State,
    pause: Duration,
    stalled: bool,
}

#[derive(Debug)]
enum Asks {
    Agent,
    Again(Question),
    Log { pattern: Regex, streams: [Lines; 2] },
}

#[derive(Debug)]
enum State {
    /// The workload does not run yet.
    Closed,
    /// Waiting for something to happen.
    Listening,
    /// The next probe is due then.
    Waiting { until: Instant },
    /// It passed, or nobody asks any more.
    Over,
}

impl Gate {
    /// Returns the gate that a probe is.
    ///
    /// # Errors
    /// The pattern is none.
    pub(super) fn new(kind: &ProbeKind) -> Result<Self, regex::Error> {
        let asks = match (kind, Question::of(kind)) {
            (_, Some(question)) => Asks::Again(question),
            (ProbeKind::Log { pattern }, None) => {
                Asks::Log { pattern: Regex::new(pattern)?, streams: Default::default() }
            }
            (_, None) => Asks::Agent,
        };
        Ok(Self { asks, state: State::Closed, pause: PAUSE_MIN, stalled: false })
    }

    /// Begins to ask; tells whether it passed already.
    pub(super) fn start(&mut self, now: Instant) -> bool {
        match &self.asks {
            Asks::Agent => self.state = State::Over,
            // A line may have come before the workload was known to run.
            Asks::Log { .. } if matches!(self.state, State::Over) => {}
            Asks::Log { .. } => self.state = State::Listening,
            Asks::Again(_) => self.state = State::Waiting { until: now },
        }
        matches!(self.state, State::Over)
    }

    /// Stops asking.
    pub(super) fn close(&mut self) {
        self.state = State::Over;
    }

    /// Asks less often from now on; returns what is to be said of one that never asked.
    pub(super) fn stall(&mut self) -> Option<String> {
        self.stalled = true;
        match &self.asks {
            Asks::Log { pattern, .. } => Some(format!("log {}: no line matched", pattern.as_str())),
            Asks::Agent | Asks::Again(_) => None,
        }
    }

    /// Returns when the next probe is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Closed | State::Listening | State::Over => None,
        }
    }

    /// Returns what is to be asked when it is due.
    pub(super) fn question(&self) -> Option<&Question> {
        match &self.asks {
            Asks::Again(question) => Some(question),
            Asks::Agent | Asks::Log { .. } => None,
        }
    }

    /// Takes the answer of a probe.
    pub(super) fn answered(&mut self, passed: bool, now: Instant) {
        self.state =
            if passed { State::Over } else { State::Waiting { until: now + self.next_pause() } };
    }

    /// Takes what the workload wrote; tells whether the gate passed by it.
    pub(super) fn hear_main(&mut self, stream: u16, bytes: &[u8]) -> bool {
        let was_open = matches!(self.state, State::Listening);
        let Asks::Log { pattern, streams } = &mut self.asks else { return false };
        if !was_open && !matches!(self.state, State::Closed) {
            return false;
        }
        let Some(lines) = streams.get_mut(usize::from(stream)) else { return false };
        let mut matched = false;
        lines.push(bytes, |line| matched |= pattern.is_match(&line.bytes));
        if matched {
            self.state = State::Over;
        }
        matched && was_open
    }

    fn next_pause(&mut self) -> Duration {
        if self.stalled {
            return PAUSE_STALLED;
        }
        let pause = self.pause;
        self.pause = (pause * 3 / 2).min(PAUSE_MAX);
        pause
    }
}
