//! What stands for a machine where there is none: the processes below the agent, and their folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::clock::{Clock as _, HostClock};

use super::host::{BLOCK_BYTES, Times};

/// The most entries of a folder that are looked at; of a larger one it is not known what it takes.
const ENTRIES_MAX: usize = 100_000;

/// How long it is known who was there: no host makes as many processes as it has numbers meanwhile.
const FOUND_MAX: Duration = Duration::from_secs(20);

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
/// So a sample costs what a machine has, and not what a host with a thousand of them has. What was
/// found long ago says nothing: the numbers may have been given out once around since.
#[derive(Debug)]
pub(super) struct Children {
    top: u32,
    found: Option<Found>,
}

/// What was found at a moment.
#[derive(Debug)]
struct Found {
    at: Instant,
    /// The newest process of the host then.
    newest: u32,
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
        let (now, newest) = (HostClock.now(), newest());
        let is_recent = |found: &Found| now.saturating_duration_since(found.at) <= FOUND_MAX;
        let candidates = match (self.found.take().filter(is_recent), newest) {
            (Some(found), Some(newest)) => found.candidates(newest, everybody)?,
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
        self.found = newest.map(|newest| Found { at: now, newest, below });
        Some(Used { time_ns: Times::ns(ticks), resident_bytes })
    }
}

impl Found {
    /// Returns who may be there now: `everybody` where the numbers have begun anew.
    ///
    /// Threads take numbers too, and are not listed: not every number is tried.
    fn candidates(
        self,
        newest: u32,
        everybody: impl FnOnce() -> Option<Vec<u32>>,
    ) -> Option<Vec<u32>> {
        if newest == self.newest {
            return Some(self.below);
        }
        let mut candidates = everybody()?;
        if newest > self.newest {
            candidates.retain(|pid| *pid > self.newest || self.below.contains(pid));
        }
        Some(candidates)
    }
}

/// Returns the number of the process or thread that the host has made last.
fn newest() -> Option<u32> {
    let line = fs::read_to_string("/proc/loadavg").ok()?;
    line.split_ascii_whitespace().nth(4)?.parse().ok()
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
        let at = HostClock.now();
        let found = || Found { at, newest: 50, below: vec![7, 9] };
        let listed = || Some(vec![3, 7, 9, 50, 51, 60]);
        assert_eq!(found().candidates(50, || panic!("nobody is new")), Some(vec![7, 9]));
        assert_eq!(found().candidates(52, listed), Some(vec![7, 9, 51, 60]));
        assert_eq!(found().candidates(49, listed), listed());
    }

    #[test]
    fn the_threads_of_a_process_are_not_counted_as_processes() {
        let mut children = Children::below(std::process::id());
        assert!(children.used().is_some());
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || wait.recv().ok());
        assert!(children.used().is_some());
        // The test's own process is `top`; only other processes are below it.
        let below = children.found.unwrap().below;
        let is_process = |pid: &u32| everybody().unwrap().contains(pid) || times(*pid).is_none();
        assert!(below.iter().all(is_process), "{below:?}");
        drop(go);
        thread.join().unwrap();
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
