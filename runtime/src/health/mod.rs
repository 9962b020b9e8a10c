//! Probes: whether the sandbox does what it is for, and still does.
//!
//! ```text
//! workload runs ─▶ gate ── passes once ──▶ pulse ── failures, successes in a row ──▶ health
//! ```
//!
//! One probe is asked at a time, by sessions of the runtime's own. What a probe wants
//! done comes out as [`Want`]s; time comes in with each call.

mod gate;
mod http;
mod pulse;
mod run;
#[cfg(test)]
mod tests;
mod tls;

use std::net::IpAddr;
use std::time::{Duration, Instant};

use schema::launch;
use schema::record::Health;
use schema::wire::Message;

use gate::Gate;
use pulse::Pulse;
use run::{Question, Run};

/// How long one probe of the gate takes at most.
const GATE_PROBE_MAX: Duration = Duration::from_secs(10);

/// How long an answer that is known is still read to its end, so that nobody is cut off.
const LINGER: Duration = Duration::from_secs(1);

/// How much of it.
const LINGER_BYTES_MAX: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub(crate) struct Probes {
    /// Where the guest is connected to, in turn.
    addresses: Vec<IpAddr>,
    gate: Gate,
    pulse: Option<Pulse>,
    run: Option<(Whose, Run)>,
    linger: Option<Linger>,
    is_over: bool,
}

/// Whose question is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Gate,
    Pulse,
}

/// A connection whose answer is known.
#[derive(Debug)]
struct Linger {
    session: u32,
    left: usize,
    until: Instant,
}

/// What a probe wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// Open a session with this message, and say its number or why there is none.
    Open(Box<Message>),
    /// Send these bytes in the session.
    Send(u32, Vec<u8>),
    /// Kill the session's command.
    Kill(u32),
    /// End the session.
    Leave(u32),
    /// Show this answer.
    Show(String),
    /// The gate passed.
    Pass,
    /// Health is another; with the answer that made it so.
    Turn(Health, Option<String>),
}

/// What a probe answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    passed: bool,
    text: String,
}

impl Probes {
    /// Returns the probes of a launch record.
    ///
    /// # Errors
    /// The pattern of the gate is none.
    pub(crate) fn new(
        ready: &launch::Probe,
        health: Option<&launch::Health>,
        addresses: Vec<IpAddr>,
    ) -> Result<Self, regex::Error> {
        Ok(Self {
            addresses,
            gate: Gate::new(&ready.kind)?,
            pulse: health.and_then(Pulse::new),
            run: None,
            linger: None,
            is_over: false,
        })
    }

    /// Begins to ask the gate.
    pub(crate) fn start(&mut self, now: Instant) -> Vec<Want> {
        if self.gate.start(now) { vec![Want::Pass] } else { Vec::new() }
    }

    /// Begins anew with a workload or a guest that begins anew: what was asked is forgotten.
    pub(crate) fn begin_anew(&mut self, fresh: Self) -> Vec<Want> {
        let mut wants = Vec::new();
        let said = self.pulse.as_ref().map_or(Health::None, Pulse::says);
        let sessions = self.run.take().and_then(|(_, run)| run.session());
        let lingering = self.linger.take().map(|linger| linger.session);
        wants.extend(sessions.into_iter().chain(lingering).map(Want::Leave));
        *self = fresh;
        let says = self.pulse.as_ref().map_or(Health::None, Pulse::says);
        if says != said {
            wants.push(Want::Turn(says, None));
        }
        wants
    }

    /// Stops asking, for good.
    pub(crate) fn close(&mut self) {
        self.gate.close();
        (self.pulse, self.run, self.linger) = (None, None, None);
        self.is_over = true;
    }

    /// The gate was missed.
    pub(crate) fn stall(&mut self) -> Vec<Want> {
        self.gate.stall().map(Want::Show).into_iter().collect()
    }

    /// The sandbox is ready: from now on it is asked whether it is well.
    pub(crate) fn watch(&mut self, now: Instant) {
        if let Some(pulse) = &mut self.pulse {
            pulse.start(now);
        }
    }

    /// Asks something else about health from now on, and begins to count anew.
    pub(crate) fn change(
        &mut self,
        health: Option<&launch::Health>,
        is_ready: bool,
        now: Instant,
    ) -> Vec<Want> {
        let mut wants = Vec::new();
        if self.is_over {
            return wants;
        }
        let said = self.pulse.as_ref().map_or(Health::None, Pulse::says);
        if matches!(self.run, Some((Whose::Pulse, _))) {
            let run = self.run.take();
            wants.extend(run.and_then(|(_, run)| run.session()).map(Want::Leave));
        }
        self.pulse = health.and_then(Pulse::new).map(|pulse| pulse.after(said));
        if is_ready {
            self.watch(now);
        }
        let says = self.pulse.as_ref().map_or(Health::None, Pulse::says);
        if says != said {
            wants.push(Want::Turn(says, None));
        }
        wants
    }

