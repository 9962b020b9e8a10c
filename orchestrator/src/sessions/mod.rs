//! Commands in a running machine, over its relay.
//!
//! ```text
//! stdin ─▶ pump ─ data ─▶ relay ─▶ agent        credit flows the other way:
//! stdout ◀─ pump ◀─ data ─ relay ◀─ agent       who consumes, grants
//! ```
//!
//! One thread, one `poll`: [`pump::run`] moves bytes, signals, sizes and
//! deadlines until the command has ended.

pub mod ears;
pub mod keys;
pub mod pump;
pub mod relay;
pub mod signals;
pub mod terminal;

use std::time::Duration;

use schema::wire::message::{Exec, Exited};

/// Where a command's input comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// Our standard input.
    Ours,
    /// Nothing.
    Nothing,
}

/// Where a command's output goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// To our own streams, byte for byte.
    Ours,
    /// Into memory, capped at [`CAPTURE_BYTES_MAX`] each.
    Captured,
    /// To stdout as lines of JSON, as it comes.
    Events,
    /// Nowhere: the log has it.
    Nowhere,
}

/// The most that is captured of each stream.
pub const CAPTURE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long a command that was told to end has before it is killed.
pub const TERM_TO_KILL: Duration = Duration::from_secs(5);

/// What a session is to do.
#[derive(Debug, Clone)]
pub struct Job {
    /// The command.
    pub exec: Exec,
    /// Its input.
    pub input: Input,
    /// Its output.
    pub sink: Sink,
    /// How long it may take.
    pub timeout: Option<Duration>,
    /// The keys that leave a terminal; empty: none.
    pub detach: Vec<u8>,
    /// Return as soon as it runs.
    pub leave: Leave,
}

/// When a session is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// When the command has ended.
    AtTheEnd,
    /// When it has started.
    OnceStarted,
}

/// How a session ended for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The command ended.
    Exited(Exited),
    /// It runs on; its session has this number.
    Left {
        /// The session.
        session: u32,
        /// The process in the guest.
        pid: u32,
    },
    /// It was killed because its time was over; the guest may not have answered even then.
    TimedOut(Option<Exited>),
    /// A signal ended us: three interrupts within two seconds, or one that nobody answered.
    Signalled(u8),
    /// Whoever read our output has gone.
    Closed,
}

/// What was captured, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its session.
    pub session: u32,
    /// How it ended.
    pub end: End,
    /// Standard output, or the terminal's.
    pub stdout: Capture,
    /// Standard error.
    pub stderr: Capture,
}

/// The first bytes of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Capture {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether more came than was kept.
    pub truncated: bool,
}

impl Capture {
    fn push(&mut self, bytes: &[u8]) {
        let room = CAPTURE_BYTES_MAX - self.bytes.len();
        self.truncated |= bytes.len() > room;
        self.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
}

/// Returns the code a shell would report of a command's end.
#[must_use]
pub fn shell_code(exited: &Exited) -> u8 {
    match (exited.code, exited.signal) {
        (Some(code), _) => code,
        (None, Some(signal)) => signal.saturating_add(128),
        (None, None) => 1,
    }
}
