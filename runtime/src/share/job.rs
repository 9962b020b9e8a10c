//! What a share server is told, once: its shares, and by which number it holds what.

use std::os::fd::RawFd;

use schema::launch::{HostPerms, StatVirt};
use serde::{Deserialize, Serialize};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// The stream to the guest.
    pub stream: RawFd,
    /// Where it says what its jail lacks, and that it is in it.
    pub report: RawFd,
    /// The page in which it notes what was read and written.
    pub tally: RawFd,
    /// What is shared, in the order of the guest's folders `0`, `1` …
    pub shares: Vec<ShareJob>,
    /// What stays free on the host's file systems.
    pub reserve_bytes: u64,
}

/// One share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareJob {
    /// The folder, or the folder of the file.
    pub folder: RawFd,
    /// The file, where a single one is shared.
    pub file: Option<String>,
    /// Whether the guest may only read.
    pub read_only: bool,
    /// Whether the guest's owners and modes are kept beside the files.
    pub stat_virt: StatVirt,
    /// The modes of new files on the host.
    pub host_perms: HostPerms,
    /// The most that it may hold, and the file of the figures.
    pub quota: Option<(u64, RawFd)>,
    /// Paths that the guest may not change, relative to the folder.
    pub protected: Vec<String>,
}
