//! Deeds: what a life decided, done.

use std::time::{Duration, Instant};

use schema::event::What;
use schema::lifecycle::Phase;
use schema::record::Asked;
use schema::wire::message::{Exec, OnGone, Shutdown, Signal, SignalTarget, StdinMode};

use super::{Main, Supervisor};
use crate::clock::Clock as _;
use crate::health::Want;
use crate::life::{Act, Heard};

/// The signal that nothing survives.
const KILL: u8 = 9;

impl Supervisor {
    /// Does what was decided, in order.
    pub(super) fn act(&mut self, acts: Vec<Act>, now: Instant) {
        for act in acts {
            match act {
                Act::Move { from, to, reason } => self.move_on(from, to, reason),
                Act::StartWorkload => self.start_workload(),
                Act::StartGate => {
                    if let Some(want) = self.gate.start(now) {
                        self.do_gate(want, now);
                    }
                }
                Act::Ask { actor, reason, grace } => self.write_asked(actor, reason, grace),
                Act::Shutdown { grace, reason } => {
                    let grace_ms = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
                    self.say(Shutdown { grace_ms, reason });
                }
                Act::Quit => self.monitor.quit(),
                Act::Kill => self.process.kill(),
                Act::Rest(rest) => self.rest(&rest),
            }
        }
    }

    fn move_on(&mut self, from: Phase, to: Phase, reason: Option<String>) {
        let at = self.clock.wall_ms();
        if to == Phase::Stalled {
            self.gate.stall();
        }
        let shown = reason.clone();
        self.standing.change(|record| {
            record.phase = to;
            record.reason = shown;
            record.since_ms = at;
            if to == Phase::Ready {
                record.ready_at_ms.get_or_insert(at);
            }
        });
        self.note(What::Phase { from, to, reason });
    }

    fn start_workload(&mut self) {
        let Some(argv) = self.launch.workload.argv.clone() else { return };
        let exec = Exec {
            argv,
            env: Vec::new(),
            cwd: None,
            user: None,
            tty: None,
            stdin: StdinMode::None,
            rlimits: Vec::new(),
            on_gone: OnGone::Keep,
            log: true,
            name: Some("main".into()),
        };
        self.main = Some(Main { session: self.hub.run(exec), was_oom: false });
    }

    fn write_asked(&mut self, actor: String, reason: String, grace: Duration) {
        let since_ms = self.clock.wall_ms();
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.log.system(&format!("stopping: {reason}"));
        self.gate.close();
        self.standing.change(|record| {
            record.asked = Some(Asked { actor, reason, grace_ms, since_ms });
        });
    }

    /// Does what the gate wants.
    pub(super) fn do_gate(&mut self, want: Want, now: Instant) {
        match want {
            Want::Run(exec) => {
                let session = self.hub.run(*exec);
                self.gate.runs(session, now);
            }
            Want::Kill(session) => {
                let signal = Signal { number: KILL, target: SignalTarget::Group };
                self.hub.say(session, signal);
            }
            Want::Pass => self.hear(Heard::GatePassed, now),
        }
    }
}
