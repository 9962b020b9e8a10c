//! The only owner of a machine's phase: events in, deeds and records out.
//!
//! ```text
//! channel, console, VMM, control, signals, creator, clock
//!                        │
//!                      Heard ─▶ life::Life ─▶ Act ─▶ record, agent, VMM
//! ```
//!
//! Everything happens on one thread. What is decided stands in [`crate::life`];
//! this room only hears and acts.

mod act;
mod again;
mod ask;
mod channel;
mod console;
mod finish;
mod launch;
mod senses;

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use schema::event::What;
use schema::launch::LaunchRecord;
use schema::record::Exit;
use tokio::sync::oneshot;

use crate::boot::{Mould, Values};
use crate::clock::{Clock, HostClock};
use crate::control::{Ask, Updated};
use crate::figures::Figures;
use crate::health::Probes;
use crate::hypervisor::{Child, Monitor, VmmEnd};
use crate::journal::Journal;
use crate::life::{Ages, Heard, Life};
use crate::logs::{Console, ExecLog};
use crate::net::{Denial, Net};
use crate::relay::Hub;
use crate::standing::Standing;
pub use launch::run;
use senses::{Sensed, Senses};

/// How often the guest is told the time.
const CLOCK_SYNC: Duration = Duration::from_secs(60);

/// How far the host's wall clock moves before the guest is told at once.
const CLOCK_JUMP: Duration = Duration::from_secs(1);

/// How often a boot that has not spoken is looked at.
const BUSY_SAMPLE: Duration = Duration::from_secs(1);

/// How long the last words of a VMM that ended may take to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How long an agent takes to change live values.
const UPDATE_MAX: Duration = Duration::from_secs(5);

/// See the module.
struct Supervisor {
    clock: HostClock,
    launch: LaunchRecord,
    values: Values,
    life: Life,
    ages: Ages,
    /// What a VMM is started from, again and again.
    mould: Mould,
    /// Whether one is to be started.
    wants_machine: bool,
    /// What lists of processes show of the machine.
    shown: String,
    standing: Standing,
    journal: Journal,
    hub: Rc<Hub>,
    log: Rc<ExecLog>,
    console: Console,
    process: Rc<Child>,
    monitor: Box<dyn Monitor>,
    /// It ends with the machine, and every connection of the guest with it.
    net: Option<Net>,
    probes: Probes,
    figures: Figures,
    main: Option<Main>,
    updates: VecDeque<PendingUpdate>,
    kills: Vec<oneshot::Sender<()>>,
    /// Handed on when the agent is up: from then on clients are served.
    agent_socket: Option<tokio::net::UnixListener>,
    /// The same, for the next boot.
    /// The private disk once more, to see what it takes.
    upper: Option<std::os::fd::OwnedFd>,
    folder: std::sync::Arc<crate::folder::Folder>,
    agent_listener: std::os::unix::net::UnixListener,
    /// Who takes the clients of this boot.
    clients: Option<tokio::task::AbortHandle>,
    vmm_end: Option<VmmEnd>,
    last_words_until: Option<Instant>,
    times: Times,
    /// How many signals asked for the end.
    signals: u32,
    rests: bool,
}

/// The session of the workload.
struct Main {
    session: u32,
    was_oom: bool,
}

/// A change of live values that the agent has not answered yet.
struct PendingUpdate {
    wanted: schema::control::Update,
    /// What is known without it.
    answered: Updated,
    until: Instant,
    done: oneshot::Sender<Updated>,
}

/// When what is done again and again is due.
struct Times {
    clock_sync: Instant,
    /// Wall clock minus monotonic clock, when the guest was last told.
    wall: Duration,
    monotonic: Instant,
    busy_sample: Option<Instant>,
    busy_ticks: u64,
}

impl Times {
    fn new(clock: HostClock) -> Self {
        let now = clock.now();
        Self {
            clock_sync: now + CLOCK_SYNC,
            wall: clock.wall(),
            monotonic: now,
            busy_sample: Some(now + BUSY_SAMPLE),
            busy_ticks: 0,
        }
    }
}

