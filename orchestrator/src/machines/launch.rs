//! From a definition and an image to what a new runtime is told.

mod mounts;
mod siblings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::OpenOptions;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use schema::figures::Measuring;
use schema::launch::{
    self, Accelerator, DriverName, Guest, HostPort, LaunchRecord, Link, Logs, Network, Publish,
    Resource, Role, Root, SERIAL_ROOT, SERIAL_UPPER, Shape, Timers, Workload, fd,
};
use schema::link::Mac;
use schema::name::SandboxName;
use schema::project::network::Preset;
use schema::project::{
    EnvValue, Health, HttpProbe, Kind, Limit, Probe, Project, Rlimit, Sandbox, Scheme, StopSignal,
    VolumeKind, argv, instance_hostname,
};
use schema::record::Bound;
use schema::units::Millis;
use thiserror::Error;

use super::Folder;
use crate::drivers::{Driver, Parts};
use crate::images::ImageConfig;
use crate::mounts::SourceError;
use crate::plan::unbuilt;

pub use siblings::neighbours;

/// How long a boot may go without progress, and how much longer under emulation.
const BOOT_MS: u64 = 30_000;
const EMULATED_FACTOR: u64 = 4;

/// An image as a machine needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageFacts {
    /// The manifest's digest.
    pub digest: String,
    /// The root image; `None` where the driver needs none.
    pub root: Option<PathBuf>,
    /// What the image says of itself.
    pub config: ImageConfig,
}

/// A volume as a machine needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeSource {
    /// The volume's id.
    pub id: String,
    /// Disk or folder.
    pub kind: VolumeKind,
    /// Its disk, its folder, or the folder that stands in for its disk.
    pub path: PathBuf,
    /// The most that its folder may hold, and the file of what it holds.
    pub quota: Option<(u64, PathBuf)>,
}

/// What a machine is made from.
#[derive(Clone, Debug)]
pub struct Making<'a> {
    /// Whose it is.
    pub machine: launch::Machine,
    /// The launch's nonce.
    pub nonce: String,
    /// What it is to be.
    pub want: &'a Sandbox,
    /// Its project, where its siblings stand.
    pub project: &'a Project,
    /// Its image.
    pub image: ImageFacts,
    /// Who runs it.
    pub driver: Driver,
    /// Kernel and initramfs, where the driver needs them.
    pub parts: Option<Parts>,
    /// The volumes it mounts, by name.
    pub volumes: BTreeMap<String, VolumeSource>,
    /// Files of the host that a guest may read and never change.
    pub protected: Vec<PathBuf>,
    /// Where state lives, which no guest is shown.
    pub home: PathBuf,
    /// Values that come from outside the file, by variable.
    pub values: BTreeMap<String, Vec<u8>>,
    /// Its folder.
    pub folder: Folder,
    /// The installation's id.
    pub installation: String,
    /// The level of its runtime's log.
    pub log_level: String,
    /// The ports that the kernel chose for it before.
    pub chosen_ports: Vec<Bound>,
    /// Whether it ends with its creator.
    pub attached: bool,
    /// Whether a jail with a layer missing refuses the start.
    pub require_jail: bool,
    /// What shared folders leave free on the host's file systems.
    pub reserve_bytes: u64,
}

/// Everything that a runtime is started with.
#[derive(Debug)]
pub struct Launch {
    /// The record.
    pub record: LaunchRecord,
    /// The resources, in the record's order.
    pub resources: Vec<OwnedFd>,
    /// Values that the record may not hold.
    pub values: Vec<(String, Vec<u8>)>,
    /// The machine's folder.
    pub folder: Folder,
    /// The variables of the runtime's own process.
    pub environment: Vec<(String, String)>,
}

