//! Numbers that look random and are given again by their seed.

use std::process::Command;

use crate::programs::checkout;

/// The variable that gives a seed again.
pub const SEED: &str = "MSB_SEED";

/// A small generator; the same seed gives the same numbers.
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// Begins at a seed.
    pub fn of(seed: u64) -> Self {
        // Near seeds give far numbers; zero would give zeros.
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Returns a number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of this generator are its worst.
        usize::try_from((self.0 >> 16) % u64::try_from(limit.max(1)).unwrap_or(1)).unwrap_or(0)
    }

    /// Brings things into another order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.below(last + 1));
        }
    }
}

/// Returns the seed of this run: what `MSB_SEED` says, else one that the commit gives.
pub fn seed() -> u64 {
    let given = std::env::var_os(SEED).and_then(|seed| seed.to_str()?.parse().ok());
    given.unwrap_or_else(of_commit)
}

/// The same commit walks the same share, and each commit another.
fn of_commit() -> u64 {
    let git = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(checkout()).output();
    let text = git.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let digits = text.unwrap_or_default();
    digits.get(..8).and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_order_and_another_seed_another() {
        let order = |seed| {
            let mut things: Vec<u32> = (0..50).collect();
            Chance::of(seed).shuffle(&mut things);
            things
        };
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    }
}
