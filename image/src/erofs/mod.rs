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
pub mod paths;
mod places;
mod plan;
pub mod read;
mod superblock;
mod writer;

pub use places::places;
pub use plan::Plan;
pub use superblock::{SUPERBLOCK_END, check_superblock};
pub use writer::write;

/// Bytes in a block.
pub const BLOCK: u64 = 4096;
/// The same, as lengths in memory are counted.
pub const BLOCK_BYTES: usize = 4096;

/// Which version of this writer made a root; a change of layout raises it.
pub const WRITER_VERSION: u32 = 1;
