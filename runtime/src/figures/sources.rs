//! Who is asked for a sample, and for how long.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use schema::launch::{Accelerator, Driver, DriverName, LaunchRecord};
use schema::wire::message::StatsReply;
use schema::wire::{Message, generation, message};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::agent::Agent;
use super::assemble::{Before, COMPARED_MAX, Moment, Reading, Readings, assemble};
use super::children::{self, Children};
use super::host;
use super::slow::Slow;
use crate::clock::{Clock as _, HostClock};
use crate::folder::Folder;
use crate::hypervisor::{CounterLine, Counters};
use crate::net::Traffic;
use crate::relay::Hub;
use crate::share::tally::Tally;
use crate::standing::Shown;

/// How long a sample waits for what the VMM counts; an emulated one is as much slower as all it does.
const VMM_MAX: Duration = Duration::from_millis(50);
const EMULATED_FACTOR: u32 = 4;

/// How long growth is measured where there is no sample to compare with.
const COMPARED: Duration = Duration::from_millis(200);

/// How old the guest's own word about its memory may be.
const BALLOON_AGE_MAX: Duration = Duration::from_secs(3);

/// The folder that stands for the private disk where there is no machine.
const SCRATCH: &str = "root";

/// What a machine is measured by.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The VMM, or the agent where there is no machine; its mappings, where they could be opened.
    pub(crate) process: (u32, Option<Arc<File>>),
    pub(crate) shown: watch::Receiver<Shown>,
    pub(crate) hub: Rc<Hub>,
    pub(crate) counters: Option<CounterLine>,
    pub(crate) traffic: Option<Traffic>,
    pub(crate) shares: Option<Tally>,
    pub(crate) upper: Option<OwnedFd>,
    pub(crate) folder: Arc<Folder>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    driver: Driver,
    memory_max_bytes: u64,
    parts: Parts,
    agent: Agent,
    started: Instant,
    threads: Vec<u32>,
    children: Children,
    host_resident: Slow,
    scratch: Slow,
}

impl Sources {
    /// Measures from now on a machine that was just started.
    pub(super) fn new(
        launch: &LaunchRecord,
        parts: Parts,
        said: mpsc::Receiver<Option<StatsReply>>,
    ) -> Self {
        Self {
            driver: launch.driver.clone(),
            memory_max_bytes: launch.shape.memory_max_bytes,
            agent: Agent::new(Rc::clone(&parts.hub), said),
            children: Children::below(parts.process.0),
            parts,
            started: HostClock.now(),
            threads: Vec::new(),
            host_resident: Slow::default(),
            scratch: Slow::default(),
        }
    }

    /// Returns which start of the machine this is.
    pub(super) fn boot(&self) -> u32 {
        self.parts.shown.borrow().record.boot
    }

    /// Takes a sample.
    pub(super) async fn take(&mut self, before: Option<&Before>) -> Before {
        let taken = HostClock.now();
        let sampled_at_ms = HostClock.wall_ms();
        let speaks = self.agent_speaks();
        let Self { driver, memory_max_bytes, parts, agent, .. } = self;
        let Self { threads, children, host_resident, scratch, .. } = self;
        let agent = async { if speaks { agent.ask().await } else { None } };
        let earlier = before.and_then(|before| before.vcpu);
        let memory_max_bytes = *memory_max_bytes;
        let looked =
            Looked { driver, memory_max_bytes, parts, threads, children, host_resident, scratch };
        let (said, mut readings) = tokio::join!(agent, looked.look(earlier));
        readings.agent = said;
        let moment = self.moment(sampled_at_ms, taken);
        let mut floors = before.map(|before| before.floors.clone()).unwrap_or_default();
        let sample = assemble(&readings, moment, &mut floors);
        Before { taken, vcpu: readings.vcpu, floors, sample }
    }

    fn moment(&self, sampled_at_ms: u64, taken: Instant) -> Moment {
        let shown = self.parts.shown.borrow();
        let record = &shown.record;
        Moment {
            sampled_at_ms,
            started_at_ms: record.started_at_ms.unwrap_or(sampled_at_ms),
            uptime: taken.saturating_duration_since(self.started),
            boot: record.boot,
            restarts: record.restarts,
            memory_limit_bytes: record.effective.memory_bytes,
        }
    }

