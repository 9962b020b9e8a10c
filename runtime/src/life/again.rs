//! Starting again what ended: the workload in the same machine, or the machine.
//!
//! ```text
//! ended ── policy allows, one left ──▶ delay ──▶ Starting (workload) or Booting (machine)
//!   │              └─ none left ─────▶ Stalled(restarts); a job: Failed
//!   └───── it does not, asked for, a fact ─────▶ rest
//! ```

use std::time::{Duration, Instant};

use schema::launch::{Kind, OnUnhealthy, Restart};
use schema::lifecycle::{Event, Phase};
use schema::record::Exit;

use super::boot::Boot;
use super::{Act, Console, Guest, Life, Verdict, Wish, Workload};

/// What a workload that was told to end, and then killed, may take to be gone.
const TOLD_MAX: Duration = Duration::from_secs(5);

/// What is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The workload, in the same machine.
    Workload,
    /// The machine.
    Machine,
}

impl Subject {
    /// Returns the word for it.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Workload => "workload",
            Self::Machine => "machine",
        }
    }
}

/// A start that is to come.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) at: Instant,
    subject: Subject,
    reason: String,
}

/// A workload that is ended so that it can be started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It was told to end, and is killed then.
    Told(Instant),
    /// It was killed, and is given up then.
    Killed(Instant),
}

impl Ending {
    pub(super) const fn deadline(self) -> Instant {
        let (Self::Told(at) | Self::Killed(at)) = self;
        at
    }
}

/// Whether a policy may bring back what a verdict is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mends {
    /// Nothing would be different the next time, or nobody wants it.
    Never,
    /// It ended badly.
    Failure,
    /// It ended as if by exit code 0.
    Success,
}

impl Life {
    /// Another policy holds from now on.
    pub(crate) fn set_restart(&mut self, policy: Option<Restart>) {
        self.restarts.follow(policy);
    }

    /// Other exit codes are no failure from now on.
    pub(crate) fn set_success_codes(&mut self, codes: Vec<u8>) {
        self.terms.success_codes = codes;
    }

    /// Something else is done about bad health from now on.
    pub(crate) const fn set_on_unhealthy(&mut self, on_unhealthy: OnUnhealthy) {
        self.terms.on_unhealthy = on_unhealthy;
    }

    /// Tells whether a workload runs that ends for good: nobody is to stop it for being idle.
    pub(crate) fn runs_batch(&self) -> bool {
        self.workload == Workload::Runs && self.restarts.is_batch()
    }

    /// The workload ended.
    pub(super) fn exited(&mut self, exit: Exit, oom: bool, now: Instant) -> Vec<Act> {
        self.exit = Some(exit);
        self.workload = Workload::Rests;
        if self.is_closing() {
            return Vec::new();
        }
        if self.ending.take().is_some() {
            return self.again(Subject::Workload, Verdict::new(Event::Died, "unhealthy"), now);
        }
        let verdict = self.verdict_of(exit, oom);
        let ended_well = self.succeeded(exit);
        if self.restarts.wants(ended_well) && !self.is_fact(exit, oom) {
            return self.again(Subject::Workload, verdict, now);
        }
        self.close(verdict, now)
    }

    pub(super) fn succeeded(&self, exit: Exit) -> bool {
        exit.code.is_some_and(|code| self.terms.success_codes.contains(&code))
    }

    /// Tells whether the next start would end in the same way: no such command, or no memory to begin with.
    fn is_fact(&self, exit: Exit, oom: bool) -> bool {
        let missing = matches!(exit.code, Some(126 | 127)) && !self.succeeded(exit);
        missing || (oom && self.phase == Phase::Starting)
    }

    /// Health is failing.
    pub(super) fn turned_bad(&mut self, now: Instant) -> Vec<Act> {
        if self.is_closing() {
            return Vec::new();
        }
        let mut acts = self.shift(Event::Unhealthy, None);
        let acts_on_it = self.terms.on_unhealthy == OnUnhealthy::Restart
            && self.workload == Workload::Runs
            && self.ending.is_none()
            && self.phase == Phase::Degraded;
        if !acts_on_it {
            return acts;
        }
        if self.restarts.has_one_left(now) {
            self.ending = Some(Ending::Told(now + self.terms.grace));
            acts.push(Act::EndWorkload);
        } else {
            let verdict = Verdict::new(Event::Died, "unhealthy");
            acts.extend(self.stall(verdict));
        }
        acts
    }

