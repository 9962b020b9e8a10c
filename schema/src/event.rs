//! What happened to a machine, for `msb events`, logs and clients.

use serde::{Deserialize, Serialize};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Rises within a machine, never reused.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum What {
    /// The machine moved on.
    Phase {
        /// From this phase.
        from: crate::lifecycle::Phase,
        /// To this one.
        to: crate::lifecycle::Phase,
        /// Why.
        reason: Option<String>,
        /// How the workload ended, where that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit_code: Option<u8>,
    },
    /// A policy, or health, started the workload or the machine again.
    Restart {
        /// How often it has been, with this time.
        count: u32,
        /// `workload` in the same machine, or `machine`.
        subject: String,
        /// Why.
        reason: String,
    },
    /// A boot step began.
    BootStep {
        /// The step.
        name: String,
    },
    /// The health probe says something else than before.
    Health {
        /// What it said.
        from: crate::record::Health,
        /// What it says.
        to: crate::record::Health,
        /// Its last answer.
        reason: Option<String>,
    },
    /// The kernel killed a session for memory.
    Oom {
        /// The session.
        session: String,
    },
    /// The policy of the network let something not pass; told once a minute for each.
    PolicyDenied {
        /// What decided: `rule 2`, `the preset`.
        by: String,
        /// `egress` or `ingress`.
        direction: String,
        /// `tcp`, `udp`, `icmp`, or `dns` for a name.
        protocol: String,
        /// The address and port, or the name.
        remote: String,
    },
    /// A disk became read-only after an error.
    Mount {
        /// The disk's serial.
        serial: String,
        /// What happened.
        detail: String,
    },
    /// A port of the host leads to one of the guest from now on, or does not any more.
    Port {
        /// The port, as it was bound: `127.0.0.1:8080 → 80/tcp`.
        port: String,
        /// Whether it leads there.
        published: bool,
    },
}

/// Name of the file in a machine's folder that its runtime writes them to, a line each.
pub const FILE: &str = "events";

/// How large that file grows; then its older half goes.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;
