//! Who speaks with QEMU while its machine runs.
//!
//! ```text
//! greeting ─ qmp_capabilities ─ query-version ─▶ listening ─ quit ─▶ end of file
//! ```
//!
//! One task owns the socket. What it hears becomes a [`Notice`]; it is asked to make QEMU end, and
//! for the counters of [`super::count`], one question after the other. A QEMU that does not answer
//! those is not asked again until it does, and nothing else waits for it.

use std::io;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::count::Count;
use super::qmp::{self, Event, Incoming, Lines, VERSION_MIN};
use crate::hypervisor::{CounterLine, Counters, DriverError, Monitor, Notice};

/// Notices that wait to be read; a guest that causes more loses the later ones.
const NOTICES_MAX: usize = 16;

const READ_BYTES: usize = 8 * 1024;

/// How long the guest goes on telling of its memory after somebody asked.
const POLLED_FOR: Duration = Duration::from_secs(10);

/// The runtime's side of the conversation.
#[derive(Debug)]
pub(super) struct Qmp {
    quit: mpsc::Sender<()>,
    counters: CounterLine,
}

impl Monitor for Qmp {
    fn counters(&self) -> Option<CounterLine> {
        Some(self.counters.clone())
    }

    fn quit(&mut self) {
        // A full queue means it was asked already, a closed one that QEMU is gone.
        self.quit.try_send(()).ok();
    }
}

/// Begins the conversation on a socket, in a task of its own.
///
/// # Errors
/// The socket cannot be watched.
pub(super) fn listen(
    socket: UnixStream,
    patience: Duration,
    pid: u32,
) -> Result<(Qmp, mpsc::Receiver<Notice>), DriverError> {
    let failed = |source| DriverError::Prepare { what: "the socket to QEMU".into(), source };
    socket.set_nonblocking(true).map_err(failed)?;
    let socket = tokio::net::UnixStream::from_std(socket).map_err(failed)?;
    let (notice, notices) = mpsc::channel(NOTICES_MAX);
    let (quit, asked) = mpsc::channel(1);
    let (counters, wanted) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut conversation = Conversation::new(socket, notice, pid);
        if let Err(error) = conversation.hold((asked, wanted), patience).await {
            tracing::warn!(target: "vmm", "{error}");
            conversation.tell(Notice::Unusable { why: error.to_string() });
        }
    });
    Ok((Qmp { quit, counters: CounterLine { ask: counters, tells_disks: true } }, notices))
}

struct Conversation {
    socket: tokio::net::UnixStream,
    lines: Lines,
    asked: u64,
    notice: mpsc::Sender<Notice>,
    /// Its process.
    pid: u32,
}

impl Conversation {
    fn new(socket: tokio::net::UnixStream, notice: mpsc::Sender<Notice>, pid: u32) -> Self {
        Self { socket, lines: Lines::default(), asked: 0, notice, pid }
    }

    /// Speaks from the greeting to the end of QEMU, which is no error.
    async fn hold(
        &mut self,
        (mut asked, mut wanted): (mpsc::Receiver<()>, mpsc::Receiver<oneshot::Sender<Counters>>),
        patience: Duration,
    ) -> Result<(), DriverError> {
        match timeout(patience, self.greet()).await {
            Err(_) => return Err(DriverError::Deadline { stage: "the greeting of QEMU" }),
            Ok(Err(Broken::Gone)) => return Ok(()),
            Ok(done) => done?,
        }
        let mut may_quit = true;
        let mut count = Count::of(self.pid);
        loop {
            let is_polled = count.is_polled();
            tokio::select! {
                heard = self.next() => match heard {
                    Ok(Incoming::Event(event)) => self.report(event),
                    Ok(Incoming::Returned { id, value }) if id == self.asked => {
                        count.hear(&value);
                        self.go_on(&mut count).await?;
                    }
                    Ok(Incoming::Refused { id: Some(id), .. }) if id == self.asked => {
                        count.hear(&Value::Null);
                        self.go_on(&mut count).await?;
                    }
                    Ok(_) => {}
                    Err(Broken::Gone) => return Ok(()),
                    Err(broken) => return Err(broken.into()),
                },
                wish = asked.recv(), if may_quit => {
                    may_quit = false;
                    if wish.is_some() && self.say("quit", &Value::Null).await.is_err() {
                        return Ok(());
                    }
                }
                Some(question) = wanted.recv(), if may_quit && count.is_idle() => {
                    count.begin(question);
                    self.go_on(&mut count).await?;
                }
                () = tokio::time::sleep(POLLED_FOR), if is_polled && count.is_idle() => {
                    count.rest();
                    self.go_on(&mut count).await?;
                }
            }
        }
    }

