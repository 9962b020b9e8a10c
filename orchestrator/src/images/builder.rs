//! The child that turns layers into one root image: it confines itself first,
//! then reads what strangers wrote.
//!
//! The program that runs it calls [`main`] when it was started with
//! [`ARGUMENT`]; nothing else may have happened in the process before.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};

use image::digest::Digest;
use image::erofs;
use image::layers::{Layer, LayersError, contents, merge_layers};
use image::recipe::{INODES_MAX, Recorded};
use image::tree::Tree;
use thiserror::Error;

use super::confine::confine;
use super::job::{self, Answer, Job, JobLayer};

/// The hidden first argument that makes a program the builder.
pub const ARGUMENT: &str = "__build-root";

/// How the builder is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Builder {
    /// The program that calls [`main`].
    pub program: PathBuf,
    /// What it is told.
    pub arguments: Vec<OsString>,
}

/// Why there is no root image.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The child could not be started.
    #[error("cannot start the builder {}", program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The child did not take its work.
    #[error("cannot talk to the builder")]
    Talk(#[source] io::Error),
    /// A layer is not what its digest says.
    #[error("{0}")]
    Damaged(String),
    /// A layer is broken or not allowed.
    #[error("{0}")]
    Refused(String),
    /// The host did not let the child finish.
    #[error("{0}")]
    Failed(String),
    /// The child died.
    #[error("the builder ended without an answer: {0}")]
    Ended(String),
}

/// What a build gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Built {
    /// The size of the image.
    pub(crate) bytes: u64,
    /// How many attributes were left out.
    pub(crate) dropped_xattrs: u64,
}

impl Builder {
    /// Returns the builder that is part of the running program.
    ///
    /// # Errors
    /// The path of the running program is unknown.
    pub fn of_this_program() -> io::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, arguments: vec![ARGUMENT.into()] })
    }

    /// Builds the image of `layers` into the empty file `out`, in a child.
    pub(crate) fn build(
        &self,
        layers: &[Layer],
        out: &File,
        uuid: [u8; 16],
    ) -> Result<Built, BuildError> {
        let (ours, theirs) = UnixStream::pair().map_err(BuildError::Talk)?;
        let mut child = Command::new(&self.program)
            .args(&self.arguments)
            .env_clear()
            .stdin(OwnedFd::from(theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|source| BuildError::Start { program: self.program.clone(), source })?;
        let answer = ask(&ours, layers, out, uuid);
        // A builder that was not told its work waits for it until nobody is there to tell it.
        drop(ours);
        let (status, last_words) = wait(&mut child).map_err(BuildError::Talk)?;
        match answer.map_err(BuildError::Talk) {
            Ok(Some(Answer::Built { bytes, dropped_xattrs })) => {
                Ok(Built { bytes, dropped_xattrs })
            }
            Ok(Some(Answer::Damaged(why))) => Err(BuildError::Damaged(why)),
            Ok(Some(Answer::Refused(why))) => Err(BuildError::Refused(why)),
            Ok(Some(Answer::Failed(why))) => Err(BuildError::Failed(why)),
            Ok(None) => Err(BuildError::Ended(describe(status, &last_words))),
            Err(error) if status.success() || !hung_up(&error) => Err(error),
            Err(_) => Err(BuildError::Ended(describe(status, &last_words))),
        }
    }
}

/// Tells whether the builder was gone before it was told its work, or before it answered.
fn hung_up(error: &BuildError) -> bool {
    let BuildError::Talk(error) = error else { return false };
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

fn ask(
    mut socket: &UnixStream,
    layers: &[Layer],
    out: &File,
    uuid: [u8; 16],
) -> io::Result<Option<Answer>> {
    let mut stored_bytes = 0;
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![out.as_fd()];
    let mut described = Vec::new();
    for layer in layers {
        stored_bytes += layer.blob.metadata()?.len();
        descriptors.extend([layer.blob.as_fd(), layer.spool.as_fd(), layer.recipe.as_fd()]);
        described.push(JobLayer {
            is_rebuilt: layer.is_rebuilt,
            digest: layer.digest.as_ref().map(Digest::to_string),
            diff_id: layer.diff_id.as_ref().map(Digest::to_string),
        });
    }
    job::send(socket, &Job { layers: described, stored_bytes, uuid }, &descriptors)?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer)?;
    if answer.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_slice(&answer)?)) }
}

