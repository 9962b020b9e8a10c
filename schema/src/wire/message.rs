//! The messages of the agent protocol, generation 1.
//!
//! Each is a CBOR map keyed by small integers. Fields are only ever added,
//! optional, under a new number; a reader skips what it does not know.

use minicbor::{Decode, Encode};
use thiserror::Error;

pub use super::exec::{
    Exec, ExecFailed, ExecFailure, Exited, OnGone, Resize, Rlimit, Signal, SignalTarget, Started,
    StdinMode, Tty,
};
pub use super::files::{TreeGet, TreePut};
pub use super::forward::{TcpFailed, TcpFailure, TcpOpen, TcpOpened};
use super::frame::{Frame, Kind};
pub use super::stats::{Stats, StatsReply};

/// Why a payload is not the message its number says.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// This build does not know the number; the peer is told and life goes on.
    #[error("no message has the number {0:#06x}")]
    UnknownCode(u16),
    /// The payload does not fit the message.
    #[error("message {code:#06x} does not decode: {detail}")]
    Payload {
        /// The message number.
        code: u16,
        /// What the decoder said.
        detail: String,
    },
}

macro_rules! messages {
    ($($(#[$doc:meta])* $name:ident = $code:literal),+ $(,)?) => {
        /// Everything either side may say.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Message {
            $($(#[$doc])* $name($name)),+
        }

        impl Message {
            /// Returns the message's number.
            #[must_use]
            pub const fn code(&self) -> u16 {
                match self { $(Self::$name(_) => $code),+ }
            }

            /// Returns the message in CBOR.
            #[must_use]
            pub fn to_payload(&self) -> Vec<u8> {
                let mut out = Vec::new();
                match self { $(Self::$name(body) => {
                    minicbor::encode(body, &mut out).expect("a vector takes every byte");
                }),+ }
                out
            }

            /// Returns the message with this number and payload.
            ///
            /// # Errors
            /// The number is unknown, or the payload is not this message.
            pub fn decode(code: u16, payload: &[u8]) -> Result<Self, DecodeError> {
                let bad = |error: minicbor::decode::Error| DecodeError::Payload { code, detail: error.to_string() };
                match code {
                    $($code => minicbor::decode(payload).map(Self::$name).map_err(bad),)+
                    _ => Err(DecodeError::UnknownCode(code)),
                }
            }
        }

        $(impl From<$name> for Message {
            fn from(body: $name) -> Self {
                Self::$name(body)
            }
        })+
    };
}

messages! {
    /// The agent's first word.
    Hello = 0x0001,
    /// The runtime's answer; the boot record follows as data of session 0.
    Boot = 0x0002,
    /// A boot step begins.
    BootStep = 0x0003,
    /// A boot step failed; the guest powers off.
    BootFailed = 0x0004,
    /// The guest is up.
    Ready = 0x0005,
    /// Something asked for could not be done; also the payload of a reset.
    Error = 0x0008,
    /// One side has said all it had to say in a session.
    Done = 0x0009,
    /// The host's wall clock.
    ClockSync = 0x000A,
    /// A client of the relay went away.
    ClientGone = 0x000B,
    /// The guest is to shut down.
    Shutdown = 0x000C,
    /// The guest shuts down; new sessions are refused.
    Stopping = 0x000D,
    /// The guest is about to reset; everything is on disk.
    Bye = 0x000E,
    /// What does the guest use?
    Stats = 0x000F,
    /// What the guest uses.
    StatsReply = 0x0010,
    /// Live values change.
    Update = 0x0011,
    /// Live values were changed.
    Updated = 0x0012,
    /// Something happened that nobody asked about.
    Notice = 0x0013,
    /// Run a command; opens a session.
    Exec = 0x0100,
    /// The command runs.
    Started = 0x0101,
    /// The command could not be run.
    ExecFailed = 0x0102,
    /// The command ended.
    Exited = 0x0103,
    /// Send a signal to the command.
    Signal = 0x0104,
    /// The terminal has a new size.
    Resize = 0x0105,
    /// Send a tree of files out of the guest; opens a session.
    TreeGet = 0x0230,
    /// Take a tree of files into the guest; opens a session.
    TreePut = 0x0231,
    /// Connect to an address from inside the guest; opens a session.
    TcpOpen = 0x0300,
    /// The connection stands.
    TcpOpened = 0x0301,
    /// There is no connection.
    TcpFailed = 0x0302,
}

impl Message {
    /// Returns the frame that carries this message in a session.
    #[must_use]
    pub fn to_frame(&self, session: u32) -> Frame {
        let payload = self.to_payload();
        Frame { session, kind: Kind::Message, flags: 0, code: self.code(), payload }
    }
}

impl Frame {
    /// Returns the frame that ends a session with an error.
    #[must_use]
    pub fn reset(session: u32, error: &Error) -> Self {
        let payload = Message::Error(error.clone()).to_payload();
        Self { session, kind: Kind::Reset, flags: 0, code: 0, payload }
    }
}

/// See [`Message::Hello`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Hello {
    /// What the agent can say.
    #[n(0)]
    pub generation: u32,
    /// The agent's version.
    #[n(1)]
    pub version: String,
    /// `x86_64`, `aarch64`.
    #[n(2)]
    pub arch: String,
    /// The guest kernel's release.
    #[n(3)]
    pub kernel: String,
}

/// See [`Message::Boot`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Boot {
    /// What the runtime can say.
    #[n(0)]
    pub generation: u32,
    /// Length of the boot record that follows.
    #[n(1)]
    pub bytes: u32,
}

/// See [`Message::BootStep`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BootStep {
    /// The step that begins.
    #[n(0)]
    pub name: String,
    /// Set where the step does not apply, as most do without a machine.
    #[n(1)]
    pub skipped: Option<bool>,
}