    /// Returns when [`Probes::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let linger = self.linger.as_ref().map(|linger| linger.until);
        let next = match &self.run {
            Some((_, run)) => Some(run.until()),
            None => {
                let pulse = self.pulse.as_ref().and_then(Pulse::deadline);
                [self.gate.deadline(), pulse].into_iter().flatten().min()
            }
        };
        [linger, next].into_iter().flatten().min()
    }

    /// Looks at what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        if self.linger.as_ref().is_some_and(|linger| now >= linger.until) {
            self.leave_last(&mut wants);
        }
        if let Some((_, run)) = &mut self.run {
            if now >= run.until()
                && let Some(answer) = run.overdue(now, &mut wants)
            {
                self.settle(answer, now, &mut wants);
            }
            return wants;
        }
        let is_due = |at: Option<Instant>| at.is_some_and(|at| now >= at);
        if is_due(self.gate.deadline()) {
            if let Some(question) = self.gate.question().cloned() {
                self.ask(Whose::Gate, (&question, GATE_PROBE_MAX), now, &mut wants);
            }
        } else if let Some(pulse) = &mut self.pulse
            && is_due(pulse.deadline())
        {
            let (question, timeout) = pulse.ask(now);
            let question = question.clone();
            self.ask(Whose::Pulse, (&question, timeout), now, &mut wants);
        }
        wants
    }

    /// Takes the session that was opened.
    pub(crate) fn opened(&mut self, session: u32) {
        if let Some((_, run)) = &mut self.run {
            run.opened(session);
        }
    }

    /// Takes why none was opened.
    pub(crate) fn refused(&mut self, why: &str, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        if let Some((_, run)) = &self.run {
            let answer = run.missed(why);
            self.settle(answer, now, &mut wants);
        }
        wants
    }

    /// Takes what a session said.
    pub(crate) fn hear(&mut self, id: u32, message: &Message, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        let Some(run) = self.run_in(id) else { return wants };
        if let Some(answer) = run.hear(message, &mut wants) {
            self.settle(answer, now, &mut wants);
        }
        wants
    }

    /// Takes the reset of a session; a probe that was its is asked again.
    pub(crate) fn hear_reset(&mut self, id: u32, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        self.linger.take_if(|linger| linger.session == id);
        if let Some(run) = self.run_in(id) {
            let answer = run.missed("the agent gave up the probe's session");
            self.settle(answer, now, &mut wants);
        }
        wants
    }

    /// Takes what a session of the runtime's own wrote.
    pub(crate) fn hear_output(&mut self, id: u32, bytes: &[u8], now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        if let Some(linger) = self.linger.as_mut().filter(|linger| linger.session == id) {
            linger.left = linger.left.saturating_sub(bytes.len());
            if linger.left == 0 {
                self.leave_last(&mut wants);
            }
            return wants;
        }
        let Some(run) = self.run_in(id) else { return wants };
        if let Some(answer) = run.hear_output(bytes, &mut wants) {
            self.linger_in(id, now, &mut wants);
            self.settle(answer, now, &mut wants);
        }
        wants
    }

    /// Takes the end of what a session of the runtime's own writes.
    pub(crate) fn hear_end(&mut self, id: u32, now: Instant) -> Vec<Want> {
        let mut wants = Vec::new();
        if self.linger.as_ref().is_some_and(|linger| linger.session == id) {
            self.leave_last(&mut wants);
            return wants;
        }
        if let Some(answer) = self.run_in(id).and_then(|run| run.hear_end()) {
            wants.push(Want::Leave(id));
            self.settle(answer, now, &mut wants);
        }
        wants
    }

    /// Takes what the workload wrote.
    pub(crate) fn hear_main(&mut self, stream: u16, bytes: &[u8]) -> Vec<Want> {
        if self.gate.hear_main(stream, bytes) {
            return vec![Want::Show("a line of the workload matched".into()), Want::Pass];
        }
        Vec::new()
    }

    fn run_in(&mut self, id: u32) -> Option<&mut Run> {
        self.run.as_mut().map(|(_, run)| run).filter(|run| run.is_in(id))
    }

    fn ask(
        &mut self,
        whose: Whose,
        (question, timeout): (&Question, Duration),
        now: Instant,
        wants: &mut Vec<Want>,
    ) {
        self.leave_last(wants);
        let (run, message) = Run::begin(question, &self.addresses, timeout, now);
        self.run = Some((whose, run));
        wants.push(Want::Open(Box::new(message)));
    }

    /// A probe is over.
    fn settle(&mut self, answer: Answer, now: Instant, wants: &mut Vec<Want>) {
        let Some((whose, _)) = self.run.take() else { return };
        let Answer { passed, text } = answer;
        wants.push(Want::Show(text.clone()));
        match whose {
            Whose::Gate => {
                self.gate.answered(passed, now);
                wants.extend(passed.then_some(Want::Pass));
            }
            Whose::Pulse => {
                let pulse = self.pulse.as_mut();
                if let Some(pulse) = pulse
                    && pulse.answered(passed)
                {
                    wants.push(Want::Turn(pulse.says(), Some(text)));
                }
            }
        }
    }

    fn linger_in(&mut self, session: u32, now: Instant, wants: &mut Vec<Want>) {
        self.leave_last(wants);
        self.linger = Some(Linger { session, left: LINGER_BYTES_MAX, until: now + LINGER });
    }

    fn leave_last(&mut self, wants: &mut Vec<Want>) {
        wants.extend(self.linger.take().map(|linger| Want::Leave(linger.session)));
    }
}
