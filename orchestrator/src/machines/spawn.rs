//! Starts a runtime: descriptors over one socket, answers over one pipe.
//!
//! The runtime's standard input is a socket with a single message: the launch
//! record's descriptor and the others, with the numbers they are to have. So
//! nothing has to happen between fork and exec, and this crate needs no
//! unsafe code.

use std::fs::OpenOptions;
use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use rustix::pipe::{PipeFlags, pipe_with};
use schema::failure::Report;
use schema::launch::{BYTES_MAX, CREATOR_DETACHES, StartUp, fd};
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

use super::{Launch, Machine};
use crate::store::atomic;

/// How long a runtime may take until its control socket answers.
const SERVING_MAX: Duration = Duration::from_secs(30);

/// How long a runtime that gave up may take to end.
const ENDING_MAX: Duration = Duration::from_secs(5);

/// The longest line on the start-up pipe that is kept.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// The most descriptors that one message can carry.
const DESCRIPTORS_MAX: usize = 200;

/// A runtime whose control socket answers.
#[derive(Debug)]
pub struct Started {
    /// The machine.
    pub machine: Machine,
    /// The runtime's process id.
    pub pid: u32,
    /// The pipe that keeps an attached machine.
    pub creator: Option<Creator>,
}

/// The pipe that keeps an attached machine: when it is dropped, the machine stops.
#[derive(Debug)]
pub struct Creator(OwnedFd);

impl Creator {
    /// Lets go of the machine, which then lives on.
    ///
    /// # Errors
    /// The machine has ended already.
    pub fn detach(self) -> io::Result<()> {
        rustix::io::write(&self.0, &[CREATOR_DETACHES])?;
        Ok(())
    }
}