impl Supervisor {
    /// Hears and acts until the machine rests.
    async fn supervise(&mut self, senses: &mut Senses) {
        while !self.rests {
            let deadline = self.deadline(self.clock.now());
            let sensed = senses.next(&self.process, deadline).await;
            let now = self.clock.now();
            match sensed {
                Sensed::Channel(heard) => self.hear_channel(heard, now),
                Sensed::Console(bytes) => self.console.push(&bytes),
                Sensed::Notice(notice) => self.hear_notice(notice, now),
                Sensed::Ask(ask) => {
                    if matches!(ask, Ask::Detach { .. }) {
                        senses.detach();
                    }
                    self.hear_ask(ask, now);
                }
                Sensed::Signal => self.hear_signal(now),
                Sensed::CreatorGone => self.hear_creator_gone(now),
                Sensed::VmmEnded(end) => {
                    self.last_words_until = Some(now + LAST_WORDS);
                    self.vmm_end = Some(end);
                }
                Sensed::SharesEnded(end) => self.hear_shares_end(&end, now),
                Sensed::Denied(Denial { by, direction, protocol, remote }) => {
                    let (direction, protocol) = (direction.as_str().into(), protocol.into());
                    self.note(What::PolicyDenied { by, direction, protocol, remote });
                }
                Sensed::Due => {}
            }
            self.tick(now);
            if senses.are_over() {
                self.end_of_vmm(now);
            }
            if std::mem::take(&mut self.wants_machine) {
                self.start_machine(senses, now);
            }
        }
    }

    fn deadline(&self, now: Instant) -> Instant {
        let update = self.updates.front().map(|update| update.until);
        let due = [
            self.life.deadline(),
            self.probes.deadline(),
            self.times.busy_sample,
            self.last_words_until,
            self.ages_deadline(now),
            update,
            Some(self.times.clock_sync),
        ];
        due.into_iter().flatten().min().unwrap_or(self.times.clock_sync)
    }

    fn tick(&mut self, now: Instant) {
        if self.last_words_until.is_some_and(|until| now >= until) {
            self.end_of_vmm(now);
        }
        self.sample_busy(now);
        let acts = self.life.tick(now);
        self.act(acts, now);
        self.tick_ages(now);
        let wants = self.probes.tick(now);
        self.probe(wants, now);
        while self.updates.front().is_some_and(|update| now >= update.until) {
            self.update_refused("the agent did not answer in time");
        }
        self.tell_time(now);
    }

    /// Takes what was heard; does what is to be done about it.
    fn hear(&mut self, heard: Heard, now: Instant) {
        let acts = self.life.hear(heard, now);
        self.act(acts, now);
    }

    /// The server of shared folders is gone: after the machine, or before its time.
    fn hear_shares_end(&mut self, end: &VmmEnd, now: Instant) {
        if self.vmm_end.is_some() || self.life.is_closing() {
            return;
        }
        let why = format!("the server of shared folders is gone: {end}");
        tracing::error!("{why}");
        if self.life.is_booting() {
            // The guest would wait for its folders as long as a boot may take.
            return self.hear(Heard::Unusable(why), now);
        }
        self.note(What::Mount { serial: String::new(), detail: "shares-lost".into() });
    }

    /// The VMM is reaped and its last words are read.
    fn end_of_vmm(&mut self, now: Instant) {
        self.last_words_until = None;
        if let Some(end) = self.vmm_end.take() {
            if self.console.shows_panic() {
                self.hear(Heard::Panicked, now);
            }
            self.hear(Heard::VmmEnded(end), now);
        }
    }

    /// Looks whether a machine that has not spoken yet does anything.
    fn sample_busy(&mut self, now: Instant) {
        if self.times.busy_sample.is_none_or(|at| now < at) {
            return;
        }
        self.times.busy_sample = Some(now + BUSY_SAMPLE);
        let ticks = crate::host::cpu_ticks(self.process.pid()).unwrap_or(0);
        if ticks > self.times.busy_ticks {
            self.times.busy_ticks = ticks;
            self.hear(Heard::Busy, now);
        }
    }

    /// Tells a guest that is up the time, now and then, and at once when the host's clock moved.
    fn tell_time(&mut self, now: Instant) {
        let wall = self.clock.wall();
        let expected = self.times.wall + now.saturating_duration_since(self.times.monotonic);
        let jumped = wall.abs_diff(expected) > CLOCK_JUMP;
        if !jumped && now < self.times.clock_sync {
            return;
        }
        self.times.clock_sync = now + CLOCK_SYNC;
        (self.times.wall, self.times.monotonic) = (wall, now);
        if self.is_up() {
            self.say(schema::wire::message::ClockSync { unix_ns: self.clock.wall_ns() });
        }
    }

    /// Tells whether the agent takes messages.
    fn is_up(&self) -> bool {
        self.agent_socket.is_none() && !self.life.is_closing()
    }

    /// Says something to the agent.
    fn say(&self, message: impl Into<schema::wire::Message>) {
        self.hub.say(schema::wire::CONTROL_SESSION, message);
    }

    fn exit_of(exited: &schema::wire::message::Exited) -> Exit {
        Exit { code: exited.code, signal: exited.signal }
    }
}
