//! The agent protocol: bytes, frames, messages.
//!
//! ```text
//! bytes ─ frame ─▶ Frame{session, kind, code, payload} ─ message ─▶ Message
//! ```
//!
//! Each layer can be used and tested without the one below; no layer knows a
//! socket. Session 0 belongs to the runtime, every other one to a client.

pub mod boot;
pub mod exec;
pub mod files;
pub mod forward;
pub mod frame;
pub mod generation;
pub mod message;
pub mod relay;
pub mod share;
pub mod stats;

pub use frame::{Decoder, Frame, FrameError, Kind};
pub use message::{DecodeError, Message};

/// The first bytes an agent writes on its channel; the last one is the version of the frame head.
pub const PREAMBLE: [u8; 8] = *b"MSBAGNT\x01";

/// The session that belongs to the runtime.
pub const CONTROL_SESSION: u32 = 0;

/// What a sender may send on a stream of a session before the first grant.
pub const CREDIT_START_BYTES: u32 = 64 * 1024;

/// The most a receiver lets a sender have outstanding on one stream.
pub const CREDIT_BYTES_MAX: u32 = 1024 * 1024;

/// How many sessions a machine holds at once.
pub const SESSIONS_MAX: usize = 512;

/// How many sessions one client of the relay holds at once.
pub const SESSIONS_PER_CLIENT_MAX: usize = 64;

/// The largest boot record.
pub const BOOT_RECORD_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Data stream of a session: standard input towards the guest, standard output (or the terminal) from it.
pub const STREAM_MAIN: u16 = 0;

/// Data stream of a session: standard error from the guest.
pub const STREAM_STDERR: u16 = 1;

/// Returns a boot record in CBOR.
#[must_use]
pub fn encode_boot_record(record: &boot::BootRecord) -> Vec<u8> {
    let mut out = Vec::new();
    minicbor::encode(record, &mut out).expect("a vector takes every byte");
    out
}

/// Returns the boot record that these bytes are.
///
/// # Errors
/// The bytes are something else.
pub fn decode_boot_record(bytes: &[u8]) -> Result<boot::BootRecord, DecodeError> {
    minicbor::decode(bytes)
        .map_err(|error| DecodeError::Payload { code: 0x0002, detail: error.to_string() })
}