fn wait(child: &mut Child) -> io::Result<(ExitStatus, String)> {
    let mut last_words = Vec::new();
    if let Some(stderr) = &mut child.stderr {
        stderr.take(4096).read_to_end(&mut last_words)?;
    }
    Ok((child.wait()?, String::from_utf8_lossy(&last_words).trim().replace('\n', "; ")))
}

fn describe(status: ExitStatus, last_words: &str) -> String {
    let how = match status.signal() {
        Some(6) => "it needed more memory than an image may take".to_owned(),
        Some(24) => "it needed more processor time than an image of this size may take".to_owned(),
        Some(25) => "the root image would be larger than 128 GiB".to_owned(),
        Some(signal) => format!("it was ended by signal {signal}"),
        None => status.to_string(),
    };
    if last_words.is_empty() { how } else { format!("{how} ({last_words})") }
}

/// Does the builder's work: a job on standard input, the answer back the same way.
#[must_use]
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (job, descriptors) = job::receive(&socket)?;
    confine(job.stored_bytes)?;
    let answer = match build(job, descriptors) {
        Ok(built) => Answer::Built { bytes: built.bytes, dropped_xattrs: built.dropped_xattrs },
        Err(answer) => answer,
    };
    (&socket).write_all(&serde_json::to_vec(&answer)?)
}

fn build(job: Job, descriptors: Vec<OwnedFd>) -> Result<Built, Answer> {
    let unclear = || Answer::Failed("the job is not understood".to_owned());
    let mut files = descriptors.into_iter().map(File::from);
    let mut next = || files.next().ok_or_else(unclear);
    let out = next()?;
    let mut layers = Vec::new();
    for layer in job.layers {
        let digest = |text: Option<String>| match text {
            Some(text) => Digest::parse(&text).map(Some).ok_or_else(unclear),
            None => Ok(None),
        };
        layers.push(Layer {
            blob: next()?,
            spool: next()?,
            recipe: next()?,
            is_rebuilt: layer.is_rebuilt,
            digest: digest(layer.digest)?,
            diff_id: digest(layer.diff_id)?,
        });
    }
    let merged = merge_layers(&layers).map_err(|error| answer_of(&error))?;
    let failed = |error: &dyn std::error::Error| Answer::Failed(chain(error));
    let spools = contents(&layers).map_err(|error| failed(&error))?;
    let (bytes, plan) =
        erofs::write(&merged.tree, &spools, &out, job.uuid).map_err(|error| failed(&error))?;
    leave_recipes(&layers, merged.recorded, (&merged.tree, &plan));
    // There is no point in tidying up memory that the kernel takes back at once.
    std::mem::forget(merged.tree);
    Ok(Built { bytes, dropped_xattrs: merged.dropped.xattrs })
}

/// Ends the recipes of layers, or leaves their files empty.
fn leave_recipes(
    layers: &[Layer],
    recorded: BTreeMap<usize, Recorded>,
    (tree, plan): (&Tree, &erofs::Plan),
) {
    for (index, recorded) in recorded {
        let spool = u16::try_from(index).ok().filter(|_| tree.inode_count() <= INODES_MAX);
        match spool {
            Some(spool) => {
                recorded.complete(&erofs::places(tree, plan, spool), &layers[index].spool);
            }
            None => recorded.abandon(),
        }
    }
}

fn answer_of(error: &LayersError) -> Answer {
    match error {
        LayersError::Digest { .. } => Answer::Damaged(chain(error)),
        _ => Answer::Refused(chain(error)),
    }
}

/// Returns an error and its causes as one line; only text can leave this process.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
