//! What the host's kernel says of a VMM: its processors' time, and where the guest's memory lies.

use std::fs::{File, read_to_string};
use std::io::{BufRead, BufReader, Read as _, Seek as _};
use std::os::fd::OwnedFd;

use rustix::fs::fstat;

/// The most that is read of a list of mappings; a VMM has a few hundred.
const SMAPS_BYTES_MAX: u64 = 16 << 20;

/// How the kernel counts what a file takes.
pub(super) const BLOCK_BYTES: u64 = 512;

/// What the host's kernel counts processor time of programs in, on everything we run on.
const TICK_NS: u64 = 10_000_000;

/// Returns the time that threads of a process ran; `None` where there are none, or one is gone.
pub(super) fn threads_time_ns(pid: u32, threads: &[u32]) -> Option<u64> {
    if threads.is_empty() {
        return None;
    }
    threads.iter().try_fold(0_u64, |sum, thread| Some(sum + thread_time_ns(pid, *thread)?))
}

fn thread_time_ns(pid: u32, thread: u32) -> Option<u64> {
    let folder = format!("/proc/{pid}/task/{thread}");
    let exact = read_to_string(format!("{folder}/schedstat")).ok();
    // A host whose kernel does not keep these has its ticks.
    exact.as_deref().and_then(first_number).or_else(|| {
        let stat = read_to_string(format!("{folder}/stat")).ok()?;
        Some(Times::parse(&stat)?.own_ticks * TICK_NS)
    })
}

fn first_number(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// What a line of `/proc/PID/stat` says of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) parent: u32,
    pub(super) own_ticks: u64,
    /// Of children that have ended and were waited for.
    pub(super) waited_ticks: u64,
}

impl Times {
    /// A name may hold spaces and brackets; the last bracket is the true one.
    pub(super) fn parse(stat: &str) -> Option<Self> {
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own_ticks: number(11)? + number(12)?,
            waited_ticks: number(13)? + number(14)?,
        })
    }

    /// Returns ticks as nanoseconds.
    pub(super) const fn ns(ticks: u64) -> u64 {
        ticks.saturating_mul(TICK_NS)
    }
}

/// Returns how much of the guest's memory lies in that of the host, by the VMM's mappings.
pub(super) fn resident_bytes(mut maps: &File, memory_bytes: u64) -> Option<u64> {
    maps.rewind().ok()?;
    resident_in(BufReader::new(maps.take(SMAPS_BYTES_MAX)), memory_bytes)
}

/// Finds the guest's memory in a list of mappings: the smallest one that can hold it, readable and
/// writable and no program. A kernel joins neighbours, so it may be larger.
fn resident_in(smaps: impl BufRead, memory_bytes: u64) -> Option<u64> {
    let mut found: Option<(u64, u64)> = None;
    let (mut is_data, mut size) = (false, 0);
    for line in smaps.lines() {
        let line = line.ok()?;
        let mut words = line.split_ascii_whitespace();
        let (first, second) = (words.next()?, words.next().unwrap_or_default());
        match first {
            "Size:" => size = second.parse::<u64>().ok()?.saturating_mul(1024),
            "Rss:" if is_data && size >= memory_bytes => {
                let resident = second.parse::<u64>().ok()?.saturating_mul(1024);
                if found.is_none_or(|(smallest, _)| size < smallest) {
                    found = Some((size, resident));
                }
            }
            other if !other.ends_with(':') => is_data = second.starts_with("rw-"),
            _ => {}
        }
    }
    found.map(|(_, resident)| resident.min(memory_bytes))
}

/// Returns what an open file takes on its disk.
pub(super) fn occupied_bytes(file: &OwnedFd) -> Option<u64> {
    let blocks = u64::try_from(fstat(file).ok()?.st_blocks).ok()?;
    Some(blocks.saturating_mul(BLOCK_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMAPS: &str = "\
55d0-55d1 r-xp 00000000 fe:00 1 /usr/bin/qemu
Size:             900000 kB
Rss:              900000 kB
VmFlags: rd ex mr mw me
7f00-7f01 rwxp 00000000 00:00 0
Size:             262144 kB
Rss:                1000 kB
7f10-7f20 rw-p 00000000 00:00 0
Size:             262148 kB
KernelPageSize:        4 kB
Rss:               77000 kB
Pss:               77000 kB
VmFlags: rd wr mr mw me
7f30-7f40 rw-p 00000000 00:00 0
Size:            1048576 kB
Rss:                   4 kB
7f50-7f60 rw-p 00000000 00:00 0 [heap]
Size:                900 kB
Rss:                 800 kB
";

    #[test]
    fn the_guests_memory_is_the_smallest_mapping_that_can_hold_it() {
        let resident = |mib: u64| resident_in(SMAPS.as_bytes(), mib << 20);
        assert_eq!(resident(256), Some(77_000 << 10));
        assert_eq!(resident(1024), Some(4 << 10));
        assert_eq!(resident(4096), None);
        assert_eq!(resident_in(&b"what is this"[..], 1), None);
    }

    #[test]
    fn a_line_of_a_process_is_read_behind_any_name() {
        let stat = "7 (a) (b c) S 3 7 7 0 -1 4 1 0 0 0 5 6 70 80 20 0 1 0 4242 1 9 1";
        let times = Times { parent: 3, own_ticks: 11, waited_ticks: 150 };
        assert_eq!(Times::parse(stat), Some(times));
        assert_eq!((Times::parse("7"), Times::ns(3)), (None, 30_000_000));
    }

    #[test]
    fn threads_of_this_process_ran_and_one_that_is_gone_has_no_time() {
        let me = std::process::id();
        let mut sum = 0_u64;
        while threads_time_ns(me, &[me]) == Some(0) {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        assert!(threads_time_ns(me, &[me]).is_some());
        assert_eq!(threads_time_ns(me, &[me, u32::MAX]), None);
        assert_eq!(threads_time_ns(me, &[]), None);
    }
}