    /// The VMM is gone for a reason that the policy may mend; `None` where it does not.
    pub(super) fn boot_again(&mut self, verdict: &Verdict, now: Instant) -> Option<Vec<Act>> {
        let wants = match verdict.mends {
            Mends::Never => false,
            Mends::Failure => self.restarts.wants(false),
            Mends::Success => self.restarts.wants(self.terms.success_codes.contains(&0)),
        };
        if !wants || self.wish == Wish::Ends || !self.restarts.has_one_left(now) {
            return None;
        }
        (self.stop, self.ending, self.lost_until) = (None, None, None);
        (self.guest, self.console, self.forced) = (Guest::Down, Console::Plain, false);
        self.workload = Workload::Rests;
        Some(self.again(Subject::Machine, verdict.clone(), now))
    }

    /// Returns how a machine rests whose policy wanted it back and has no restarts left.
    pub(super) fn spent(&mut self, verdict: Verdict, now: Instant) -> Verdict {
        let wants = verdict.mends == Mends::Failure && self.restarts.wants(false);
        let is_spent = wants && self.wish == Wish::Goes && !self.restarts.has_one_left(now);
        if !is_spent || self.terms.kind == Kind::Job {
            return verdict;
        }
        self.used_up(verdict)
    }

    fn used_up(&self, verdict: Verdict) -> Verdict {
        let Verdict { reason, message, shows_console, .. } = verdict;
        let count = self.restarts.count();
        let why = message.unwrap_or_else(|| match reason.split_once(' ') {
            Some(("exit", code)) => format!("its command ended with exit code {code}"),
            Some(("signal", number)) => format!("signal {number} ended its command"),
            _ => format!("it ended: {reason}"),
        });
        let message = format!("{why}; its restarts are used up, after {count}");
        Verdict { shows_console, ..Verdict::new(Event::RestartsUsedUp, "restarts") }
            .detail(reason)
            .message(message)
    }

    /// Starts something again after a delay, if there are restarts left.
    fn again(&mut self, subject: Subject, verdict: Verdict, now: Instant) -> Vec<Act> {
        let Some(delay) = self.restarts.next(now) else {
            if self.terms.kind == Kind::Job {
                return self.close(verdict, now);
            }
            let mut acts = vec![Act::BeginProbesAnew];
            acts.extend(self.stall(verdict));
            return acts;
        };
        self.gate_until = None;
        let reason = verdict.reason;
        let event = match subject {
            Subject::Workload => Event::WorkloadAgain,
            Subject::Machine => Event::MachineAgain,
        };
        let mut acts = vec![Act::BeginProbesAnew];
        acts.extend(self.shift(event, Some(&reason)));
        self.again = Some(Again { at: now + delay, subject, reason });
        acts
    }

    /// Stops trying; the machine is left up, for whoever wants to look into it.
    fn stall(&mut self, verdict: Verdict) -> Vec<Act> {
        self.gate_until = None;
        let verdict = self.used_up(verdict);
        let mut acts = self.shift(Event::RestartsUsedUp, Some(&verdict.reason));
        for act in &mut acts {
            if let Act::Move { detail, message, .. } = act {
                detail.clone_from(&verdict.detail);
                message.clone_from(&verdict.message);
            }
        }
        acts
    }

    /// Does what of all this is due.
    pub(super) fn tick_again(&mut self, now: Instant) -> Vec<Act> {
        match self.ending.filter(|ending| now >= ending.deadline()) {
            Some(Ending::Told(_)) => {
                self.ending = Some(Ending::Killed(now + TOLD_MAX));
                return vec![Act::KillWorkload];
            }
            // What no signal ends cannot be started again; its health may still turn.
            Some(Ending::Killed(_)) => self.ending = None,
            None => {}
        }
        let Some(Again { subject, reason, .. }) = self.again.take_if(|again| now >= again.at)
        else {
            return Vec::new();
        };
        self.exit = None;
        let count = self.restarts.begin(now);
        let start = match subject {
            Subject::Workload => Act::StartWorkload,
            Subject::Machine => {
                self.boot = Boot::new(self.terms.boot, now);
                Act::StartMachine
            }
        };
        vec![Act::Again { count, subject, reason }, start]
    }

    /// Forgets what was to be started; tells whether that leaves no machine.
    pub(super) fn give_up_again(&mut self) -> bool {
        self.ending = None;
        self.again.take().is_some_and(|again| again.subject == Subject::Machine)
    }
}