    /// Asks what is next in a count; a QEMU that is gone says so by itself.
    async fn go_on(&mut self, count: &mut Count) -> Result<(), DriverError> {
        let Some((command, arguments)) = count.next() else { return Ok(()) };
        match self.say(command, &arguments).await {
            Ok(()) | Err(Broken::Gone) => Ok(()),
            Err(broken) => Err(broken.into()),
        }
    }

    async fn greet(&mut self) -> Result<(), Broken> {
        match self.next().await? {
            Incoming::Greeting => {}
            other => return Err(Broken::strange(&other)),
        }
        self.ask("qmp_capabilities").await?;
        let answer = self.ask("query-version").await?;
        match qmp::version(&answer) {
            Some(version) if version >= VERSION_MIN => Ok(()),
            version => Err(Broken::TooOld(version)),
        }
    }

    /// Carries out one command; events that come in between are reported.
    async fn ask(&mut self, command: &'static str) -> Result<Value, Broken> {
        self.say(command, &Value::Null).await?;
        loop {
            match self.next().await? {
                Incoming::Returned { id, value } if id == self.asked => return Ok(value),
                Incoming::Refused { id: Some(id), why } if id == self.asked => {
                    return Err(Broken::Refused { command, why });
                }
                Incoming::Event(event) => self.report(event),
                other => return Err(Broken::strange(&other)),
            }
        }
    }

    async fn say(&mut self, command: &str, arguments: &Value) -> Result<(), Broken> {
        self.asked += 1;
        let line = qmp::command_line(self.asked, command, arguments);
        Ok(self.socket.write_all(&line).await?)
    }

    /// Returns what QEMU says next; may be dropped at any await without losing anything.
    async fn next(&mut self) -> Result<Incoming, Broken> {
        loop {
            if let Some(line) = self.lines.next_line()? {
                return Ok(Incoming::parse(&line)?);
            }
            let mut chunk = [0; READ_BYTES];
            match self.socket.read(&mut chunk).await? {
                0 => return Err(Broken::Gone),
                count => self.lines.push(&chunk[..count]),
            }
        }
    }

    fn report(&self, event: Event) {
        match event {
            Event::Shutdown(reason) => {
                tracing::debug!(target: "vmm", "the machine shuts down: {reason}");
                self.tell(Notice::GuestEnded);
            }
            Event::Reset | Event::GuestPanicked => self.tell(Notice::GuestEnded),
            Event::BlockIoError { serial, no_space } => {
                let detail = if no_space { "ENOSPC" } else { "EIO" }.to_owned();
                self.tell(Notice::DiskError { serial, detail });
            }
            Event::Other(_) => {}
        }
    }

    fn tell(&self, notice: Notice) {
        // Full: the reader is behind on a flood; closed: nobody wants to know.
        self.notice.try_send(notice).ok();
    }
}

/// Why a conversation went no further.
#[derive(Debug)]
enum Broken {
    /// QEMU is gone, as it is at the end of every machine.
    Gone,
    TooOld(Option<(u64, u64)>),
    Refused {
        command: &'static str,
        why: String,
    },
    Strange(String),
}

impl Broken {
    fn strange(said: &Incoming) -> Self {
        Self::Strange(format!("QEMU answered something else than was asked: {said:?}"))
    }
}

impl From<qmp::QmpError> for Broken {
    fn from(error: qmp::QmpError) -> Self {
        Self::Strange(error.to_string())
    }
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Self::Gone,
            _ => Self::Strange(format!("the socket to QEMU failed: {error}")),
        }
    }
}

impl From<Broken> for DriverError {
    fn from(broken: Broken) -> Self {
        let (major, minor) = VERSION_MIN;
        match broken {
            Broken::Gone => Self::Lost { end: "it closed its socket".into() },
            Broken::TooOld(version) => Self::NotUsable {
                why: match version {
                    Some((have, point)) => format!("this is QEMU {have}.{point}"),
                    None => "QEMU does not tell its version".into(),
                },
                hint: format!("Install QEMU {major}.{minor} or newer."),
            },
            Broken::Refused { command, why } => Self::Refused { call: command.into(), detail: why },
            Broken::Strange(detail) => Self::Refused { call: "qmp".into(), detail },
        }
    }
}
