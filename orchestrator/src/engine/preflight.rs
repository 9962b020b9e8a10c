//! What a plan needs of the host, looked at before the first side effect, all at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;

use schema::failure::Report;
use schema::launch::{Accelerator, DriverName};
use schema::name::{InstanceName, VolumeName};
use schema::project::{Access, Mount, MountSource, Sandbox, Transport, VolumeKind};
use schema::units::Bytes;

use super::{Trouble, Troubles, apply, read_env_files, read_source};
use crate::context::Context;
use crate::drivers::Driver;
use crate::machines;
use crate::observe::Observed;
use crate::plan::{Address, Op, Plan, Wish, is_preflight, plan};

/// The disks that QEMU has room for besides root and upper.
const QEMU_DISKS_MAX: usize = 3;

/// The processors that QEMU has room for, on the processor and emulated.
const KVM_CPUS_MAX: u8 = 64;
const TCG_CPUS_MAX: u8 = 8;

/// The memory that QEMU emulates at most.
const TCG_MEMORY_MAX: Bytes = Bytes::gib(16);

/// Checks the host for everything that the plan boots.
pub(super) fn preflight(
    context: &Context,
    wish: &Wish,
    plan: &Plan,
    observed: &Observed,
    drivers: &BTreeMap<InstanceName, Driver>,
) -> Result<(), Troubles> {
    let steps = plan.steps.iter().filter(|step| !step.op.is_wait());
    let held = held(observed, steps.filter_map(|step| step.address.sandbox()));
    let troubles = found(context, wish, (plan, drivers), (&BTreeSet::new(), &held));
    if troubles.is_empty() { Ok(()) } else { Err(Troubles(troubles)) }
}

/// Checks the host for a whole wish, as if none of its sandboxes was there yet.
///
/// What already runs keeps the memory that it has. Whose the project is, and what else refuses a
/// plan, is not asked.
pub(super) async fn whole(context: &Context, wish: &Wish, observed: Observed) -> Vec<Trouble> {
    let mut observed = observed;
    let alive = observed.sandboxes.iter().filter(|(_, seen)| seen.is_alive());
    let running: BTreeSet<InstanceName> = alive.map(|(name, _)| name.clone()).collect();
    let held = held(&observed, &running);
    observed.sandboxes.clear();
    let planned = plan(wish, &observed);
    let (drivers, mut troubles) = match apply::drivers(context, wish, &planned).await {
        Ok(drivers) => (drivers, Vec::new()),
        Err(Troubles(troubles)) => (BTreeMap::new(), troubles),
    };
    let refused = planned.refused.iter().filter(|refusal| is_preflight(refusal));
    troubles.extend(refused.map(Trouble::refused));
    troubles.extend(found(context, wish, (&planned, &drivers), (&running, &held)));
    troubles
}

/// Returns what the host lacks for the plan; a driver's own limits are asked where it is known.
fn found(
    context: &Context,
    wish: &Wish,
    (plan, drivers): (&Plan, &BTreeMap<InstanceName, Driver>),
    (running, held): (&BTreeSet<InstanceName>, &Held),
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    let boots = plan.steps.iter().filter(|step| step.op == Op::Boot);
    let boots: Vec<(&InstanceName, &Sandbox, Option<&Driver>)> = boots
        .filter_map(|step| step.address.sandbox())
        .filter_map(|n| Some((n, &**wish.project.sandboxes.get(n)?, drivers.get(n))))
        .collect();
    for (name, want, driver) in &boots {
        let limits = driver.and_then(|driver| limits(want, wish, driver));
        troubles.extend(limits.map(|report| at(name, report)));
        troubles.extend(sources(context, want).into_iter().map(|report| at(name, report)));
        troubles.extend(mounts(context, want).map(|report| at(name, report)));
    }
    troubles.extend(ports(context, wish, plan, held));
    let is_real = |driver: &Option<&Driver>| driver.is_none_or(|d| d.name != DriverName::Process);
    let real = boots.iter().filter(|(name, _, driver)| is_real(driver) && !running.contains(*name));
    let wanted: u64 = real.map(|(_, want, _)| want.memory.size.0).sum();
    troubles.extend(memory(wanted).map(Trouble::of));
    if !boots.is_empty() {
        troubles.extend(disk_space(context.home(), context.disk_reserve).map(Trouble::of));
    }
    troubles
}

fn at(name: &InstanceName, report: Report) -> Trouble {
    Trouble { report, address: Some(Address::Sandbox(name.clone())), log: None }
}

fn report(code: &str, stage: &str, message: String, hint: &str) -> Report {
    Report {
        code: code.to_owned(),
        stage: stage.to_owned(),
        message,
        hints: vec![hint.to_owned()],
        ..Report::default()
    }
}

/// What the driver cannot have.
fn limits(want: &Sandbox, wish: &Wish, driver: &Driver) -> Option<Report> {
    if driver.name == DriverName::Process {
        return process_limits(want);
    }
    let is_disk_volume = |name: &VolumeName| {
        wish.project.volumes.get(name).is_some_and(|it| it.kind == Some(VolumeKind::Disk))
    };
    let is_disk = |mount: &&Mount| match &mount.source {
        MountSource::Disk(_) => true,
        // Of one whose kind the file leaves open the launch knows.
        MountSource::Named(name) => is_disk_volume(name),
        MountSource::Dir(_) | MountSource::File(_) | MountSource::Tmpfs { .. } => false,
    };
    let disks = want.mounts.iter().filter(is_disk).count();
    let emulated = driver.accelerator == Accelerator::Tcg;
    let cpus_max = if emulated { TCG_CPUS_MAX } else { KVM_CPUS_MAX };
    let refused = |message: String| {
        Some(report("msb::host::driver-limit", "driver", message, "Ask for less."))
    };
    if disks > QEMU_DISKS_MAX {
        return refused(format!("{disks} disks; the driver has room for {QEMU_DISKS_MAX}"));
    }
    if want.cpus.max > cpus_max {
        return refused(format!("{} processors; the driver can have {cpus_max}", want.cpus.max));
    }
    if emulated && want.memory.max > TCG_MEMORY_MAX {
        let max = want.memory.max;
        return refused(format!("{max} of memory; under emulation there can be {TCG_MEMORY_MAX}"));
    }
    None
}

