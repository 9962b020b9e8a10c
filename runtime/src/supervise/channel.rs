//! What the agent, the console and the VMM say, as things a life understands.

use std::time::Instant;

use schema::event::What;
use schema::wire::message::{ExecFailure, Hello, Notice as AgentNotice, Ready};
use schema::wire::{Message, STREAM_MAIN, encode_boot_record, generation};

use super::Supervisor;
use crate::boot::{Moment, boot_record};
use crate::clock::Clock as _;
use crate::hypervisor::Notice;
use crate::life;
use crate::relay::{CLOSED, Heard};

impl Supervisor {
    /// Takes what came through the agent's channel.
    pub(super) fn hear_channel(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::FirstByte => {
                let at = self.clock.wall_ms();
                self.standing.change(|record| record.first_byte_at_ms = Some(at));
                self.times.busy_sample = None;
                self.hear(life::Heard::FirstByte, now);
            }
            Heard::Control(message) => self.hear_control(message, now),
            Heard::Session(id, message) => self.hear_session(id, &message, now),
            Heard::Reset(id) => self.hear_reset(id, now),
            Heard::Output(id, stream, bytes) => {
                let wants = if self.is_main(id) {
                    self.probes.hear_main(stream, &bytes)
                } else {
                    self.probes.hear_output(id, &bytes, now)
                };
                self.probe(wants, now);
            }
            Heard::Ended(id, stream) => {
                if stream == STREAM_MAIN {
                    let wants = self.probes.hear_end(id, now);
                    self.probe(wants, now);
                }
            }
            Heard::Lost(why) => {
                // What the agent closes it may close, and a machine that ends takes its channel along;
                // what breaks before is a complaint.
                if why == CLOSED || self.life.is_closing() {
                    tracing::info!(%why, "the agent's channel is over");
                } else {
                    tracing::warn!(%why, "the agent's channel is lost");
                }
                while !self.updates.is_empty() {
                    self.update_refused("the agent's channel is gone");
                }
                self.hear(life::Heard::ChannelLost(why), now);
            }
        }
    }

    fn hear_control(&mut self, message: Message, now: Instant) {
        match message {
            Message::Hello(hello) => self.hear_hello(&hello, now),
            Message::BootStep(step) => {
                if step.skipped != Some(true) {
                    self.note(What::BootStep { name: step.name.clone() });
                }
                self.hear(life::Heard::Step(step.name), now);
            }
            Message::BootFailed(failed) => {
                let errno = schema::failure::errno(failed.errno);
                let (step, detail) = (failed.name, failed.detail);
                self.hear(life::Heard::StepFailed { step, errno, detail }, now);
            }
            Message::Ready(ready) => self.hear_ready(ready, now),
            Message::Stopping(stopping) => {
                let from_guest = stopping.from_guest == Some(true);
                self.hear(life::Heard::Stopping { from_guest }, now);
            }
            Message::Bye(bye) => {
                // The guest waits a moment for this before it resets.
                self.say(schema::wire::message::Done {});
                if !bye.flushed {
                    tracing::warn!("the guest could not write everything to its disks");
                }
                self.hear(life::Heard::Bye { killed: bye.killed }, now);
            }
            Message::Updated(updated) => self.hear_updated(&updated),
            Message::StatsReply(said) => self.figures.hear(Some(said)),
            // One of before it was asked for figures; it goes on.
            Message::Error(error) if error.operation == Some(CODE_STATS) => self.figures.hear(None),
            Message::Notice(notice) => self.hear_agent_notice(notice),
            Message::Error(error) => {
                tracing::warn!(message = error.message, operation = error.operation, "agent");
                if error.operation == Some(CODE_UPDATE) {
                    self.update_refused(&error.message);
                }
            }
            other => tracing::warn!(code = other.code(), "the agent said this out of turn"),
        }
    }

    fn hear_hello(&mut self, hello: &Hello, now: Instant) {
        let spoken = generation::negotiate(generation::CURRENT, hello.generation);
        self.standing.change(|record| record.generation = Some(spoken));
        let entropy = match crate::sys::random() {
            Ok(entropy) => entropy,
            Err(error) => {
                let fault = format!("no random bytes for the guest: {error}");
                return self.hear(life::Heard::Fault(fault), now);
            }
        };
        let has_ipv6 = crate::host::has_ipv6();
        let moment = Moment { unix_ns: self.clock.wall_ns(), entropy, has_ipv6 };
        match boot_record(&self.launch, &self.values, &moment) {
            Ok(record) => self.hub.boot(encode_boot_record(&record)),
            Err(error) => self.hear(life::Heard::Fault(error.to_string()), now),
        }
    }

    fn hear_ready(&mut self, ready: Ready, now: Instant) {
        let at = self.clock.wall_ms();
        let spoken = ready.generation;
        self.standing.change(|record| {
            record.agent_ready_at_ms = Some(at);
            record.generation = Some(spoken);
        });
        for option in &ready.missing_options {
            tracing::warn!(option, "the guest's kernel lacks an option");
        }
        let steps: Vec<String> =
            ready.steps.iter().map(|step| format!("{} {}", step.name, step.ms)).collect();
        tracing::debug!(ms = steps.join(", "), "the guest is up");
        self.hub.open(&Message::Ready(ready));
        if let Some(listener) = self.agent_socket.take() {
            let hub = std::rc::Rc::clone(&self.hub);
            let clients = tokio::task::spawn_local(crate::relay::client::accept(hub, listener));
            self.clients = Some(clients.abort_handle());
        }
        self.ages.wake(now);
        self.hear(life::Heard::AgentReady, now);
    }

    fn hear_agent_notice(&mut self, notice: AgentNotice) {
        if let Some(session) = notice.oom_session {
            let is_main = self.is_main(session);
            if let Some(main) = self.main.as_mut().filter(|_| is_main) {
                main.was_oom = true;
            }
            let session = if is_main { "main".into() } else { session.to_string() };
            self.note(What::Oom { session });
        }
        if let Some(serial) = notice.remounted_read_only {
            self.note(What::Mount { serial, detail: "read-only after an error".into() });
        }
    }

    fn hear_session(&mut self, id: u32, message: &Message, now: Instant) {
        if self.is_main(id) {
            return self.hear_main(message, now);
        }
        let wants = self.probes.hear(id, message, now);
        self.probe(wants, now);
    }

    fn is_main(&self, session: u32) -> bool {
        self.main.as_ref().is_some_and(|main| main.session == session)
    }

    fn hear_main(&mut self, message: &Message, now: Instant) {
        match message {
            Message::Started(_) => {
                self.log.system("started");
                self.hear(life::Heard::WorkloadStarted, now);
            }
            Message::ExecFailed(failed) => {
                let errno = schema::failure::errno(failed.errno);
                let errno = errno.map(|name| format!(" ({name})")).unwrap_or_default();
                let message = format!("cannot run {}{errno}", failed.detail);
                let kind = name_of(failed.kind);
                self.hear(life::Heard::WorkloadRefused { kind, message }, now);
            }
            Message::Exited(exited) => {
                let oom =
                    exited.oom == Some(true) || self.main.as_ref().is_some_and(|main| main.was_oom);
                let exit = Self::exit_of(exited);
                self.standing.change(|record| record.exit = Some(exit));
                self.hear(life::Heard::WorkloadExited { exit, oom }, now);
            }
            Message::Error(error) if error.operation == Some(CODE_EXEC) => {
                let message = error.message.clone();
                self.hear(life::Heard::WorkloadRefused { kind: "other", message }, now);
            }
            _ => {}
        }
    }

    fn hear_reset(&mut self, id: u32, now: Instant) {
        if self.is_main(id) {
            let message = "the agent gave up the workload's session".into();
            self.hear(life::Heard::WorkloadRefused { kind: "other", message }, now);
        } else {
            let wants = self.probes.hear_reset(id, now);
            self.probe(wants, now);
        }
    }

    /// Takes what the driver heard of its machine.
    pub(super) fn hear_notice(&mut self, notice: Notice, now: Instant) {
        match notice {
            Notice::DiskError { serial, detail } => {
                self.note(What::Mount { serial, detail });
            }
            Notice::GuestEnded => tracing::info!("the guest ended the machine"),
            Notice::Unusable { why } => self.hear(life::Heard::Unusable(why), now),
        }
    }

    /// Notes that something happened.
    pub(super) fn note(&mut self, what: What) {
        self.journal.push(self.clock.wall_ms(), what);
    }
}

/// The number of `Exec`.
const CODE_EXEC: u16 = 0x0100;

/// The number of `Stats`.
const CODE_STATS: u16 = 0x000F;

/// The number of `Update`.
const CODE_UPDATE: u16 = 0x0011;

const fn name_of(failure: ExecFailure) -> &'static str {
    match failure {
        ExecFailure::NotFound => "not-found",
        ExecFailure::NotExecutable => "not-executable",
        ExecFailure::User => "user",
        ExecFailure::Cwd => "cwd",
        ExecFailure::Limits => "limits",
        ExecFailure::Other => "other",
    }
}
