//! The runtime's side of a starter.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Pid;
use serde::Serialize;

use super::group::Bounds;
use super::wanted::{Answer, MESSAGE_BYTES_MAX, Question, Wanted};
use crate::hypervisor::{Child, DriverError, Plan};
use crate::{jail, passing};

/// How long a starter may take for one process.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// A starter that runs, or nobody; it ends with its owner.
#[derive(Debug)]
pub struct Starter(Option<Line>);

#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    // Dropped after the socket: its end is the socket's.
    _process: Child,
}

/// A process that goes to a jail: our own program with another job.
#[derive(Debug)]
pub(crate) struct Jailed {
    /// What it calls itself.
    pub(crate) name: &'static str,
    /// Its job, in a word.
    pub(crate) job: &'static str,
    /// What lists of processes show of it.
    pub(crate) shown: Option<String>,
    /// What it has open beyond the standard three, under the numbers they have here.
    pub(crate) keep: Vec<OwnedFd>,
    /// What it may take, where the host lets us say so.
    pub(crate) bounds: Option<Bounds>,
}

impl Starter {
    /// Starts one; must run on the main thread, inside the asynchronous runtime.
    ///
    /// # Errors
    /// It cannot be run.
    pub fn begin() -> Result<Self, DriverError> {
        let prepared = |errno: Errno| DriverError::Prepare {
            what: "the socket of the starter".into(),
            source: errno.into(),
        };
        let (socket, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .map_err(prepared)?;
        let args = vec!["starter".to_owned(), theirs.as_raw_fd().to_string()];
        let process = Child::spawn(Plan {
            program: "/proc/self/exe".into(),
            name: "msb-starter",
            args,
            env: Vec::new(),
            stderr: None,
            keep: vec![theirs],
            // One that it makes may need as many as the host allows.
            files_max: None,
        })?;
        Ok(Self(Some(Line { socket, _process: process })))
    }

    /// Returns one that makes nothing, for who needs none.
    #[must_use]
    pub const fn nobody() -> Self {
        Self(None)
    }

    /// Makes a process in namespaces of its own, tells it what its `orders` for a report on this descriptor
    /// are, and waits until it is in its jail; returns what that lacks.
    pub(crate) fn jail<O: Serialize>(
        &self,
        jailed: Jailed,
        orders: impl FnOnce(RawFd) -> O,
    ) -> Result<(Child, Vec<String>), DriverError> {
        let Jailed { name, job, shown, mut keep, bounds } = jailed;
        let failed = |source| DriverError::Prepare { what: format!("the jail of {name}"), source };
        let (report, says) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let told = written(&orders(says.as_raw_fd())).map_err(failed)?;
        let words = [job.to_owned(), told.as_raw_fd().to_string()].into_iter().chain(shown);
        let args = words.collect();
        keep.extend([told, says]);
        let is_measured = bounds.is_some();
        let mut child = self.start(name, args, (keep, bounds))?;
        let missing = jail::hear(report.into()).map_err(failed)?;
        // From here on it is the program that it stays.
        if is_measured {
            child.show(self.maps(child.pid()));
        }
        Ok((child, missing))
    }

    /// Returns the mappings of a process, where the host shows them; without them a figure is missing.
    fn maps(&self, pid: u32) -> Option<File> {
        let (line, pid) = (self.0.as_ref()?, i32::try_from(pid).ok()?);
        line.say(&Question::Maps { pid }, &[]).ok()?;
        match line.hear().ok()? {
            (Answer::Maps, maps) => maps.map(File::from),
            (Answer::Made { .. } | Answer::Refused { .. }, _) => None,
        }
    }

    fn start(
        &self,
        name: &'static str,
        args: Vec<String>,
        (keep, bounds): (Vec<OwnedFd>, Option<Bounds>),
    ) -> Result<Child, DriverError> {
        let failed = |source| DriverError::Spawn { program: name.to_owned(), source };
        let places = keep.iter().map(|fd| fd.as_raw_fd()).collect();
        let wanted = Question::Make(Wanted { name: name.to_owned(), args, places, bounds });
        let (stderr, said) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let (end, tells) = pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
        let along: Vec<_> = [&tells, &said].into_iter().chain(&keep).map(|fd| fd.as_fd()).collect();
        let line = self.0.as_ref().ok_or_else(|| failed(Errno::SRCH.into()))?;
        line.say(&wanted, &along).map_err(failed)?;
        drop((tells, said, keep));
        match line.hear().map_err(failed)? {
            (Answer::Made { pid, group }, Some(pidfd)) => {
                let pid = Pid::from_raw(pid).ok_or_else(|| failed(Errno::SRCH.into()))?;
                Child::told((pid, pidfd), end, stderr, group).map_err(failed)
            }
            (Answer::Made { .. } | Answer::Maps, _) => Err(failed(Errno::BADF.into())),
            (Answer::Refused { step, errno }, _) => {
                let source = io::Error::from_raw_os_error(errno);
                Err(DriverError::Prepare { what: format!("{step} of {name}"), source })
            }
        }
    }
}

impl Line {
    fn say(&self, question: &Question, along: &[BorrowedFd<'_>]) -> io::Result<()> {
        let bytes = serde_json::to_vec(question)?;
        if bytes.len() > MESSAGE_BYTES_MAX {
            return Err(Errno::TOOBIG.into());
        }
        passing::send(&self.socket, &bytes, along)
    }

    fn hear(&self) -> io::Result<(Answer, Option<OwnedFd>)> {
        let mut ready = [PollFd::new(&self.socket, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut ready, Some(&PATIENCE)))? == 0 {
            return Err(Errno::TIMEDOUT.into());
        }
        let (bytes, came) = passing::receive(&self.socket, MESSAGE_BYTES_MAX, 1)?;
        if bytes.is_empty() {
            return Err(Errno::PIPE.into());
        }
        Ok((serde_json::from_slice(&bytes)?, came.into_iter().next()))
    }
}

fn written(orders: &impl Serialize) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("msb-orders", MemfdFlags::CLOEXEC)?);
    serde_json::to_writer(&file, orders)?;
    file.flush()?;
    Ok(file.into())
}
