//! The life of one machine as decisions: what was heard in, what is to be done out.
//!
//! ```text
//! Booting ─ agent ready ─▶ workload runs ─▶ Starting ─ gate ─▶ Ready ─┐
//!    │                          │               │                     │ exited, stop, panic, …
//!    └── deadline, step failed ─┴───────────────┴──▶ closing ─────────┤
//!                                                                     ▼
//!                                      VMM ended ──▶ rest, with one verdict
//! ```
//! What a policy brings back goes round once more; `again` draws that.
//!
//! [`Life`] reads no clock and does nothing by itself: time comes in with each
//! call, deeds go out as [`Act`]s. A verdict is reached once; what comes later
//! may hasten the end but does not change why.

mod again;
mod ages;
mod boot;
mod restart;
mod stop;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use schema::launch::{Kind, OnUnhealthy, Restart};
use schema::lifecycle::{Event, Phase};
use schema::record::Exit;

use crate::hypervisor::VmmEnd;
pub(crate) use again::Subject;
use again::{Again, Ending, Mends};
pub(crate) use ages::{Ages, Over};
use boot::Boot;
pub(crate) use restart::Chance;
use restart::Restarts;
use stop::Stop;
pub(crate) use stop::{StopAsk, Urgency};

/// How long a machine whose channel is lost may take to end by itself.
const LOST_GRACE: Duration = Duration::from_secs(2);

/// What the machine was launched with.
#[derive(Debug, Clone)]
pub(crate) struct Terms {
    pub(crate) kind: Kind,
    pub(crate) has_workload: bool,
    pub(crate) success_codes: Vec<u8>,
    /// How long a boot goes without progress.
    pub(crate) boot: Duration,
    /// How long the gate takes to pass.
    pub(crate) gate: Duration,
    /// How long commands may take to end, unless a stop says otherwise.
    pub(crate) grace: Duration,
    /// What follows when the workload or the machine ends; absent: nothing.
    pub(crate) restart: Option<Restart>,
    /// What a machine whose health fails gets.
    pub(crate) on_unhealthy: OnUnhealthy,
}

/// Something that happened.
#[derive(Debug, Clone)]
pub(crate) enum Heard {
    /// The agent wrote its first byte.
    FirstByte,
    /// The VMM used processor time.
    Busy,
    /// A boot step began.
    Step(String),
    /// A boot step failed.
    StepFailed { step: String, errno: Option<String>, detail: String },
    /// The guest is up.
    AgentReady,
    /// The workload runs.
    WorkloadStarted,
    /// The workload could not be run.
    WorkloadRefused { kind: &'static str, message: String },
    /// The workload ended.
    WorkloadExited { exit: Exit, oom: bool },
    /// The gate passed.
    GatePassed,
    /// The health probe failed often enough.
    Unhealthy,
    /// The health probe passed often enough, or nobody asks any more.
    Healthy,
    /// Somebody wants the machine to end.
    Stop(StopAsk),
    /// It is as old as it may become, or was idle for as long as it may be.
    Over(Over),
    /// The guest began to shut down.
    Stopping { from_guest: bool },
    /// The guest shut down.
    Bye { killed: u32 },
    /// The agent's channel cannot be used any more.
    ChannelLost(String),
    /// The console shows a kernel panic; it names a reset and ends nothing, for anybody in the
    /// guest may print the like.
    Panicked,
    /// The VMM has ended and was reaped.
    VmmEnded(VmmEnd),
    /// The VMM cannot be spoken to.
    Unusable(String),
    /// The machine could not be started again.
    NotStarted { reason: &'static str, message: String },
    /// A fault of the runtime: nothing can be promised about the machine any more.
    Fault(String),
}

/// Something to be done.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    /// The machine moved on; not to a phase of rest.
    Move {
        from: Phase,
        to: Phase,
        reason: Option<String>,
        detail: Option<String>,
        message: Option<String>,
    },
    /// Start the workload.
    StartWorkload,
    /// Ask the workload to end.
    EndWorkload,
    /// Kill the workload.
    KillWorkload,
    /// Start a VMM in the place of the one that ended.
    StartMachine,
    /// Forget what probes found out: what they asked is gone.
    BeginProbesAnew,
    /// Write down that a policy, or health, starts something again.
    Again { count: u32, subject: Subject, reason: String },
    /// Begin to ask the gate's probe.
    StartGate,
    /// Write down that the machine is to end.
    Ask { actor: String, reason: String, grace: Duration },
    /// Tell the agent to shut down.
    Shutdown { grace: Duration, reason: String },
    /// Ask the VMM to flush and end.
    Quit,
    /// Kill the VMM.
    Kill,
    /// Nothing runs any more.
    Rest(Box<Rest>),
}

/// How a machine rests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rest {
    pub(crate) from: Phase,
    pub(crate) phase: Phase,
    pub(crate) verdict: Verdict,
    pub(crate) exit: Option<Exit>,
    pub(crate) forced: bool,
}

