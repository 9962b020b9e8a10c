//! What is true of a machine now, and at the end what was.
//!
//! The runtime writes it by rename at every change of phase; there is no other
//! final record. A reader takes every format up to its own.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::launch::{Accelerator, DriverName, Isolation};
use crate::lifecycle::Phase;
use crate::project::Transport;

/// The format this build writes.
pub const FORMAT: u32 = 1;

/// Name of the record's file in the machine folder.
pub const FILE: &str = "record";

/// Name of the lease's file in the machine folder: locked while the machine lives.
pub const LEASE: &str = "lease";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// See [`FORMAT`].
    pub format: u32,
    /// The machine's id, 16 hex digits.
    pub machine: String,
    /// The launch record's nonce.
    pub nonce: String,
    /// The runtime process.
    pub runtime: Process,
    /// The runtime's version.
    pub version: String,
    /// The VMM, once it was started.
    pub vmm: Option<Process>,
    /// Who runs the machine.
    pub driver: DriverName,
    /// What carries the guest's instructions.
    pub accelerator: Accelerator,
    /// What stands between the guest and the host.
    pub isolation: Isolation,
    /// Where the machine is in its life.
    pub phase: Phase,
    /// Why, from a closed set: `requested`, `exit 3`, `boot`, `machine-died`, …
    pub reason: Option<String>,
    /// More about the reason, from a closed set too: a boot step, `vmm-exited`, …
    pub detail: Option<String>,
    /// The same for people, where the reason alone would not do.
    pub message: Option<String>,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
    /// When the VMM was started.
    pub started_at_ms: Option<u64>,
    /// When the first byte of the agent came: T1 is this minus `started_at_ms`.
    pub first_byte_at_ms: Option<u64>,
    /// When the agent reported `Ready`: T2 is this minus `started_at_ms`.
    pub agent_ready_at_ms: Option<u64>,
    /// When the gate passed.
    pub ready_at_ms: Option<u64>,
    /// When the machine ended.
    pub ended_at_ms: Option<u64>,
    /// Which start of the machine this is, from 1.
    #[serde(default)]
    pub boot: u32,
    /// How often it was restarted by a policy.
    pub restarts: u32,
    /// What its health probe says.
    #[serde(default)]
    pub health: Health,
    /// What both sides of the agent's channel can say.
    pub generation: Option<u32>,
    /// Live values, as they hold.
    pub effective: Effective,
    /// A stop that is under way.
    pub asked: Option<Asked>,
    /// How the workload ended.
    pub exit: Option<Exit>,
    /// Whether the end needed force.
    pub forced: bool,
    /// What is published on the host, as it was bound.
    #[serde(default)]
    pub ports: Vec<Bound>,
    /// Jail layers that the host refused, or that this version does not build yet.
    pub jail_missing: Vec<String>,
    /// The control group around the VMM, where the host has given one to divide.
    #[serde(default)]
    pub control_group: Option<String>,
    /// The last lines of the console, after a failed boot or a panic.
    pub console_tail: Vec<String>,
}

impl Record {
    /// Tells whether nothing runs any more; what is stalled may or may not.
    #[must_use]
    pub const fn rests(&self) -> bool {
        self.phase.is_resting() || self.ended_at_ms.is_some()
    }
}

/// A port of the host that leads to one of the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Bound {
    /// The address on the host.
    pub bind: IpAddr,
    /// The port on the host.
    pub host: u16,
    /// The port in the guest.
    pub guest: u16,
    /// What carries it.
    pub protocol: Transport,
    /// Whether the kernel chose the port on the host.
    pub auto: bool,
}

/// Prints as people read it: `127.0.0.1:8080 → 80/tcp`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = SocketAddr::new(self.bind, self.host);
        write!(f, "{at} → {}/{}", self.guest, self.protocol.as_str())
    }
}

/// What a health probe says of a machine.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// Nobody asks.
    #[default]
    None,
    /// It has not passed often enough yet.
    Starting,
    /// It passes.
    Passing,
    /// It failed often enough to degrade the machine.
    Failing,
}

impl Health {
    /// Returns the word that people and programs read.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Starting => "starting",
            Self::Passing => "passing",
            Self::Failing => "failing",
        }
    }
}

/// A process that cannot be mistaken for a later one of the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since the host's boot.
    pub start_ticks: u64,
    /// The host's boot.
    pub boot_id: String,
}

/// Live values, as they hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effective {
    /// Processors that commands may use.
    pub cpus: u32,
    /// Memory that commands may use.
    pub memory_bytes: u64,
    /// How long commands may take to end when the machine stops.
    pub stop_grace_ms: u64,
    /// How long it is idle before it is stopped; absent: for ever.
    #[serde(default)]
    pub idle_ms: Option<u64>,
    /// How old it becomes before it is stopped; absent: as old as it likes.
    #[serde(default)]
    pub max_ms: Option<u64>,
}

/// A stop that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who asked: a command and a process id.
    pub actor: String,
    /// The reason the machine will have.
    pub reason: String,
    /// The grace that was given.
    pub grace_ms: u64,
    /// When, milliseconds since 1970.
    pub since_ms: u64,
}

/// How a workload ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// The exit code.
    pub code: Option<u8>,
    /// The signal.
    pub signal: Option<u8>,
}

impl Exit {
    /// Returns the code a shell would report.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match (self.code, self.signal) {
            (Some(code), _) => code,
            (None, Some(signal)) => signal.saturating_add(128),
            (None, None) => 1,
        }
    }
}
