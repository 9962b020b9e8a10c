//! A boot is a list of named steps; each says what it attempted when it fails.
//!
//! ```text
//! early ─ ports ─ hello ─▶ Booting ─ clock … groups ─▶ Booted ─ Ready ─▶ serve
//! ```
//!
//! The first three make the channel; from then on each step is announced before
//! it begins. A step that does not apply is announced as skipped.

mod clock;
mod disks;
mod early;
mod files;
mod groups;
mod hello;
mod identity;
mod limits;
mod mounts;
mod network;
mod pivot;
mod ports;
mod root;
mod shares;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use schema::wire::boot::BootRecord;
use schema::wire::message::{BootFailed, BootStep, Ready, StepTime};
use thiserror::Error;

use crate::channel::{Channel, ChannelError};
use crate::log;
use crate::place::Place;
use crate::shares::Shares;
use crate::shutdown::settle_disks;
use crate::sys;
use crate::sys::limits::Limit;
use crate::sys::signals::Signals;
use crate::users::{Identity, SHELL_DEFAULT};
use crate::watch::DiskWatch;

pub(crate) use clock::follow as follow_clock;
pub(crate) use groups::{Share, set_share};
pub(crate) use identity::user_of;

/// How long the runtime has to read why a boot failed.
const LAST_WORDS_MS: u64 = 100;

/// Where a step does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scope {
    /// With and without a machine.
    Everywhere,
    /// Only where the machine is ours.
    Machine,
    /// Not yet.
    Nowhere,
}

type Step = fn(&mut Booting) -> Result<(), StepError>;

/// The steps after the channel is made, in order.
const STEPS: [(&str, Scope, Step); 13] = [
    ("clock", Scope::Machine, clock::run),
    ("limits", Scope::Machine, limits::run),
    ("disks", Scope::Machine, disks::run),
    ("shares", Scope::Machine, shares::run),
    ("root", Scope::Machine, root::run),
    ("pivot", Scope::Machine, pivot::run),
    ("mounts", Scope::Machine, mounts::run),
    ("identity", Scope::Everywhere, identity::run),
    ("network", Scope::Machine, network::run),
    ("trust", Scope::Nowhere, nothing),
    ("files", Scope::Everywhere, files::run),
    ("groups", Scope::Machine, groups::run),
    ("ready", Scope::Everywhere, say_ready),
];