    /// Tells whether there is an agent that knows what is asked. Where there is no machine, it is not.
    fn agent_speaks(&self) -> bool {
        let shown = self.parts.shown.borrow();
        let record = &shown.record;
        let code = Message::Stats(message::Stats {}).code();
        let spoken = record.generation.unwrap_or(0);
        self.driver.name != DriverName::Process
            && record.agent_ready_at_ms.is_some()
            && generation::may_send(code, spoken).is_ok()
    }
}

/// What is read on the host.
struct Looked<'s> {
    driver: &'s Driver,
    memory_max_bytes: u64,
    parts: &'s Parts,
    threads: &'s mut Vec<u32>,
    children: &'s mut Children,
    host_resident: &'s mut Slow,
    scratch: &'s mut Slow,
}

impl Looked<'_> {
    async fn look(self, earlier: Option<Reading>) -> Readings {
        let carried = Readings {
            net: self.parts.traffic.as_ref().map(Traffic::carried),
            shares: self.parts.shares.as_ref().map(Tally::moved),
            ..Readings::default()
        };
        match self.driver.name {
            DriverName::Process => self.look_at_children(earlier, carried).await,
            DriverName::Qemu | DriverName::Krun => self.look_at_vmm(earlier, carried).await,
        }
    }

    async fn look_at_vmm(self, earlier: Option<Reading>, carried: Readings) -> Readings {
        let Self { driver, memory_max_bytes, parts, threads, host_resident, .. } = self;
        let (pid, maps) = parts.process.clone();
        let patience = match driver.accelerator {
            Accelerator::Tcg => VMM_MAX * EMULATED_FACTOR,
            Accelerator::Kvm | Accelerator::None => VMM_MAX,
        };
        let resident = move || host::resident_bytes(maps?.as_ref(), memory_max_bytes);
        let (counters, host_resident) = tokio::join!(
            counters(parts.counters.as_ref(), patience),
            host_resident.get(HostClock.now(), patience, resident),
        );
        if let Some(counters) = &counters
            && threads.is_empty()
        {
            threads.clone_from(&counters.vcpu_threads);
        }
        let read = || host::threads_time_ns(pid, threads);
        let (vcpu_before, vcpu) = both(earlier, read).await;
        Readings {
            vcpu_before,
            vcpu,
            host_resident,
            balloon: counters.as_ref().and_then(balloon),
            counts_disks: parts.counters.as_ref().is_some_and(|line| line.tells_disks),
            disks: counters.and_then(|counters| counters.disks),
            upper: parts.upper.as_ref().and_then(host::occupied_bytes),
            ..carried
        }
    }

    async fn look_at_children(self, earlier: Option<Reading>, carried: Readings) -> Readings {
        let mut resident = None;
        let read = || {
            let used = self.children.used()?;
            resident = Some(used.resident_bytes);
            Some(used.time_ns)
        };
        let (vcpu_before, vcpu) = both(earlier, read).await;
        let scratch = self.parts.folder.short_path(SCRATCH);
        let occupied = move || children::occupied_bytes(&scratch);
        Readings {
            vcpu_before,
            vcpu,
            resident,
            upper: self.scratch.get(HostClock.now(), VMM_MAX, occupied).await,
            ..carried
        }
    }
}

/// Returns the processors' time now, and at an earlier moment: that of a sample that is not too
/// old, or one just before.
async fn both(
    earlier: Option<Reading>,
    mut read: impl FnMut() -> Option<u64>,
) -> (Option<Reading>, Option<Reading>) {
    let mut reading = || read().map(|ns| Reading { at: HostClock.now(), ns });
    let first = reading();
    let is_near = |earlier: &Reading| {
        first.is_some_and(|first| first.at.saturating_duration_since(earlier.at) <= COMPARED_MAX)
    };
    match earlier.filter(is_near) {
        Some(earlier) => (Some(earlier), first),
        None if first.is_none() => (None, None),
        None => {
            tokio::time::sleep(COMPARED).await;
            (first, reading())
        }
    }
}

/// Asks the VMM what it counts; `None` where it does not say so in time.
async fn counters(line: Option<&CounterLine>, patience: Duration) -> Option<Counters> {
    let (question, answer) = oneshot::channel();
    line?.ask.try_send(question).ok()?;
    timeout(patience, answer).await.ok()?.ok()
}

/// Returns what the guest's kernel said of its memory just now: total and available.
fn balloon(counters: &Counters) -> Option<(u64, u64)> {
    let memory = counters.memory?;
    let age = HostClock.wall().saturating_sub(Duration::from_secs(memory.at));
    (age <= BALLOON_AGE_MAX).then_some((memory.total_bytes, memory.available_bytes))
}
