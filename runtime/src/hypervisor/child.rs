//! The process that carries a machine: confined, watched, reaped once.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::retry_on_intr;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use super::DriverError;
use crate::clock::{Clock as _, HostClock};
use crate::starter::Ended;

/// How much of a process's standard error is kept.
const STDERR_TAIL_BYTES: usize = 4096;

/// How long a killed process is waited for.
const GONE_MAX: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// How much of it is logged in a second.
const LOGGED_BYTES_MAX: usize = 64 << 10;

/// What is to be started.
#[derive(Debug)]
pub struct Plan {
    /// The program, absolute or under `/proc/self/fd/`.
    pub program: PathBuf,
    /// What it calls itself.
    pub name: &'static str,
    /// Its arguments, without its name.
    pub args: Vec<String>,
    /// Its whole environment.
    pub env: Vec<(String, String)>,
    /// Where its standard error goes; absent: into the runtime's log.
    pub stderr: Option<OwnedFd>,
    /// What it has open beyond the standard three, under the numbers they have here.
    pub keep: Vec<OwnedFd>,
    /// How many files it may have open; absent: as many as this process might.
    pub files_max: Option<u64>,
}

/// How many files a process of ours has open, unless it serves files.
pub const FILES_MAX: Option<u64> = Some(1024);

/// The signal of a call that a filter does not allow.
const SYS: i32 = Signal::SYS.as_raw();

/// How a process ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VmmEnd {
    /// The exit code, where it ended by itself.
    pub code: Option<i32>,
    /// The signal that ended it otherwise.
    pub signal: Option<i32>,
    /// The last it wrote on its standard error, at most 4 KiB.
    pub stderr_tail: String,
}

impl fmt::Display for VmmEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "it exited with code {code}")?,
            (None, Some(SYS)) => {
                write!(f, "signal {SYS} ended it: it made a call that its jail does not allow")?;
            }
            (None, Some(signal)) => write!(f, "signal {signal} ended it")?,
            (None, None) => write!(f, "it is gone")?,
        }
        match self.stderr_tail.trim() {
            "" => Ok(()),
            words => write!(f, ", its last words: {words}"),
        }
    }
}

/// A child process, known by a descriptor that no other process can come to mean.
///
/// Dropping it kills the process.
#[derive(Debug)]
pub struct Child {
    pid: Pid,
    pidfd: AsyncFd<OwnedFd>,
    end: End,
    tail: Arc<Mutex<Vec<u8>>>,
    group: Option<PathBuf>,
    maps: Option<Arc<File>>,
}

/// Who knows how a process ended.
#[derive(Debug)]
enum End {
    /// We do, who made it.
    Ours,
    /// A starter, who tells by a pipe; what came of it so far.
    Told(AsyncFd<OwnedFd>, Mutex<Vec<u8>>),
}

impl Child {
    /// Starts a process that dies with this one; must run on the main thread.
    ///
    /// # Errors
    /// The program cannot be run, or the kernel is too old for pidfds.
    pub fn spawn(plan: Plan) -> Result<Self, DriverError> {
        let program = plan.program.display().to_string();
        let failed = |source| DriverError::Spawn { program: program.clone(), source };
        let mut command = Command::new(&plan.program);
        command.arg0(plan.name).args(&plan.args);
        command.env_clear().envs(plan.env).current_dir("/");
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command.stderr(plan.stderr.map_or_else(Stdio::piped, Stdio::from));
        let keep = plan.keep.iter().map(|fd| fd.as_raw_fd()).collect();
        crate::sys::confined(&mut command, keep, plan.files_max);
        let mut child = command.spawn().map_err(failed)?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(io::Error::other("no such number is a process")))?;
        // Nobody has reaped the child yet, so the number still means it.
        let pidfd = pidfd_open(pid, PidfdFlags::NONBLOCK).map_err(|e| failed(e.into()))?;
        let pidfd = crate::sys::watch(pidfd).map_err(failed)?;
        let tail = Arc::default();
        if let Some(stderr) = child.stderr.take() {
            listen(stderr.into(), Arc::clone(&tail)).map_err(failed)?;
        }
        Ok(Self { pid, pidfd, end: End::Ours, tail, group: None, maps: None })
    }

    /// Takes a process that a starter made: what names it, where its end is told, its standard error and its group.
    pub(crate) fn told(
        (pid, pidfd): (Pid, OwnedFd),
        end: OwnedFd,
        stderr: OwnedFd,
        group: Option<PathBuf>,
    ) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        let tail = Arc::default();
        listen(stderr, Arc::clone(&tail))?;
        let end = End::Told(crate::sys::watch(end)?, Mutex::default());
        Ok(Self { pid, pidfd: crate::sys::watch(pidfd)?, end, tail, group, maps: None })
    }

    /// Keeps its mappings, which somebody else has opened.
    pub(crate) fn show(&mut self, maps: Option<File>) {
        self.maps = maps.map(Arc::new);
    }

    /// Returns its number, and its mappings, as they are whenever they are read, where somebody has opened them.
    pub(crate) fn seen(&self) -> (u32, Option<Arc<File>>) {
        (self.pid(), self.maps.clone())
    }

    /// Returns the control group around the process, where one was made for it.
    #[must_use]
    pub fn group(&self) -> Option<&Path> {
        self.group.as_deref()
    }

    /// Returns the process's number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Kills the process; does nothing where it is gone already.
    pub fn kill(&self) {
        // The one error left is that it is gone, which is what was wanted.
        pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL).ok();
    }

    /// Waits until the process has ended, and reaps it.
    ///
    /// May be dropped and called again; only the first whole call knows how it ended.
    pub async fn ended(&self) -> VmmEnd {
        let ready = self.pidfd.readable().await;
        drop(ready);
        let Ended { code, signal } = match &self.end {
            End::Ours => self.reap(),
            End::Told(pipe, so_far) => told(pipe, so_far).await,
        };
        // What it wrote last may still be in the pipe; one turn of the loop reads it.
        tokio::task::yield_now().await;
        let tail = self.tail.lock().map(|tail| String::from_utf8_lossy(&tail).into_owned());
        VmmEnd { code, signal, stderr_tail: tail.unwrap_or_default() }
    }

    /// Reaps a process of ours where it has ended.
    fn reap(&self) -> Ended {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok().flatten();
        Ended {
            code: status.as_ref().and_then(|s| s.exit_status()),
            signal: status.as_ref().and_then(|s| s.terminating_signal()),
        }
    }
}

