//! What the orchestrator hands a new runtime process, once.
//!
//! The record travels in a sealed memory file on descriptor 3 and lies beside
//! it as the file `launch`. It holds no secret value: those come through
//! descriptor 4. Every key is always present; a reader ignores keys of its own
//! format that it does not know.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::figures::Measuring;
use crate::link::Mac;
use crate::name::SandboxName;
use crate::project::{Connect, Transport, network};

pub use crate::project::{FsType, HostPerms, OnUnhealthy, Restart, StatVirt, StatusSet};

/// The format this build writes; a runtime refuses a newer one.
pub const FORMAT: u32 = 1;

/// The largest launch record.
pub const BYTES_MAX: usize = 8 * 1024 * 1024;

/// Descriptors of a runtime process.
pub mod fd {
    /// `runtime.log`, for appending.
    pub const LOG: i32 = 2;
    /// The launch record, a sealed memory file.
    pub const LAUNCH: i32 = 3;
    /// Secret and sensitive values: `u16` name length, name, `u32` value length, value, big-endian, to end-of-file.
    pub const VALUES: i32 = 4;
    /// The start-up pipe, written by the runtime; see [`super::StartUp`].
    pub const STARTUP: i32 = 5;
    /// The creator pipe, read by the runtime; `/dev/null` for a detached machine.
    pub const CREATOR: i32 = 6;
    /// The machine folder.
    pub const FOLDER: i32 = 7;
    /// The first resource.
    pub const RESOURCES: i32 = 10;
}

/// What the creator writes on its pipe before it lets go of a machine on purpose.
pub const CREATOR_DETACHES: u8 = 0x01;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// See [`FORMAT`].
    pub format: u32,
    /// 32 hex digits, made anew for each launch.
    pub nonce: String,
    /// The version of msb that wrote it.
    pub made_by: String,
    /// Whose machine it is.
    pub machine: Machine,
    /// Who runs it.
    pub driver: Driver,
    /// How large it is.
    pub shape: Shape,
    /// What the descriptors from 10 on are, in order.
    pub resources: Vec<Resource>,
    /// Where its root comes from.
    pub root: Root,
    /// What is mounted over the root, parent first.
    pub mounts: Vec<Mount>,
    /// What the guest is told.
    pub guest: Guest,
    /// What it is for.
    pub workload: Workload,
    /// What follows when the workload or its machine ends; absent: nothing.
    #[serde(default)]
    pub restart: Option<Restart>,
    /// Its network.
    pub network: Network,
    /// When it counts as ready.
    pub ready: Probe,
    /// What tells that it is well, where anybody asks.
    #[serde(default)]
    pub health: Option<Health>,
    /// Its deadlines.
    pub timers: Timers,
    /// What is logged.
    pub logs: Logs,
    /// Whether and how often it is measured, where somebody asks.
    #[serde(default)]
    pub metrics: Measuring,
    /// What shared folders leave free on the host's file systems.
    #[serde(default)]
    pub reserve_bytes: u64,
    /// Whether a jail with a layer missing refuses the start.
    pub require_jail: bool,
    /// Whether the machine stops when its creator goes away.
    pub attached: bool,
}

/// Whose machine it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// 16 hex digits.
    pub id: String,
    /// The project's name.
    pub project: String,
    /// The project's id.
    pub project_id: String,
    /// The sandbox's name.
    pub sandbox: String,
    /// The instance, empty where there is one only.
    pub instance: String,
    /// Service or job.
    pub kind: Kind,
    /// Whether the runtime clears the folder when the machine ends.
    pub ephemeral: bool,
    /// Labels, for figures and people.
    pub labels: BTreeMap<String, String>,
}

/// What a sandbox is wanted to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// To run.
    Service,
    /// To run to its end, once.
    Job,
}

/// Who runs the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Driver {
    /// `qemu`, `process`.
    pub name: DriverName,
    /// What carries the guest's instructions.
    pub accelerator: Accelerator,
    /// The program of the driver: QEMU, or `agentd` for `process`.
    pub program: String,
}

/// The drivers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DriverName {
    /// libkrun on KVM.
    Krun,
    /// QEMU, on KVM or its emulator.
    Qemu,
    /// agentd as an ordinary process; no machine.
    Process,
}

impl DriverName {
    /// Returns the name as people write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Krun => "krun",
            Self::Qemu => "qemu",
            Self::Process => "process",
        }
    }
}

/// What carries the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Accelerator {
    /// The processor, through KVM.
    Kvm,
    /// QEMU's emulator.
    Tcg,
    /// Nothing: there is no machine.
    None,
}

/// What stands between the guest and the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// The processor's virtualisation.
    Hardware,
    /// An emulator, which is not an isolation boundary.
    Emulated,
    /// Nothing.
    None,
}

impl Accelerator {
    /// Returns what this accelerator promises.
    #[must_use]
    pub const fn isolation(self) -> Isolation {
        match self {
            Self::Kvm => Isolation::Hardware,
            Self::Tcg => Isolation::Emulated,
            Self::None => Isolation::None,
        }
    }
}

