//! The process that carries a machine: confined, watched, reaped once.

use std::fmt;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid,
};
use tokio::io::AsyncReadExt as _;
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;

use super::DriverError;

/// How much of a process's standard error is kept.
const STDERR_TAIL_BYTES: usize = 4096;

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
    tail: Arc<Mutex<Vec<u8>>>,
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
            listen(stderr, Arc::clone(&tail)).map_err(failed)?;
        }
        Ok(Self { pid, pidfd, tail })
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
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok().flatten();
        // What it wrote last may still be in the pipe; one turn of the loop reads it.
        tokio::task::yield_now().await;
        let tail = self.tail.lock().map(|tail| String::from_utf8_lossy(&tail).into_owned());
        VmmEnd {
            code: status.as_ref().and_then(|s| s.exit_status()),
            signal: status.as_ref().and_then(|s| s.terminating_signal()),
            stderr_tail: tail.unwrap_or_default(),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill();
        // A killed process is gone in a moment; without this it would stay a zombie of ours.
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        waitid(WaitId::PidFd(self.pidfd.as_fd()), options).ok();
    }
}

/// Reads the process's standard error to its end, into the log and the tail.
fn listen(stderr: ChildStderr, tail: Arc<Mutex<Vec<u8>>>) -> io::Result<()> {
    let mut pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(stderr))?;
    tokio::spawn(async move {
        let mut chunk = [0; STDERR_TAIL_BYTES];
        while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
            let words = &chunk[..count];
            tracing::warn!(target: "vmm", "{}", String::from_utf8_lossy(words).trim_end());
            let Ok(mut tail) = tail.lock() else { return };
            tail.extend_from_slice(words);
            let excess = tail.len().saturating_sub(STDERR_TAIL_BYTES);
            tail.drain(..excess);
        }
    });
    Ok(())
}
