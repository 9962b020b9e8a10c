//! What was read and written through the shares, in a page that the runtime has mapped too.
//!
//! The page is the narrowest way out of the jail: four numbers, no call, nothing to parse. Whoever
//! took the server over can lie about them, and do nothing else.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};

use crate::hypervisor::Moved;
use crate::sys::Words;

/// See the module.
#[derive(Debug)]
pub(crate) struct Tally(Words<4>);

impl Tally {
    /// Makes the page; returns it with the file that others map it by.
    ///
    /// # Errors
    /// The host has no descriptor or memory left.
    pub(crate) fn make() -> io::Result<(Self, OwnedFd)> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("msb-tally", flags)?);
        ftruncate(&file, Words::<4>::BYTES as u64)?;
        // A page that is cut under whoever reads it would end the reader.
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        Ok((Self(Words::map(&file)?), file.into()))
    }

    /// Maps a page that was made.
    ///
    /// # Errors
    /// It cannot be mapped.
    pub(crate) fn attach(file: OwnedFd) -> io::Result<Self> {
        Words::map(&File::from(file)).map(Self)
    }

    /// Notes one read.
    pub(crate) fn read(&self, bytes: usize) {
        self.add(0, bytes);
    }

    /// Notes one write.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.add(2, bytes);
    }

    fn add(&self, first: usize, bytes: usize) {
        let words = self.0.get();
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        words[first].fetch_add(bytes, Ordering::Relaxed);
        words[first + 1].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what was moved until now.
    pub(crate) fn moved(&self) -> Moved {
        let [read_bytes, read_ops, write_bytes, write_ops] =
            self.0.get().each_ref().map(|word| word.load(Ordering::Relaxed));
        Moved { read_bytes, read_ops, write_bytes, write_ops }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_side_notes_the_other_reads_and_nobody_cuts_the_page() {
        let (ours, file) = Tally::make().unwrap();
        let theirs = Tally::attach(file.try_clone().unwrap()).unwrap();
        theirs.read(10);
        theirs.read(20);
        theirs.wrote(7);
        let moved = Moved { read_bytes: 30, read_ops: 2, write_bytes: 7, write_ops: 1 };
        assert_eq!(ours.moved(), moved);
        assert_eq!(moved.and(moved).write_bytes, 14);
        assert!(ftruncate(&file, 0).is_err(), "the page was cut");
    }
}