/// How large the machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Processors that commands may use.
    pub cpus: u32,
    /// Processors the machine is made with.
    pub cpus_max: u32,
    /// Memory that commands may use.
    pub memory_bytes: u64,
    /// Memory the machine is made with.
    pub memory_max_bytes: u64,
}

/// A descriptor that the runtime was given; it never opens the thing again by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The descriptor's number.
    pub fd: i32,
    /// What it is.
    pub role: Role,
    /// Whether it is open for reading only.
    pub read_only: bool,
    /// The serial of a disk, empty otherwise; at most 20 bytes.
    pub serial: String,
    /// A name for messages, mostly a path; never opened.
    pub name: String,
}

/// What a resource is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The guest kernel, an ELF file.
    Kernel,
    /// The initramfs with agentd.
    Initramfs,
    /// The root image.
    Root,
    /// The private writable disk.
    Upper,
    /// Another disk.
    Disk,
    /// A folder or file that stands in for a mount under the driver `process`.
    Folder,
    /// A folder that is shared, or the folder of a file that is; named, not opened.
    Share,
    /// The figures of what a share holds.
    Usage,
    /// The executable of agentd, for the driver `process`.
    Agent,
}

/// Serial of the root image's disk.
pub const SERIAL_ROOT: &str = "msb-root";

/// Serial of the private writable disk.
pub const SERIAL_UPPER: &str = "msb-upper";

/// Where the root comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Size of the private writable disk.
    pub upper_bytes: u64,
    /// The image's manifest digest, `sha256:…`.
    pub image_digest: String,
    /// The image as the file names it.
    pub image: String,
}

/// Something mounted over the root.
#[expect(clippy::struct_excessive_bools, reason = "the four flags of a mount, each by its name")]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// Where in the guest.
    pub target: String,
    /// What.
    pub source: MountSource,
    /// Read-only.
    pub read_only: bool,
    /// No programs are run from it.
    pub noexec: bool,
    /// Set-user-id bits are ignored.
    pub nosuid: bool,
    /// Device nodes are ignored.
    pub nodev: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MountSource {
    /// A named volume of kind disk; its resource has this serial.
    Named {
        /// The volume's name.
        volume: String,
        /// The disk's serial.
        serial: String,
    },
    /// A raw image or block device of the host; its resource has this serial.
    Disk {
        /// The disk's serial.
        serial: String,
        /// Its file system; absent: what its signature says.
        fstype: Option<FsType>,
    },
    /// A folder or file of the host, or a named volume of kind dir.
    Share(Share),
    /// Memory.
    Tmpfs {
        /// Its size; absent: half of the memory.
        size_bytes: Option<u64>,
        /// Mode of its root folder.
        mode: u32,
    },
}

/// A folder or file of the host that the guest sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// What its resource, and that of its figures, are known by.
    pub serial: String,
    /// The name below the resource, where a single file is shared.
    pub file: Option<String>,
    /// Whether the guest's owners and modes are kept beside the files.
    pub stat_virt: StatVirt,
    /// The modes of new files on the host.
    pub host_perms: HostPerms,
    /// The most that it may hold.
    pub quota_bytes: Option<u64>,
    /// Paths that the guest may not change, relative to the folder.
    pub protected: Vec<String>,
}

/// What the guest is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guest {
    /// The host name.
    pub hostname: String,
    /// `NAME|UID[:GROUP|GID]`, absent: root.
    pub user: Option<String>,
    /// The working folder, absent: `/`.
    pub workdir: Option<String>,
    /// The shell of interactive sessions.
    pub shell: String,
    /// The environment without sensitive values; those come through descriptor 4 as `env:KEY`.
    pub env: BTreeMap<String, String>,
    /// Names of the variables whose values come through descriptor 4.
    pub sensitive_env: Vec<String>,
    /// Limits of every session.
    pub rlimits: Vec<Rlimit>,
    /// The security profile.
    pub security: Security,
    /// 32 hex digits for `/etc/machine-id`.
    pub os_machine_id: String,
}

/// A limit of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// The resource's name, as in `nofile`.
    pub resource: String,
    /// The soft limit, absent: unlimited.
    pub soft: Option<u64>,
    /// The hard limit, absent: unlimited.
    pub hard: Option<u64>,
}

/// The security profiles inside the guest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Security {
    /// Root keeps its capabilities.
    #[default]
    Default,
    /// No new privileges, no `CAP_SYS_ADMIN`, mounts without set-user-id and devices.
    Restricted,
}

/// What the machine is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Workload {
    /// The main command, absent: the machine waits for sessions.
    pub argv: Option<Vec<String>>,
    /// The signal that asks it to stop, by number; absent: TERM.
    pub stop_signal: Option<u8>,
    /// Exit codes that are no failure.
    pub success_codes: Vec<u8>,
}

/// The network of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
pub enum Network {
    /// No network device.
    Off,
    /// A device, with a stack of the runtime's at its far end.
    On(Box<Link>),
}

