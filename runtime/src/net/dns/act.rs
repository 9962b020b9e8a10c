//! What the resolver is told, and what it wants done.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// What carries a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// One datagram.
    Udp,
    /// A stream; the caller writes the length before the message.
    Tcp,
}

/// Who asked, as far as the caller must know it to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Asker {
    /// The caller's number for where the answer goes; of no meaning here.
    pub id: u64,
    /// What the question came by.
    pub by: Transport,
    /// Whom the guest asked: the gateway, or a server of its own choice.
    pub to: SocketAddr,
}

/// One question to one server. Each try has a number of its own, and none comes twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub(super) u64);

/// What a server said.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// In which try.
    pub query: QueryId,
    /// Who said it.
    pub server: SocketAddr,
    /// What.
    pub message: &'a [u8],
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Give the guest an answer.
    Answer {
        /// Who asked.
        asker: Asker,
        /// The answer, no longer than it can take.
        message: Vec<u8>,
    },
    /// Ask a server, from a socket of its own with a port that nobody can guess.
    Ask {
        /// The number under which the answer is told.
        query: QueryId,
        /// The server.
        server: SocketAddr,
        /// What carries the question.
        by: Transport,
        /// The question.
        message: Vec<u8>,
    },
    /// Close the socket of a try: nothing it may still hear counts.
    Forget {
        /// The number of the try.
        query: QueryId,
    },
    /// Pin addresses to a name. It always stands before the answer that holds them.
    Pin {
        /// The name that was asked for, in lower case.
        name: String,
        /// The addresses of the answer.
        addresses: Vec<IpAddr>,
        /// How long the answer holds.
        ttl: Duration,
    },
    /// Count this, and tell it where that is wanted.
    Note(Noted),
}

/// Why a server was left for the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It said nothing in its time.
    Silence,
    /// It was not reached, or ended the connection.
    Unreached,
    /// It said that it cannot answer, or what it said makes no sense.
    Failed,
}

/// What happened, for events and counters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noted {
    /// The guest sent what is no question, or one that is not understood.
    Malformed,
    /// The guest asks for what is not answered: another class, another kind.
    Unsupported,
    /// The guest asks more often than it may.
    TooFast,
    /// So many questions are in flight that one was not asked.
    TooMany,
    /// The guest asked for a name that the rules do not allow.
    Denied {
        /// The name.
        name: String,
    },
    /// Addresses were taken out of an answer.
    Rebinding {
        /// The name that was asked for.
        name: String,
        /// What was taken out.
        addresses: Vec<IpAddr>,
        /// Whether nothing was left.
        is_emptied: bool,
    },
    /// Something came that does not fit what was asked: noise, or somebody who guesses.
    Strange {
        /// The server that was asked.
        server: SocketAddr,
    },
    /// A server failed, and rests.
    ServerFailed {
        /// Which one.
        server: SocketAddr,
        /// How.
        loss: Loss,
    },
    /// No server answered in time, or there is none.
    Unanswered {
        /// The name that was asked for.
        name: String,
    },
}

/// How much is held; each has its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Questions in flight, at most 64.
    pub in_flight: usize,
    /// Questions of the guest that wait for those, at most 1,024.
    pub waiting: usize,
    /// Answers that are kept, at most 1,000.
    pub cached: usize,
    /// About how many bytes those occupy, at most 4 MiB.
    pub cached_bytes: usize,
}

/// Where numbers come from that nobody can guess.
pub struct Chance(Box<dyn FnMut() -> u64 + Send>);

impl Chance {
    /// Takes numbers from a function; each must be a new one that nobody can guess.
    pub fn from_fn(next: impl FnMut() -> u64 + Send + 'static) -> Self {
        Self(Box::new(next))
    }

    /// Returns 64 bits.
    pub(super) fn next(&mut self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Chance")
    }
}
