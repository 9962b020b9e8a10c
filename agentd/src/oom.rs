//! The kernel's word that it killed a command for memory.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::groups::ROOT;

/// The events of all commands together, open.
#[derive(Debug)]
pub(crate) struct OomWatch {
    file: File,
}

impl OomWatch {
    /// Opens the events and waits from now on for the next one.
    pub(crate) fn open() -> io::Result<Self> {
        let mut watch = Self { file: File::open(Path::new(ROOT).join("memory.events"))? };
        watch.take()?;
        Ok(watch)
    }

    /// Takes note of what happened, so that the next wait is for something new.
    pub(crate) fn take(&mut self) -> io::Result<()> {
        let mut text = [0; 256];
        self.file.read_at(&mut text, 0).map(|_| ())
    }
}

impl AsFd for OomWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