/// Why a machine rests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) event: Event,
    pub(crate) reason: String,
    pub(crate) detail: Option<String>,
    pub(crate) message: Option<String>,
    /// Whether the console's last lines belong to it.
    pub(crate) shows_console: bool,
    mends: Mends,
}

impl Verdict {
    fn new(event: Event, reason: impl Into<String>) -> Self {
        let (reason, mends) = (reason.into(), Mends::Never);
        Self { event, reason, detail: None, message: None, shows_console: false, mends }
    }

    fn died(detail: &str, message: impl Into<String>) -> Self {
        let verdict = Self::new(Event::Died, "machine-died").detail(detail).message(message);
        verdict.mends(Mends::Failure)
    }

    fn mends(self, mends: Mends) -> Self {
        Self { mends, ..self }
    }

    fn detail(self, detail: impl Into<String>) -> Self {
        Self { detail: Some(detail.into()), ..self }
    }

    fn message(self, message: impl Into<String>) -> Self {
        Self { message: Some(message.into()), ..self }
    }

    fn with_console(self) -> Self {
        Self { shows_console: true, ..self }
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Life {
    terms: Terms,
    phase: Phase,
    boot: Boot,
    guest: Guest,
    gate_until: Option<Instant>,
    verdict: Option<Verdict>,
    exit: Option<Exit>,
    stop: Option<Stop>,
    forced: bool,
    /// When a machine that is lost is killed.
    lost_until: Option<Instant>,
    console: Console,
    restarts: Restarts,
    /// What is to be started again.
    again: Option<Again>,
    /// A workload that is ended for that.
    ending: Option<Ending>,
    workload: Workload,
    wish: Wish,
    rests: bool,
}

/// What is known of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guest {
    /// It boots.
    Down,
    /// Its agent takes messages.
    Up,
    /// It said good-bye.
    Gone,
}

/// Whether the workload runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Workload {
    /// It does not, or there is none.
    Rests,
    /// It does.
    Runs,
}

/// What is wanted of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// It is to go on.
    Goes,
    /// Somebody wished for its end, which nothing undoes.
    Ends,
}

/// What is known of the console.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Console {
    /// It shows nothing that matters.
    Plain,
    /// It shows the words of a kernel panic.
    ShowsPanic,
}

impl Life {
    /// Returns the life of a machine whose VMM was just started.
    pub(crate) fn new(terms: Terms, chance: Chance, now: Instant) -> Self {
        let boot = Boot::new(terms.boot, now);
        let restarts = Restarts::new(terms.restart.clone(), chance);
        Self {
            terms,
            phase: Phase::Booting,
            boot,
            guest: Guest::Down,
            gate_until: None,
            verdict: None,
            exit: None,
            stop: None,
            forced: false,
            lost_until: None,
            console: Console::Plain,
            restarts,
            again: None,
            ending: None,
            workload: Workload::Rests,
            wish: Wish::Goes,
            rests: false,
        }
    }

    /// Returns the phase.
    #[cfg(test)]
    pub(crate) const fn phase(&self) -> Phase {
        self.phase
    }

    /// Tells whether the end is under way or reached.
    pub(crate) const fn is_closing(&self) -> bool {
        self.stop.is_some() || self.verdict.is_some() || self.rests
    }

    /// Tells whether the guest is not up yet.
    pub(crate) fn is_booting(&self) -> bool {
        self.phase == Phase::Booting
    }

    /// Tells whether a machine boots that may take too long.
    fn boots(&self) -> bool {
        self.phase == Phase::Booting && self.again.is_none() && !self.is_closing()
    }

    /// Changes the grace of stops from now on.
    pub(crate) const fn set_grace(&mut self, grace: Duration) {
        self.terms.grace = grace;
    }

