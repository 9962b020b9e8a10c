//! Where this process's next large mapping comes to lie.

use std::ffi::c_void;
use std::ptr::null_mut;

use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

/// A page of the second level, of x86-64 as of Arm: where guest and host both begin at a multiple of it, one
/// entry maps as much.
const LARGE: usize = 2 << 20;
/// What may be mapped before without taking the place.
const SMALL: usize = 1 << 20;
/// A page of the least kind, or several.
const PAGE: usize = 64 << 10;

/// Has the next mapping of so many bytes begin at a multiple of 2 MiB, where the kernel gives the highest place
/// that is free, as Linux does.
///
/// From 6.7 on it does so by itself, and before only by chance. A page that is never used stays behind.
pub(crate) fn align(bytes: usize) -> io::Result<()> {
    let place = reserve(null_mut(), bytes, MapFlags::empty())?;
    // SAFETY: reserved above, and nobody else knows of it.
    unsafe { munmap(place, bytes) }?;
    // Below the page `bytes` fit, from a multiple on; above it no more than what is small does.
    let Some(begin) = place.addr().checked_sub(SMALL + PAGE) else { return Ok(()) };
    let page = place.with_addr((begin - begin % LARGE).saturating_add(bytes));
    reserve(page, PAGE, MapFlags::FIXED_NOREPLACE).map(drop)
}

/// Takes addresses that nobody has, with nothing behind them.
fn reserve(place: *mut c_void, bytes: usize, how: MapFlags) -> io::Result<*mut c_void> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | how;
    // SAFETY: where the kernel chooses, or where nothing is mapped: what is asked for never replaces anything.
    unsafe { mmap_anonymous(place, bytes, ProtFlags::empty(), flags) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_large_mapping_begins_at_a_multiple_of_two_mebibytes() {
        for mebibytes in [128, 129, 512, 4096] {
            let bytes = mebibytes << 20;
            align(bytes).unwrap();
            let next = |bytes| reserve(null_mut(), bytes, MapFlags::empty()).unwrap();
            let (small, large) = (next(SMALL / 2), next(bytes));
            assert_eq!(large.addr() % LARGE, 0, "{mebibytes} MiB at {large:?}, after {small:?}");
        }
    }
}
