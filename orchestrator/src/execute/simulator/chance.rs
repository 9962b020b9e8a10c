//! Numbers that look random and are given again by their seed.

/// A small generator; the same seed gives the same numbers.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) const fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below `limit`.
    pub(super) fn below(&mut self, limit: u8) -> u8 {
        // The generator is `splitmix64`, whose near seeds give far numbers.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let mixed = (mixed ^ (mixed >> 31)) >> 32;
        u8::try_from(mixed % u64::from(limit.max(1))).unwrap_or(0)
    }

    /// Tells whether something of so many in a hundred happens.
    pub(super) fn percent(&mut self, of_hundred: u8) -> bool {
        self.below(100) < of_hundred
    }
}
