//! A tree of files from one side to another: this host, a sandbox, our own streams.
//!
//! ```text
//! path ── pack ─┐                            ┌─ unpack ── path
//! stdin ─ copy ─┼─▶ a pipe, one archive ─▶ ──┼─ copy ──── stdout
//! session TreeGet ┘                          └ session TreePut
//! ```
//!
//! Sessions are moved by one `poll` on the calling thread, see [`road`]; what
//! reads and writes files or our own streams may wait, and is a thread at the
//! other end of the pipe, see [`hand`]. Nothing is held whole anywhere.

mod hand;
mod line;
mod road;
mod tally;

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::pipe::{PipeFlags, pipe_with};
use schema::wire::files::{BadNote, Destination, FileNote, Links, Owners};
use schema::wire::message::{ExecFailed, Exited, Message, TreeGet, TreePut};
use thiserror::Error;

use self::hand::Hand;
use self::line::Line;
use self::road::Road;
use crate::sessions::relay::{Relay, RelayError};
use crate::sessions::signals::Signals;

pub use self::tally::Tally;

/// How much the pipe between the two sides holds, where the kernel allows it.
const PIPE_BYTES: usize = 1024 * 1024;

/// Where a tree comes from, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Side {
    /// A path of this host.
    Host(PathBuf),
    /// A path of a guest.
    Guest {
        /// The relay's socket.
        socket: PathBuf,
        /// The path, absolute or below the working folder.
        path: Vec<u8>,
    },
    /// An archive on our standard input or output.
    Stream,
}

/// One tree and how it is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// Where it comes from.
    pub from: Side,
    /// Where it goes.
    pub to: Side,
    /// What becomes of links at the source.
    pub links: Links,
    /// Whose the copies are.
    pub owners: Owners,
    /// What the destination is.
    pub into: Destination,
    /// What stays free on a file system of the host that is written to.
    pub reserve_bytes: u64,
}

/// Why a tree was not copied to its end.
#[derive(Debug, Error)]
pub enum TransferError {
    /// One side says so.
    #[error("{}", .0.why)]
    Told(FileNote),
    /// The guest could not begin.
    #[error("the guest cannot copy: {}", .0.detail)]
    Exec(ExecFailed),
    /// What copies in the guest ended without a word.
    #[error("what copies in the guest ended before the tree did")]
    Ended(Exited),
    /// What the guest said of the tree is nothing that an agent says.
    #[error(transparent)]
    Note(#[from] BadNote),
    /// The connection to a guest failed.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The host refused something of ours.
    #[error("cannot {0}")]
    Host(&'static str, #[source] io::Error),
    /// A signal ended it.
    #[error("a signal ended the copy")]
    Signalled(u8),
    /// Whoever read our standard output has gone.
    #[error("nobody reads the archive")]
    Closed,
}

/// How much of a tree has been moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Moved {
    /// Files and links; none where nobody of ours looks inside of what is moved.
    pub files: Option<u64>,
    /// The bytes of the files, or of the stream where nobody looks inside.
    pub bytes: u64,
}

/// Copies one tree; what was copied and what was left out is in `tally`, also where it failed.
///
/// What is caught by `signals` ends it; `watch` hears now and then how far it is.
/// One side at least is a guest's; the command line sees to it.
///
/// # Errors
/// The tree did not come to its end. What had come whole until then stands.
pub fn copy(
    job: &Job,
    tally: &mut Tally,
    signals: &mut Signals,
    watch: &mut dyn FnMut(Moved),
) -> Result<(), TransferError> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)
        .map_err(|errno| TransferError::Host("make a pipe", errno.into()))?;
    // A pipe of the usual size is as good, only slower.
    rustix::pipe::fcntl_setpipe_size(&writer, PIPE_BYTES).ok();
    let name = job.from.name();
    let (mut get, mut put, mut hand) = (None, None, None);
    match &job.from {
        Side::Guest { socket, path } => {
            let message = Message::TreeGet(TreeGet {
                path: path.clone().into(),
                name: name.clone().unwrap_or_default().into(),
                links: job.links,
                user: None,
            });
            get = Some(Line::open(socket, &message, writer)?);
        }
        Side::Host(path) => hand = Some(Hand::pack(writer, path, name.as_deref(), job.links)?),
        Side::Stream => hand = Some(Hand::read_in(writer)?),
    }
    match &job.to {
        Side::Guest { socket, path } => {
            let message = Message::TreePut(TreePut {
                path: path.clone().into(),
                name: name.map(Into::into),
                into: job.into,
                owners: job.owners,
                user: None,
            });
            put = Some(Line::open(socket, &message, reader)?);
        }
        Side::Host(path) => hand = Some(Hand::unpack(reader, path, name, job)?),
        Side::Stream => hand = Some(Hand::write_out(reader)?),
    }
    Road { get, put, hand, signals, watch, moved: Moved::default() }.travel(tally)
}

impl Side {
    /// Returns what the tree is called; empty where only its content is meant, as of `.` or `/`.
    #[must_use]
    pub fn name(&self) -> Option<Vec<u8>> {
        match self {
            Self::Host(path) => Some(last_name(path.as_os_str().as_bytes())),
            Self::Guest { path, .. } => Some(last_name(path)),
            Self::Stream => None,
        }
    }
}

/// Returns the last component of a path, empty where that is no name.
fn last_name(path: &[u8]) -> Vec<u8> {
    let last = path.split(|byte| *byte == b'/').rfind(|part| !part.is_empty());
    let name = last.filter(|part| !matches!(*part, b"." | b".."));
    name.unwrap_or_default().to_vec()
}

/// Connects to a guest.
fn connect(socket: &Path) -> Result<Relay, TransferError> {
    Relay::connect(socket).map_err(TransferError::Relay)
}

#[cfg(test)]
mod tests;
