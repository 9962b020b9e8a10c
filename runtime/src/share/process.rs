//! The process: what it gives up, its shares, its workers, and its end.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;

use rustix::fs::{Mode, syncfs};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use thiserror::Error;

use super::calls::CALLS;
use super::guard::Guard;
use super::job::{Job, ShareJob};
use super::quota::{Usage, UsageError};
use super::reply::Reply;
use super::serve::Server;
use super::share::{Rules, Share};
use super::stream::{Incoming, Over, Stream};
use super::tally::Tally;
use super::wire::{Call, OPCODE_USER};
use crate::jail::{self, Access, Calls, Folder, Keep, Layer, Limits, Namespaces};
use crate::{chain, sys};

/// How many calls are done at once.
const WORKERS: usize = 4;

/// Descriptors that are no files of the guest.
const SPARE_FILES: u64 = 512;

/// The largest job.
const JOB_BYTES_MAX: u64 = 8 << 20;

/// The notice by which a kernel forgets an entry.
const NOTIFY_INVAL_ENTRY: i32 = 3;

/// The address space, stacks of threads included.
const ADDRESS_BYTES: u64 = 1 << 30;

/// Why a share server did not begin.
#[derive(Debug, Error)]
enum StartError {
    #[error("the job on descriptor {0}")]
    Job(String, #[source] io::Error),
    #[error("descriptor {0} of the job")]
    Descriptor(i32, #[source] io::Error),
    #[error("share {0}: its quota")]
    Usage(usize, #[source] UsageError),
    #[error("cannot write a share to its disk")]
    Settle(#[source] io::Error),
    #[error("cannot raise the number of files")]
    Files(#[source] io::Error),
    #[error("cannot tell that it is in its jail")]
    Report(#[source] io::Error),
    #[error("cannot look at a share")]
    Look(#[source] io::Error),
}

/// Serves the job on the descriptor that `word` names, until the guest is gone.
///
/// `missing` says why this process has no namespaces of its own, where it has none.
pub fn run(word: &str, missing: &str) -> ExitCode {
    // It was started by the name of a descriptor, which tells nobody what it is.
    rustix::thread::set_name(c"msb-share").ok();
    match job(word).and_then(|job| begin(&job, Namespaces::told(missing))) {
        Err(error) => {
            say(&error);
            ExitCode::from(70)
        }
        Ok((server, stream, shares)) => {
            let over = work(&server, &stream);
            settle(&shares);
            match over {
                Over::Ended => ExitCode::SUCCESS,
                other => {
                    say(&other);
                    ExitCode::from(71)
                }
            }
        }
    }
}

/// Goes to jail, and gets ready there.
fn begin(
    job: &Job,
    namespaces: Namespaces,
) -> Result<(Server, Stream, Vec<Arc<Share>>), StartError> {
    let files = files()?;
    let stream = Stream::new(inherited(job.stream)?);
    let mut report = File::from(inherited(job.report)?);
    let tally = Tally::attach(inherited(job.tally)?)
        .map_err(|error| StartError::Descriptor(job.tally, error))?;
    let folders = job.shares.iter().map(kept).collect::<Result<Vec<_>, _>>()?;
    let keep = Keep {
        folders,
        files: Vec::new(),
        places: Vec::new(),
        files_of_others: true,
        limits: Limits { address_bytes: Some(ADDRESS_BYTES), ..Limits::default() },
        calls: Calls::Only(&[jail::EVERYBODY, CALLS]),
        namespaces,
    };
    let (folders, missing) = jail::enter(keep, &Layer::ALL);
    jail::tell(&mut report, &missing).map_err(StartError::Report)?;
    drop(report);
    let shares = job.shares.iter().zip(folders).enumerate();
    let shares = shares.map(|(at, one)| open(at, one, job.reserve_bytes).map(Arc::new));
    let shares = shares.collect::<Result<Vec<_>, _>>()?;
    let look = |errno: Errno| StartError::Look(errno.into());
    Ok((Server::new(shares.clone(), files, tally).map_err(look)?, stream, shares))
}

fn job(word: &str) -> Result<Job, StartError> {
    let failed = |error| StartError::Job(word.to_owned(), error);
    let number = word.parse().map_err(|error| failed(io::Error::other(error)))?;
    let file = sys::inherited(number).map_err(failed)?;
    let mut text = Vec::new();
    let mut file = File::from(file);
    io::Seek::rewind(&mut file).map_err(failed)?;
    file.take(JOB_BYTES_MAX).read_to_end(&mut text).map_err(failed)?;
    serde_json::from_slice(&text).map_err(|error| failed(error.into()))
}

fn inherited(number: i32) -> Result<OwnedFd, StartError> {
    sys::inherited(number).map_err(|error| StartError::Descriptor(number, error))
}

/// Takes the descriptor of what is shared.
fn kept(share: &ShareJob) -> Result<Folder, StartError> {
    let access = match (share.read_only, &share.file) {
        (true, _) => Access::Read,
        (false, Some(_)) => Access::Files,
        (false, None) => Access::Change,
    };
    Ok(Folder { fd: inherited(share.folder)?, access })
}

/// Takes as many files as this process may have; returns how many the guest may hold.
fn files() -> Result<usize, StartError> {
    let most = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(|errno| StartError::Files(errno.into()))?;
    // New files have the modes they are made with.
    rustix::process::umask(Mode::empty());
    let spare = most.unwrap_or(1 << 20).saturating_sub(SPARE_FILES).max(64);
    Ok(usize::try_from(spare / 4 * 3).unwrap_or(usize::MAX))
}

fn open(at: usize, (job, folder): (&ShareJob, OwnedFd), reserve: u64) -> Result<Share, StartError> {
    let usage = match job.quota {
        None => None,
        Some((limit, figures)) => {
            let figures = inherited(figures)?;
            let folder = std::os::fd::AsFd::as_fd(&folder);
            let usage = Usage::attach(figures, folder, limit);
            Some(usage.map_err(|error| StartError::Usage(at, error))?)
        }
    };
    let rules = Rules {
        read_only: job.read_only,
        stat_virt: job.stat_virt,
        host_perms: job.host_perms,
        usage,
        guard: Guard::new(job.protected.iter().map(String::as_str)),
        reserve,
    };
    let index = u32::try_from(at).unwrap_or(u32::MAX);
    let file = job.file.as_ref().map(|name| name.clone().into_bytes());
    Ok(Share::new(index, folder, file, rules))
}

/// Lets the workers work until the stream is over.
fn work(server: &Server, stream: &Stream) -> Over {
    std::thread::scope(|scope| {
        let workers: Vec<_> =
            (0..WORKERS).map(|_| scope.spawn(|| worker(server, stream))).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or(Over::Ended));
        // The first who hears of it says why; the others hear that it ended.
        let mut why = Over::Ended;
        for end in ends {
            if !matches!(end, Over::Ended) {
                why = end;
            }
        }
        why
    })
}

fn worker(server: &Server, stream: &Stream) -> Over {
    let (mut incoming, mut reply) = (Incoming::new(), Reply::new());
    loop {
        let heard = stream.next(&mut incoming, |head, body| {
            // Whose the files are is known before the next message is looked at.
            if head.opcode == OPCODE_USER
                && let Ok(Call::User { uid, gid }) = Call::parse(head.opcode, body)
            {
                server.users.set_sandbox(uid, gid);
            }
        });
        let (head, body) = match heard {
            Ok(message) => message,
            Err(over) => return over,
        };
        let call = Call::parse(head.opcode, body);
        // A fault in one call is that call's: the others' files go on.
        let answer = catch_unwind(AssertUnwindSafe(|| server.answer(&head, call, &mut reply)));
        let said = match answer.unwrap_or(Some(Err(Errno::IO))) {
            None => Ok(()),
            Some(answer) => stream.say(reply.finish(head.unique, answer)),
        };
        if let Err(over) = said.and_then(|()| make_room(server, stream, &mut reply)) {
            return over;
        }
    }
}

/// Asks the kernel for files it does not use, where too many are held.
fn make_room(server: &Server, stream: &Stream, reply: &mut Reply) -> Result<(), Over> {
    for (parent, name) in server.nodes.crowded() {
        reply.begin();
        reply.u64(parent);
        reply.count(u32::try_from(name.len()).unwrap_or(0));
        reply.push(&name);
        reply.push(&[0]);
        stream.say(reply.finish_notice(NOTIFY_INVAL_ENTRY))?;
    }
    Ok(())
}

/// Writes what the guest wrote to the host's disks.
fn settle(shares: &[Arc<Share>]) {
    for share in shares.iter().filter(|share| !share.read_only) {
        match share.opened().and_then(|open| syncfs(&open)) {
            // A single file that is not there has nothing to be written.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => say(&StartError::Settle(errno.into())),
        }
    }
}

/// Says what went wrong, for the runtime's log.
fn say(error: &dyn std::error::Error) {
    // Whoever would read it may be gone.
    writeln!(io::stderr(), "share server: {}", chain(error)).ok();
}
