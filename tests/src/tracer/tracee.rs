//! The processes that are traced, and what is done when one of them stops.

use std::collections::BTreeMap;
use std::fs;
use std::io;

use libc::{c_int, pid_t};

use super::calls::{self, Known};
use super::{Fault, Plan, Point, Seen, Victim, Which};
use crate::sys::{self, Border, Until};

/// What is traced, by thread.
pub(super) struct Tracees {
    root: pid_t,
    plan: Plan,
    threads: BTreeMap<pid_t, Thread>,
    /// How many programs of each kind were started.
    runtimes: u32,
    builders: u32,
    /// How often the victim has made each call.
    counts: BTreeMap<&'static str, u32>,
    victim: Option<pid_t>,
    victim_threads: u32,
    pub(super) seen: Vec<Seen>,
    pub(super) hit: Option<Seen>,
}

/// One thread.
#[derive(Debug, Clone, Copy)]
struct Thread {
    process: pid_t,
    /// Its number in the victim, from 0.
    number: u32,
    /// The error that its present call gets for an answer.
    refusing: Option<i32>,
    /// Whether the program's own code has begun.
    is_begun: bool,
}

const CALL_STOP: c_int = libc::SIGTRAP | 0x80;

impl Tracees {
    pub(super) fn new(root: pid_t, plan: &Plan) -> Self {
        Self {
            root,
            plan: plan.clone(),
            threads: BTreeMap::new(),
            runtimes: 0,
            builders: 0,
            counts: BTreeMap::new(),
            victim: None,
            victim_threads: 0,
            seen: Vec::new(),
            hit: None,
        }
    }

    /// Begins to trace the shell that waits, and the victim where it runs already.
    pub(super) fn seize(&mut self) -> io::Result<()> {
        sys::seize(self.root, self.options())?;
        self.add(self.root, self.root);
        if let Some(pid) = self.plan.running {
            let pid = pid_t::try_from(pid).map_err(io::Error::other)?;
            self.victim = Some(pid);
            for thread in fs::read_dir(format!("/proc/{pid}/task"))?.flatten() {
                let thread = thread.file_name().to_str().and_then(|text| text.parse().ok());
                let Some(thread) = thread else { continue };
                sys::seize(thread, self.options())?;
                self.add(thread, pid);
                self.begun(thread);
                sys::interrupt(thread)?;
            }
        }
        Ok(())
    }

    /// Lets everything run to the end of the command; returns its status.
    pub(super) fn run(&mut self) -> io::Result<c_int> {
        loop {
            let Some((pid, status)) = sys::wait()? else {
                return Err(io::Error::other("the command was waited for by somebody else"));
            };
            if libc::WIFSTOPPED(status) {
                match self.stopped(pid, status) {
                    // It was killed while it stood; its end is told next.
                    Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                    other => other?,
                }
                continue;
            }
            self.threads.remove(&pid);
            if pid == self.root {
                return Ok(status);
            }
        }
    }

    /// Programs that are started are followed only where one of them is the victim.
    fn options(&self) -> c_int {
        let own =
            libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXEC;
        match self.plan.victim {
            Victim::Msb | Victim::Of(_) => own,
            Victim::Runtime(_) | Victim::Builder(_) => {
                own | libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK
            }
        }
    }

    fn add(&mut self, thread: pid_t, process: pid_t) {
        let number = if self.victim == Some(process) { self.victim_threads } else { 0 };
        self.victim_threads += u32::from(self.victim == Some(process));
        let is_begun = self.threads.get(&process).is_some_and(|first| first.is_begun);
        self.threads.insert(thread, Thread { process, number, refusing: None, is_begun });
    }

    fn begun(&mut self, thread: pid_t) {
        if let Some(thread) = self.threads.get_mut(&thread) {
            thread.is_begun = true;
        }
    }

    fn stopped(&mut self, pid: pid_t, status: c_int) -> io::Result<()> {
        if !self.threads.contains_key(&pid) {
            self.add(pid, process_of(pid));
        }
        let event = status >> 16;
        let signal = libc::WSTOPSIG(status);
        let passed_on = match (event, signal) {
            (0, CALL_STOP) => return self.at_border(pid),
            (libc::PTRACE_EVENT_EXEC, _) => return self.became(pid),
            (libc::PTRACE_EVENT_CLONE | libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK, _) => {
                let new = sys::made(pid)?;
                if !self.threads.contains_key(&new) {
                    self.add(new, process_of(new));
                }
                0
            }
            (0, signal) => signal,
            _ => 0,
        };
        self.go_on(pid, passed_on)
    }

