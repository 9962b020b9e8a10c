//! The gate: asks, at a cadence, whether the sandbox does what it is for.
//!
//! Until it passes: at once, then 50 ms × 1.5 up to 1 s between probes, one at
//! a time. After the gate was missed every 10 s.

use std::time::{Duration, Instant};

use regex::bytes::Regex;
use schema::launch::{Probe, ProbeKind};
use schema::wire::Message;
use schema::wire::message::{Exec, OnGone, StdinMode};

use crate::logs::Lines;

/// The first pause between two probes, and the longest.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pause once the gate was missed.
const PAUSE_STALLED: Duration = Duration::from_secs(10);

/// How long one probe takes at most.
const PROBE_MAX: Duration = Duration::from_secs(10);

/// How much of a probe's output is kept.
const OUTPUT_BYTES_MAX: usize = 512;

/// See the module.
#[derive(Debug)]
pub(crate) struct Gate {
    asks: Asks,
    state: State,
    pause: Duration,
    stalled: bool,
}

#[derive(Debug)]
enum Asks {
    Agent,
    Exec { argv: Vec<String> },
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
    /// A probe runs.
    Probing { session: u32, until: Instant, output: Vec<u8> },
    /// It passed, or nobody asks any more.
    Over,
}

/// What the gate wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Run this command and tell the gate its session.
    Run(Box<Exec>),
    /// Kill this session.
    Kill(u32),
    /// The gate passed.
    Pass,
}

impl Gate {
    /// Returns the gate of a launch record.
    ///
    /// # Errors
    /// The pattern is none.
    pub(crate) fn new(probe: &Probe) -> Result<Self, regex::Error> {
        let asks = match &probe.kind {
            ProbeKind::Agent => Asks::Agent,
            ProbeKind::Exec { argv } => Asks::Exec { argv: argv.clone() },
            ProbeKind::Log { pattern } => {
                Asks::Log { pattern: Regex::new(pattern)?, streams: Default::default() }
            }
        };
        Ok(Self { asks, state: State::Closed, pause: PAUSE_MIN, stalled: false })
    }

    /// Begins to ask.
    pub(crate) fn start(&mut self, now: Instant) -> Option<Want> {
        match &self.asks {
            Asks::Agent => {
                self.state = State::Over;
                Some(Want::Pass)
            }
            Asks::Log { .. } => {
                // A line may have come before the workload was known to run.
                if !matches!(self.state, State::Over) {
                    self.state = State::Listening;
                    return None;
                }
                Some(Want::Pass)
            }
            Asks::Exec { .. } => {
                self.state = State::Waiting { until: now };
                None
            }
        }
    }

    /// Stops asking.
    pub(crate) fn close(&mut self) {
        self.state = State::Over;
    }

    /// Asks less often from now on.
    pub(crate) fn stall(&mut self) {
        self.stalled = true;
    }

    /// Returns when [`Gate::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { until } | State::Probing { until, .. } => Some(until),
            State::Closed | State::Listening | State::Over => None,
        }
    }

    /// Looks at what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Option<Want> {
        match &mut self.state {
            State::Waiting { until } if now >= *until => {
                let Asks::Exec { argv } = &self.asks else { return None };
                Some(Want::Run(Box::new(exec(argv))))
            }
            State::Probing { session, until, .. } if now >= *until => {
                // Asked again only if the kill itself is not answered.
                *until = now + PROBE_MAX;
                Some(Want::Kill(*session))
            }
            State::Closed
            | State::Listening
            | State::Waiting { .. }
            | State::Probing { .. }
            | State::Over => None,
        }
    }

    /// Takes the session of the command that was asked for.
    pub(crate) fn runs(&mut self, session: u32, now: Instant) {
        self.state = State::Probing { session, until: now + PROBE_MAX, output: Vec::new() };
    }

    /// Takes what a session said; returns the probe's answer when it is the probe's.
    pub(crate) fn hear(&mut self, id: u32, message: &Message, now: Instant) -> Option<Answer> {
        let State::Probing { session, output, .. } = &self.state else { return None };
        if *session != id {
            return None;
        }
        let text = String::from_utf8_lossy(output).trim().to_owned();
        let answer = match message {
            Message::Exited(exited) if exited.code == Some(0) => {
                Answer { passed: true, text: "exit 0".into() }
            }
            Message::Exited(exited) => {
                let how = match (exited.code, exited.signal) {
                    (Some(code), _) => format!("exit {code}"),
                    (None, signal) => format!("signal {}", signal.unwrap_or(0)),
                };
                let text = if text.is_empty() { how } else { format!("{how}: {text}") };
                Answer { passed: false, text }
            }
            Message::ExecFailed(failed) => {
                Answer { passed: false, text: format!("cannot run: {}", failed.detail) }
            }
            Message::Error(error) => Answer { passed: false, text: error.message.clone() },
            _ => return None,
        };
        self.state = if answer.passed {
            State::Over
        } else {
            State::Waiting { until: now + self.next_pause() }
        };
        Some(answer)
    }

    /// Takes the reset of a session; a probe that was its is asked again.
    pub(crate) fn hear_reset(&mut self, id: u32, now: Instant) -> Option<Answer> {
        let State::Probing { session, .. } = &self.state else { return None };
        if *session != id {
            return None;
        }
        self.state = State::Waiting { until: now + self.next_pause() };
        Some(Answer { passed: false, text: "the agent gave up the probe's session".into() })
    }

    /// Takes what a session wrote; tells whether the gate passed by it.
    pub(crate) fn hear_output(
        &mut self,
        id: u32,
        is_main: bool,
        stream: u16,
        bytes: &[u8],
    ) -> bool {
        if let State::Probing { session, output, .. } = &mut self.state
            && *session == id
        {
            output.extend_from_slice(bytes);
            let excess = output.len().saturating_sub(OUTPUT_BYTES_MAX);
            output.drain(..excess);
            return false;
        }
        let is_listening = matches!(self.state, State::Closed | State::Listening);
        let Asks::Log { pattern, streams } = &mut self.asks else { return false };
        if !is_main || !is_listening {
            return false;
        }
        let Some(lines) = streams.get_mut(usize::from(stream)) else { return false };
        let mut matched = false;
        lines.push(bytes, |line| matched |= pattern.is_match(&line.bytes));
        let was_open = matches!(self.state, State::Listening);
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

/// What a probe answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) passed: bool,
    pub(crate) text: String,
}

