//! The process: one question at a time, and the ends of those it made.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

use super::group::{Group, Parent};
use super::make::{Failed, Made, make};
use super::wanted::{Answer, DESCRIPTORS_MAX, Ended, MESSAGE_BYTES_MAX, Question, Wanted};
use crate::{passing, sys};

/// The exit code of a starter that did not begin.
const NOT_BEGUN: u8 = 70;

/// Serves the socket on the descriptor that `word` names until the runtime is gone.
pub fn run(word: &str) -> ExitCode {
    rustix::thread::set_name(c"msb-starter").ok();
    let begun =
        word.parse().map_err(io::Error::other).and_then(sys::inherited).and_then(|socket| {
            rustix::thread::set_no_new_privs(true)?;
            let flags = OFlags::PATH | OFlags::CLOEXEC;
            let program = rustix::fs::open("/proc/self/exe", flags, Mode::empty())?;
            Ok(Serving { socket, program, made: Vec::new(), groups: Parent::find() })
        });
    match begun.and_then(Serving::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            writeln!(io::stderr(), "msb-runtime starter: {error}").ok();
            ExitCode::from(NOT_BEGUN)
        }
    }
}

/// A process that lives, and where its end is told.
struct Living {
    pid: Pid,
    pidfd: OwnedFd,
    tells: File,
    group: Option<Group>,
}

struct Serving {
    socket: OwnedFd,
    program: OwnedFd,
    made: Vec<Living>,
    groups: Option<Parent>,
}

impl Serving {
    fn serve(mut self) -> io::Result<()> {
        loop {
            let mut waited = vec![PollFd::new(&self.socket, PollFlags::IN)];
            waited.extend(self.made.iter().map(|one| PollFd::new(&one.pidfd, PollFlags::IN)));
            retry_on_intr(|| poll(&mut waited, None))?;
            let ready: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
            let mut ended = ready.iter().skip(1);
            self.made.retain_mut(|one| !ended.next().is_some_and(|ended| *ended && one.tell()));
            if ready.first() == Some(&true) && !self.answer()? {
                return Ok(());
            }
        }
    }

    /// Answers one question; false where the runtime is gone.
    fn answer(&mut self) -> io::Result<bool> {
        let Some((question, descriptors)) = ask(self.socket.as_fd())? else { return Ok(false) };
        match question {
            Question::Make(wanted) => self.make(&wanted, descriptors)?,
            Question::Maps { pid } => self.show(pid)?,
        }
        Ok(true)
    }

    /// Hands out the mappings of a process that it made.
    fn show(&self, pid: i32) -> io::Result<()> {
        // Nobody has reaped it yet, so the number still means it.
        let is_it = |one: &&Living| one.pid.as_raw_nonzero().get() == pid;
        let found = self.made.iter().find(is_it).ok_or(Errno::SRCH);
        let (flags, path) = (OFlags::RDONLY | OFlags::CLOEXEC, format!("/proc/{pid}/smaps"));
        match found.and_then(|_| rustix::fs::open(path, flags, Mode::empty())) {
            Ok(maps) => say(self.socket.as_fd(), &Answer::Maps, Some(maps.as_fd())),
            Err(error) => self.refuse("its mappings", error.raw_os_error()),
        }
    }

    fn refuse(&self, step: &str, errno: i32) -> io::Result<()> {
        say(self.socket.as_fd(), &Answer::Refused { step: step.into(), errno }, None)
    }

    fn make(&mut self, wanted: &Wanted, mut descriptors: Vec<OwnedFd>) -> io::Result<()> {
        if descriptors.len() != wanted.places.len() + 2 {
            return self.refuse("its descriptors", Errno::BADF.raw_os_error());
        }
        let rest = descriptors.split_off(2);
        let (Some(stderr), Some(tells)) = (descriptors.pop(), descriptors.pop()) else {
            return Ok(());
        };
        let group = self.groups.as_ref().zip(wanted.bounds.as_ref());
        // Without one there is a machine all the same, and no word of a group.
        let group = group.and_then(|(parent, bounds)| parent.make(bounds).ok());
        match make(wanted, group, self.program.as_fd(), (stderr, rest)) {
            Ok(Made { pid, pidfd, group }) => {
                let group_path = group.as_ref().map(|it| it.path.clone());
                let answer = Answer::Made { pid: pid.as_raw_nonzero().get(), group: group_path };
                say(self.socket.as_fd(), &answer, Some(pidfd.as_fd()))?;
                self.made.push(Living { pid, pidfd, tells: tells.into(), group });
                Ok(())
            }
            Err(Failed { step, error }) => {
                self.refuse(step, error.raw_os_error().unwrap_or_default())
            }
        }
    }
}

impl Living {
    /// Reaps the process and tells how it ended; false where it has not.
    fn tell(&mut self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = match waitid(WaitId::PidFd(self.pidfd.as_fd()), options) {
            Ok(None) => return false,
            Ok(status) => status,
            Err(_) => None,
        };
        let ended = Ended {
            code: status.as_ref().and_then(|status| status.exit_status()),
            signal: status.as_ref().and_then(|status| status.terminating_signal()),
        };
        if let Some(group) = &self.group {
            group.remove();
        }
        // A runtime that does not care any more has closed its end.
        serde_json::to_writer(&self.tells, &ended).ok();
        true
    }
}

/// Returns what the runtime wants; `None` where it is gone.
fn ask(socket: BorrowedFd<'_>) -> io::Result<Option<(Question, Vec<OwnedFd>)>> {
    let (bytes, descriptors) = passing::receive(socket, MESSAGE_BYTES_MAX, DESCRIPTORS_MAX)?;
    if bytes.is_empty() {
        return Ok(None);
    }
    Ok(Some((serde_json::from_slice(&bytes)?, descriptors)))
}

fn say(socket: BorrowedFd<'_>, answer: &Answer, with: Option<BorrowedFd<'_>>) -> io::Result<()> {
    passing::send(socket, &serde_json::to_vec(answer)?, with.as_slice())
}
