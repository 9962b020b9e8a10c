//! The fourth layer: limits of what a process takes of the host, files, their size, memory that stays.

use std::io;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The most that a process may have; what is absent stays as it was.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Open files.
    pub files: Option<u64>,
    /// The size of a file that it writes.
    pub file_bytes: Option<u64>,
    /// Addresses.
    pub address_bytes: Option<u64>,
}

/// Takes away what is beyond the limits, and what no process in a jail has: cores, locked memory and queues.
pub(super) fn keep_to(limits: Limits) -> io::Result<()> {
    let limits = [
        (Resource::Core, Some(0)),
        (Resource::Memlock, Some(0)),
        (Resource::Msgqueue, Some(0)),
        (Resource::Nofile, limits.files),
        (Resource::Fsize, limits.file_bytes),
        (Resource::As, limits.address_bytes),
    ];
    for (of, most) in limits {
        if let Some(most) = most {
            let most = getrlimit(of).maximum.map_or(most, |have| have.min(most));
            setrlimit(of, Rlimit { current: Some(most), maximum: Some(most) })?;
        }
    }
    Ok(())
}