/// What a process of the host cannot have: a network of its own.
fn process_limits(want: &Sandbox) -> Option<Report> {
    let what = match (want.ports.is_empty(), want.connect.is_empty()) {
        (false, _) => "publish a port",
        (true, false) => "connect to another sandbox",
        (true, true) if !want.network.rules.is_empty() => "keep a rule of the network",
        (true, true) => return None,
    };
    let message = format!("the driver process has no network of its own: it cannot {what}");
    let hint = "Choose another driver; `msb doctor` tells which ones can run here.";
    Some(report("msb::host::driver-limit", "driver", message, hint))
}

/// Ports of the host that somebody else has. What the plan's own sandboxes have they keep, or let go in
/// time; nobody has to be asked for that.
fn ports(context: &Context, wish: &Wish, plan: &Plan, held: &Held) -> Vec<Trouble> {
    let steps = plan.steps.iter().filter(|step| matches!(step.op, Op::Boot | Op::Update));
    let mut troubles = Vec::new();
    for name in steps.filter_map(|step| step.address.sandbox()) {
        let Some(want) = wish.project.sandboxes.get(name) else { continue };
        let wanted = crate::ports::fixed(want, name.index.unwrap_or(0));
        for (protocol, at) in wanted.filter(|port| !held.contains(port)) {
            let Err(taken) = crate::ports::look(protocol, at) else { continue };
            // One that the kernel chose for a sandbox stands in no definition.
            let owner = taken.machine(context.home()).map(|machine| machines::named(&machine));
            if !owner.is_some_and(|owner| is_touched(wish, plan, &owner)) {
                troubles.push(self::at(name, taken.report(context.home())));
            }
        }
    }
    troubles
}

/// Tells whether a sandbox, named as among all, is changed by a plan.
fn is_touched(wish: &Wish, plan: &Plan, owner: &str) -> bool {
    let steps = plan.steps.iter().filter(|step| !step.op.is_wait());
    let mut names = steps.filter_map(|step| step.address.sandbox());
    names.any(|name| format!("{}/{name}", wish.project.name) == owner)
}

/// Ports of the host that sandboxes of a plan have.
type Held = BTreeSet<(Transport, SocketAddr)>;

/// Returns the ports that those of `names` have whose machines live.
fn held<'n>(observed: &Observed, names: impl IntoIterator<Item = &'n InstanceName>) -> Held {
    let seen = names.into_iter().filter_map(|name| Some((name, observed.sandboxes.get(name)?)));
    let alive = seen.filter(|(_, seen)| seen.is_alive());
    alive
        .flat_map(|(name, seen)| {
            let index = name.index.unwrap_or(0);
            seen.applied.iter().flat_map(move |body| crate::ports::fixed(body, index))
        })
        .collect()
}

/// What is mounted of the host and cannot be.
fn mounts<'a>(context: &'a Context, want: &'a Sandbox) -> impl Iterator<Item = Report> + 'a {
    let hosts = want.mounts.iter().filter(|mount| mount.source.host_path().is_some());
    hosts.filter_map(|mount| {
        let writable = mount.options.access == Access::ReadWrite;
        let error = crate::mounts::look(&mount.source, writable, context.home()).err()?;
        let message = format!("the mount at {}: {error}", mount.destination);
        let causes = std::error::Error::source(&error).map(ToString::to_string);
        let found = report(error.code(), "mount", message, error.hint());
        Some(Report { causes: causes.into_iter().collect(), ..found })
    })
}

/// Values that the file refers to and that are not there.
fn sources(context: &Context, want: &Sandbox) -> Vec<Report> {
    let missing = want.env.iter().filter(|(_, value)| value.is_digested());
    missing
        .filter(|(_, value)| read_source(context, value).is_none())
        .map(|(key, value)| {
            let message =
                format!("the value of {key} is not there, or longer than 131,071 bytes: {value}");
            report("msb::env::missing", "resolve", message, "Set it where msb runs.")
        })
        .chain(read_env_files(want).err().map(|report| *report))
        .collect()
}

fn memory(wanted: u64) -> Option<Report> {
    let free = memory_available();
    (wanted > free).then(|| {
        let message = format!(
            "the machines want {} MiB of memory, the host has {} MiB free",
            wanted / Bytes::MIB,
            free / Bytes::MIB
        );
        report("msb::host::memory", "resolve", message, "Give them less, or stop others first.")
    })
}

/// Returns the memory that the host can still give, in bytes.
pub(super) fn memory_available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"));
    let kib = line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.map_or(u64::MAX, |kib| kib * 1024)
}

fn disk_space(home: &Path, reserve: Bytes) -> Option<Report> {
    // A home that is not made yet will lie where its nearest folder does.
    let there = home.ancestors().find(|folder| folder.is_dir())?;
    let free = rustix::fs::statvfs(there).ok().map(|stat| stat.f_bavail * stat.f_frsize)?;
    (free < reserve.0).then(|| {
        let message = format!("{} has {} MiB free", home.display(), free / Bytes::MIB);
        let hint = format!("Make room: {reserve} stay free (`disk-reserve` of config.kdl).");
        report("msb::host::disk-space", "resolve", message, &hint)
    })
}
