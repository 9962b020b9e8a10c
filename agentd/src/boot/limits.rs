//! Step `limits`: what the whole machine may have, and each command in it.

use std::path::Path;

use super::{Attempt as _, Booting, StepError};
use crate::groups;
use crate::place::Place;
use crate::sys::limits::{Limit, open_files, set_open_files};

/// How many descriptors a process may have: unless it asks, and at most.
const OPEN_FILES: (u64, u64) = (1024, 1_048_576);

/// Settings of the kernel.
const SETTINGS: [(&str, &str); 5] = [
    ("fs/file-max", "9223372036854775807"),
    ("kernel/pid_max", "4194304"),
    ("vm/overcommit_memory", "1"),
    ("net/ipv4/ip_unprivileged_port_start", "0"),
    ("kernel/printk", "4"),
];

pub(super) fn run(_: &mut Booting) -> Result<(), StepError> {
    for (name, value) in SETTINGS {
        groups::write(&Path::new("/proc/sys").join(name), value)
            .attempt(|| format!("setting {name} to {value}"))?;
    }
    Ok(())
}

/// Raises what this process may have, and returns the limits of its commands.
pub(super) fn of_sessions(place: &Place) -> Result<Vec<Limit>, StepError> {
    let asked = || "limiting open files".to_owned();
    let (soft, hard) = if place.is_machine() { OPEN_FILES } else { open_files().attempt(asked)? };
    set_open_files(hard, hard).attempt(asked)?;
    Ok(Limit::parse("nofile", Some(soft), Some(hard)).into_iter().collect())
}
