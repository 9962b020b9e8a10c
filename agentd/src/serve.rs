//! One loop: frames in, sessions, frames out.
//!
//! Each round waits for whatever is ready, takes note of children that ended,
//! does what frames ask for, moves bytes of one session after the other (the
//! one served last comes last), does what is due, and writes.

use std::os::fd::AsFd as _;

use schema::wire::frame::DATA_BYTES_MAX;
use schema::wire::message::Notice;

use crate::boot::{Booted, Held};
use crate::channel::{Channel, ChannelError};
use crate::log;
use crate::session::settings::Settings;
use crate::sessions::Sessions;
use crate::shutdown::Shutdown;
use crate::sys;
use crate::sys::poll::{Interest, PollSet, Slot};
use crate::sys::signals::{Heard, Signals, TERM};
use crate::watch::{DiskWatch, MemoryWatch};

/// How long commands have when the guest itself asks to shut down.
const GRACE_FROM_GUEST_MS: u32 = 5000;

/// How the loop ended.
#[derive(Debug)]
pub(crate) enum End {
    /// The guest shuts down: every command has ended.
    ShutDown(Shutdown),
    /// The runtime is gone.
    Lost(ChannelError),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Agent {
    /// The way to the runtime.
    pub(crate) channel: Channel,
    /// What commands start from.
    pub(crate) settings: Settings,
    /// Commands and their conversations.
    pub(crate) sessions: Sessions,
    /// What has to be let go of at the end.
    pub(crate) held: Held,
    /// Not everything that was written is on its disk.
    pub(crate) has_bad_disk: bool,
    /// The host's time, heard and not followed yet.
    pub(crate) time_heard: Option<u64>,
    signals: Signals,
    memory: Option<MemoryWatch>,
    disks: Option<DiskWatch>,
    stop_signal: u8,
    shutdown: Option<Shutdown>,
    last_served: u32,
    buffer: Vec<u8>,
}

/// Something that is waited for.
#[derive(Debug, Clone, Copy)]
enum Watched {
    Report(u32),
    Input(u32),
    Output(u32, usize),
    Discard(usize),
}

/// What one wait was for.
#[derive(Debug, Default)]
struct Wait {
    set: PollSet,
    watched: Vec<(Slot, Watched)>,
}

impl Agent {
    /// Takes over a guest that is up.
    pub(crate) fn new(booted: Booted) -> Self {
        let memory = booted.place.is_machine().then(MemoryWatch::open).and_then(Result::ok);
        Self {
            settings: Settings::new(booted.place, booted.limits, &booted.record),
            stop_signal: booted.record.stop_signal.unwrap_or(TERM),
            channel: booted.channel,
            sessions: Sessions::default(),
            held: booted.held,
            signals: booted.signals,
            memory,
            disks: booted.disks,
            has_bad_disk: false,
            time_heard: None,
            shutdown: None,
            last_served: 0,
            buffer: vec![0; DATA_BYTES_MAX],
        }
    }

    /// Serves until the guest shuts down or the runtime is gone.
    pub(crate) fn serve(&mut self) -> End {
        let mut wait = Wait::default();
        loop {
            let now = sys::clock::monotonic_ms();
            self.sessions.settle(now, &mut self.channel);
            if let Some(shutdown) = self.shutdown.take() {
                match shutdown.go_on(now, &self.sessions) {
                    Ok(over) => return End::ShutDown(over),
                    Err(going_on) => self.shutdown = Some(going_on),
                }
            }
            if let Err(error) = self.channel.flush().and_then(|()| self.round(&mut wait)) {
                return End::Lost(error);
            }
        }
    }

    /// Begins to shut down, or shortens the grace of a shutdown that goes on.
    pub(crate) fn shut_down(&mut self, grace_ms: u32, from_guest: Option<bool>) {
        let until = sys::clock::monotonic_ms() + u64::from(grace_ms);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.shorten(until);
            return;
        }
        self.channel.report(schema::wire::message::Stopping { from_guest });
        for (id, session) in self.sessions.iter() {
            if let Err(error) = session.ask_to_end(self.stop_signal) {
                log::note!("session {id} was not asked to end: {error}");
            }
        }
        self.sessions.signal_leftovers(TERM);
        self.shutdown = Some(Shutdown::new(until, self.settings.place.is_machine()));
    }

    /// Tells whether the guest shuts down.
    pub(crate) const fn is_stopping(&self) -> bool {
        self.shutdown.is_some()
    }

