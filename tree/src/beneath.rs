//! Folders below the target, one component at a time and never through a link.
//!
//! The folders above the current entry stay open, so that the next entry beside
//! it costs nothing to reach. A folder that was made here gets its mode and its
//! times when the archive has left it.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::draft;

/// What a new folder is given once everything is in it.
pub(crate) type Finish<'a> = &'a mut dyn FnMut(&OwnedFd, &Pending);

/// A folder that was made here and is not finished.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The path in the archive.
    pub(crate) path: Vec<u8>,
    /// What the archive says of it.
    pub(crate) entry: schema::archive::Entry,
}

#[derive(Debug)]
struct Level {
    name: Vec<u8>,
    fd: OwnedFd,
    pending: Option<Pending>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Beneath {
    levels: Vec<Level>,
}

/// Why a folder cannot be entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocked {
    /// Something else has its name.
    InTheWay(&'static str),
    /// The kernel refused.
    Kernel(Errno),
}

impl Beneath {
    /// Returns the folder of these components, made where it is missing.
    pub(crate) fn enter<'a>(
        &'a mut self,
        root: BorrowedFd<'a>,
        parts: &[&[u8]],
        finish: Finish<'_>,
    ) -> Result<BorrowedFd<'a>, Blocked> {
        let same = self.levels.iter().zip(parts).take_while(|(level, part)| level.name == **part);
        let same = same.count();
        self.leave(same, finish);
        for part in &parts[same..] {
            let above = self.levels.last().map_or(root, |level| level.fd.as_fd());
            let fd = match open(above, part) {
                Err(Errno::NOENT) => rustix::fs::mkdirat(above, *part, Mode::from_raw_mode(0o755))
                    .and_then(|()| open(above, part))
                    .map_err(Blocked::Kernel)?,
                Err(errno) => return Err(blocked(above, part, errno)),
                Ok(fd) => {
                    draft::sweep(fd.as_fd());
                    fd
                }
            };
            self.levels.push(Level { name: part.to_vec(), fd, pending: None });
        }
        Ok(self.levels.last().map_or(root, |level| level.fd.as_fd()))
    }

    /// Makes a folder and enters it, or enters the one that is there; the last of `parts` names it.
    pub(crate) fn make(
        &mut self,
        root: BorrowedFd<'_>,
        parts: &[&[u8]],
        pending: Pending,
        finish: Finish<'_>,
    ) -> Result<(), Blocked> {
        let Some((name, above)) = parts.split_last() else { return Ok(()) };
        let folder = self.enter(root, above, finish)?;
        // Ours alone until it is finished.
        match rustix::fs::mkdirat(folder, *name, Mode::RWXU) {
            Err(Errno::EXIST) => self.enter(root, parts, finish).map(drop),
            Err(errno) => Err(Blocked::Kernel(errno)),
            Ok(()) => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = rustix::fs::openat(folder, *name, flags, Mode::empty());
                let fd = fd.map_err(Blocked::Kernel)?;
                // An entry of the same name that was entered before is another folder.
                self.leave(above.len(), finish);
                self.levels.push(Level { name: name.to_vec(), fd, pending: Some(pending) });
                Ok(())
            }
        }
    }

    /// Leaves all folders but the first `kept`.
    pub(crate) fn leave(&mut self, kept: usize, finish: Finish<'_>) {
        while self.levels.len() > kept {
            if let Some(Level { fd, pending: Some(pending), .. }) = self.levels.pop() {
                finish(&fd, &pending);
            }
        }
    }
}

/// Returns the folder of these components without making any.
pub(crate) fn find(root: BorrowedFd<'_>, parts: &[&[u8]]) -> Result<OwnedFd, Errno> {
    let mut folder = root.try_clone_to_owned().map_err(|_| Errno::MFILE)?;
    for part in parts {
        folder = open(folder.as_fd(), part)?;
    }
    Ok(folder)
}

/// Opens a folder to work below it; a link is none.
fn open(above: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(above, name, flags, Mode::empty())
}

fn blocked(above: BorrowedFd<'_>, name: &[u8], errno: Errno) -> Blocked {
    let stat = rustix::fs::statat(above, name, AtFlags::SYMLINK_NOFOLLOW);
    match stat.map(|stat| FileType::from_raw_mode(stat.st_mode)) {
        Ok(FileType::Symlink) => Blocked::InTheWay("a link is in the way of its folder"),
        Ok(FileType::Directory) | Err(_) => Blocked::Kernel(errno),
        Ok(_) => Blocked::InTheWay("a file is in the way of its folder"),
    }
}
