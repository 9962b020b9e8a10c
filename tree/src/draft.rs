//! What has no final name yet: written beside it, renamed when it is whole, gone when it is not.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

/// How often a name is tried that somebody else has.
const NAMES_TRIED_MAX: u32 = 1000;

/// A temporary name in a folder.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    folder: BorrowedFd<'a>,
    name: String,
    is_kept: bool,
}

impl<'a> Draft<'a> {
    /// Makes something under a temporary name; `make` is given names until one is free.
    pub(crate) fn make<T>(
        folder: BorrowedFd<'a>,
        mut make: impl FnMut(&str) -> Result<T, Errno>,
    ) -> Result<(Self, T), Errno> {
        let mut tried = 0;
        loop {
            let name = format!(".msb-cp.{}.{tried}", std::process::id());
            match make(&name) {
                Err(Errno::EXIST) if tried < NAMES_TRIED_MAX => tried += 1,
                Err(errno) => return Err(errno),
                Ok(made) => return Ok((Self { folder, name, is_kept: false }, made)),
            }
        }
    }

    /// Makes an empty file that nobody else can read.
    pub(crate) fn file(folder: BorrowedFd<'a>) -> Result<(Self, OwnedFd), Errno> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::make(folder, |name| rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR))
    }

    /// Returns the temporary name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Gives it its final name, in the place of what had it.
    pub(crate) fn keep(mut self, name: &[u8]) -> Result<(), Errno> {
        rustix::fs::renameat(self.folder, self.name.as_str(), self.folder, name)?;
        self.is_kept = true;
        Ok(())
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        if !self.is_kept {
            // What was never more than a part is no loss; if it cannot go, nobody can help it.
            rustix::fs::unlinkat(self.folder, self.name.as_str(), AtFlags::empty()).ok();
        }
    }
}
