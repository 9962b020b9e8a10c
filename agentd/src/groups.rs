//! The processes of a session as one thing: to signal, to count, to end.
//!
//! In a machine each session has a control group below [`ROOT`]. Without one it
//! is the process group that its command leads, and what left that group is
//! found as a descendant when everything ends.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use crate::sys;
use crate::sys::signals;

/// The control group that all commands live below.
pub(crate) const ROOT: &str = "/sys/fs/cgroup/msb";

/// How often an id is tried whose former group still has processes.
const NAMES_TRIED_MAX: u32 = 1000;

/// The processes of one session.
#[derive(Debug)]
pub(crate) enum Group {
    /// A control group.
    Control {
        /// Its folder.
        path: PathBuf,
        /// The same, open.
        folder: OwnedFd,
    },
    /// A process group, known once its leader is born.
    Processes {
        /// The leader, zero until then.
        leader: u32,
    },
}

impl Group {
    /// Makes the control group of a session.
    pub(crate) fn create(session: u32) -> io::Result<Self> {
        let path = make_folder(session)?;
        let folder = OwnedFd::from(File::open(&path)?);
        Ok(Self::Control { path, folder })
    }

    /// Returns the folder that a command is born into.
    pub(crate) fn birthplace(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Control { folder, .. } => Some(folder.as_fd()),
            Self::Processes { .. } => None,
        }
    }

    /// Takes note of the first process.
    pub(crate) fn led_by(&mut self, pid: u32) {
        if let Self::Processes { leader } = self {
            *leader = pid;
        }
    }

    /// Sends a signal to every process.
    pub(crate) fn signal(&self, number: u8) -> io::Result<()> {
        match self {
            Self::Control { path, .. } if number == signals::KILL => kill(path),
            Self::Control { path, .. } => {
                for pid in folders(path).iter().flat_map(|folder| members(folder)) {
                    // One that ended meanwhile needs no signal.
                    drop(signals::send(pid, number));
                }
                Ok(())
            }
            Self::Processes { leader } => signals::send_to_group(*leader, number),
        }
    }

    /// Returns how many processes the kernel has killed here for memory.
    pub(crate) fn out_of_memory_kills(&self) -> u64 {
        match self {
            Self::Control { path, .. } => field(&path.join("memory.events"), "oom_kill"),
            Self::Processes { .. } => 0,
        }
    }

    /// Gives the group back; tells whether that went well, as it does once nobody is left in it.
    pub(crate) fn remove(&self) -> bool {
        match self {
            // Groups that a command made below its own go first.
            Self::Control { path, .. } => {
                folders(path).iter().rev().all(|folder| fs::remove_dir(folder).is_ok())
            }
            Self::Processes { leader } => signals::send_to_group(*leader, 0).is_err(),
        }
    }
}

/// Tells whether any process is left below [`ROOT`].
pub(crate) fn is_anybody_left() -> bool {
    field(&Path::new(ROOT).join("cgroup.events"), "populated") != 0
}

/// Returns how many processes are left below [`ROOT`].
pub(crate) fn count_all() -> u32 {
    let text = fs::read_to_string(Path::new(ROOT).join("pids.current")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

/// Ends every process below [`ROOT`].
pub(crate) fn kill_all() -> io::Result<()> {
    kill(Path::new(ROOT))
}

/// Returns the processes below this one, where there is no machine, from the table of processes.
pub(crate) fn descendants() -> Vec<u32> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        if let Some(parent) = parent_of(&stat) {
            parents.push((pid, parent));
        }
    }
    below(std::process::id(), &parents)
}

/// Returns those below `top`, nearest first.
fn below(top: u32, parents: &[(u32, u32)]) -> Vec<u32> {
    let mut found = vec![top];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        let children = parents.iter().filter(|(_, its_parent)| *its_parent == parent);
        found.extend(children.map(|(pid, _)| *pid));
        next += 1;
    }
    found.remove(0);
    found
}

/// Returns the parent in a line of `/proc/PID/stat`, unless the process has ended.
fn parent_of(stat: &str) -> Option<u32> {
    // The program's name stands in parentheses and may hold any character.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(parent)
}

fn make_folder(session: u32) -> io::Result<PathBuf> {
    let mut path = Path::new(ROOT).join(session.to_string());
    for again in 1..NAMES_TRIED_MAX {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                path = Path::new(ROOT).join(format!("{session}-{again}"));
            }
            answer => return answer.map(|()| path),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

fn kill(path: &Path) -> io::Result<()> {
    write(&path.join("cgroup.kill"), "1")
}

/// Returns a group's folder and all below it, parents first.
fn folders(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(folder) = found.get(next) {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let below: Vec<PathBuf> = below.map(|entry| entry.path()).collect();
        found.extend(below);
        next += 1;
    }
    found
}

fn members(path: &Path) -> Vec<u32> {
    let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Returns a number from a file of `name number` lines, zero if it is not there.
fn field(path: &Path, name: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let mut pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.find(|(key, _)| *key == name).and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

/// Writes a value into a file of the kernel.
pub(crate) fn write(path: &Path, value: &str) -> io::Result<()> {
    File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// Ends every process below this one, where there is no machine; returns how many there were.
pub(crate) fn kill_descendants() -> u32 {
    let mut killed = 0;
    // A process may fork while the table is read; those that are new are found the next time.
    for _ in 0..NAMES_TRIED_MAX {
        let found = descendants();
        if found.is_empty() {
            break;
        }
        killed = killed.max(u32::try_from(found.len()).unwrap_or(u32::MAX));
        for pid in found {
            drop(signals::send(pid, signals::KILL));
        }
        while sys::children::reap().is_some() {}
        sys::poll::pause(1);
    }
    killed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_behind_any_name() {
        assert_eq!(parent_of("17 (a) b (c)) S 5 17 17 0"), Some(5));
        assert_eq!(parent_of("17 (sh) Z 5 17 17 0"), None);
        assert_eq!(parent_of("17"), None);
    }

    #[test]
    fn descendants_are_found_through_every_generation() {
        let parents = [(2, 1), (3, 2), (4, 3), (5, 9), (6, 2)];
        assert_eq!(below(2, &parents), [3, 6, 4]);
        assert!(below(5, &parents).is_empty());
    }
}
