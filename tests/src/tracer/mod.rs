//! A command watched call by call, one of which is its last, or is refused.
//!
//! ```text
//! sh, waiting ── seized ── exec msb ──▶ entry, exit, entry … ── the point ──▶ SIGKILL or an errno
//! ```
//!
//! A point is named by what runs, the call, and how often the process had made that call before:
//! `msb: rename 3`. Calls count from the moment a program's own code begins.

mod calls;
mod tracee;

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::run::{Run, Started};
use tracee::Tracees;

/// Which process is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Victim {
    /// The command itself.
    Msb,
    /// The runtime that it starts as its n-th, from 1.
    Runtime(u32),
    /// The builder of root images that it starts as its n-th, from 1.
    Builder(u32),
    /// The runtime of this sandbox, which runs before the command begins.
    Of(&'static str),
}

/// A moment of a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Point {
    /// Whose.
    pub victim: Victim,
    /// Which call.
    pub call: &'static str,
    /// Its how many-th, from 1.
    pub nth: u32,
}

/// What happens there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The process is killed before the call is made.
    Kill,
    /// The call is not made and fails with this number.
    Refuse(i32),
}

/// Which calls are points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Those that change what others can see.
    Changing,
    /// Those that can fail.
    Failing,
}

/// A call that was seen.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was.
    pub point: Point,
    /// Which of the process's threads made it, from 0.
    pub thread: u32,
    /// The file or path that it was about.
    pub about: String,
    /// What it can fail with.
    pub errors: Vec<i32>,
}

/// A command that has ended, and what was seen of it.
#[derive(Debug)]
pub struct Traced {
    /// The command; its code is of no meaning where it was left running.
    pub run: Run,
    /// Every point, in order, where none was asked for.
    pub seen: Vec<Seen>,
    /// The call at which it happened; `None` where the process never came so far.
    pub hit: Option<Seen>,
    /// Whether it was killed because it took too long.
    pub timed_out: bool,
}

/// What is done to which process.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Who is watched.
    pub victim: Victim,
    /// The victim's process, where it runs before the command begins.
    pub running: Option<u32>,
    /// Which calls are points.
    pub which: Which,
    /// What happens where; `None` only looks.
    pub fault: Option<(Point, Fault)>,
}

/// Tells whether this host lets us trace our children.
pub fn may_trace() -> bool {
    std::thread::spawn(|| {
        let Ok(mut child) = Command::new("sh").args(["-c", "read _"]).stdin(Stdio::piped()).spawn()
        else {
            return false;
        };
        let pid = i32::try_from(child.id()).unwrap_or_default();
        let may = crate::sys::seize(pid, 0).is_ok();
        // Its standard input closes with this, and it ends.
        drop(child.stdin.take());
        while let Ok(Some((pid, status))) = crate::sys::wait() {
            if libc::WIFSTOPPED(status) {
                drop(crate::sys::detach(pid));
            }
        }
        may
    })
    .join()
    .unwrap_or(false)
}

/// Runs `command` under the tracer to its end; `scratch` as for [`Started::spawn`].
///
/// # Panics
/// When the kernel does not let us trace it.
pub fn trace(command: &Command, scratch: &Path, plan: &Plan, limit: Duration) -> Traced {
    // What a thread traced goes free when the thread ends, so each trace has its own.
    std::thread::scope(|scope| {
        scope
            .spawn(|| watch(command, scratch, plan, limit))
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[expect(clippy::zombie_processes, reason = "the tracer is the one who waits for it")]
fn watch(command: &Command, scratch: &Path, plan: &Plan, limit: Duration) -> Traced {
    let line = format!("{command:?}");
    let (out, err) = (scratch.with_extension("out"), scratch.with_extension("err"));
    let mut waiting = waiting(command);
    waiting.stdout(File::create(&out).expect("scratch can be written"));
    waiting.stderr(File::create(&err).expect("scratch can be written"));
    let mut child = waiting.spawn().expect("sh can be started");
    let pid = Pid::from_child(&child);
    let mut tracees = Tracees::new(pid.as_raw_pid(), plan);
    tracees.seize().expect("this host was asked whether it lets us");
    let watchdog = Watchdog::begin(pid, limit);
    child.stdin.take().expect("it was asked for").write_all(b"\n").expect("sh reads a line");
    let status = tracees.run().expect("the kernel keeps to its own interface");
    let timed_out = watchdog.end();
    let code = code(status);
    let run = Started::ended(line, code, &out, &err);
    Traced { run, seen: tracees.seen, hit: tracees.hit, timed_out }
}

/// Returns a shell that waits for a line and becomes the command.
fn waiting(command: &Command) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "read _; exec \"$@\" </dev/null", "sh"]);
    shell.arg(command.get_program()).args(command.get_args()).env_clear();
    for (key, value) in command.get_envs() {
        if let Some(value) = value {
            shell.env(key, value);
        }
    }
    if let Some(folder) = command.get_current_dir() {
        shell.current_dir(folder);
    }
    shell.stdin(Stdio::piped());
    shell
}

fn code(status: i32) -> i32 {
    let status = ExitStatus::from_raw(status);
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.expect("an ended process has a code or a signal")
}

/// Kills a process that takes too long.
struct Watchdog {
    over: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn begin(pid: Pid, limit: Duration) -> Self {
        let (over, heard) = mpsc::channel();
        let process = pidfd_open(pid, PidfdFlags::empty()).expect("a child of ours");
        let thread = std::thread::spawn(move || {
            let is_late = heard.recv_timeout(limit) == Err(mpsc::RecvTimeoutError::Timeout);
            if is_late {
                // It may have ended at this very moment.
                let _ = pidfd_send_signal(process, Signal::KILL);
            }
            is_late
        });
        Self { over, thread }
    }

    fn end(self) -> bool {
        drop(self.over);
        self.thread.join().unwrap_or(false)
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Msb => write!(f, "msb"),
            Self::Runtime(nth) => write!(f, "runtime-{nth}"),
            Self::Builder(nth) => write!(f, "builder-{nth}"),
            Self::Of(name) => write!(f, "runtime-of-{name}"),
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.victim, self.call, self.nth)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => write!(f, "killed"),
            Self::Refuse(number) => write!(f, "{}", io::Error::from_raw_os_error(*number)),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (thread {}) {}", self.point, self.thread, self.about)
    }
}
