//! Who is alive for a home: every process that names it, works in it or holds a file of it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::run::gone_within;

/// A process, known by number and start time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alive {
    /// Its number.
    pub pid: u32,
    /// When it started, in ticks since boot.
    pub start_ticks: u64,
    /// Its command line, blanks between the words.
    pub command: String,
}

impl Alive {
    /// Returns the process of this number, if it lives: no zombie, and not ending.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may hold anything; what follows the last one is regular.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        if matches!(fields.next()?, "Z" | "X") {
            return None;
        }
        if fields.nth(5)?.parse::<u32>().ok()? & ENDING != 0 {
            return None;
        }
        let start_ticks = fields.nth(12)?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let command = String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned();
        Some(Self { pid, start_ticks, command })
    }

    /// Kills it and waits until it is gone; somebody else's process of the same number is left alone.
    pub fn kill(&self) {
        if let Some(pid) = self.signal(Signal::KILL) {
            gone_within(pid, Duration::from_secs(10));
        }
    }

    /// Sends it a signal, and nobody else of the same number; `None` where it is gone.
    pub fn signal(&self, signal: Signal) -> Option<Pid> {
        let pid = i32::try_from(self.pid).ok().and_then(Pid::from_raw)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        Self::find(self.pid).filter(|now| now.start_ticks == self.start_ticks)?;
        // It may have ended on its own; whoever waits finds out.
        let _ = pidfd_send_signal(&fd, signal);
        Some(pid)
    }
}

/// What the kernel says in the flags of a process that it takes apart (`PF_EXITING`).
const ENDING: u32 = 0x4;

/// Returns a figure of memory that `/proc/PID/status` has by this name; none where the process is gone.
pub fn memory_kib(pid: u32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns the processes that have to do with `folder`, the caller left out.
pub fn of(folder: &Path) -> Vec<Alive> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != std::process::id() && touches(*pid, folder))
        .filter_map(Alive::find)
        .collect()
}

fn touches(pid: u32, folder: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    let needle = folder.as_os_str().as_bytes();
    let names = |file: &str| {
        fs::read(proc.join(file))
            .is_ok_and(|bytes| bytes.windows(needle.len()).any(|part| part == needle))
    };
    let within = |link: &Path| fs::read_link(link).is_ok_and(|path| path.starts_with(folder));
    names("cmdline")
        || names("environ")
        || within(&proc.join("cwd"))
        || fs::read_dir(proc.join("fd")).is_ok_and(|fds| fds.flatten().any(|fd| within(&fd.path())))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::run::eventually;

    #[test]
    fn a_process_that_works_in_a_folder_is_found_and_ended() {
        let folder = std::env::temp_dir().join(format!("msb-p{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir(&folder).unwrap();
        let mut child = Command::new("sleep").arg("60").current_dir(&folder).spawn().unwrap();
        // The command line of a new program is empty for a moment.
        let found = eventually("the child is found", Duration::from_secs(10), || {
            let found = of(&folder);
            (found.len() == 1 && found[0].command == "sleep 60").then_some(found)
        });
        assert_eq!(found[0].pid, child.id());

        let other = Alive { start_ticks: found[0].start_ticks + 1, ..found[0].clone() };
        other.kill();
        assert!(
            Alive::find(child.id()).is_some(),
            "a later process of the same number is left alone"
        );
        found[0].kill();
        child.wait().unwrap();
        assert!(of(&folder).is_empty());
        fs::remove_dir(&folder).unwrap();
    }
}
