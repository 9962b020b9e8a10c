//! What has no final name yet: written beside it, renamed when it is whole, gone when it is not.
//!
//! A maker that is killed leaves its draft behind. A file is locked as long as
//! its maker lives, and names are numbered from zero: who comes next finds what
//! is left where it would make its own, and takes away what nobody has locked.
//! A link cannot be locked, so one is never taken away; it has its temporary
//! name for two calls only.

use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, Stat};
use rustix::io::Errno;

/// How often a name is tried that somebody else has.
const NAMES_TRIED_MAX: u32 = 1000;

/// How many names are looked at in a folder that was there: as many makers were killed in it at once.
const NAMES_SWEPT: u32 = 4;

fn name(number: u32) -> String {
    format!(".msb-cp.{number}")
}

/// Takes away what killed makers left in a folder.
pub(crate) fn sweep(folder: BorrowedFd<'_>) {
    for number in 0..NAMES_SWEPT {
        take_away(folder, &name(number));
    }
}

/// Takes away a draft whose maker is gone for certain; any other stays.
fn take_away(folder: BorrowedFd<'_>, name: &str) {
    let look = || rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW);
    if !look().is_ok_and(|stat| may_be_left(&stat)) {
        return;
    }
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let Ok(fd) = rustix::fs::openat(folder, name, flags, Mode::empty()) else { return };
    // Its maker lives where this is refused.
    if rustix::fs::flock(&fd, FlockOperation::NonBlockingLockExclusive).is_err() {
        return;
    }
    // Its maker may have kept it a moment ago, and the name be another's.
    let identity = |stat: Stat| (stat.st_dev, stat.st_ino);
    let (held, named) = (rustix::fs::fstat(&fd).map(identity), look().map(identity));
    if held.is_ok() && held == named {
        // What cannot go is in nobody's way.
        rustix::fs::unlinkat(folder, name, AtFlags::empty()).ok();
    }
}

/// Tells whether this can be a draft of ours: a file with no other name, of our user.
fn may_be_left(stat: &Stat) -> bool {
    let us = rustix::process::geteuid();
    let is_ours = us.is_root() || us.as_raw() == stat.st_uid;
    is_ours && stat.st_nlink == 1 && FileType::from_raw_mode(stat.st_mode).is_file()
}

/// Locks a new draft for as long as it is open; false where somebody just takes it away.
fn is_held(fd: &OwnedFd) -> bool {
    match rustix::fs::flock(fd, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => rustix::fs::fstat(fd).is_ok_and(|stat| stat.st_nlink > 0),
        Err(Errno::WOULDBLOCK) => false,
        // Without locks nobody can prove that it is left, either.
        Err(_) => true,
    }
}

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
            let name = name(tried);
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
        Self::make(folder, |name| {
            let fd = rustix::fs::openat(folder, name, flags, Mode::RUSR | Mode::WUSR)?;
            if is_held(&fd) { Ok(fd) } else { Err(Errno::EXIST) }
        })
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::fd::AsFd as _;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn what_a_killed_maker_left_goes_and_nothing_else() {
        let ground = Scratch::new();
        let folder = File::open(ground.path()).unwrap();
        ground.write(".msb-cp.0", b"left");
        ground.write("kept", b"x");
        fs::hard_link(ground.join("kept"), ground.join(".msb-cp.1")).unwrap();
        symlink("kept", ground.join(".msb-cp.2")).unwrap();
        ground.write(".msb-cp.x", b"somebody's");
        let (living, fd) = Draft::file(folder.as_fd()).unwrap();
        assert_eq!(living.name(), ".msb-cp.3");
        sweep(folder.as_fd());
        let mut left: Vec<_> =
            fs::read_dir(ground.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".msb-cp.1", ".msb-cp.2", ".msb-cp.3", ".msb-cp.x", "kept"]);
        drop(living);
        assert!(!ground.join(".msb-cp.3").exists());
        assert_eq!(rustix::fs::fstat(&fd).unwrap().st_nlink, 0);
    }

    #[test]
    fn a_draft_that_somebody_is_taking_away_is_given_up_for_the_next_name() {
        let ground = Scratch::new();
        let folder = File::open(ground.path()).unwrap();
        let mut held = None;
        let (draft, ()) = Draft::make(folder.as_fd(), |name| {
            let fd = OwnedFd::from(File::create(ground.join(name)).unwrap());
            if held.is_none() {
                // A sweeper is faster than the maker's lock.
                let sweeper = File::open(ground.join(name)).unwrap();
                rustix::fs::flock(&sweeper, FlockOperation::NonBlockingLockExclusive).unwrap();
                held = Some(sweeper);
            }
            if is_held(&fd) { Ok(()) } else { Err(Errno::EXIST) }
        })
        .unwrap();
        assert_eq!(draft.name(), ".msb-cp.1");
    }
}