/// Why a runtime did not come to serve.
#[derive(Debug, Error)]
pub enum SpawnError {
    /// Something that it is started with could not be made.
    #[error("cannot make {what} of the machine")]
    Make {
        /// What.
        what: &'static str,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// A file of the machine could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The launch record is too large.
    #[error("the launch record has {0} bytes, more than a machine may be told")]
    TooLarge(usize),
    /// The program could not be started.
    #[error("cannot start {}", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The runtime said why it gave up.
    #[error("{}", .0.message)]
    Told(Box<Report>),
    /// The runtime ended without a word.
    #[error("the runtime ended before its machine came to be")]
    Silent,
    /// The runtime did not serve in time.
    #[error("the runtime does not answer after {} s", SERVING_MAX.as_secs())]
    Slow,
}

impl SpawnError {
    /// Returns the failure as it is told, with the end of the runtime's log where that is all there is.
    #[must_use]
    pub fn report(&self, log: &Path) -> Report {
        match self {
            Self::Told(report) => (**report).clone(),
            Self::Silent | Self::Slow => {
                let mut report = Report::of("msb::boot::failed", "driver", self);
                let mut lines = last_lines(log);
                // What it said last is why, as far as anybody can tell.
                report.causes.extend(lines.pop());
                report.notes.extend(lines);
                report
            }
            _ => Report::of("msb::boot::failed", "driver", self),
        }
    }
}

/// The last lines of a log, as notes.
fn last_lines(log: &Path) -> Vec<String> {
    let text = std::fs::read(log).unwrap_or_default();
    let tail = text.len().saturating_sub(4096);
    let text = String::from_utf8_lossy(&text[tail..]).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().rev().take(5).rev().map(|line| (*line).to_owned()).collect()
}

/// Starts `program` as the runtime of a machine and waits until it serves.
///
/// # Errors
/// Nothing of the machine lives.
pub async fn spawn(program: &Path, launch: Launch, home: &Path) -> Result<Started, SpawnError> {
    let made = |what| move |source| SpawnError::Make { what, source };
    let bytes = serde_json::to_vec(&launch.record)
        .map_err(|error| SpawnError::Make { what: "the launch record", source: error.into() })?;
    if bytes.len() > BYTES_MAX {
        return Err(SpawnError::TooLarge(bytes.len()));
    }
    let record = sealed(&bytes).map_err(made("the launch record"))?;
    let path = launch.folder.file("launch");
    atomic::write(&path, &bytes).map_err(|source| SpawnError::Write { path, source })?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let folder = rustix::fs::open(launch.folder.path(), flags, Mode::empty())
        .map_err(|errno| made("the folder")(errno.into()))?;
    let pipe = |what| pipe_with(PipeFlags::CLOEXEC).map_err(|errno| made(what)(errno.into()));
    let (values_read, values_write) = pipe("the pipe of values")?;
    let (startup_read, startup_write) = pipe("the start-up pipe")?;
    let (creator_read, creator) = if launch.record.attached {
        let (read, write) = pipe("the creator pipe")?;
        (read, Some(Creator(write)))
    } else {
        let null = OpenOptions::new().read(true).open("/dev/null").map_err(made("/dev/null"))?;
        (null.into(), None)
    };
    let mut numbered = vec![
        (fd::LAUNCH, record.as_fd()),
        (fd::VALUES, values_read.as_fd()),
        (fd::STARTUP, startup_write.as_fd()),
        (fd::CREATOR, creator_read.as_fd()),
        (fd::FOLDER, folder.as_fd()),
    ];
    let resources = launch.record.resources.iter().map(|resource| resource.fd);
    numbered.extend(resources.zip(launch.resources.iter().map(|open| open.as_fd())));
    let mut child = start(program, &launch, home, &numbered)?;
    // Our own ends go, so that the runtime's death closes each pipe.
    drop(numbered);
    drop((values_read, startup_write, creator_read));
    let machine = Machine::new(
        launch.folder.clone(),
        launch.record.machine.id.clone(),
        launch.record.nonce.clone(),
    );
    let pid = child.id().unwrap_or_default();
    let talk = talk(values_write, packed(launch.values), startup_read);
    match tokio::time::timeout(SERVING_MAX, talk).await {
        Ok(Ok(())) => Ok(Started { machine, pid, creator }),
        Ok(Err(error)) => {
            // It ends by itself, as a rule; one that only cannot speak must not live on unknown.
            if tokio::time::timeout(ENDING_MAX, child.wait()).await.is_err() {
                drop(child.kill().await);
            }
            Err(error)
        }
        Err(_) => {
            drop(child.kill().await);
            Err(SpawnError::Slow)
        }
    }
}

fn sealed(bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = std::fs::File::from(rustix::fs::memfd_create("msb-launch", flags)?);
    file.write_all(bytes)?;
    io::Seek::rewind(&mut file)?;
    let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    rustix::fs::fcntl_add_seals(&file, seals)?;
    Ok(file.into())
}

/// Starts the program and hands it its descriptors.
fn start(
    program: &Path,
    launch: &Launch,
    home: &Path,
    numbered: &[(i32, BorrowedFd<'_>)],
) -> Result<tokio::process::Child, SpawnError> {
    let failed = |source| SpawnError::Start { program: program.to_owned(), source };
    let (ours, theirs) = UnixStream::pair().map_err(failed)?;
    let log = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(launch.folder.runtime_log())
        .map_err(failed)?;
    let mut command = tokio::process::Command::new(program);
    command
        .env_clear()
        .envs(launch.environment.iter().map(|(key, value)| (key, value)))
        .env("MSB_HOME", home)
        .current_dir("/")
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::null())
        .stderr(log);
    let child = command.spawn().map_err(failed)?;
    // The command holds the other end of the socket; without it our message has one reader.
    drop(command);
    hand_over(&ours, numbered).map_err(failed)?;
    Ok(child)
}

fn hand_over(socket: &UnixStream, numbered: &[(i32, BorrowedFd<'_>)]) -> io::Result<()> {
    if numbered.len() > DESCRIPTORS_MAX {
        return Err(io::Error::other("too many descriptors for one machine"));
    }
    let numbers: Vec<i32> = numbered.iter().map(|(number, _)| *number).collect();
    let open: Vec<BorrowedFd<'_>> = numbered.iter().map(|(_, open)| *open).collect();
    let message = serde_json::to_vec(&numbers)?;
    let mut space = vec![MaybeUninit::uninit(); SendAncillaryMessage::ScmRights(&open).size()];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&open)) {
        return Err(io::Error::other("the descriptors do not fit one message"));
    }
    let iov = [IoSlice::new(&message)];
    rustix::net::sendmsg(socket, &iov, &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Returns values as they go through their pipe, which holds less than they may be.
fn packed(values: Vec<(String, Vec<u8>)>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in values {
        let (Ok(name_bytes), Ok(value_bytes)) =
            (u16::try_from(name.len()), u32::try_from(value.len()))
        else {
            continue;
        };
        bytes.extend(name_bytes.to_be_bytes());
        bytes.extend(name.as_bytes());
        bytes.extend(value_bytes.to_be_bytes());
        bytes.extend(value);
    }
    bytes
}

/// Writes the values and reads the start-up pipe, both at once.
async fn talk(values: OwnedFd, bytes: Vec<u8>, startup: OwnedFd) -> Result<(), SpawnError> {
    let made = |source| SpawnError::Make { what: "the pipe of values", source };
    let mut pipe = tokio::net::unix::pipe::Sender::from_owned_fd(values).map_err(made)?;
    let written = async move {
        // A reader that dies makes this fail, and is reported by the start-up pipe.
        drop(pipe.write_all(&bytes).await);
        drop(pipe);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        served = serving(startup) => served,
        () = written => unreachable!("it is pending for ever"),
    }
}

/// Reads the start-up pipe until the runtime serves or says why it does not.
async fn serving(pipe: OwnedFd) -> Result<(), SpawnError> {
    use tokio::io::AsyncReadExt as _;
    let broken = |source| SpawnError::Make { what: "the start-up pipe", source };
    let pipe = tokio::net::unix::pipe::Receiver::from_owned_fd(pipe).map_err(broken)?;
    let mut lines = BufReader::new(pipe.take(LINE_BYTES_MAX)).lines();
    while let Some(line) = lines.next_line().await.map_err(broken)? {
        match serde_json::from_str(&line) {
            Ok(StartUp::Leased { .. }) => {}
            Ok(StartUp::Serving) => return Ok(()),
            Ok(StartUp::Failed { error }) => return Err(SpawnError::Told(Box::new(error))),
            Err(error) => return Err(broken(error.into())),
        }
    }
    Err(SpawnError::Silent)
}
