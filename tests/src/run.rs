//! A command that runs, and a command that has ended.
//!
//! Output goes to files, so a process that lives on with our pipe cannot hold a test up.

use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use rustix::time::{ClockId, clock_gettime};

/// A command that was started.
#[derive(Debug)]
pub struct Started {
    line: String,
    child: Child,
    out: PathBuf,
    err: PathBuf,
}

/// A command that has ended.
#[derive(Debug)]
pub struct Run {
    /// The command as it was typed.
    pub line: String,
    /// Its exit code, 128 + N when signal N ended it.
    pub code: i32,
    /// All it wrote to standard output.
    pub stdout: String,
    /// All it wrote to standard error.
    pub stderr: String,
}

impl Started {
    /// Starts a command; `scratch` is a path whose suffixes `.out` and `.err` are free.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn spawn(mut command: Command, scratch: &Path) -> Self {
        let (out, err) = (scratch.with_extension("out"), scratch.with_extension("err"));
        let line = format!("{command:?}");
        command.stdout(File::create(&out).expect("scratch can be written"));
        command.stderr(File::create(&err).expect("scratch can be written"));
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {line}: {error}"));
        Self { line, child, out, err }
    }

    /// Returns the process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Returns what it has written to its standard output until now.
    pub fn printed(&self) -> String {
        written(&self.out)
    }

    /// Returns what it has said on its standard error until now.
    pub fn said(&self) -> String {
        written(&self.err)
    }

    /// Waits until it has ended.
    ///
    /// # Panics
    /// When it is not done in time; it is killed first.
    pub fn wait(mut self, limit: Duration) -> Run {
        if !self.ends_within(limit) {
            self.child.kill().expect("our own child");
            let run = self.end();
            panic!("not done after {limit:?}: {run}");
        }
        self.end()
    }

    /// Kills it after `delay`, if it has not ended by then.
    ///
    /// # Panics
    /// When the kernel refuses.
    pub fn kill_after(mut self, delay: Duration) -> Run {
        if !self.ends_within(delay) {
            self.child.kill().expect("our own child");
        }
        self.end()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a child that was not waited for");
    }

    /// Returns the end of a command that somebody else waited for.
    pub(crate) fn ended(line: String, code: i32, out: &Path, err: &Path) -> Run {
        let (stdout, stderr) = (written(out), written(err));
        Run { line, code, stdout, stderr }
    }

    fn ends_within(&self, limit: Duration) -> bool {
        gone_within(self.pid(), limit)
    }

    fn end(&mut self) -> Run {
        let status = self.child.wait().expect("our own child");
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        let code = code.expect("an ended process has a code or a signal");
        Self::ended(self.line.clone(), code, &self.out, &self.err)
    }
}

fn written(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).expect("scratch can be read")).into_owned()
}

/// Waits until a process has ended; true also when there is none.
///
/// # Panics
/// When the limit does not fit the kernel's clock.
pub fn gone_within(pid: Pid, limit: Duration) -> bool {
    let Ok(fd) = pidfd_open(pid, PidfdFlags::empty()) else { return true };
    let timeout = Timespec::try_from(limit).expect("limits are short");
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    // A signal to this very process is the only other end of a poll; nobody sends one.
    poll(&mut fds, Some(&timeout)).expect("poll on a descriptor of our own") > 0
}

/// Lets time pass where there is no event to wait for: between two samples, before a random kill.
///
/// # Panics
/// When the time does not fit the kernel's clock.
pub fn pause(time: Duration) {
    let timeout = Timespec::try_from(time).expect("pauses are short");
    poll(&mut [], Some(&timeout)).expect("poll on nothing");
}

/// Does something, and says how long it took by a clock that nobody sets.
pub fn lasted<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let began = clock_gettime(ClockId::Monotonic);
    let done = work();
    let took = Duration::try_from(clock_gettime(ClockId::Monotonic) - began);
    (done, took.unwrap_or_default())
}

/// Looks again every 20 ms until `look` answers.
///
/// # Panics
/// When it has not by the end of `limit`.
pub fn eventually<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    const STEP: Duration = Duration::from_millis(20);
    let mut waited = Duration::ZERO;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(waited < limit, "{what}: not so after {limit:?}");
        pause(STEP);
        waited += STEP;
    }
}

impl Run {
    /// Holds the exit code.
    ///
    /// # Panics
    /// When it is another.
    pub fn exits(self, code: i32) -> Self {
        assert!(self.code == code, "wanted exit {code}: {self}");
        self
    }

    /// Reads standard output as one JSON document.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self}"))
    }

    /// Holds that standard error says all of these.
    ///
    /// # Panics
    /// When one is missing.
    pub fn complains(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "stderr lacks {part:?}: {self}");
        }
        self
    }

    /// Holds that standard output says all of these.
    ///
    /// # Panics
    /// When one is missing.
    pub fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stdout.contains(part), "stdout lacks {part:?}: {self}");
        }
        self
    }
}

impl std::fmt::Display for Run {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { line, code, stdout, stderr } = self;
        write!(out, "{line}\nexit {code}\n--- stdout\n{stdout}--- stderr\n{stderr}---")
    }
}

/// Returns a command that reads nothing and inherits no environment.
pub fn bare(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().stdin(Stdio::null());
    command
}
