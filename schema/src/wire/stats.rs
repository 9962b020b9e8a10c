//! What a guest says of itself.

use minicbor::{Decode, Encode};

/// See [`super::message::Message::Stats`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Stats {}

/// See [`super::message::Message::StatsReply`]. What the guest cannot tell is absent; what only grows
/// counts from the start of its kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct StatsReply {
    /// Memory that the kernel manages.
    #[n(0)]
    pub memory_total_bytes: Option<u64>,
    /// Memory that programs could have.
    #[n(1)]
    pub memory_available_bytes: Option<u64>,
    /// Read from the machine's disks.
    #[n(2)]
    pub disk_read_bytes: Option<u64>,
    /// Written to the machine's disks.
    #[n(3)]
    pub disk_write_bytes: Option<u64>,
    /// Reads of the machine's disks.
    #[n(4)]
    pub disk_read_ops: Option<u64>,
    /// Writes of the machine's disks.
    #[n(5)]
    pub disk_write_ops: Option<u64>,
}
