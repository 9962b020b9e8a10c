//! Processes that cannot be mistaken for later ones of the same number.

use std::fs;
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::time::Duration;

use schema::record::Process;
use thiserror::Error;

/// What tells whether something lives could not be read; it is then neither alive nor dead.
#[derive(Debug, Error)]
#[error("cannot look at {}", path.display())]
pub struct LookError {
    /// The file.
    pub path: PathBuf,
    /// What the host answered.
    #[source]
    pub source: io::Error,
}

impl LookError {
    /// Returns what happened when `path` was looked at.
    pub(super) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self { path, source }
    }
}

/// Returns this host's boot, as the kernel names it.
///
/// # Errors
/// It cannot be read.
pub fn boot_id() -> Result<String, LookError> {
    let text = fs::read_to_string(BOOT).map_err(LookError::at(BOOT))?;
    Ok(text.trim().to_owned())
}

/// Where the kernel names the boot.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Returns when a process started, in ticks since the host's boot; `None` where there is none.
///
/// A process that has ended and was not waited for yet counts as gone, and so does one that is
/// ending: its sockets are closed before it becomes the corpse that others can see.
///
/// # Errors
/// The process may be there, and cannot be looked at.
pub fn start_ticks(pid: u32) -> Result<Option<u64>, LookError> {
    let path = format!("/proc/{pid}/stat");
    match stat_line(&path) {
        Ok(line) => Ok(ticks_of(&String::from_utf8_lossy(&line))),
        // A process that ends while it is looked at is gone, too.
        Err(error) if is_gone(&error) => Ok(None),
        Err(source) => Err(LookError { path: path.into(), source }),
    }
}

/// Reads one line of `/proc` in one piece: the kernel makes it up anew for whoever begins to read it.
fn stat_line(path: &str) -> io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let mut line = vec![0; LINE_BYTES];
    let mut length = 0;
    loop {
        match file.read(&mut line[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if line[..length].ends_with(b"\n") {
            break;
        }
    }
    line.truncate(length);
    Ok(line)
}

/// More than 52 numbers of 64 bits and a program's name take.
const LINE_BYTES: usize = 2048;

/// Returns the start time of this very process, which is always there.
///
/// # Errors
/// `/proc` cannot be read.
pub fn own_start_ticks() -> Result<u64, LookError> {
    let pid = std::process::id();
    let missing = || LookError::at("/proc/self/stat")(io::ErrorKind::NotFound.into());
    start_ticks(pid)?.ok_or_else(missing)
}

fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn ticks_of(stat: &str) -> Option<u64> {
    // The program's name may hold anything, so the fields are counted from its last parenthesis.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    if matches!(fields.next()?, "Z" | "X") {
        return None;
    }
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    if flags & ENDING != 0 {
        return None;
    }
    fields.nth(12)?.parse().ok()
}

/// What the kernel says in a process's flags when it has begun to take it apart (`PF_EXITING`).
const ENDING: u32 = 0x4;

/// Tells whether exactly this process runs, on the boot `boot_id`.
///
/// # Errors
/// It cannot be looked at.
pub fn is_running(process: &Process, boot_id: &str) -> Result<bool, LookError> {
    // A process of another boot is gone, whoever has its number now.
    Ok(process.boot_id == boot_id && start_ticks(process.pid)? == Some(process.start_ticks))
}

/// Waits until exactly this process is gone, and tells whether it is.
pub async fn until_gone(process: &Process, timeout: Duration) -> bool {
    let waited = process.clone();
    match crate::worker::blocking(move || gone_within(&waited, timeout)).await {
        Ok(is_gone) => is_gone,
        // A host without a thread to give: everybody waits, which is right if slow.
        Err(_) => gone_within(process, timeout),
    }
}

fn gone_within(process: &Process, timeout: Duration) -> bool {
    let pid = i32::try_from(process.pid).ok().and_then(rustix::process::Pid::from_raw);
    let Some(pid) = pid else { return true };
    let flags = rustix::process::PidfdFlags::empty();
    let Ok(pidfd) = rustix::process::pidfd_open(pid, flags) else { return true };
    // Only now is it sure that the number still means the same process.
    match start_ticks(process.pid) {
        Ok(ticks) if ticks != Some(process.start_ticks) => return true,
        // What cannot be looked at is waited for.
        Ok(_) | Err(_) => {}
    }
    let timeout = rustix::event::Timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let mut fds = [rustix::event::PollFd::new(&pidfd, rustix::event::PollFlags::IN)];
    matches!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(count) if count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_that_started_at_another_time_does_not() {
        let (pid, start_ticks) = (std::process::id(), own_start_ticks().unwrap());
        let me = Process { pid, start_ticks, boot_id: boot_id().unwrap() };
        assert!(is_running(&me, &me.boot_id).unwrap());
        let other = Process { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert!(!is_running(&other, &me.boot_id).unwrap());
        assert!(!is_running(&me, "another boot").unwrap());
    }
}
