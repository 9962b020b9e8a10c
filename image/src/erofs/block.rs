//! Where inodes stand in the metadata: as tight as they fit, none across a
//! block unless it is larger than one.

use std::collections::BTreeSet;

use super::BLOCK;
use super::inode::SLOT_BYTES;

/// Hands out places in the metadata region.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// Blocks with room, as (free bytes, block): the tightest fit comes first.
    open: BTreeSet<(u64, u64)>,
    blocks: u64,
}

impl Places {
    /// Returns the byte, from the start of the region, where `bytes` may stand.
    ///
    /// What fits a block never crosses one. Asking in the same order gives the
    /// same places.
    pub(super) fn take(&mut self, bytes: u64) -> u64 {
        let bytes = bytes.next_multiple_of(SLOT_BYTES);
        if let Some((free, block)) = self.open.range((bytes, 0)..).next().copied() {
            self.open.remove(&(free, block));
            self.keep_open(free - bytes, block);
            return (block + 1) * BLOCK - free;
        }
        let at = self.blocks * BLOCK;
        self.blocks += bytes.div_ceil(BLOCK);
        self.keep_open(self.blocks * BLOCK - at - bytes, self.blocks - 1);
        at
    }

    /// Returns how many blocks the region has.
    pub(super) const fn blocks(&self) -> u64 {
        self.blocks
    }

    fn keep_open(&mut self, free: u64, block: u64) {
        if free >= 2 * SLOT_BYTES {
            self.open.insert((free, block));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_tight_and_do_not_overlap() {
        let mut places = Places::default();
        let sizes: Vec<u64> = (0..2000).map(|n| 64 + (n * 7919) % 4032).chain([9000, 64]).collect();
        let mut taken: Vec<(u64, u64)> =
            sizes.iter().map(|bytes| (places.take(*bytes), *bytes)).collect();
        assert_eq!(taken[0].0, 0);
        for (at, bytes) in &taken {
            let blocks = (at + bytes - 1) / BLOCK - at / BLOCK;
            assert!(blocks == 0 || *bytes > BLOCK, "{at} {bytes}");
        }
        taken.sort_unstable();
        assert!(taken.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0));
        let used: u64 = sizes.iter().sum();
        assert!(
            places.blocks() * BLOCK < used + used / 25,
            "{} for {used}",
            places.blocks() * BLOCK
        );
    }
}
