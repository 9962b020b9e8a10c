//! Commands in the guest: one session each, opened by `Exec`.
//!
//! ```text
//! host  ─ Exec ─▶ guest ─ Started ─▶ data both ways … ─ Exited ─▶ Done
//!                       └ ExecFailed ─▶ Done
//! ```

use minicbor::{Decode, Encode};

use super::boot::EnvVar;

/// What a command reads on its standard input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum StdinMode {
    /// Nothing.
    #[n(0)]
    None,
    /// Data frames of the session.
    #[n(1)]
    Pipe,
}

/// What becomes of a command whose client goes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum OnGone {
    /// It is hung up, and killed 5 s later.
    #[n(0)]
    Kill,
    /// It goes on; its output goes to the log alone.
    #[n(1)]
    Keep,
}

/// A terminal to be made in the guest.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Tty {
    /// Rows.
    #[n(0)]
    pub rows: u16,
    /// Columns.
    #[n(1)]
    pub cols: u16,
    /// The caller's `TERM`.
    #[n(2)]
    pub term: String,
}

/// A limit of a process.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Rlimit {
    /// The resource's name, as in `nofile`.
    #[n(0)]
    pub resource: String,
    /// The soft limit; `None` is unlimited.
    #[n(1)]
    pub soft: Option<u64>,
    /// The hard limit; `None` is unlimited.
    #[n(2)]
    pub hard: Option<u64>,
}

/// See [`Message::Exec`](super::Message::Exec).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exec {
    /// Program and arguments, never empty.
    #[n(0)]
    pub argv: Vec<String>,
    /// Added to the sandbox's environment.
    #[n(1)]
    pub env: Vec<EnvVar>,
    /// The working folder, the sandbox's where absent.
    #[n(2)]
    pub cwd: Option<String>,
    /// `NAME|UID[:GROUP|GID]`, the sandbox's where absent.
    #[n(3)]
    pub user: Option<String>,
    /// A terminal, or none.
    #[n(4)]
    pub tty: Option<Tty>,
    /// What it reads.
    #[n(5)]
    pub stdin: StdinMode,
    /// Its limits, over those of the sandbox.
    #[n(6)]
    pub rlimits: Vec<Rlimit>,
    /// What becomes of it when the client goes.
    #[n(7)]
    pub on_gone: OnGone,
    /// Whether its output is written to the machine's log.
    #[n(8)]
    pub log: bool,
    /// A name for people, as `main`.
    #[n(9)]
    pub name: Option<String>,
}

/// See [`Message::Started`](super::Message::Started).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Started {
    /// The process id in the guest.
    #[n(0)]
    pub pid: u32,
}

/// Why a command could not be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ExecFailure {
    /// No such program.
    #[n(0)]
    NotFound,
    /// It is not a program, or may not be run.
    #[n(1)]
    NotExecutable,
    /// No such user.
    #[n(2)]
    User,
    /// The working folder cannot be used.
    #[n(3)]
    Cwd,
    /// A limit could not be set.
    #[n(4)]
    Limits,
    /// Something else.
    #[n(5)]
    Other,
}

/// See [`Message::ExecFailed`](super::Message::ExecFailed).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ExecFailed {
    /// Why.
    #[n(0)]
    pub kind: ExecFailure,
    /// What the kernel said, zero where it said nothing.
    #[n(1)]
    pub errno: i32,
    /// On what.
    #[n(2)]
    pub detail: String,
}

/// See [`Message::Exited`](super::Message::Exited).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Exited {
    /// The exit code, where it ended by itself.
    #[n(0)]
    pub code: Option<u8>,
    /// The signal that ended it otherwise.
    #[n(1)]
    pub signal: Option<u8>,
    /// Whether it dumped core.
    #[n(2)]
    pub core: bool,
    /// Processor time of it and its children.
    #[n(3)]
    pub cpu_ms: u64,
    /// The largest resident set.
    #[n(4)]
    pub rss_max_bytes: u64,
    /// Set when the kernel killed part of it for memory.
    #[n(5)]
    pub oom: Option<bool>,
}

/// Whom a signal is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum SignalTarget {
    /// Every process of the session.
    #[n(0)]
    Group,
    /// The command itself.
    #[n(1)]
    Leader,
}

/// See [`Message::Signal`](super::Message::Signal).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Signal {
    /// The number.
    #[n(0)]
    pub number: u8,
    /// For whom.
    #[n(1)]
    pub target: SignalTarget,
}

/// See [`Message::Resize`](super::Message::Resize).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Resize {
    /// Rows.
    #[n(0)]
    pub rows: u16,
    /// Columns.
    #[n(1)]
    pub cols: u16,
}