/// Why a machine could not be put together.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// A file that it needs could not be opened.
    #[error("cannot open {what} at {}", path.display())]
    Open {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// A disk is in use.
    #[error("{what} at {} is in use by another machine", path.display())]
    Busy {
        /// What it is.
        what: &'static str,
        /// Where.
        path: PathBuf,
    },
    /// The driver has no room for so many disks.
    #[error("{have} disks besides root and upper are more than the {max} that {driver} can have")]
    TooManyDisks {
        /// How many are wanted.
        have: usize,
        /// How many there can be.
        max: usize,
        /// Of which driver.
        driver: &'static str,
    },
    /// A volume is not there.
    #[error("volume {0} does not exist")]
    NoVolume(String),
    /// What is mounted from the host cannot be.
    #[error("the mount at {target}")]
    Source {
        /// Where in the guest.
        target: String,
        /// Why.
        #[source]
        source: SourceError,
    },
    /// No machine can have this yet.
    #[error("{0} is not supported yet")]
    NotYet(String),
}

impl LaunchError {
    /// Returns the code and the stage under which the failure is told.
    #[must_use]
    pub const fn code(&self) -> (&'static str, &'static str) {
        match self {
            Self::Busy { .. } => ("msb::volume::busy", "volume"),
            Self::NoVolume(_) => ("msb::volume::not-found", "volume"),
            Self::Source { source, .. } => (source.code(), "mount"),
            Self::TooManyDisks { .. } => ("msb::host::driver-limit", "driver"),
            Self::NotYet(_) => ("msb::usage::not-yet", "mount"),
            Self::Open { .. } => ("msb::boot::failed", "boot"),
        }
    }
}

/// Opens what a machine needs and writes down what it is told.
///
/// # Errors
/// A file is missing, a disk is in use, or the driver has no room.
pub fn assemble(making: Making<'_>) -> Result<Launch, LaunchError> {
    // A plan refuses this before anything is begun; no other way leads past it.
    if let Some(field) = unbuilt(making.want, |_| false).into_iter().next() {
        return Err(LaunchError::NotYet(field));
    }
    let mut open = Opened::default();
    match making.driver.name {
        DriverName::Process => {
            let program = making.driver.program.clone();
            open.file((Role::Agent, ""), "the agent", &program, Lock::None)?;
        }
        DriverName::Qemu | DriverName::Krun => machine_files(&making, &mut open)?,
    }
    let mounts = mounts::mounts(&making, &mut open)?;
    let record = record(&making, mounts, open.listed);
    let values = making.values.into_iter().map(|(key, value)| (format!("env:{key}"), value));
    Ok(Launch {
        record,
        resources: open.files,
        values: values.collect(),
        folder: making.folder,
        environment: Vec::new(),
    })
}

/// Kernel, initramfs, root and upper, for a driver that makes machines.
fn machine_files(making: &Making<'_>, open: &mut Opened) -> Result<(), LaunchError> {
    if let Some(parts) = &making.parts {
        open.file((Role::Kernel, ""), "the kernel", &parts.kernel, Lock::None)?;
        open.file((Role::Initramfs, ""), "the initramfs", &parts.initramfs, Lock::None)?;
    }
    if let Some(root) = &making.image.root {
        open.file((Role::Root, SERIAL_ROOT), "the root image", root, Lock::Shared)?;
    }
    let upper = making.folder.upper();
    open.file((Role::Upper, SERIAL_UPPER), "the private disk", &upper, Lock::Exclusive)
}

/// How a file is locked for as long as its descriptor lives in any process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lock {
    None,
    Shared,
    Exclusive,
}

#[derive(Default)]
struct Opened {
    listed: Vec<Resource>,
    files: Vec<OwnedFd>,
}

impl Opened {
    fn file(
        &mut self,
        (role, serial): (Role, &str),
        what: &'static str,
        path: &Path,
        lock: Lock,
    ) -> Result<(), LaunchError> {
        let failed = |source| LaunchError::Open { what, path: path.to_owned(), source };
        let writable = lock == Lock::Exclusive;
        let file = OpenOptions::new().read(true).write(writable).open(path).map_err(failed)?;
        self.locked((role, serial), (what, path), file.into(), lock)
    }

