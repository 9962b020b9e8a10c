//! The end of the pipe that is no session: a thread that reads or writes files, or our own streams.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

use schema::wire::files::{FileNote, Links, NoteKind, Owners};
use tree::{Gauge, LinkRule, Rules, Source, Target, Totals};

use super::{Job, Tally, TransferError};

/// How much is copied at once between our streams and the pipe.
const COPY_BYTES: usize = 256 * 1024;

/// How a hand's work ended.
#[derive(Debug)]
pub(super) enum Done {
    /// All was moved; what was counted, where it looks inside.
    Whole(Option<Totals>),
    /// It says why it could not go on.
    Told(FileNote),
    /// Whoever read our standard output has gone.
    Closed,
}

/// Which way it moves bytes, and whether it can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It fills the pipe from files.
    Packs,
    /// It empties the pipe into files.
    Unpacks,
    /// It fills the pipe from our standard input, which may never end.
    ReadsIn,
    /// It empties the pipe into our standard output, which may never take anything.
    WritesOut,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Hand {
    kind: Kind,
    gauge: Arc<Gauge>,
    thread: JoinHandle<(Done, Tally)>,
}

impl Hand {
    /// Makes an archive of a path.
    pub(super) fn pack(
        pipe: OwnedFd,
        path: &Path,
        name: Option<&[u8]>,
        links: Links,
    ) -> Result<Self, TransferError> {
        let (path, name) = (path.to_path_buf(), name.unwrap_or_default().to_vec());
        Self::start(Kind::Packs, move |gauge, tally| {
            let source = Source { path: &path, name: &name, links };
            let mut tell = |note| tally.leave_out(note);
            of_tree(tree::pack(source, File::from(pipe), gauge, &mut tell))
        })
    }

    /// Makes files of an archive.
    pub(super) fn unpack(
        pipe: OwnedFd,
        path: &Path,
        name: Option<Vec<u8>>,
        job: &Job,
    ) -> Result<Self, TransferError> {
        let (path, into, rules) = (path.to_path_buf(), job.into, rules(job));
        Self::start(Kind::Unpacks, move |gauge, tally| {
            let target = Target::find(&path, name.as_deref(), into);
            let (stream, mut tell) = (File::from(pipe), |note| tally.leave_out(note));
            of_tree(target.and_then(|to| tree::unpack(stream, &to, rules, gauge, &mut tell)))
        })
    }

    /// Passes our standard input on.
    pub(super) fn read_in(pipe: OwnedFd) -> Result<Self, TransferError> {
        Self::start(Kind::ReadsIn, move |_, _| {
            match of_stream(io::stdin()).and_then(|input| pass(input, File::from(pipe))) {
                Ok(()) | Err(Stop::Write(_)) => Done::Whole(None),
                Err(Stop::Read(error)) => told("standard input cannot be read", &error),
            }
        })
    }

    /// Passes an archive on to our standard output.
    pub(super) fn write_out(pipe: OwnedFd) -> Result<Self, TransferError> {
        Self::start(Kind::WritesOut, move |_, _| {
            let passed = of_stream(io::stdout()).and_then(|output| pass(File::from(pipe), output));
            match passed {
                Ok(()) => Done::Whole(None),
                Err(Stop::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                    Done::Closed
                }
                Err(Stop::Write(error) | Stop::Read(error)) => {
                    told("standard output cannot be written", &error)
                }
            }
        })
    }

    fn start(
        kind: Kind,
        work: impl FnOnce(&Gauge, &mut Tally) -> Done + Send + 'static,
    ) -> Result<Self, TransferError> {
        let gauge = Arc::new(Gauge::default());
        let read = Arc::clone(&gauge);
        let body = move || {
            let mut tally = Tally::default();
            (work(&read, &mut tally), tally)
        };
        let thread = Builder::new().name("cp".into()).spawn(body);
        let thread = thread.map_err(|error| TransferError::Host("start a thread", error))?;
        Ok(Self { kind, gauge, thread })
    }

    /// Tells whether it fills the pipe.
    pub(super) fn fills(&self) -> bool {
        matches!(self.kind, Kind::Packs | Kind::ReadsIn)
    }

    /// Returns how far it is, where it looks inside of what it moves.
    pub(super) fn so_far(&self) -> Option<Totals> {
        matches!(self.kind, Kind::Packs | Kind::Unpacks).then(|| self.gauge.read())
    }

    /// Waits until its work has ended; the other end of the pipe must have been closed.
    pub(super) fn wait(self) -> (Done, Tally) {
        let fault = |_| {
            let note = FileNote::new(NoteKind::Failed, b"", "a thread of msb ended in the middle");
            (Done::Told(note), Tally::default())
        };
        self.thread.join().unwrap_or_else(fault)
    }

    /// Waits until nothing of its work is half done; what may wait for ever is left behind.
    pub(super) fn give_up(self) {
        if matches!(self.kind, Kind::Packs | Kind::Unpacks) {
            drop(self.wait());
        }
    }
}

/// Returns what a guest's archive may make on the host: nothing that leads out of it, and no
/// program that runs as somebody else.
const fn rules(job: &Job) -> Rules {
    Rules {
        owners: job.owners,
        links: LinkRule::Inside,
        file_bits: 0o777,
        folder_bits: match job.owners {
            Owners::Own => 0o777,
            Owners::Kept => 0o1777,
        },
        reserve_bytes: Some(job.reserve_bytes),
    }
}

fn of_tree(done: Result<Totals, FileNote>) -> Done {
    match done {
        Ok(totals) => Done::Whole(Some(totals)),
        Err(note) => Done::Told(note),
    }
}

fn told(why: &str, error: &io::Error) -> Done {
    Done::Told(FileNote::new(NoteKind::Failed, b"-", why).with_errno(error.raw_os_error()))
}

/// Which end of a copy failed.
enum Stop {
    Read(io::Error),
    Write(io::Error),
}

/// Returns one of our streams without the buffer that the library puts before it.
fn of_stream(stream: impl std::os::fd::AsFd) -> Result<File, Stop> {
    stream.as_fd().try_clone_to_owned().map(File::from).map_err(Stop::Read)
}

fn pass(mut from: File, mut to: File) -> Result<(), Stop> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&buffer[..count]).map_err(Stop::Write)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Stop::Read(error)),
        }
    }
}
