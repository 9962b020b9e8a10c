//! What a machine used, at one moment: the answer to `sample`.
//!
//! Figures are the guest's, never totals of a host process. What only grows counts from the start
//! of this boot, survives nothing, and never becomes smaller within a boot.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

impl Sample {
    /// Tells whether another sample of the same machine is this very one.
    ///
    /// A host's clock may be set back: what was taken later can show an earlier time.
    #[must_use]
    pub const fn is_the_one(&self, other: &Self) -> bool {
        self.boot == other.boot && self.sampled_at_ms == other.sampled_at_ms
    }
}

/// The code of a refusal: the machine is not to be measured.
pub const OFF: &str = "msb::metrics::off";

/// See the module. A figure that nobody could tell is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it was taken, milliseconds since 1970.
    pub sampled_at_ms: u64,
    /// When this boot began, milliseconds since 1970: that of the VMM's start.
    pub started_at_ms: u64,
    /// Which start of the machine this is, from 1.
    pub boot: u32,
    /// How long this boot has lasted.
    pub uptime_ms: u64,
    /// How often a policy restarted workload or machine.
    pub restarts: u32,
    /// Time that the virtual processors ran.
    pub vcpu_time_ns: Option<u64>,
    /// Growth of that since the sample before, in percent of one processor.
    pub cpu_percent: Option<f64>,
    /// Memory that the guest uses.
    pub memory_bytes: Option<u64>,
    /// Memory that the guest could give to programs.
    pub memory_available_bytes: Option<u64>,
    /// The live limit.
    pub memory_limit_bytes: Option<u64>,
    /// What of the guest's memory lies in that of the host.
    pub memory_host_resident_bytes: Option<u64>,
    /// Read from disks and shared folders.
    pub disk_read_bytes: Option<u64>,
    /// Written to disks and shared folders.
    pub disk_write_bytes: Option<u64>,
    /// Reads of disks and shared folders.
    pub disk_read_ops: Option<u64>,
    /// Writes of disks and shared folders.
    pub disk_write_ops: Option<u64>,
    /// Bytes of IP packets that the guest was given.
    pub net_rx_bytes: Option<u64>,
    /// Bytes of IP packets that were taken from the guest.
    pub net_tx_bytes: Option<u64>,
    /// Packets that the guest was given.
    pub net_rx_packets: Option<u64>,
    /// Packets that were taken from the guest.
    pub net_tx_packets: Option<u64>,
    /// Flows and names that the policy let not pass.
    pub net_denials: Option<u64>,
    /// What the private writable disk takes on the host.
    pub upper_used_bytes: Option<u64>,
    /// Who told each figure, by the field's name.
    pub source: BTreeMap<String, Source>,
    /// Figures of the agent that became smaller and were held, by the field's name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clamped: Vec<String>,
}

/// Whether a machine is measured where somebody asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measuring {
    /// Whether it is.
    pub enabled: bool,
    /// How old a sample may get before another is taken.
    pub interval_ms: u64,
}

impl Default for Measuring {
    fn default() -> Self {
        Self { enabled: true, interval_ms: 1000 }
    }
}

/// Who told a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The VMM, or the host's kernel about it.
    Vmm,
    /// The guest's agent; a guest may lie about itself.
    Agent,
    /// The runtime, which carried it.
    Runtime,
}