    fn go_on(&self, pid: pid_t, signal: c_int) -> io::Result<()> {
        let process = self.threads.get(&pid).map(|thread| thread.process);
        let is_watched = process == self.victim && self.victim.is_some() && !self.is_over();
        let until = if is_watched { Until::Call } else { Until::Stop };
        sys::go_on(pid, until, signal)
    }

    /// Tells whether what was to happen has happened, all of it.
    fn is_over(&self) -> bool {
        self.hit.is_some() && self.threads.values().all(|thread| thread.refusing.is_none())
    }

    /// A process has become another program.
    fn became(&mut self, pid: pid_t) -> io::Result<()> {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let program = words.next().unwrap_or_default().into_owned();
        let argument = words.next().unwrap_or_default().into_owned();
        let is_msb = pid == self.root && program.ends_with("/msb");
        let found = match self.plan.victim {
            Victim::Msb => is_msb,
            Victim::Runtime(nth) if program.ends_with("/msb-runtime") => {
                self.runtimes += 1;
                self.runtimes == nth
            }
            Victim::Builder(nth) if argument == "__build-root" => {
                self.builders += 1;
                self.builders == nth
            }
            Victim::Runtime(_) | Victim::Builder(_) | Victim::Of(_) => false,
        };
        if found {
            self.victim = Some(pid);
            self.add(pid, pid);
            // What the victim itself starts is nobody here.
            sys::set_options(pid, libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE)?;
        } else if pid != self.root {
            self.threads.remove(&pid);
            return sys::detach(pid);
        }
        self.go_on(pid, 0)
    }

    fn at_border(&mut self, pid: pid_t) -> io::Result<()> {
        match sys::border(pid)? {
            Border::Entry { number, args } => self.at_entry(pid, number, &args)?,
            Border::Exit => {
                let thread = self.threads.get_mut(&pid);
                if let Some(errno) = thread.and_then(|thread| thread.refusing.take()) {
                    sys::answer(pid, errno)?;
                }
            }
            Border::None => {}
        }
        self.go_on(pid, 0)
    }

    fn at_entry(&mut self, pid: pid_t, number: u64, args: &[u64; 6]) -> io::Result<()> {
        // The first thing that a Rust program does for itself is to look after its signals.
        if u64::try_from(libc::SYS_rt_sigaction) == Ok(number) {
            self.begun(pid);
        }
        let Some(thread) = self.threads.get(&pid).copied() else { return Ok(()) };
        let Some(known) = calls::find(number).filter(|known| self.is_point(known, pid, args))
        else {
            return Ok(());
        };
        if !thread.is_begun || self.hit.is_some() {
            return Ok(());
        }
        let nth = self.counts.entry(known.name).or_default();
        *nth += 1;
        let point = Point { victim: self.plan.victim, call: known.name, nth: *nth };
        let is_it = self.plan.fault.as_ref().filter(|(wanted, _)| *wanted == point);
        if is_it.is_none() && self.plan.fault.is_some() {
            return Ok(());
        }
        let fault = is_it.map(|(_, fault)| *fault);
        let about = known.about(pid, args);
        let errors = known.errors(pid, args);
        let seen = Seen { point, thread: thread.number, about, errors };
        match fault {
            None => self.seen.push(seen),
            Some(fault) => {
                self.hit = Some(seen);
                self.strike(pid, thread.process, fault)?;
            }
        }
        Ok(())
    }

    fn is_point(&self, known: &Known, pid: pid_t, args: &[u64; 6]) -> bool {
        match self.plan.which {
            Which::Changing => known.changes(pid, args),
            Which::Failing => known.may_fail(pid, args),
        }
    }

    fn strike(&mut self, pid: pid_t, process: pid_t, fault: Fault) -> io::Result<()> {
        match fault {
            Fault::Kill => {
                let process = rustix::process::Pid::from_raw(process);
                let process = process.ok_or(io::ErrorKind::InvalidInput)?;
                Ok(rustix::process::kill_process(process, rustix::process::Signal::KILL)?)
            }
            Fault::Refuse(errno) => {
                if let Some(thread) = self.threads.get_mut(&pid) {
                    thread.refusing = Some(errno);
                }
                sys::pass_over(pid)
            }
        }
    }
}

/// Returns the process that a thread belongs to.
fn process_of(thread: pid_t) -> pid_t {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    line.and_then(|text| text.trim().parse().ok()).unwrap_or(thread)
}
