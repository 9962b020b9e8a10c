//! What stands for a machine where there is none: the processes below the agent, and their folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::host::{BLOCK_BYTES, Times};

/// The most entries of a folder that are looked at; of a larger one it is not known what it takes.
const ENTRIES_MAX: usize = 100_000;

/// What processes used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) time_ns: u64,
    pub(super) resident_bytes: u64,
}

/// Returns what the processes below `top` used, those that have ended included.
pub(super) fn used(top: u32) -> Option<Used> {
    let mut table = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid else { continue };
        // One that ends while it is looked at is counted by whoever waits for it.
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        table.extend(Times::parse(&stat).map(|times| (pid, times)));
    }
    let (ticks, below) = ticks_below(top, &table)?;
    let resident = below.into_iter().filter_map(resident_bytes).sum();
    Some(Used { time_ns: Times::ns(ticks), resident_bytes: resident })
}

/// Returns the time of all below `top`, and who is there.
fn ticks_below(top: u32, table: &BTreeMap<u32, Times>) -> Option<(u64, Vec<u32>)> {
    // Those that ended are in who waited for them, up to the agent; its own time is not theirs.
    let mut ticks = table.get(&top)?.waited_ticks;
    let (mut found, mut next) = (vec![top], 0);
    while let Some(parent) = found.get(next).copied() {
        for (pid, times) in table.iter().filter(|(_, times)| times.parent == parent) {
            ticks += times.own_ticks + times.waited_ticks;
            found.push(*pid);
        }
        next += 1;
    }
    found.remove(0);
    Some((ticks, found))
}

fn resident_bytes(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Returns what a folder and all below it take on the host's disk; links are not followed.
pub(super) fn occupied_bytes(folder: &Path) -> Option<u64> {
    let (mut blocks, mut count, mut open) = (0_u64, 0_usize, vec![PathBuf::from(folder)]);
    while let Some(folder) = open.pop() {
        // What went away in between takes nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            count += 1;
            if count > ENTRIES_MAX {
                return None;
            }
            let Ok(found) = entry.metadata() else { continue };
            blocks += found.blocks();
            if found.is_dir() {
                open.push(entry.path());
            }
        }
    }
    Some(blocks.saturating_mul(BLOCK_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_below_the_agent_count_through_every_generation_and_itself_does_not() {
        let process = |parent, own_ticks, waited_ticks| Times { parent, own_ticks, waited_ticks };
        let table = BTreeMap::from([
            (1, process(0, 500, 500)),
            (5, process(1, 90, 7)),
            (6, process(5, 10, 1)),
            (9, process(6, 20, 0)),
            (8, process(1, 1000, 0)),
        ]);
        assert_eq!(ticks_below(5, &table), Some((38, vec![6, 9])));
        assert_eq!(ticks_below(7, &table), None);
    }

    #[test]
    fn this_process_has_children_or_none_and_lies_in_memory() {
        assert!(used(std::process::id()).is_some());
        assert!(resident_bytes(std::process::id()).unwrap() > 0);
    }

    #[test]
    fn a_folder_takes_what_its_files_do_and_a_link_nothing_of_its_target() {
        let scratch = crate::folder::tests::Scratch::new("occupied");
        let folder = scratch.open();
        let content = vec![1; 100_000];
        folder.replace("file", &content, crate::folder::Durability::Synced).unwrap();
        let one = occupied_bytes(&scratch.path).unwrap();
        assert!((100_000..200_000).contains(&one), "{one}");
        std::os::unix::fs::symlink(&scratch.path, scratch.path.join("link")).unwrap();
        assert!(occupied_bytes(&scratch.path).unwrap() < one + 10_000);
    }
}