fn exec(argv: &[String]) -> Exec {
    Exec {
        argv: argv.to_vec(),
        env: Vec::new(),
        cwd: None,
        user: None,
        tty: None,
        stdin: StdinMode::None,
        rlimits: Vec::new(),
        on_gone: OnGone::Kill,
        log: false,
        name: Some("probe".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::{Clock as _, HostClock};
    use schema::wire::message::Exited;

    fn exited(code: u8) -> Message {
        Message::Exited(Exited {
            code: Some(code),
            signal: None,
            core: false,
            cpu_ms: 0,
            rss_max_bytes: 0,
            oom: None,
        })
    }

    fn gate(kind: ProbeKind) -> Gate {
        Gate::new(&Probe { kind, timeout_ms: 60_000 }).unwrap()
    }

    #[test]
    fn probes_come_at_their_cadence_one_at_a_time() {
        let mut gate = gate(ProbeKind::Exec { argv: vec!["check".into()] });
        let mut now = HostClock.now();
        assert_eq!(gate.start(now), None);
        let mut pauses = Vec::new();
        for id in 2..12 {
            assert!(matches!(gate.tick(now), Some(Want::Run(_))));
            gate.runs(id, now);
            gate.hear_output(id, false, 0, b"not yet\n");
            let answer = gate.hear(id, &exited(1), now).unwrap();
            assert_eq!(answer, Answer { passed: false, text: "exit 1: not yet".into() });
            let next = gate.deadline().unwrap();
            pauses.push((next - now).as_millis());
            now = next;
        }
        assert_eq!(pauses, [50, 75, 112, 168, 253, 379, 569, 854, 1000, 1000]);
        gate.tick(now);
        gate.runs(12, now);
        assert!(gate.hear(12, &exited(0), now).unwrap().passed);
        assert_eq!(gate.deadline(), None);
    }

    #[test]
    fn a_probe_that_hangs_is_killed() {
        let mut gate = gate(ProbeKind::Exec { argv: vec!["check".into()] });
        let now = HostClock.now();
        gate.start(now);
        gate.tick(now);
        gate.runs(2, now);
        assert_eq!(gate.tick(now + PROBE_MAX), Some(Want::Kill(2)));
    }

    #[test]
    fn a_probe_whose_session_is_reset_is_asked_again() {
        let mut gate = gate(ProbeKind::Exec { argv: vec!["check".into()] });
        let now = HostClock.now();
        gate.start(now);
        gate.tick(now);
        gate.runs(2, now);
        assert_eq!(gate.hear_reset(9, now), None, "another session");
        assert!(!gate.hear_reset(2, now).unwrap().passed);
        let next = gate.deadline().unwrap();
        assert!(matches!(gate.tick(next), Some(Want::Run(_))));
    }

    #[test]
    fn a_line_of_the_workload_opens_the_gate_even_when_it_came_early() {
        let kind = || ProbeKind::Log { pattern: "^ready to".into() };
        let now = HostClock.now();
        let mut late = gate(kind());
        assert_eq!(late.start(now), None);
        assert!(!late.hear_output(1, true, 1, b"getting ready to\nrea"));
        assert!(!late.hear_output(9, false, 1, b"dy to serve\n"), "another session");
        assert!(late.hear_output(1, true, 1, b"dy to serve\n"));
        let mut early = gate(kind());
        assert!(!early.hear_output(1, true, 0, b"ready to serve\n"));
        assert_eq!(early.start(now), Some(Want::Pass));
    }
}
