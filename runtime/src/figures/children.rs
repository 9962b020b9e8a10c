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

/// The processes below one.
///
/// All of the host are looked at once. From then on those that were found are, and those that the
/// host has made since: numbers are given in order, and whoever comes to be below a process is new.
/// So a sample costs what a machine has, and not what a host with a thousand of them has. Where the
/// numbers may have been given out once around since, all are looked at again.
#[derive(Debug)]
pub(super) struct Children {
    top: u32,
    found: Option<Found>,
}

/// What was found at a moment.
#[derive(Debug)]
struct Found {
    given: Given,
    below: Vec<u32>,
}

impl Children {
    /// Looks at nobody yet.
    pub(super) const fn below(top: u32) -> Self {
        Self { top, found: None }
    }

    /// Returns what they used, those that have ended included.
    pub(super) fn used(&mut self) -> Option<Used> {
        // Whoever is made while they are looked at is new the next time.
        let given = Given::read();
        let candidates = match (self.found.take(), given) {
            (Some(found), Some(given)) => found.candidates(given, everybody)?,
            _ => everybody()?,
        };
        let table: BTreeMap<u32, Times> = candidates
            .into_iter()
            .chain([self.top])
            // One that ends while it is looked at is counted by whoever waits for it.
            .filter_map(|pid| Some((pid, times(pid)?)))
            .collect();
        let (ticks, below) = ticks_below(self.top, &table)?;
        let resident_bytes = below.iter().copied().filter_map(resident_bytes).sum();
        self.found = given.map(|given| Found { given, below });
        Some(Used { time_ns: Times::ns(ticks), resident_bytes })
    }
}

impl Found {
    /// Returns who may be there now: `everybody` where the numbers may have gone once around.
    ///
    /// Threads take numbers too, and are not listed: not every number is tried.
    fn candidates(
        self,
        now: Given,
        everybody: impl FnOnce() -> Option<Vec<u32>>,
    ) -> Option<Vec<u32>> {
        let before = self.given;
        if now == before {
            return Some(self.below);
        }
        let mut candidates = everybody()?;
        // Numbers in use are passed over, so a turn around takes fewer processes than there are numbers.
        if now.count.checked_sub(before.count).is_some_and(|made| made < now.numbers / 2) {
            let is_new = |pid: u32| match now.newest >= before.newest {
                // Those beyond the last number are from before it began anew.
                true => pid > before.newest && pid <= now.newest,
                // They began anew at the lowest.
                false => pid > before.newest || pid <= now.newest,
            };
            candidates.retain(|pid| is_new(*pid) || self.below.contains(pid));
        }
        Some(candidates)
    }
}

/// What the host has given out of its numbers of processes and threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Given {
    /// The last one.
    newest: u32,
    /// How many since it booted.
    count: u64,
    /// How many it has.
    numbers: u64,
}

impl Given {
    fn read() -> Option<Self> {
        let load = fs::read_to_string("/proc/loadavg").ok()?;
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let count = stat.lines().find_map(|line| line.strip_prefix("processes "))?;
        let numbers = fs::read_to_string("/proc/sys/kernel/pid_max").ok()?;
        Some(Self {
            newest: load.split_ascii_whitespace().nth(4)?.parse().ok()?,
            count: count.trim().parse().ok()?,
            numbers: numbers.trim().parse().ok()?,
        })
    }
}

/// Returns every process of the host.
fn everybody() -> Option<Vec<u32>> {
    let entries = fs::read_dir("/proc").ok()?.flatten();
    Some(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

fn times(pid: u32) -> Option<Times> {
    Times::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
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
    fn only_new_numbers_are_looked_at_unless_they_began_anew() {
        let given = |newest, count| Given { newest, count, numbers: 1000 };
        let found = || Found { given: given(50, 7), below: vec![7, 9] };
        let listed = || Some(vec![3, 7, 9, 50, 51, 60]);
        assert_eq!(found().candidates(given(50, 7), || panic!("nobody is new")), Some(vec![7, 9]));
        assert_eq!(found().candidates(given(52, 9), listed), Some(vec![7, 9, 51]));
        assert_eq!(found().candidates(given(60, 17), listed), Some(vec![7, 9, 51, 60]));
        assert_eq!(found().candidates(given(8, 100), listed), Some(vec![3, 7, 9, 51, 60]));
        assert_eq!(found().candidates(given(49, 900), listed), listed(), "once around");
        assert_eq!(found().candidates(given(52, 1009), listed), listed(), "once around");
    }

    #[test]
    fn who_came_since_is_found_and_who_went_is_not() {
        let sleep = || {
            let mut command = std::process::Command::new("/bin/sleep");
            command.arg("100").spawn().unwrap()
        };
        let mut children = Children::below(std::process::id());
        let mut first = sleep();
        assert!(children.used().is_some());
        let below = |children: &Children| children.found.as_ref().unwrap().below.clone();
        assert!(below(&children).contains(&first.id()));
        let mut second = sleep();
        assert!(children.used().unwrap().resident_bytes > 0);
        assert!(below(&children).contains(&second.id()) && below(&children).contains(&first.id()));
        first.kill().unwrap();
        first.wait().unwrap();
        assert!(children.used().is_some());
        assert!(!below(&children).contains(&first.id()), "{:?}", below(&children));
        second.kill().unwrap();
        second.wait().unwrap();
        assert_eq!(Children::below(u32::MAX).used(), None);
    }

    #[test]
    fn this_process_lies_in_memory() {
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
