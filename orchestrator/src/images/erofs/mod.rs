//! Our own writer of EROFS images, and a reader to hold it against.
//!
//! ```text
//! block 0        superblock at byte 1024, checksummed
//! block 1 …      data: the full blocks of folders, then of files, in tree order
//! block m …      metadata: inodes with their attributes, links and last partial
//!                blocks behind them; the root comes first
//! ```
//!
//! Nothing is compressed, and nothing depends on the host: the same layers
//! give the same bytes. Blocks of zeros are holes.

mod attributes;
mod block;
mod directory;
mod inode;
#[cfg(test)]
pub(crate) mod paths;
mod places;
mod plan;
#[cfg(test)]
mod read;
mod superblock;
mod writer;

pub(crate) use places::places;
pub(crate) use plan::Plan;
pub(crate) use superblock::{SUPERBLOCK_END, check_superblock};
pub(crate) use writer::write;

/// Bytes in a block.
pub(crate) const BLOCK: u64 = 4096;
/// The same, as lengths in memory are counted.
pub(crate) const BLOCK_BYTES: usize = 4096;

/// Which version of this writer made a root; a change of layout raises it.
pub(crate) const WRITER_VERSION: u32 = 1;
