//! Starting again what a life wants back, and the clocks that end a machine.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use schema::control::Left;
use schema::event::What;
use schema::wire::message::{Signal, SignalTarget};
use tokio::net::UnixListener;

use super::launch::{copy_of, listen};
use super::senses::{Senses, Streams};
use super::{Supervisor, Times};
use crate::boot::{BootError, Cast};
use crate::figures::{Figures, Parts};
use crate::life::{Heard, Subject};
use crate::net::Net;
use crate::relay::Hub;

/// The signal that asks a workload to end that names none.
const TERM: u8 = 15;

impl Supervisor {
    /// Forgets what probes found out: they begin with what begins.
    pub(super) fn begin_probes_anew(&mut self, now: Instant) {
        self.main = None;
        match super::launch::probes(&self.launch) {
            Ok(fresh) => {
                let wants = self.probes.begin_anew(fresh);
                self.probe(wants, now);
            }
            // It was one at the start.
            Err(error) => self.hear(Heard::Fault(error.to_string()), now),
        }
    }

    /// Writes down that something is started again.
    pub(super) fn note_again(&mut self, count: u32, subject: Subject, reason: String) {
        self.log.system(&format!("restarting ({count})"));
        tracing::info!(count, subject = subject.as_str(), reason, "it is started again");
        self.standing.change(|record| {
            (record.restarts, record.ready_at_ms) = (count, None);
            if subject == Subject::Machine {
                record.boot = record.boot.saturating_add(1);
                (record.first_byte_at_ms, record.agent_ready_at_ms) = (None, None);
            }
        });
        self.note(What::Restart { count, subject: subject.as_str().to_owned(), reason });
    }

    /// Gives the whole workload a signal; absent: the one that asks it to end.
    pub(super) fn signal_workload(&self, number: Option<u8>) {
        let number = number.or(self.launch.workload.stop_signal).unwrap_or(TERM);
        if let Some(main) = &self.main {
            self.hub.say(main.session, Signal { number, target: SignalTarget::Group });
        }
    }

    /// No guest is there to talk to: who wants to waits until there is one again.
    pub(super) fn unplug(&mut self) {
        self.ages.sleep();
        if let Some(clients) = self.clients.take() {
            clients.abort();
        }
        match self.agent_listener.try_clone().and_then(UnixListener::from_std) {
            Ok(listener) => self.agent_socket = Some(listener),
            Err(error) => tracing::error!(%error, "clients of the agent are not served again"),
        }
    }

    /// Starts a VMM in the place of the one that ended.
    pub(super) fn start_machine(&mut self, senses: &mut Senses, now: Instant) {
        match self.cast(senses) {
            Ok(()) => self.write_started(),
            Err(error) => {
                tracing::error!(%error, "the machine is not started again");
                let reason = error.reason();
                let report = error.report();
                let message = std::iter::once(&report.message).chain(&report.causes);
                let message = message.cloned().collect::<Vec<_>>().join(": ");
                self.hear(Heard::NotStarted { reason, message }, now);
            }
        }
    }

    fn cast(&mut self, senses: &mut Senses) -> Result<(), BootError> {
        let failed = |source| BootError::Folder { what: "a stream of the machine".into(), source };
        let Cast { machine, shares, wire, jail_missing } = self.mould.cast(self.shown.clone())?;
        self.standing.change(|record| record.jail_missing = jail_missing);
        if let (Some(net), Some(wire)) = (self.net.take(), wire) {
            let seed = u64::from_ne_bytes(crate::sys::random().map_err(failed)?);
            self.net = Some(net.again(wire, seed).map_err(failed)?);
        }
        let hub = Hub::new(Rc::clone(&self.log));
        let links = (machine.links.agent, machine.links.console);
        let (channel, console) = listen(links, &hub).map_err(failed)?;
        let (shares, tally) = shares.map(|served| (served.child, served.tally)).unzip();
        let parts = Parts {
            process: machine.process.seen(),
            shown: self.standing.watch(),
            hub: Rc::clone(&hub),
            counters: machine.monitor.counters(),
            traffic: self.net.as_ref().map(Net::traffic),
            shares: tally,
            upper: copy_of(self.upper.as_ref()).map_err(failed)?,
            folder: Arc::clone(&self.folder),
        };
        self.figures = Figures::start(&self.launch, parts);
        senses.follow(Streams {
            channel,
            console,
            notices: machine.notices,
            shares,
            denials: self.net.as_mut().and_then(Net::take_denials),
        });
        self.console.begin_anew();
        (self.hub, self.monitor) = (hub, machine.monitor);
        self.process = Rc::new(machine.process);
        self.times = Times::new(self.clock);
        Ok(())
    }

    /// Looks at the clocks that end a machine.
    pub(super) fn tick_ages(&mut self, now: Instant) {
        self.look_at_use();
        if !self.life.is_closing()
            && let Some(over) = self.ages.due(now)
        {
            self.hear(Heard::Over(over), now);
        }
    }

    /// Returns when the clocks are to be looked at.
    pub(super) fn ages_deadline(&self, now: Instant) -> Option<Instant> {
        if self.life.is_closing() { None } else { self.ages.deadline(now) }
    }

    /// Returns what is left of the clocks.
    pub(super) fn left(&mut self, now: Instant) -> Left {
        self.look_at_use();
        self.ages.left(now)
    }

    fn look_at_use(&mut self) {
        let uses = [self.hub.last_used(), self.net.as_ref().and_then(Net::last_used)];
        uses.into_iter().flatten().for_each(|at| self.ages.saw(at));
        self.ages.hold(self.hub.serves_clients() || self.life.runs_batch());
    }

    /// Other limits of the clocks hold from now on.
    pub(super) fn change_ages(&mut self, ages: schema::control::Ages, now: Instant) {
        let limits = (ages.idle_ms, ages.max_ms);
        if limits.0 != self.standing.record().effective.idle_ms {
            // Who asks for another limit is there.
            self.ages.saw(now);
        }
        self.ages.limit(limits);
        self.standing.change(|record| {
            (record.effective.idle_ms, record.effective.max_ms) = limits;
        });
    }

    /// Another policy holds from now on.
    pub(super) fn change_restart(&mut self, policy: &schema::launch::Restart, now: Instant) {
        if self.launch.restart.as_ref() != Some(policy) {
            // What held the idle clock may not hold it any more.
            self.ages.saw(now);
            self.life.set_restart(Some(policy.clone()));
            self.launch.restart = Some(policy.clone());
        }
    }
}

/// Returns the limits of a machine's clocks, as its launch record has them.
pub(super) const fn limits(timers: &schema::launch::Timers) -> (Option<u64>, Option<u64>) {
    (timers.idle_ms, timers.max_ms)
}
