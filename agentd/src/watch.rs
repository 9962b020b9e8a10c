//! What the kernel says when something went wrong: memory, disks.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::groups::ROOT;
use crate::sys::fanotify::{Errors, FileSystem};

/// Room for the short file that is watched.
const CONTENT_BYTES_MAX: usize = 256;

/// The memory of all commands together: the kernel kills where it runs out.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    file: File,
}

/// The disks that are written: an error makes one read-only.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    errors: Errors,
    /// Serials of those that had no error yet.
    disks: Vec<(FileSystem, String)>,
}

impl MemoryWatch {
    /// Watches from now on.
    pub(crate) fn open() -> io::Result<Self> {
        let watch = Self { file: File::open(Path::new(ROOT).join("memory.events"))? };
        watch.take()?;
        Ok(watch)
    }

    /// Takes note of what happened, so that the next wait is for something new.
    pub(crate) fn take(&self) -> io::Result<()> {
        self.file.read_at(&mut [0; CONTENT_BYTES_MAX], 0).map(|_| ())
    }
}

impl DiskWatch {
    /// Watches nothing yet.
    pub(crate) fn open() -> io::Result<Self> {
        Ok(Self { errors: Errors::open()?, disks: Vec::new() })
    }

    /// Watches the file system of a disk by a folder of it.
    pub(crate) fn add(&mut self, serial: &str, folder: impl AsFd) -> io::Result<()> {
        let file_system = self.errors.watch(folder)?;
        self.disks.push((file_system, serial.to_owned()));
        Ok(())
    }

    /// Returns the serials of disks that had their first error.
    pub(crate) fn take(&mut self) -> Vec<String> {
        let bad = self.errors.take();
        let found = self.disks.extract_if(.., |(file_system, _)| bad.contains(file_system));
        found.map(|(_, serial)| serial).collect()
    }
}

impl AsFd for MemoryWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsFd for DiskWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.errors.as_fd()
    }
}
