//! Deeds: what a life decided, done.

use std::time::{Duration, Instant};

use schema::event::What;
use schema::lifecycle::Phase;
use schema::record::{Asked, Health};
use schema::wire::message::{Exec, OnGone, Shutdown, Signal, SignalTarget, StdinMode};
use schema::wire::{Message, generation};

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
                Act::Move { from, to, reason, detail, message } => {
                    self.move_on((from, to), (reason, detail, message), now);
                }
                Act::StartWorkload => self.start_workload(),
                Act::EndWorkload => self.signal_workload(None),
                Act::KillWorkload => self.signal_workload(Some(KILL)),
                Act::StartMachine => self.wants_machine = true,
                Act::BeginProbesAnew => self.begin_probes_anew(now),
                Act::Again { count, subject, reason } => self.note_again(count, subject, reason),
                Act::StartGate => {
                    let wants = self.probes.start(now);
                    self.probe(wants, now);
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

    fn move_on(
        &mut self,
        (from, to): (Phase, Phase),
        (reason, detail, message): (Option<String>, Option<String>, Option<String>),
        now: Instant,
    ) {
        let at = self.clock.wall_ms();
        // A gate that was missed, and not a workload that was given up.
        let is_missed = to == Phase::Stalled && detail.is_none();
        match to {
            Phase::Stalled if is_missed => {
                let wants = self.probes.stall();
                self.probe(wants, now);
            }
            Phase::Ready => self.probes.watch(now),
            Phase::Booting => self.unplug(),
            _ => {}
        }
        if to == Phase::Stalled {
            // Who is told of it reads next what was written last.
            self.log.flush();
        }
        let shown = reason.clone();
        // Who was missed says by what.
        let message = message.or_else(|| self.standing.last_probe().filter(|_| is_missed));
        self.standing.change(|record| {
            record.phase = to;
            (record.reason, record.detail) = (shown, detail);
            record.message = message;
            if to == Phase::Booting {
                // A guest that shut itself down is as if nobody had asked.
                record.asked = None;
            }
            record.since_ms = at;
            if to == Phase::Ready {
                record.ready_at_ms.get_or_insert(at);
            }
        });
        if from != to {
            self.note(What::Phase { from, to, reason, exit_code: None });
        }
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
        self.main = Some(Main { session: self.hub.open_session(exec), was_oom: false });
    }

    fn write_asked(&mut self, actor: String, reason: String, grace: Duration) {
        let since_ms = self.clock.wall_ms();
        let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        self.log.system(&format!("stopping: {reason}"));
        self.probes.close();
        self.standing.change(|record| {
            record.asked = Some(Asked { actor, reason, grace_ms, since_ms });
        });
    }

    /// Does what probes want, in order.
    pub(super) fn probe(&mut self, wants: Vec<Want>, now: Instant) {
        for want in wants {
            match want {
                Want::Open(message) => self.open_probe(*message, now),
                Want::Send(session, bytes) => self.hub.send(session, &bytes),
                Want::Kill(session) => {
                    let signal = Signal { number: KILL, target: SignalTarget::Group };
                    self.hub.say(session, signal);
                }
                Want::Leave(session) => self.hub.leave(session),
                Want::Show(answer) => self.standing.probed(answer),
                Want::Pass => self.hear(Heard::GatePassed, now),
                Want::Turn(health, reason) => self.turn(health, reason, now),
            }
        }
    }

    /// Opens a probe's session, where the agent is of a generation that knows how.
    fn open_probe(&mut self, message: Message, now: Instant) {
        let spoken = self.standing.record().generation.unwrap_or(0);
        match generation::may_send(message.code(), spoken) {
            Ok(()) => {
                let session = self.hub.open_session(message);
                self.probes.opened(session);
            }
            Err(unsupported) => {
                let wants = self.probes.refused(&unsupported.to_string(), now);
                self.probe(wants, now);
            }
        }
    }

    /// Health says something else than before.
    fn turn(&mut self, to: Health, reason: Option<String>, now: Instant) {
        let from = self.standing.record().health;
        self.standing.change(|record| record.health = to);
        self.note(What::Health { from, to, reason });
        match to {
            Health::Failing => self.hear(Heard::Unhealthy, now),
            Health::Passing | Health::None => self.hear(Heard::Healthy, now),
            Health::Starting => {}
        }
    }
}