    fn round(&mut self, wait: &mut Wait) -> Result<(), ChannelError> {
        wait.set.clear();
        wait.watched.clear();
        let signals = wait.set.add(&self.signals, Interest::Read);
        let channel = wait.set.add(&self.channel, self.channel.interest());
        let memory = self.memory.as_ref().map(|memory| wait.set.add(memory, Interest::Change));
        let disks = self.disks.as_ref().map(|disks| wait.set.add(disks, Interest::Read));
        self.watch(wait);
        let timeout = self.timeout_ms(sys::clock::monotonic_ms());
        wait.set.wait(timeout).map_err(ChannelError::Broken)?;
        if memory.is_some_and(|slot| wait.set.has_changed(slot)) {
            self.hear_memory();
        }
        if disks.is_some_and(|slot| wait.set.can_read(slot)) {
            self.hear_disks();
        }
        if wait.set.can_read(signals) {
            self.hear_signals();
        }
        if wait.set.can_read(channel) {
            self.channel.fill()?;
            while let Some(frame) = self.channel.next_frame()? {
                self.hear(&frame);
            }
            self.follow_time();
        }
        self.serve_ready(wait);
        Ok(())
    }

    fn timeout_ms(&self, now: u64) -> Option<u64> {
        let shutdown = self.shutdown.as_ref().map(Shutdown::deadline_ms);
        let due = self.sessions.deadline_ms().into_iter().chain(shutdown).min();
        due.map(|at| at.saturating_sub(now))
    }

    fn watch(&self, wait: &mut Wait) {
        let has_room = self.channel.has_room();
        for (id, session) in self.sessions.iter() {
            if let Some(fd) = session.report_fd() {
                wait.watched.push((wait.set.add(fd, Interest::Read), Watched::Report(id)));
            }
            if let Some(fd) = session.input_fd() {
                wait.watched.push((wait.set.add(fd, Interest::Write), Watched::Input(id)));
            }
            for (index, fd) in session.output_fds().filter(|_| has_room) {
                wait.watched.push((wait.set.add(fd, Interest::Read), Watched::Output(id, index)));
            }
        }
        for (id, forward) in self.sessions.forwards() {
            if let Some(fd) = forward.input_fd() {
                wait.watched.push((wait.set.add(fd, Interest::Write), Watched::Input(id)));
            }
            if let Some(fd) = forward.output_fd().filter(|_| has_room) {
                wait.watched.push((wait.set.add(fd, Interest::Read), Watched::Output(id, 0)));
            }
        }
        for (index, pipe) in self.sessions.discards().iter().enumerate().rev() {
            let slot = wait.set.add(pipe.as_fd(), Interest::Read);
            wait.watched.push((slot, Watched::Discard(index)));
        }
    }

    /// Does what is ready; outputs last, beginning behind the session that was served last.
    fn serve_ready(&mut self, wait: &Wait) {
        for (slot, watched) in &wait.watched {
            match *watched {
                Watched::Report(id) if wait.set.can_read(*slot) => {
                    if let Some(session) = self.sessions.get_mut(id) {
                        session.hear_report(&mut self.channel);
                    }
                }
                Watched::Input(id) if wait.set.can_write(*slot) => {
                    self.sessions.pump_input(id, &mut self.channel);
                }
                Watched::Discard(index) if wait.set.can_read(*slot) => {
                    self.sessions.empty_discard(index, &mut self.buffer);
                }
                Watched::Report(_) | Watched::Input(_) | Watched::Discard(_) => {}
                Watched::Output(..) => {}
            }
        }
        let ready = wait.watched.iter().filter(|(slot, _)| wait.set.can_read(*slot));
        let outputs = ready.filter_map(|(_, watched)| match watched {
            Watched::Output(id, index) => Some((*id, *index)),
            Watched::Report(_) | Watched::Input(_) | Watched::Discard(_) => None,
        });
        let (before, behind): (Vec<_>, Vec<_>) =
            outputs.partition(|(id, _)| *id <= self.last_served);
        for (id, index) in behind.into_iter().chain(before) {
            if !self.channel.has_room() {
                break;
            }
            self.sessions.pump_output((id, index), &mut self.channel, &mut self.buffer);
            self.last_served = id;
        }
    }

    fn hear_signals(&mut self) {
        while let Some(heard) = self.signals.next() {
            match heard {
                Heard::Child => {}
                Heard::ShutDown => self.shut_down(GRACE_FROM_GUEST_MS, Some(true)),
            }
        }
        // One signal may stand for many children, also for those that nobody asked about.
        let now = sys::clock::monotonic_ms();
        while let Some(ended) = sys::children::reap() {
            self.sessions.hear_end(ended, now, &mut self.channel);
        }
    }

    fn hear_memory(&mut self) {
        if self.memory.as_ref().is_some_and(|memory| memory.take().is_err()) {
            self.memory = None;
        }
        for (id, session) in self.sessions.iter_mut() {
            if session.has_new_oom_kill() {
                self.channel.report(Notice { oom_session: Some(id), ..Notice::default() });
            }
        }
    }

    fn hear_disks(&mut self) {
        for serial in self.disks.iter_mut().flat_map(DiskWatch::take) {
            log::error!("the disk `{serial}` had an error and is read-only from now on");
            self.has_bad_disk = true;
            let remounted_read_only = Some(serial);
            self.channel.report(Notice { remounted_read_only, ..Notice::default() });
        }
    }
}