    /// Takes an open file, locked for as long as its descriptor lives in any process.
    fn locked(
        &mut self,
        (role, serial): (Role, &str),
        (what, path): (&'static str, &Path),
        file: OwnedFd,
        lock: Lock,
    ) -> Result<(), LaunchError> {
        let failed = |source| LaunchError::Open { what, path: path.to_owned(), source };
        let operation = match lock {
            Lock::None => None,
            Lock::Shared => Some(FlockOperation::NonBlockingLockShared),
            Lock::Exclusive => Some(FlockOperation::NonBlockingLockExclusive),
        };
        match operation.map_or(Ok(()), |operation| flock(&file, operation)) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LaunchError::Busy { what, path: path.to_owned() });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        self.given((role, serial), path, file, lock != Lock::Exclusive);
        Ok(())
    }

    /// Takes something that is open already.
    fn given(&mut self, (role, serial): (Role, &str), path: &Path, fd: OwnedFd, read_only: bool) {
        self.list(role, serial, path, read_only);
        self.files.push(fd);
    }

    fn list(&mut self, role: Role, serial: &str, path: &Path, read_only: bool) {
        let number = i32::try_from(self.listed.len()).unwrap_or(i32::MAX - fd::RESOURCES);
        self.listed.push(Resource {
            fd: fd::RESOURCES + number,
            role,
            read_only,
            serial: serial.to_owned(),
            name: path.display().to_string(),
        });
    }
}

fn record(
    making: &Making<'_>,
    mounts: Vec<launch::Mount>,
    resources: Vec<Resource>,
) -> LaunchRecord {
    let want = making.want;
    let config = &making.image.config;
    let factor = emulated_factor(making.driver.accelerator);
    let stop_signal = want
        .stop_signal
        .clone()
        .or_else(|| config.stop_signal.as_deref().and_then(StopSignal::parse));
    LaunchRecord {
        format: launch::FORMAT,
        nonce: making.nonce.clone(),
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        machine: making.machine.clone(),
        driver: launch::Driver {
            name: making.driver.name,
            accelerator: making.driver.accelerator,
            program: making.driver.program.display().to_string(),
        },
        shape: Shape {
            cpus: u32::from(want.cpus.count),
            cpus_max: u32::from(want.cpus.max),
            memory_bytes: want.memory.size.0,
            memory_max_bytes: want.memory.max.0,
        },
        resources,
        root: Root {
            upper_bytes: want.upper.0,
            image_digest: making.image.digest.clone(),
            image: want.root.short(),
        },
        mounts,
        guest: guest(making),
        workload: Workload {
            argv: argv(&want.entrypoint, &want.command, (&config.entrypoint, &config.cmd)),
            stop_signal: stop_signal.and_then(|signal| u8::try_from(signal.number()).ok()),
            success_codes: want.success_codes.iter().copied().collect(),
        },
        restart: Some(want.restart.clone()),
        network: network((want, making.project), &making.machine, &making.chosen_ports),
        ready: launch::Probe {
            kind: probe(&want.ready.probe),
            timeout_ms: open_time(want.ready.timeout, Sandbox::READY_TIMEOUT, factor),
        },
        health: health(want, making.driver.accelerator),
        timers: Timers {
            stop_grace_ms: want.stop_grace.0,
            boot_ms: BOOT_MS * factor,
            idle_ms: want.idle_timeout.map(|age| age.0),
            max_ms: want.max_duration.map(|age| age.0),
        },
        logs: Logs {
            level: want
                .log_level
                .map_or(making.log_level.as_str(), |level| level.as_str())
                .to_owned(),
            boot_debug: making.log_level == "trace",
        },
        metrics: metrics(want),
        reserve_bytes: making.reserve_bytes,
        require_jail: making.require_jail,
        attached: making.attached,
    }
}