/// See [`Message::BootFailed`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct BootFailed {
    /// The step that failed.
    #[n(0)]
    pub name: String,
    /// What the guest's kernel said, zero where it said nothing.
    #[n(1)]
    pub errno: i32,
    /// What was attempted, on what.
    #[n(2)]
    pub detail: String,
}

/// See [`Message::Ready`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Ready {
    /// The agent's version.
    #[n(0)]
    pub version: String,
    /// What both sides can say.
    #[n(1)]
    pub generation: u32,
    /// Boot steps with the milliseconds each took.
    #[n(2)]
    pub steps: Vec<StepTime>,
    /// The user that sessions get unless they say otherwise.
    #[n(3)]
    pub user: User,
    /// Memory as the guest sees it.
    #[n(4)]
    pub memory_bytes: u64,
    /// The guest kernel's release.
    #[n(5)]
    pub kernel: String,
    /// Kernel options a guest needs and this one lacks.
    #[n(6)]
    pub missing_options: Vec<String>,
    /// Milliseconds the kernel ran before process 1.
    #[n(7)]
    pub kernel_ms: Option<u32>,
}

/// How long a boot step took.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StepTime {
    /// The step.
    #[n(0)]
    pub name: String,
    /// Its milliseconds.
    #[n(1)]
    pub ms: u32,
}

/// A user of the guest, resolved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct User {
    /// The number.
    #[n(0)]
    pub uid: u32,
    /// The group's number.
    #[n(1)]
    pub gid: u32,
    /// The home folder, `/` where there is no entry.
    #[n(2)]
    pub home: String,
    /// The shell.
    #[n(3)]
    pub shell: String,
    /// The name, where there is an entry.
    #[n(4)]
    pub name: Option<String>,
}

/// Why something asked for was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum ErrorCode {
    /// A fault of the agent.
    #[n(0)]
    Internal,
    /// The message number is unknown here.
    #[n(1)]
    Unsupported,
    /// The payload is not what the number says.
    #[n(2)]
    BadMessage,
    /// The session is unknown or in use.
    #[n(3)]
    BadSession,
    /// More was sent than was granted.
    #[n(4)]
    BeyondCredit,
    /// No more sessions.
    #[n(5)]
    TooMany,
    /// No more clients.
    #[n(6)]
    TooManyClients,
    /// The guest is shutting down.
    #[n(7)]
    Stopping,
    /// The agent's channel is gone.
    #[n(8)]
    AgentLost,
    /// The client went away.
    #[n(9)]
    ClientGone,
}

/// See [`Message::Error`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Error {
    /// Why.
    #[n(0)]
    pub code: ErrorCode,
    /// The same in words.
    #[n(1)]
    pub message: String,
    /// What the kernel said.
    #[n(2)]
    pub errno: Option<i32>,
    /// The message number that was refused.
    #[n(3)]
    pub operation: Option<u16>,
}

impl Error {
    /// Returns an error without a kernel's answer.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), errno: None, operation: None }
    }
}

/// See [`Message::Done`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Done {}

/// See [`Message::ClockSync`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClockSync {
    /// Nanoseconds since 1970, as the host has them.
    #[n(0)]
    pub unix_ns: u64,
}

/// See [`Message::ClientGone`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct ClientGone {
    /// The client's slot; its sessions are those of [`super::relay::Welcome::of_slot`].
    #[n(0)]
    pub slot: u32,
}

/// See [`Message::Shutdown`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Shutdown {
    /// How long commands may take to end by themselves.
    #[n(0)]
    pub grace_ms: u32,
    /// Why.
    #[n(1)]
    pub reason: String,
}

