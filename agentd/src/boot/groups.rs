//! Step `groups`: the control group of all commands, and what it may use.

use std::fs;
use std::io;
use std::path::Path;

use super::{Attempt as _, Booting, StepError};
use crate::groups::{ROOT, write};

/// What a group of a session can be asked and told about.
const CONTROLLERS: &str = "+cpu +cpuset +memory +pids +io";
const CONTROLLERS_OF_SESSIONS: &str = "+cpu +memory +pids";

/// One processor's share of a period, in the kernel's microseconds.
const PERIOD_US: u64 = 100_000;

/// What commands may use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// How many processors.
    pub(crate) cpus: Option<u32>,
    /// How much memory.
    pub(crate) memory_bytes: Option<u64>,
}

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    let root = Path::new(ROOT);
    write(Path::new("/sys/fs/cgroup/cgroup.subtree_control"), CONTROLLERS)
        .attempt(|| "turning on controllers".into())?;
    match fs::create_dir(root) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        answer => answer.attempt(|| format!("making {ROOT}"))?,
    }
    write(&root.join("cgroup.subtree_control"), CONTROLLERS_OF_SESSIONS)
        .attempt(|| format!("turning on controllers of {ROOT}"))?;
    let cpus = (booting.record.cpus > 0).then_some(booting.record.cpus);
    let memory_bytes = (booting.record.memory_bytes > 0).then_some(booting.record.memory_bytes);
    match set_share(Share { cpus, memory_bytes }).first() {
        None => Ok(()),
        Some((field, why)) => Err(StepError::Record(format!("{field}: {why}"))),
    }
}

/// Gives commands their share from now on; returns what was refused, with the figure that matters.
pub(crate) fn set_share(share: Share) -> Vec<(&'static str, String)> {
    let mut refused = Vec::new();
    if let Some(Err(why)) = share.cpus.map(set_cpus) {
        refused.push(("cpus", why));
    }
    if let Some(Err(why)) = share.memory_bytes.map(set_memory) {
        refused.push(("memory", why));
    }
    refused
}

fn set_cpus(cpus: u32) -> Result<(), String> {
    let online = online_cpus();
    if cpus == 0 || cpus > online {
        return Err(format!("the machine has {online} processors, {cpus} were asked for"));
    }
    let root = Path::new(ROOT);
    let period = PERIOD_US;
    let quota = if cpus == online { "max".into() } else { format!("{}", u64::from(cpus) * period) };
    let (set, quota) = (format!("0-{}", cpus - 1), format!("{quota} {period}"));
    write(&root.join("cpuset.cpus"), &set)
        .and_then(|()| write(&root.join("cpu.max"), &quota))
        .map_err(|error| error.to_string())
}

fn set_memory(bytes: u64) -> Result<(), String> {
    let root = Path::new(ROOT);
    let used = fs::read_to_string(root.join("memory.current")).unwrap_or_default();
    let used: u64 = used.trim().parse().unwrap_or(0);
    if bytes < used {
        return Err(format!("{used} bytes are in use, {bytes} were asked for"));
    }
    write(&root.join("memory.max"), &bytes.to_string()).map_err(|error| error.to_string())
}

fn online_cpus() -> u32 {
    let text = fs::read_to_string("/sys/devices/system/cpu/online").unwrap_or_default();
    count_cpus(&text).max(1)
}

/// Counts the processors of a list like `0-3,5`.
fn count_cpus(list: &str) -> u32 {
    let count = |range: &str| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        Some(last.checked_sub(first)? + 1)
    };
    list.trim().split(',').filter_map(count).sum()
}

/// Returns the memory of this kernel.
pub(super) fn memory_total() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_through_ranges() {
        assert_eq!(count_cpus("0\n"), 1);
        assert_eq!(count_cpus("0-3,5\n"), 5);
        assert_eq!(count_cpus(""), 0);
    }
}
