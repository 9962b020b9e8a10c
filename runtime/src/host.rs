//! What the host says of processes: numbers that cannot be mistaken later.

use std::fs::read_to_string;
use std::io;

use schema::record::Process;

/// Returns a process with its start, so that a later one of the same number is told apart.
///
/// # Errors
/// It is gone, or the host does not show `/proc`.
pub(crate) fn process(pid: u32) -> io::Result<Process> {
    let start_ticks = stat_field(pid, FIELD_START)?;
    let boot_id = read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    Ok(Process { pid, start_ticks, boot_id })
}

/// Returns the processor time of a process, in ticks.
pub(crate) fn cpu_ticks(pid: u32) -> io::Result<u64> {
    Ok(stat_field(pid, FIELD_USER)? + stat_field(pid, FIELD_SYSTEM)?)
}

/// Fields of `/proc/PID/stat`, counted from the one after the name.
const FIELD_USER: usize = 11;
const FIELD_SYSTEM: usize = 12;
const FIELD_START: usize = 19;

fn stat_field(pid: u32, field: usize) -> io::Result<u64> {
    let stat = read_to_string(format!("/proc/{pid}/stat"))?;
    parse_field(&stat, field).ok_or_else(|| io::Error::other("/proc shows no such field"))
}

/// A name may hold spaces and brackets; the last bracket is the true one.
fn parse_field(stat: &str, field: usize) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(field)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) (b c) S 1 7 7 0 -1 4 1 0 0 0 5 6 0 0 20 0 1 0 4242 1 1";
        assert_eq!(parse_field(stat, FIELD_USER), Some(5));
        assert_eq!(parse_field(stat, FIELD_START), Some(4242));
    }

    #[test]
    fn this_process_has_a_start() {
        let me = process(std::process::id()).unwrap();
        assert!(me.start_ticks > 0 && !me.boot_id.is_empty());
    }
}