/// Returns what a starter tells of an end; nothing where it ended first.
async fn told(pipe: &AsyncFd<OwnedFd>, so_far: &Mutex<Vec<u8>>) -> Ended {
    loop {
        let Ok(mut ready) = pipe.readable().await else { return Ended::default() };
        let mut chunk = [0; 128];
        let read = ready.try_io(|pipe| Ok(rustix::io::read(pipe.get_ref(), &mut chunk)?));
        let Ok(mut so_far) = so_far.lock() else { return Ended::default() };
        match read {
            Ok(Ok(count @ 1..)) => so_far.extend_from_slice(&chunk[..count]),
            Ok(Ok(0) | Err(_)) => return serde_json::from_slice(&so_far).unwrap_or_default(),
            Err(_would_block) => {}
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        match self.end {
            // A killed process is gone in a moment; without this it would stay a zombie of ours.
            End::Ours => drop(self.reap()),
            // Whoever ends after this, or starts another, meets nothing of it.
            End::Told(..) => {
                let mut gone = [PollFd::new(self.pidfd.get_ref(), PollFlags::IN)];
                retry_on_intr(|| poll(&mut gone, Some(&GONE_MAX))).ok();
            }
        }
    }
}

/// How much of what a process says is logged in a second: a guest may be able to make it say more.
#[derive(Debug)]
struct Allowance {
    since: Instant,
    left: usize,
    lost: usize,
}

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self { since: now, left: LOGGED_BYTES_MAX, lost: 0 }
    }

    /// Tells whether so many bytes more are logged, and how many were not in the second before.
    fn take(&mut self, count: usize, now: Instant) -> (bool, usize) {
        let mut lost = 0;
        if now.saturating_duration_since(self.since) >= Duration::from_secs(1) {
            lost = self.lost;
            *self = Self::new(now);
        }
        match self.left.checked_sub(count) {
            Some(left) => self.left = left,
            None => self.lost += count,
        }
        (self.lost == 0, lost)
    }
}

/// Reads the process's standard error to its end, into the log and the tail.
fn listen(stderr: OwnedFd, tail: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    let mut pipe = pipe::Receiver::from_owned_fd(stderr)?;
    tokio::spawn(async move {
        let mut chunk = [0; STDERR_TAIL_BYTES];
        let mut allowance = Allowance::new(HostClock.now());
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            let words = &chunk[..count];
            let (may, lost) = allowance.take(count, HostClock.now());
            if lost > 0 {
                tracing::warn!(target: "vmm", "{lost} bytes more were said and are not kept");
            }
            if may {
                tracing::warn!(target: "vmm", "{}", String::from_utf8_lossy(words).trim_end());
            }
            let Ok(mut tail) = tail.lock() else { return };
            tail.extend_from_slice(words);
            let excess = tail.len().saturating_sub(STDERR_TAIL_BYTES);
            tail.drain(..excess);
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_2_10_what_is_said_beyond_a_measure_is_counted_and_not_kept() {
        let start = HostClock.now();
        let mut allowance = Allowance::new(start);
        assert_eq!(allowance.take(LOGGED_BYTES_MAX, start), (true, 0));
        assert_eq!(allowance.take(100, start), (false, 0));
        assert_eq!(allowance.take(50, start), (false, 0));
        let later = start + Duration::from_secs(1);
        assert_eq!(allowance.take(100, later), (true, 150));
        assert_eq!(allowance.take(100, later + Duration::from_secs(1)), (true, 0));
    }
}