/// A machine's network device, and what may pass it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// The hardware address of the device.
    pub mac: Mac,
    /// What the machine may reach, and how.
    pub policy: network::Network,
    /// What this instance publishes on the host, port by port.
    pub ports: Vec<Publish>,
    /// Siblings that it may reach.
    pub connect: BTreeMap<SandboxName, Connect>,
    /// The machines of each of those.
    #[serde(default)]
    pub instances: BTreeMap<SandboxName, Vec<Instance>>,
    /// Siblings that may reach it, and at which of its ports.
    #[serde(default)]
    pub callers: BTreeMap<SandboxName, network::PortSet>,
}

/// One machine of a sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// Which, empty where there is but one.
    pub instance: String,
    /// Its guest's host name.
    pub hostname: String,
}

/// A port of the guest that is published on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publish {
    /// What carries it.
    pub protocol: Transport,
    /// The address on the host.
    pub bind: IpAddr,
    /// The port on the host.
    pub host: HostPort,
    /// The port in the guest.
    pub guest: u16,
}

/// Which port of the host is published on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostPort {
    /// This one, or the start fails.
    Fixed(u16),
    /// One that the kernel chooses; the one that it had before, where that is free.
    Auto {
        /// What it had before.
        last: Option<u16>,
    },
}

impl Network {
    /// Returns the link; `None` where there is no device.
    #[must_use]
    pub fn link(&self) -> Option<&Link> {
        match self {
            Self::Off => None,
            Self::On(link) => Some(link),
        }
    }
}

/// When a sandbox counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// What is asked.
    pub kind: ProbeKind,
    /// How long it may take to pass, from the start of the workload.
    pub timeout_ms: u64,
}

/// What a probe asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "probe", rename_all = "kebab-case")]
pub enum ProbeKind {
    /// The guest is up and the workload's exec succeeded.
    Agent,
    /// A command in the guest ends with 0.
    Exec {
        /// The command.
        argv: Vec<String>,
    },
    /// A line of the workload's output matches.
    Log {
        /// The pattern.
        pattern: String,
    },
    /// A port of the guest accepts.
    Tcp {
        /// The port.
        port: u16,
    },
    /// A request to a port of the guest is answered well.
    Http {
        /// The path, with its query.
        path: String,
        /// The port.
        port: u16,
        /// It is asked through TLS, whoever it says it is.
        #[serde(default)]
        tls: bool,
        /// The host header; absent: the guest itself.
        host: Option<String>,
        /// The answers that pass.
        status: StatusSet,
    },
}

/// What tells that a sandbox is still well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is asked; never the agent or a line of the log.
    pub kind: ProbeKind,
    /// From the start of one probe to that of the next.
    pub interval_ms: u64,
    /// How long one may take.
    pub timeout_ms: u64,
    /// Misses in a row until it is degraded.
    pub failures: u32,
    /// Passes in a row until it is well again.
    pub successes: u32,
    /// What it gets while it is degraded.
    #[serde(default)]
    pub on_unhealthy: OnUnhealthy,
}

/// The machine's deadlines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timers {
    /// How long commands may take to end when the machine stops.
    pub stop_grace_ms: u64,
    /// How long the boot may go without progress.
    pub boot_ms: u64,
    /// How long it is idle before it is stopped; absent: for ever.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// How old it becomes before it is stopped; absent: as old as it likes.
    #[serde(default)]
    pub max_ms: Option<u64>,
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Level of the runtime's own log: `error` to `trace`.
    pub level: String,
    /// Whether the guest's kernel speaks at length.
    pub boot_debug: bool,
}

/// What the runtime writes on the start-up pipe, one JSON document a line.
///
/// End-of-file before [`StartUp::Serving`] or [`StartUp::Failed`] means the
/// runtime died; its log and its record say more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "startup", rename_all = "kebab-case")]
pub enum StartUp {
    /// The lease is held; from here on the machine is this process's.
    Leased {
        /// The runtime's process id.
        pid: u32,
    },
    /// The VMM runs and the control socket answers; the boot goes on.
    Serving,
    /// The machine did not come to be; everything was given back.
    Failed {
        /// Why.
        error: crate::failure::Report,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project::network::{PortSet, Preset};

    #[test]
    fn a_network_reads_back_the_same() {
        let [db, web] = ["db", "web"].map(|name| SandboxName::parse(name).unwrap());
        let ports = PortSet::parse("5432").unwrap();
        let link = Link {
            mac: Mac::of_machine("4f2a9c017be3d85a"),
            policy: network::Network { preset: Preset::None, ..network::Network::default() },
            ports: vec![],
            connect: BTreeMap::from([(db.clone(), Connect { ports, alias: db.clone() })]),
            instances: BTreeMap::from([(
                db,
                vec![Instance { instance: String::new(), hostname: "db".into() }],
            )]),
            callers: BTreeMap::from([(web, PortSet::parse("80,443").unwrap())]),
        };
        for network in [Network::Off, Network::On(Box::new(link))] {
            let text = serde_json::to_string(&network).unwrap();
            assert_eq!(serde_json::from_str::<Network>(&text).unwrap(), network, "{text}");
        }
    }
}