/// Returns the network of an instance: its own, and what its project says of its siblings; `chosen` are
/// the ports that the kernel chose for it before.
#[must_use]
pub fn network(
    (want, project): (&Sandbox, &Project),
    machine: &launch::Machine,
    chosen: &[Bound],
) -> Network {
    if want.network.preset == Preset::Off {
        return Network::Off;
    }
    // Where there is but one instance, it takes the first slice of the ports.
    let index = machine.instance.parse().unwrap_or(0);
    let rows = want.ports.iter().filter_map(|row| row.of_instance(index));
    let ports = rows.flat_map(|row| {
        let (protocol, bind) = (row.protocol, row.bind);
        let had = move |guest: u16| {
            let is_it =
                |port: &&Bound| (port.protocol, port.bind, port.guest) == (protocol, bind, guest);
            chosen.iter().find(is_it).map(|port| port.host)
        };
        row.pairs().map(move |(host, guest)| {
            let auto = || HostPort::Auto { last: had(guest) };
            Publish { protocol, bind, host: host.map_or_else(auto, HostPort::Fixed), guest }
        })
    });
    let called = SandboxName::parse(&machine.sandbox);
    Network::On(Box::new(Link {
        mac: Mac::of_machine(&machine.id),
        policy: want.network.clone(),
        ports: ports.collect(),
        connect: want.connect.clone(),
        instances: siblings::instances(want, project),
        callers: called.map_or_else(|_| BTreeMap::new(), |name| siblings::callers(&name, project)),
    }))
}

/// Returns what tells that a sandbox is well, as its machine is told.
#[must_use]
pub fn health(want: &Sandbox, accelerator: Accelerator) -> Option<launch::Health> {
    let Health { probe: asked, interval, timeout, failures, successes, on_unhealthy } =
        want.health.as_ref()?;
    let factor = emulated_factor(accelerator);
    Some(launch::Health {
        kind: probe(asked),
        interval_ms: interval.0,
        timeout_ms: open_time(*timeout, Health::TIMEOUT, factor),
        failures: *failures,
        successes: *successes,
        on_unhealthy: *on_unhealthy,
    })
}

/// Returns whether and how often a sandbox is measured, as its machine is told.
#[must_use]
pub const fn metrics(want: &Sandbox) -> Measuring {
    Measuring { enabled: want.metrics.enabled, interval_ms: want.metrics.interval.0 }
}

fn probe(asked: &Probe) -> launch::ProbeKind {
    match asked {
        Probe::Agent => launch::ProbeKind::Agent,
        Probe::Exec(words) => launch::ProbeKind::Exec { argv: words.clone() },
        Probe::Log(pattern) => launch::ProbeKind::Log { pattern: pattern.clone() },
        Probe::Tcp(port) => launch::ProbeKind::Tcp { port: *port },
        Probe::Http(HttpProbe { path, port, scheme, host, status }) => launch::ProbeKind::Http {
            path: path.clone(),
            port: *port,
            tls: *scheme == Scheme::Https,
            host: host.clone(),
            status: status.clone(),
        },
    }
}

fn emulated_factor(accelerator: Accelerator) -> u64 {
    if accelerator == Accelerator::Tcg { EMULATED_FACTOR } else { 1 }
}

/// A time that the file left open is longer where the guest is emulated.
fn open_time(time: Millis, left_open: Millis, factor: u64) -> u64 {
    if time == left_open { time.0 * factor } else { time.0 }
}

fn guest(making: &Making<'_>) -> Guest {
    let (want, config) = (making.want, &making.image.config);
    let set = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut env: BTreeMap<String, String> = config
        .env
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    // What environment files hold stands above the image's and below the file's own.
    let mut sensitive: BTreeSet<String> = making.values.keys().cloned().collect();
    for (key, value) in &want.env {
        match value {
            EnvValue::Literal(text) => {
                env.insert(key.to_string(), text.clone());
            }
            // Never from the image: what stands for it comes on a descriptor, or the start ends.
            EnvValue::FromEnv(_) | EnvValue::FromFile(_) | EnvValue::Secret(_) => {
                sensitive.insert(key.to_string());
            }
        }
    }
    sensitive.iter().for_each(|key| drop(env.remove(key)));
    let identity = format!("{}\0{}", making.machine.id, making.installation);
    let identity = blake3::hash(identity.as_bytes()).to_hex();
    let hostname = want.hostname.clone().unwrap_or_else(|| {
        SandboxName::parse(&making.machine.sandbox).map_or_else(
            |_| "sandbox".to_owned(),
            |name| instance_hostname(&name, &making.machine.instance),
        )
    });
    Guest {
        hostname,
        user: want.user.as_ref().map(ToString::to_string).or_else(|| set(&config.user)),
        workdir: want.workdir.as_ref().map(ToString::to_string).or_else(|| set(&config.workdir)),
        shell: want.shell.to_string(),
        env,
        sensitive_env: sensitive.into_iter().collect(),
        rlimits: want.rlimits.iter().map(|(name, limit)| rlimit(name, *limit)).collect(),
        security: match want.security {
            schema::project::Security::Default => launch::Security::Default,
            schema::project::Security::Restricted => launch::Security::Restricted,
        },
        os_machine_id: identity[..32].to_owned(),
    }
}