/// See [`Message::Stopping`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stopping {
    /// Set when the guest itself asked for it.
    #[n(0)]
    pub from_guest: Option<bool>,
}

/// See [`Message::Bye`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Bye {
    /// Everything was written and every disk was unmounted or made read-only.
    #[n(0)]
    pub flushed: bool,
    /// How many processes did not end within the grace.
    #[n(1)]
    pub killed: u32,
    /// Milliseconds of each stage.
    #[n(2)]
    pub stages: Vec<StepTime>,
}

/// See [`Message::Update`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Update {
    /// How many processors commands may use.
    #[n(0)]
    pub cpus: Option<u32>,
    /// How much memory commands may use.
    #[n(1)]
    pub memory_bytes: Option<u64>,
    /// The environment of sessions from now on.
    #[n(2)]
    pub env: Option<Vec<super::boot::EnvVar>>,
    /// The user of sessions from now on.
    #[n(3)]
    pub user: Option<String>,
    /// The working folder of sessions from now on.
    #[n(4)]
    pub workdir: Option<String>,
}

/// See [`Message::Updated`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Updated {
    /// Names of the fields that now hold.
    #[n(0)]
    pub applied: Vec<String>,
    /// Fields that were refused, with the reason.
    #[n(1)]
    pub refused: Vec<Refused>,
}

/// A field that was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Refused {
    /// The field.
    #[n(0)]
    pub field: String,
    /// Why, with the figure that matters.
    #[n(1)]
    pub why: String,
}

/// See [`Message::Notice`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Notice {
    /// The session whose group the kernel killed for memory.
    #[n(0)]
    pub oom_session: Option<u32>,
    /// A disk, by serial, that the kernel made read-only after an error.
    #[n(1)]
    pub remounted_read_only: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::generation;

    fn there_and_back(message: impl Into<Message>) {
        let message = message.into();
        let decoded = Message::decode(message.code(), &message.to_payload()).unwrap();
        assert_eq!(decoded, message);
        assert!(generation::name(message.code()).is_some(), "{message:?} has no generation");
    }

    #[test]
    fn messages_survive_their_encoding() {
        there_and_back(Ready { version: "0.0.0".into(), generation: 1, ..Ready::default() });
        there_and_back(Error::new(ErrorCode::TooMany, "512 sessions are open"));
        there_and_back(Done {});
        there_and_back(TcpOpen { host: "::1".into(), port: 5432 });
        there_and_back(TcpOpened { peer: "[::1]:5432".into() });
        let (kind, detail) = (TcpFailure::Refused, "connection refused".into());
        there_and_back(TcpFailed { kind, errno: 111, detail });
        there_and_back(Exec {
            argv: vec!["true".into()],
            env: vec![],
            cwd: None,
            user: Some("app".into()),
            tty: Some(Tty { rows: 24, cols: 80, term: "xterm".into() }),
            stdin: StdinMode::Pipe,
            rlimits: vec![Rlimit { resource: "nofile".into(), soft: Some(1), hard: None }],
            on_gone: OnGone::Keep,
            log: true,
            name: None,
        });
    }

    #[test]
    fn rt_11_3_the_numbers_of_a_guests_figures_are_these() {
        assert_eq!(Message::from(Stats {}).to_payload(), [0xa0]);
        let reply = StatsReply {
            memory_total_bytes: Some(1),
            memory_available_bytes: Some(2),
            disk_read_bytes: Some(3),
            disk_write_bytes: None,
            disk_read_ops: Some(5),
            disk_write_ops: Some(6),
        };
        let golden = [0xa5, 0, 1, 1, 2, 2, 3, 4, 5, 5, 6];
        assert_eq!(Message::from(reply.clone()).to_payload(), golden);
        assert_eq!((Message::from(Stats {}).code(), Message::from(reply).code()), (0x0f, 0x10));
        there_and_back(Stats {});
        there_and_back(StatsReply::default());
    }

    #[test]
    fn a_field_of_a_later_generation_is_skipped() {
        // {0: 7, 9: "later"}, where a `Started` of today knows only field 0.
        let later = [0xa2, 0x00, 0x07, 0x09, 0x65, b'l', b'a', b't', b'e', b'r'];
        let decoded = Message::decode(0x0101, &later).unwrap();
        assert_eq!(decoded, Message::Started(Started { pid: 7 }));
    }

    #[test]
    fn an_unknown_number_is_told_from_a_bad_payload() {
        assert!(matches!(Message::decode(0x7777, &[0xa0]), Err(DecodeError::UnknownCode(0x7777))));
        assert!(matches!(Message::decode(0x0101, &[0xff]), Err(DecodeError::Payload { .. })));
    }
}
