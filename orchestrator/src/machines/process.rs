//! Processes that cannot be mistaken for later ones of the same number.

use std::fs;
use std::io;
use std::time::Duration;

use schema::record::Process;

/// Returns this host's boot, as the kernel names it.
///
/// # Errors
/// `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Returns when a process started, in ticks since the host's boot; `None` where there is none.
///
/// A process that has ended and was not waited for yet counts as gone, and so does one that is
/// ending: its sockets are closed before it becomes the corpse that others can see.
#[must_use]
pub fn start_ticks(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
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

/// Returns this very process.
///
/// # Errors
/// `/proc` is not there.
pub fn me() -> io::Result<Process> {
    let pid = std::process::id();
    let start_ticks = start_ticks(pid).ok_or(io::ErrorKind::NotFound)?;
    Ok(Process { pid, start_ticks, boot_id: boot_id()? })
}

/// Tells whether exactly this process runs, on the boot `boot_id`.
#[must_use]
pub fn is_running(process: &Process, boot_id: &str) -> bool {
    process.boot_id == boot_id && start_ticks(process.pid) == Some(process.start_ticks)
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
    if start_ticks(process.pid) != Some(process.start_ticks) {
        return true;
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
        let me = me().unwrap();
        assert!(is_running(&me, &me.boot_id));
        let other = Process { start_ticks: me.start_ticks + 1, ..me.clone() };
        assert!(!is_running(&other, &me.boot_id));
        assert!(!is_running(&me, "another boot"));
    }
}