/// Why a step failed.
#[derive(Debug, Error)]
pub(crate) enum StepError {
    /// The kernel refused.
    #[error("{attempt}: {source}")]
    Kernel {
        /// What was attempted, on what.
        attempt: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// The record asks for what is not there, or not possible.
    #[error("{0}")]
    Record(String),
    /// The runtime went away.
    #[error(transparent)]
    Channel(#[from] ChannelError),
}

impl StepError {
    /// Returns what was attempted, without what the kernel said.
    fn detail(&self) -> String {
        match self {
            Self::Kernel { attempt, .. } => attempt.clone(),
            Self::Record(_) | Self::Channel(_) => self.to_string(),
        }
    }

    fn errno(&self) -> i32 {
        match self {
            Self::Kernel { source, .. } => source.raw_os_error().unwrap_or(0),
            Self::Record(_) | Self::Channel(_) => 0,
        }
    }
}

/// Says what was attempted, where the kernel refused.
trait Attempt<T> {
    /// Returns the value, or the step's failure with this text.
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, StepError>;
}

impl<T> Attempt<T> for io::Result<T> {
    fn attempt(self, what: impl FnOnce() -> String) -> Result<T, StepError> {
        self.map_err(|source| StepError::Kernel { attempt: what(), source })
    }
}

/// What has to be let go of in an orderly way at the end.
#[derive(Debug, Default)]
pub(crate) struct Held {
    /// The private disk below the root, or the root's own where it is written to directly.
    pub(crate) root_disks: Vec<OwnedFd>,
    /// What is mounted over the root, in the order it was mounted.
    pub(crate) mounts: Vec<PathBuf>,
}

/// A boot under way, with a channel.
#[derive(Debug)]
struct Booting {
    place: Place,
    channel: Channel,
    signals: Signals,
    record: BootRecord,
    generation: u32,
    times: Vec<StepTime>,
    kernel_ms: u32,
    user: Identity,
    devices: Vec<disks::Device>,
    held: Held,
    limits: Vec<Limit>,
    disks: Option<DiskWatch>,
    shares: Option<Shares>,
}

/// A guest that is up.
#[derive(Debug)]
pub(crate) struct Booted {
    /// Where it is.
    pub(crate) place: Place,
    /// The way to the runtime.
    pub(crate) channel: Channel,
    /// Children and wishes to shut down.
    pub(crate) signals: Signals,
    /// What it was told about itself.
    pub(crate) record: BootRecord,
    /// What has to be let go of.
    pub(crate) held: Held,
    /// The limits of every session, before the sandbox's.
    pub(crate) limits: Vec<Limit>,
    /// Tells when a disk goes bad.
    pub(crate) disks: Option<DiskWatch>,
}

/// Boots; `None` when it failed, which the runtime has been told where it could be.
pub(crate) fn boot(place: Place, channel: Option<OwnedFd>) -> Option<Booted> {
    let kernel_ms = u32::try_from(sys::clock::monotonic_ms()).unwrap_or(u32::MAX);
    let mut booting = match hello::connect(place, channel, kernel_ms) {
        Ok(booting) => booting,
        Err(failed) => {
            log::error!("boot step {}: {}", failed.step, failed.error);
            sys::poll::pause(LAST_WORDS_MS);
            return None;
        }
    };
    match booting.run() {
        Ok(()) => Some(booting.finish()),
        Err(failed) => {
            booting.fail(&failed);
            None
        }
    }
}

/// A step that failed.
#[derive(Debug)]
struct Failed {
    step: &'static str,
    error: StepError,
}

impl Booting {
    fn run(&mut self) -> Result<(), Failed> {
        hello::take_record(self).map_err(|error| Failed { step: "hello", error })?;
        for (name, scope, step) in STEPS {
            let applies = match scope {
                Scope::Everywhere => true,
                Scope::Machine => self.place.is_machine(),
                Scope::Nowhere => false,
            };
            self.channel
                .report(BootStep { name: name.into(), skipped: (!applies).then_some(true) });
            if !applies {
                continue;
            }
            let begun = sys::clock::monotonic_ms();
            self.channel.flush().map_err(|error| Failed { step: name, error: error.into() })?;
            step(self).map_err(|error| Failed { step: name, error })?;
            self.times.push(step_time(name, begun));
        }
        Ok(())
    }

    fn fail(mut self, failed: &Failed) {
        let (step, error) = (failed.step, &failed.error);
        log::error!("boot step {step}: {error}");
        self.channel.report(BootFailed {
            name: step.into(),
            errno: error.errno(),
            detail: error.detail(),
        });
        let until = sys::clock::monotonic_ms() + LAST_WORDS_MS;
        if let Err(error) = self.channel.flush_until(until) {
            log::error!("the runtime was not told: {error}");
        }
        if self.place.is_machine() {
            let settled = settle_disks(&self.held);
            log::note!("the disks are settled: {settled}");
        }
        let now = sys::clock::monotonic_ms();
        sys::poll::pause(until.saturating_sub(now));
    }

    fn finish(self) -> Booted {
        Booted {
            disks: self.disks,
            place: self.place,
            channel: self.channel,
            signals: self.signals,
            record: self.record,
            held: self.held,
            limits: self.limits,
        }
    }

    /// Hears from now on when a disk that is written goes bad.
    fn watch_disk(&mut self, device: &disks::Device, folder: &OwnedFd) {
        if self.disks.is_none() {
            self.disks = DiskWatch::open().ok();
        }
        let watched = self.disks.as_mut().map(|disks| disks.add(&device.serial, folder));
        // A kernel that cannot tell still has the disk.
        if let Some(Err(error)) = watched {
            log::note!("the disk `{}` is not watched: {error}", device.serial);
        }
    }

    /// Returns the device node of a disk of the record.
    fn device(&self, serial: &str) -> Result<&disks::Device, StepError> {
        let device = self.devices.iter().find(|device| device.serial == serial);
        device.ok_or_else(|| StepError::Record(format!("no disk has the serial `{serial}`")))
    }
}

fn step_time(name: &str, begun_ms: u64) -> StepTime {
    let ms = sys::clock::monotonic_ms() - begun_ms;
    StepTime { name: name.into(), ms: u32::try_from(ms).unwrap_or(u32::MAX) }
}

#[expect(clippy::unnecessary_wraps, reason = "it stands in the table of steps")]
fn nothing(_: &mut Booting) -> Result<(), StepError> {
    Ok(())
}

fn say_ready(booting: &mut Booting) -> Result<(), StepError> {
    let shell = Some(&booting.record.shell).filter(|shell| !shell.is_empty()).cloned();
    let shell = booting.user.shell.clone().or(shell);
    let user = schema::wire::message::User {
        uid: booting.user.uid,
        gid: booting.user.gid,
        home: booting.user.home.clone(),
        shell: shell.unwrap_or_else(|| SHELL_DEFAULT.into()),
        name: booting.user.name.clone(),
    };
    let ready = Ready {
        version: env!("CARGO_PKG_VERSION").into(),
        generation: booting.generation,
        steps: std::mem::take(&mut booting.times),
        user,
        memory_bytes: groups::memory_total(),
        kernel: sys::machine::kernel_release(),
        missing_options: missing_file_systems(),
        kernel_ms: Some(booting.kernel_ms),
    };
    booting.channel.report(ready);
    Ok(booting.channel.flush()?)
}

/// Returns the kernel options without which a root cannot be put together.
fn missing_file_systems() -> Vec<String> {
    let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let has =
        |name: &str| known.lines().any(|line| line.split_whitespace().next_back() == Some(name));
    let wanted = [("erofs", "EROFS_FS"), ("ext4", "EXT4_FS"), ("overlay", "OVERLAY_FS")];
    wanted.iter().filter(|(name, _)| !has(name)).map(|(_, option)| (*option).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_are_those_of_the_protocol() {
        let made: Vec<&str> =
            hello::STEPS.into_iter().chain(STEPS.map(|(name, ..)| name)).collect();
        assert_eq!(made, schema::wire::boot::STEPS);
    }
}
