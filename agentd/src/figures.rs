//! What the guest uses, as its kernel tells it.

use std::fs::read_to_string;

use schema::wire::message::StatsReply;

/// How the kernel counts what disks moved, whatever their blocks are.
const SECTOR_BYTES: u64 = 512;

/// How disks of a machine are called.
const DISK: &str = "vd";

/// Returns what the guest uses; what its kernel does not tell is absent.
pub(crate) fn look() -> StatsReply {
    let memory = read_to_string("/proc/meminfo").unwrap_or_default();
    let disks = read_to_string("/proc/diskstats").ok();
    let reply = StatsReply {
        memory_total_bytes: memory_field(&memory, "MemTotal:"),
        memory_available_bytes: memory_field(&memory, "MemAvailable:"),
        ..StatsReply::default()
    };
    match disks.as_deref().map(moved) {
        None => reply,
        Some([read_ops, read_sectors, write_ops, written_sectors]) => StatsReply {
            disk_read_bytes: Some(read_sectors.saturating_mul(SECTOR_BYTES)),
            disk_write_bytes: Some(written_sectors.saturating_mul(SECTOR_BYTES)),
            disk_read_ops: Some(read_ops),
            disk_write_ops: Some(write_ops),
            ..reply
        },
    }
}

/// Returns a figure of `/proc/meminfo`, which is in KiB, in bytes.
fn memory_field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns reads, sectors read, writes and sectors written of all disks together.
fn moved(text: &str) -> [u64; 4] {
    let mut sums = [0_u64; 4];
    for line in text.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        // Behind two numbers and the name: reads, merged ones, sectors, ms; the same of writes.
        let [_, _, name, reads, _, read, _, writes, _, written, ..] = fields[..] else { continue };
        if !is_disk(name) {
            continue;
        }
        for (sum, field) in sums.iter_mut().zip([reads, read, writes, written]) {
            *sum = sum.saturating_add(field.parse().unwrap_or(0));
        }
    }
    sums
}

/// Tells whether this is a whole disk of the machine: its partitions are counted in it.
fn is_disk(name: &str) -> bool {
    let letters = name.strip_prefix(DISK).unwrap_or_default();
    !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_in_bytes() {
        let text = "MemTotal:         997324 kB\nMemFree:    9 kB\nMemAvailable:     930112 kB\n";
        assert_eq!(memory_field(text, "MemTotal:"), Some(997_324 * 1024));
        assert_eq!(memory_field(text, "MemAvailable:"), Some(930_112 * 1024));
        assert_eq!(memory_field("MemTotal: many kB\n", "MemTotal:"), None);
        assert_eq!(memory_field(text, "Swap:"), None);
    }

    #[test]
    fn disks_of_the_machine_are_counted_once_and_nothing_else_is() {
        let text = "\
 254       0 vda 10 1 80 3 2 0 16 1 0 4 4 0 0 0 0 0 0
 254      16 vdb 5 0 40 3 7 0 2048 1 0 4 4 0 0 0 0 0 0
 254      17 vdb1 5 0 40 3 7 0 2048 1 0 4 4 0 0 0 0 0 0
   7       0 loop0 99 0 99 9 99 0 99 9 0 9 9 0 0 0 0 0 0
 253       0 zram0 99 0 99
";
        assert_eq!(moved(text), [15, 120, 9, 2064]);
        assert_eq!(moved(""), [0; 4]);
    }
}
