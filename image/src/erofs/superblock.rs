//! The superblock: where things are, and a checksum over it.

use super::BLOCK_BYTES;

const MAGIC: u32 = 0xe0f5_e1e2;
/// Where the superblock begins.
const OFFSET: usize = 1024;
/// The end of what the checksum covers, and of block 0.
pub const SUPERBLOCK_END: usize = BLOCK_BYTES;
/// A checksum is present.
const COMPAT_CHECKSUM: u32 = 1;
/// Times of inodes are changes of content.
const COMPAT_MTIME: u32 = 2;

/// What the superblock says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Superblock {
    /// The number of the root inode.
    pub root: u16,
    /// How many inodes there are.
    pub inodes: u64,
    /// How many blocks the image has.
    pub blocks: u32,
    /// The first block of metadata.
    pub meta_block: u32,
    /// What tells images apart.
    pub uuid: [u8; 16],
}

impl Superblock {
    /// Returns block 0.
    pub(super) fn encode(&self) -> [u8; SUPERBLOCK_END] {
        let mut block = [0; SUPERBLOCK_END];
        let mut put = |at: usize, field: &[u8]| {
            block[OFFSET + at..OFFSET + at + field.len()].copy_from_slice(field);
        };
        put(0, &MAGIC.to_le_bytes());
        put(8, &(COMPAT_CHECKSUM | COMPAT_MTIME).to_le_bytes());
        put(12, &[12]);
        put(14, &self.root.to_le_bytes());
        put(16, &self.inodes.to_le_bytes());
        put(36, &self.blocks.to_le_bytes());
        put(40, &self.meta_block.to_le_bytes());
        put(48, &self.uuid);
        let sum = checksum(&block[OFFSET..]);
        block[OFFSET + 4..OFFSET + 8].copy_from_slice(&sum.to_le_bytes());
        block
    }
}

/// Returns the number of blocks that block 0 of an image speaks of, if its
/// checksum is right.
pub fn check_superblock(block: &[u8; SUPERBLOCK_END]) -> Option<u32> {
    let word = |at: usize| {
        let field = block.get(OFFSET + at..OFFSET + at + 4)?;
        Some(u32::from_le_bytes(field.try_into().ok()?))
    };
    let mut copy = *block;
    copy[OFFSET + 4..OFFSET + 8].fill(0);
    let is_right = word(0)? == MAGIC && word(4)? == checksum(&copy[OFFSET..]);
    if is_right { word(36) } else { None }
}

/// EROFS leaves out the inversion that usually ends a CRC32C.
fn checksum(bytes: &[u8]) -> u32 {
    !crc32c::crc32c(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_superblock_is_noticed() {
        let uuid = [7; 16];
        let block = Superblock { root: 2, inodes: 1, blocks: 9, meta_block: 8, uuid }.encode();
        assert_eq!(check_superblock(&block), Some(9));
        for at in [1024, 1030, 1060, 4095] {
            let mut changed = block;
            changed[at] ^= 1;
            assert_eq!(check_superblock(&changed), None, "byte {at}");
        }
    }
}
