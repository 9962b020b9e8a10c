//! TCP connections made from inside the guest: one session each, opened by `TcpOpen`.
//!
//! ```text
//! host  ─ TcpOpen ─▶ guest ─ TcpOpened ─▶ data both ways on stream 0 … ─ Done ─▶
//!                          └ TcpFailed ─▶ Done
//! ```
//!
//! The end of stream 0 is the end of that direction of the connection. The session
//! is over when both have ended, or at a reset.

use minicbor::{Decode, Encode};

/// See [`Message::TcpOpen`](super::Message::TcpOpen).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TcpOpen {
    /// The address, as text.
    #[n(0)]
    pub host: String,
    /// The port.
    #[n(1)]
    pub port: u16,
}

/// See [`Message::TcpOpened`](super::Message::TcpOpened).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TcpOpened {
    /// The address and port that answered.
    #[n(0)]
    pub peer: String,
}

/// Why there is no connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum TcpFailure {
    /// Something else, which the detail says.
    #[n(0)]
    Other,
    /// Nobody listens there.
    #[n(1)]
    Refused,
    /// There is no way to there.
    #[n(2)]
    Unreachable,
    /// Nobody answered in time.
    #[n(3)]
    Timeout,
    /// The host is no address.
    #[n(4)]
    Name,
    /// The guest does not allow it.
    #[n(5)]
    Denied,
}

/// See [`Message::TcpFailed`](super::Message::TcpFailed).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TcpFailed {
    /// Why.
    #[n(0)]
    pub kind: TcpFailure,
    /// What the kernel said, zero where it said nothing.
    #[n(1)]
    pub errno: i32,
    /// The same in words.
    #[n(2)]
    pub detail: String,
}
