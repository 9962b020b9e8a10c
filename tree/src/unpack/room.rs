//! How much may still come: what the file system has free, less what is to stay free.

use std::io::{self, Read};
use std::os::fd::BorrowedFd;

use schema::wire::files::{FileNote, NoteKind};

use crate::noted;

/// How many bytes may come before the file system is asked again.
const LOOK_EVERY_BYTES: u64 = 8 * 1024 * 1024;

/// What the smallest entry takes of a file system.
const ENTRY_BYTES: u64 = 4096;

/// How many more files a file system must have room for, where it counts them.
const FILES_MIN: u64 = 1024;

/// Why nothing more is taken.
const FULL: &str = "there is no room for it: the file system would be left with too little";

/// The room of a target.
#[derive(Debug)]
pub(super) struct Room {
    reserve_bytes: Option<u64>,
    /// What there was when it was last asked.
    left: u64,
    since: u64,
}

impl Room {
    /// Asks how much room there is; without a reserve there is always some.
    pub(super) fn of(folder: BorrowedFd<'_>, reserve_bytes: Option<u64>) -> Result<Self, FileNote> {
        let mut room = Self { reserve_bytes, left: u64::MAX, since: LOOK_EVERY_BYTES };
        room.look(folder)?;
        Ok(room)
    }

    /// Returns how much may come at all.
    pub(super) const fn all_bytes(&self) -> u64 {
        self.left
    }

    /// Takes note of one more entry, and asks again now and then.
    pub(super) fn look(&mut self, folder: BorrowedFd<'_>) -> Result<(), FileNote> {
        let Some(reserve) = self.reserve_bytes else { return Ok(()) };
        self.since += ENTRY_BYTES;
        if self.since < LOOK_EVERY_BYTES {
            return Ok(());
        }
        let stat = rustix::fs::fstatvfs(folder).map_err(|errno| {
            noted(NoteKind::Failed, b"", "cannot ask how much room there is", &errno.into())
        })?;
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        self.left = free.saturating_sub(reserve);
        self.since = 0;
        // Some file systems do not count their files, and say zero of all.
        let is_out_of_files = stat.f_files > 0 && stat.f_favail < FILES_MIN;
        if self.left == 0 || is_out_of_files { Err(full()) } else { Ok(()) }
    }

    /// Takes the room of a file.
    pub(super) fn take(&mut self, bytes: u64) -> Result<(), FileNote> {
        if self.reserve_bytes.is_none() {
            return Ok(());
        }
        self.left = self.left.checked_sub(bytes).ok_or_else(full)?;
        self.since = self.since.saturating_add(bytes);
        Ok(())
    }
}

fn full() -> FileNote {
    FileNote::new(NoteKind::Failed, b"", FULL)
        .with_errno(Some(rustix::io::Errno::NOSPC.raw_os_error()))
}

/// A stream that ends with an error beyond a number of bytes.
#[derive(Debug)]
pub(super) struct Metered<R> {
    stream: R,
    left: u64,
}

impl<R> Metered<R> {
    /// Returns `stream`, of which `left` bytes may be read.
    pub(super) const fn new(stream: R, left: u64) -> Self {
        Self { stream, left }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            return Err(rustix::io::Errno::NOSPC.into());
        };
        self.left = left;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_beyond_its_measure_is_an_error() {
        let mut read = Vec::new();
        let error = Metered::new(io::repeat(7), 100_000).read_to_end(&mut read).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::NOSPC.raw_os_error()));
        assert!(read.len() <= 100_000);
    }

    #[test]
    fn a_file_takes_its_room_and_one_too_large_none() {
        let mut room = Room { reserve_bytes: Some(0), left: 1000, since: 0 };
        room.take(900).unwrap();
        room.take(101).unwrap_err();
        let mut room = Room { reserve_bytes: None, left: 0, since: 0 };
        room.take(1 << 62).unwrap();
    }
}