    /// Returns when [`Life::tick`] is due, if nothing is heard before.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.rests {
            return None;
        }
        let boot = self.boots().then(|| self.boot.until());
        let gate = self.gate_until.filter(|_| !self.is_closing());
        let stop = self.stop.as_ref().and_then(Stop::deadline);
        let again = self.again.as_ref().map(|again| again.at);
        let ending = self.ending.map(Ending::deadline);
        [boot, gate, stop, again, ending, self.lost_until].into_iter().flatten().min()
    }

    /// Takes something that happened; returns what is to be done about it.
    pub(crate) fn hear(&mut self, heard: Heard, now: Instant) -> Vec<Act> {
        if self.rests {
            return Vec::new();
        }
        match heard {
            Heard::FirstByte => self.boot.spoke(now),
            Heard::Busy => self.boot.busy(now),
            Heard::Step(step) => self.boot.reached(step, now),
            Heard::StepFailed { step, errno, detail } => {
                self.judge(boot::step_failed(&step, errno.as_deref(), &detail));
                self.lost_until.get_or_insert(now + LOST_GRACE);
            }
            Heard::AgentReady => return self.agent_ready(now),
            Heard::WorkloadStarted => return self.runs(now),
            Heard::WorkloadRefused { kind, message } => {
                let verdict = Verdict::new(Event::Fact, "exec").detail(kind).message(message);
                return self.close(verdict, now);
            }
            Heard::WorkloadExited { exit, oom } => return self.exited(exit, oom, now),
            Heard::GatePassed => return self.gate_passed(),
            Heard::Unhealthy => return self.turned_bad(now),
            Heard::Healthy => return self.turned_well(),
            Heard::Stop(ask) => return self.stop_asked(ask, now),
            Heard::Over(over) => return self.is_over(over, now),
            Heard::Stopping { from_guest } => return self.stopping(from_guest, now),
            Heard::Bye { killed } => {
                self.guest = Guest::Gone;
                self.forced |= killed > 0;
            }
            Heard::ChannelLost(why) => self.channel_lost(why, now),
            Heard::Panicked => self.console = Console::ShowsPanic,
            Heard::VmmEnded(end) => return self.vmm_ended(&end, now),
            Heard::NotStarted { reason, message } => {
                return self.rest(Verdict::new(Event::Died, reason).message(message));
            }
            Heard::Unusable(why) => return self.unusable(&why),
            Heard::Fault(message) => {
                self.judge(Verdict::new(Event::Died, "internal").message(message));
                return vec![Act::Kill];
            }
        }
        Vec::new()
    }

    /// Looks at what is due at `now`.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = Vec::new();
        if self.rests {
            return acts;
        }
        acts.extend(self.tick_again(now));
        if self.boots() && now >= self.boot.until() {
            self.judge(self.boot.overdue());
            acts.push(Act::Kill);
        }
        if self.gate_until.is_some_and(|until| now >= until) && !self.is_closing() {
            self.gate_until = None;
            acts.extend(self.shift(Event::GateTimedOut, Some("not-ready")));
        }
        if let Some(stop) = &mut self.stop {
            let (more, forced) = stop.tick(now);
            self.forced |= forced;
            acts.extend(more);
        }
        if self.lost_until.is_some_and(|until| now >= until) {
            self.lost_until = None;
            if let Some(why) = self.boot.channel_lost().map(str::to_owned) {
                self.judge(Verdict::died("agent-lost", why).with_console());
            }
            acts.push(Act::Kill);
        }
        acts
    }

    fn agent_ready(&mut self, now: Instant) -> Vec<Act> {
        self.guest = Guest::Up;
        self.boot.spoke(now);
        if self.is_closing() {
            return Vec::new();
        }
        if self.terms.has_workload { vec![Act::StartWorkload] } else { self.runs(now) }
    }

    fn runs(&mut self, now: Instant) -> Vec<Act> {
        let mut acts = self.shift(Event::AgentReady, None);
        if self.terms.has_workload {
            self.workload = Workload::Runs;
        }
        if self.phase == Phase::Starting && !self.is_closing() {
            // A job is judged by its end, not by its gate.
            self.gate_until = (self.terms.kind == Kind::Service).then(|| now + self.terms.gate);
            acts.push(Act::StartGate);
        }
        acts
    }

    fn gate_passed(&mut self) -> Vec<Act> {
        self.gate_until = None;
        if self.is_closing() { Vec::new() } else { self.shift(Event::GatePassed, None) }
    }

    /// Health is good again; a machine that ends is past it.
    fn turned_well(&mut self) -> Vec<Act> {
        if self.is_closing() { Vec::new() } else { self.shift(Event::Healthy, None) }
    }

    fn verdict_of(&self, exit: Exit, oom: bool) -> Verdict {
        let succeeded = self.succeeded(exit);
        let was_ready = matches!(self.phase, Phase::Ready | Phase::Degraded);
        match (succeeded, self.terms.kind) {
            (true, Kind::Job) => {
                Verdict::new(Event::JobSucceeded, format!("exit {}", exit.shell_code()))
            }
            (true, Kind::Service) if was_ready => Verdict::new(Event::Stopped, "exited"),
            (true, Kind::Service) => Verdict::new(Event::Died, "exited-early"),
            (false, _) if oom => Verdict::new(Event::Died, "oom"),
            (false, _) => match (exit.code, exit.signal) {
                (None, Some(signal)) => Verdict::new(Event::Died, format!("signal {signal}")),
                (code, _) => Verdict::new(Event::Died, format!("exit {}", code.unwrap_or(1))),
            },
        }
    }

    /// Ends the machine in good order because of `verdict`, unless its end is under way.
    fn close(&mut self, verdict: Verdict, now: Instant) -> Vec<Act> {
        if self.is_closing() {
            return Vec::new();
        }
        let reason = verdict.reason.clone();
        self.judge(verdict);
        let ask =
            StopAsk { actor: "msb-runtime".into(), reason, grace: None, urgency: Urgency::Normal };
        self.begin_stop(ask, now)
    }

    fn judge(&mut self, verdict: Verdict) {
        self.verdict.get_or_insert(verdict);
    }

    fn unusable(&mut self, why: &str) -> Vec<Act> {
        if self.is_closing() {
            return Vec::new();
        }
        let verdict = if self.phase == Phase::Booting {
            Verdict::new(Event::Fact, "driver").message(why)
        } else {
            Verdict::died("vmm-exited", why)
        };
        self.judge(verdict);
        vec![Act::Kill]
    }

    fn channel_lost(&mut self, why: String, now: Instant) {
        if self.guest == Guest::Gone || self.stop.is_some() {
            return;
        }
        if self.verdict.is_none() {
            // The VMM may be about to be reaped, and then tells more than a closed channel.
            self.boot.lost_channel(why);
        }
        self.lost_until.get_or_insert(now + LOST_GRACE);
    }

    fn vmm_ended(&mut self, end: &VmmEnd, now: Instant) -> Vec<Act> {
        if let Some(stop) = &self.stop {
            // An end that nobody said good-bye to may have lost what was not flushed.
            self.forced |= self.guest != Guest::Gone && stop.was_told;
        }
        let verdict = self.verdict.take().unwrap_or_else(|| self.verdict_of_end(end));
        if let Some(acts) = self.boot_again(&verdict, now) {
            return acts;
        }
        let verdict = self.spent(verdict, now);
        self.rest(verdict)
    }

    /// Nothing runs any more.
    fn rest(&mut self, verdict: Verdict) -> Vec<Act> {
        self.rests = true;
        let from = self.phase;
        // A job may succeed before its gate passed; everything else is known to every phase.
        let phase = from.next(verdict.event).unwrap_or(match verdict.event {
            Event::JobSucceeded => Phase::Completed,
            _ => Phase::Failed,
        });
        self.phase = phase;
        let (exit, forced) = (self.exit, self.forced);
        vec![Act::Rest(Box::new(Rest { from, phase, verdict, exit, forced }))]
    }

    fn verdict_of_end(&self, end: &VmmEnd) -> Verdict {
        if let Some(stop) = &self.stop {
            return Verdict::new(Event::Stopped, stop.reason.clone());
        }
        if self.guest == Guest::Gone {
            return stop::by_guest();
        }
        // A kernel that panicked resets, by which the VMM ends well.
        if self.console == Console::ShowsPanic && end.code == Some(0) {
            return self.verdict_of_panic();
        }
        let detail = if end.code == Some(0) { "guest-reset" } else { "vmm-exited" };
        Verdict::died(detail, format!("the machine's process is gone: {end}")).with_console()
    }

    fn verdict_of_panic(&self) -> Verdict {
        let message = "the guest's kernel panicked";
        let verdict = match self.phase {
            Phase::Booting => {
                Verdict::new(Event::Died, "boot").detail("kernel-panic").message(message)
            }
            // One that was never ready would panic again.
            Phase::Starting => Verdict::died("kernel-panic", message).mends(Mends::Never),
            _ => Verdict::died("kernel-panic", message),
        };
        verdict.with_console()
    }

    /// Moves on, or stays where the event does not apply.
    fn shift(&mut self, event: Event, reason: Option<&str>) -> Vec<Act> {
        let from = self.phase;
        let Ok(to) = from.next(event) else { return Vec::new() };
        self.phase = to;
        let reason = reason.map(str::to_owned);
        vec![Act::Move { from, to, reason, detail: None, message: None }]
    }
}
