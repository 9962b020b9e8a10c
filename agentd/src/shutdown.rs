//! The orderly end: commands, mounts, disks, last word.
//!
//! ```text
//! asked ─all ended─▶ over          over ─▶ mounts ─▶ sync ─▶ root read-only ─▶ Bye ─▶ reset
//!   └─grace is over─▶ killed ─▶ over
//! ```

use std::io;
use std::path::{Path, PathBuf};

use schema::wire::message::{Bye, StepTime};
use schema::wire::{CONTROL_SESSION, Message};

use crate::boot::Held;
use crate::groups;
use crate::log;
use crate::serve::Agent;
use crate::sessions::Sessions;
use crate::sys;
use crate::sys::mount;

/// How long the ends of commands that are gone may take to be heard and said.
const AFTER_KILL_MS: u64 = 300;

/// How long the runtime has to say that it heard the last word.
const BYE_MS: u64 = 200;

/// A shutdown under way.
#[derive(Debug)]
pub(crate) struct Shutdown {
    begun_ms: u64,
    until_ms: u64,
    is_machine: bool,
    killed: Option<u32>,
    /// When the ends of commands are not waited for any more; known once nobody is left.
    said_until_ms: Option<u64>,
}

/// How long each stage took.
#[derive(Debug)]
struct Stages {
    times: Vec<StepTime>,
    begun_ms: u64,
}

impl Shutdown {
    /// Begins a shutdown; commands have until the moment given.
    pub(crate) fn new(until_ms: u64, is_machine: bool) -> Self {
        let begun_ms = sys::clock::monotonic_ms();
        Self { begun_ms, until_ms, is_machine, killed: None, said_until_ms: None }
    }

    /// Lets the grace end earlier.
    pub(crate) fn shorten(&mut self, until_ms: u64) {
        self.until_ms = self.until_ms.min(until_ms);
    }

    /// Returns when something has to be done, if nothing happens before.
    pub(crate) const fn deadline_ms(&self) -> u64 {
        self.until_ms
    }

    /// Does what is due; `Ok` when every command has ended and was said to have.
    ///
    /// A client that does not read keeps an end from being said; it holds nothing up for long.
    pub(crate) fn go_on(mut self, now_ms: u64, sessions: &Sessions) -> Result<Self, Self> {
        if !self.is_anybody_left() {
            let until = *self.said_until_ms.get_or_insert(now_ms + AFTER_KILL_MS);
            if sessions.are_all_said() || now_ms >= until {
                return Ok(self);
            }
            self.shorten(until);
        }
        if now_ms < self.until_ms {
            return Err(self);
        }
        if self.killed.is_some() {
            return Ok(self);
        }
        self.killed = Some(self.kill());
        self.until_ms = now_ms + AFTER_KILL_MS;
        Err(self)
    }

    fn is_anybody_left(&self) -> bool {
        if self.is_machine { groups::is_anybody_left() } else { !groups::descendants().is_empty() }
    }

    fn kill(&self) -> u32 {
        if !self.is_machine {
            let found = groups::descendants();
            for pid in &found {
                drop(sys::signals::send(*pid, sys::signals::KILL));
            }
            return u32::try_from(found.len()).unwrap_or(u32::MAX);
        }
        let count = groups::count_all();
        if let Err(error) = groups::kill_all() {
            log::error!("ending the commands: {error}");
        }
        count
    }
}

impl Stages {
    fn end(&mut self, name: &str) {
        let now = sys::clock::monotonic_ms();
        let ms = u32::try_from(now - self.begun_ms).unwrap_or(u32::MAX);
        self.times.push(StepTime { name: name.into(), ms });
        self.begun_ms = now;
    }
}

/// Lets go of everything and says the last word.
pub(crate) fn finish(agent: &mut Agent, shutdown: &Shutdown) {
    let mut stages = Stages { times: Vec::new(), begun_ms: shutdown.begun_ms };
    stages.end("commands");
    let flushed = if shutdown.is_machine {
        end_everything();
        let busy = unmount_all(&agent.held);
        stages.end("mounts");
        sys::machine::sync();
        stages.end("sync");
        let flushed = settle(&agent.held, &busy);
        stages.end("root");
        flushed
    } else {
        groups::kill_descendants();
        true
    };
    let killed = shutdown.killed.unwrap_or(0);
    let flushed = flushed && !agent.has_bad_disk;
    agent.channel.report(Bye { flushed, killed, stages: stages.times });
    wait_for_answer(agent);
}

/// Ends everything when the runtime is gone and nobody is left to ask.
pub(crate) fn abandon(agent: &Agent) {
    if !agent.settings.place.is_machine() {
        groups::kill_descendants();
        return;
    }
    end_everything();
    let settled = settle_disks(&agent.held);
    log::note!("the disks are settled: {settled}");
}

/// Writes everything to the disks and lets nothing more be written; tells whether that went well.
pub(crate) fn settle_disks(held: &Held) -> bool {
    let busy = unmount_all(held);
    sys::machine::sync();
    settle(held, &busy)
}

/// Ends what hid from its group, or was never in one: it would keep the disks busy.
fn end_everything() {
    // There may be nobody, which is as good.
    drop(sys::signals::kill_everything());
    let until = sys::clock::monotonic_ms() + AFTER_KILL_MS;
    while sys::children::are_any_left() && sys::clock::monotonic_ms() < until {
        if sys::children::reap().is_none() {
            sys::poll::pause(1);
        }
    }
}

/// Unmounts what is mounted over the root, deepest first; returns what is still written to.
fn unmount_all(held: &Held) -> Vec<&Path> {
    let busy = held.mounts.iter().rev().filter(|target| mount::unmount(target).is_err());
    busy.map(PathBuf::as_path).collect()
}

/// Makes every disk read-only that is still mounted, so that its journal is clean.
fn settle(held: &Held, busy: &[&Path]) -> bool {
    // The overlay refuses while something is open in it; what counts is the disk below.
    drop(mount::make_read_only(Path::new("/")));
    let Err(error) = make_read_only(held, busy) else {
        return true;
    };
    log::error!("settling the disks: {error}");
    // Something of the kernel's own, as a loop device, holds one: the kernel can still be told.
    let until = sys::clock::monotonic_ms() + AFTER_KILL_MS;
    let forced = groups::write(Path::new("/proc/sysrq-trigger"), "u");
    while forced.is_ok() && sys::clock::monotonic_ms() < until {
        if make_read_only(held, busy).is_ok() {
            return true;
        }
        sys::poll::pause(1);
    }
    false
}

fn make_read_only(held: &Held, busy: &[&Path]) -> io::Result<()> {
    for target in busy {
        mount::make_read_only(target)?;
    }
    for disk in &held.root_disks {
        mount::make_read_only_at(disk)?;
    }
    Ok(())
}

fn wait_for_answer(agent: &mut Agent) {
    let until = sys::clock::monotonic_ms() + BYE_MS;
    while let Ok(Some(frame)) = agent.channel.wait_frame(until) {
        let is_answer = frame.session == CONTROL_SESSION
            && matches!(Message::decode(frame.code, &frame.payload), Ok(Message::Done(_)));
        if is_answer {
            return;
        }
    }
}
