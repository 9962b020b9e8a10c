//! Numbers in a file that several processes have mapped.

use std::fs::File;
use std::io;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

/// As many numbers at the start of a mapped file.
#[derive(Debug)]
pub(crate) struct Words<const N: usize> {
    words: NonNull<[AtomicU64; N]>,
}

// SAFETY: what is pointed to is atomic and stays mapped until `drop`.
unsafe impl<const N: usize> Send for Words<N> {}
// SAFETY: as above; every access is atomic.
unsafe impl<const N: usize> Sync for Words<N> {}

impl<const N: usize> Words<N> {
    /// How long the file is.
    pub(crate) const BYTES: usize = size_of::<[AtomicU64; N]>();

    /// Maps a file, which is at least [`Words::BYTES`] long and never becomes shorter.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, and nothing else of ours is there.
        let place = unsafe {
            mmap(std::ptr::null_mut(), Self::BYTES, protection, MapFlags::SHARED, file, 0)
        }?;
        let words = NonNull::new(place.cast()).ok_or_else(|| io::Error::other("mapped at zero"))?;
        Ok(Self { words })
    }

    /// Returns the numbers, which others may change at any time.
    pub(crate) fn get(&self) -> &[AtomicU64; N] {
        // SAFETY: mapped at a page's start, as long as the words, until `drop`; atomic for everybody.
        unsafe { self.words.as_ref() }
    }
}

impl<const N: usize> Drop for Words<N> {
    fn drop(&mut self) {
        // SAFETY: mapped by `map` with this length; nobody borrows from a value that is dropped.
        let unmapped = unsafe { rustix::mm::munmap(self.words.as_ptr().cast(), Self::BYTES) };
        unmapped.ok();
    }
}

/// Two figures of a folder and their limit.
#[derive(Debug)]
pub(crate) struct Counters(Words<3>);

impl Counters {
    /// How long the file is.
    pub(crate) const BYTES: usize = Words::<3>::BYTES;

    /// Maps a file, which is at least [`Counters::BYTES`] long.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(crate) fn map(file: &File) -> io::Result<Self> {
        Words::map(file).map(Self)
    }

    fn words(&self) -> &[AtomicU64; 3] {
        self.0.get()
    }

    /// Sets the first two.
    pub(crate) fn set(&self, first: u64, second: u64) {
        let [one, two, _] = self.words();
        one.store(first, Ordering::Relaxed);
        two.store(second, Ordering::Relaxed);
    }

    /// Returns the first two.
    pub(crate) fn get(&self) -> (u64, u64) {
        let [one, two, _] = self.words();
        (one.load(Ordering::Relaxed), two.load(Ordering::Relaxed))
    }

    /// Sets the third.
    pub(crate) fn set_limit(&self, limit: u64) {
        self.words()[2].store(limit, Ordering::Relaxed);
    }

    /// Returns the third, which others may set.
    pub(crate) fn limit(&self) -> u64 {
        self.words()[2].load(Ordering::Relaxed)
    }

    /// Adds to the first two and returns what they are now.
    pub(crate) fn add(&self, first: u64, second: u64) -> (u64, u64) {
        let [one, two, _] = self.words();
        let first = one.fetch_add(first, Ordering::Relaxed).saturating_add(first);
        (first, two.fetch_add(second, Ordering::Relaxed).saturating_add(second))
    }

    /// Takes from the first two; neither goes below zero.
    pub(crate) fn sub(&self, first: u64, second: u64) {
        let [one, two, _] = self.words();
        for (word, by) in [(one, first), (two, second)] {
            let less = |now: u64| Some(now.saturating_sub(by));
            // The closure always has an answer.
            word.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok();
        }
    }
}
