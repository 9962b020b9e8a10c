//! How a layer's archive is put together again from a root that has its files.
//!
//! ```text
//! head     what this file is
//! ops      zstd: bytes that are no content as they are, and how much content or how many zeros follow
//! places   zstd: where content lies in the root: from, length, at; sorted, the rest is hidden
//! hidden   zstd: content that no longer shows in the root
//! tail     where these begin
//! ```
//!
//! A second image with the same layer takes it from the root of the first and need not inflate it. What
//! comes out is read like any plain layer and held against the layer's own digest: a recipe is a help
//! and never believed, and whoever could write one could make nobody take another layer for this one.

mod rebuild;
mod record;

pub(crate) use rebuild::{Rebuilt, Run, Runs};
pub use record::Recorded;
pub(crate) use record::{Record, SharedRecord};

/// What a recipe begins and ends with.
const MAGIC: [u8; 8] = *b"msblayr1";
/// The tail: three offsets and the magic.
const TAIL_BYTES: usize = 32;
/// Images of more inodes leave none: the memory of a builder is for the image.
pub const INODES_MAX: usize = 1 << 18;
/// A layer that hides more of its content than this leaves none.
const HIDDEN_BYTES_MAX: u64 = 64 << 20;

/// Bytes as they are.
const LITERAL: u8 = 0;
/// Content, in the order in which it was spooled.
const CONTENT: u8 = 1;
/// Content that is zeros.
const ZEROS: u8 = 2;

/// Where content that was spooled stands in a root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Its first byte in the spool of its layer.
    pub from: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Its first byte in the root.
    pub at: u64,
}