/// Returns a limit as launch records write it.
pub(crate) fn rlimit(name: &str, limit: Rlimit) -> launch::Rlimit {
    let count = |limit: Limit| match limit {
        Limit::Count(count) => Some(count),
        Limit::Unlimited => None,
    };
    let (soft, hard) = (count(limit.soft), count(limit.hard));
    launch::Rlimit { resource: name.to_owned(), soft, hard }
}

/// Returns the kind of a machine's sandbox as launch records write it.
#[must_use]
pub const fn kind(kind: Kind) -> launch::Kind {
    match kind {
        Kind::Service => launch::Kind::Service,
        Kind::Job => launch::Kind::Job,
    }
}

#[cfg(test)]
mod tests {
    use schema::name::ProjectName;
    use schema::project::network::PortRange;
    use schema::project::{HostPorts, ImageRef, PublishedPort, Transport};

    use super::*;

    fn machine(instance: &str) -> launch::Machine {
        launch::Machine {
            id: "4f2a9c017be3d85a".into(),
            project: "shop".into(),
            project_id: "p".into(),
            sandbox: "web".into(),
            instance: instance.into(),
            kind: launch::Kind::Service,
            ephemeral: false,
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn rt_9_9_each_instance_is_told_its_own_ports() {
        let project = Project::empty(ProjectName::parse("shop").unwrap(), "/srv".into());
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        web.ports.push(PublishedPort {
            protocol: Transport::Tcp,
            bind: PublishedPort::BIND,
            host: HostPorts::parse("8080-8085").unwrap(),
            guest: PortRange::parse("80-81").unwrap(),
        });
        for (instance, first) in [("", 8080), ("0", 8080), ("2", 8084)] {
            let network = network((&web, &project), &machine(instance), &[]);
            let link = network.link().unwrap();
            let told: Vec<_> = link.ports.iter().map(|port| (port.host, port.guest)).collect();
            let ports = [(HostPort::Fixed(first), 80), (HostPort::Fixed(first + 1), 81)];
            assert_eq!(told, ports, "instance {instance:?}");
            assert_eq!(link.mac, Mac::of_machine("4f2a9c017be3d85a"));
            assert_eq!(link.policy, web.network);
        }
        web.network.preset = Preset::Off;
        assert_eq!(network((&web, &project), &machine(""), &[]), Network::Off);
    }

    #[test]
    fn sf_3_6_a_chosen_port_is_asked_for_again() {
        let project = Project::empty(ProjectName::parse("shop").unwrap(), "/srv".into());
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        web.ports.push(PublishedPort {
            protocol: Transport::Udp,
            bind: PublishedPort::BIND,
            host: HostPorts::Auto,
            guest: PortRange::parse("53-54").unwrap(),
        });
        let (bind, protocol) = (PublishedPort::BIND, Transport::Udp);
        let had = Bound { bind, host: 49_210, guest: 54, protocol, auto: true };
        let tcp = Bound { protocol: Transport::Tcp, guest: 53, ..had };
        let network = network((&web, &project), &machine(""), &[tcp, had]);
        let told: Vec<_> = network.link().unwrap().ports.iter().map(|port| port.host).collect();
        let last = [None, Some(49_210)];
        assert_eq!(told, last.map(|last| HostPort::Auto { last }));
    }
}
