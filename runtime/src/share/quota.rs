//! What guests have added to a share, and what they may add.
//!
//! The figures lie in a file that every server of the same volume has mapped, so several machines
//! share one limit. Whoever attaches it first measures the folder by walking it; from then on they
//! are kept by difference. The limit stands there too, so it can be moved while guests write. What a change could need is taken before the change and what it did not
//! need is given back after it, so two writers never pass the limit together.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, FlockOperation, StatVfs, flock, fstatvfs, statat};
use rustix::io::Errno;

use super::beneath;
use super::nodes::occupied;
use crate::sys::Counters;

/// The most files and folders of a share with a quota, and the bytes that stand for one.
const INODES_MAX: u64 = 1_000_000;
const BYTES_PER_INODE: u64 = 4096;

/// What figures are told in.
const BLOCK_BYTES: u32 = 4096;

/// How deep a folder may be that is measured.
const DEPTH_MAX: usize = 2048;

/// The figures of a file system.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Figures {
    pub(super) blocks: u64,
    pub(super) free: u64,
    pub(super) available: u64,
    pub(super) files: u64,
    pub(super) files_free: u64,
    pub(super) block_bytes: u32,
    pub(super) name_max: u32,
}

impl Figures {
    fn of(host: &StatVfs) -> Self {
        let scale = |blocks: u64| blocks.saturating_mul(host.f_frsize) / u64::from(BLOCK_BYTES);
        Self {
            blocks: scale(host.f_blocks),
            free: scale(host.f_bfree),
            available: scale(host.f_bavail),
            files: host.f_files,
            files_free: host.f_favail,
            block_bytes: BLOCK_BYTES,
            name_max: u32::try_from(host.f_namemax).unwrap_or(255),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Usage {
    counters: Counters,
    /// Keeps the next one who attaches from measuring.
    _held: OwnedFd,
}

/// Why a share's use is not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsageError {
    /// The file of the figures cannot be used.
    #[error("the figures of its use")]
    Counters(#[source] io::Error),
    /// The folder cannot be measured.
    #[error("measuring the folder")]
    Walk(#[source] io::Error),
}

impl Usage {
    /// Attaches the figures of a folder; measures it where nobody else has them.
    pub(super) fn attach(
        file: OwnedFd,
        folder: BorrowedFd<'_>,
        limit: u64,
    ) -> Result<Self, UsageError> {
        let failed = |errno: Errno| UsageError::Counters(errno.into());
        let file = File::from(file);
        file.set_len(Counters::BYTES as u64).map_err(UsageError::Counters)?;
        let counters = Counters::map(&file).map_err(UsageError::Counters)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                let (bytes, inodes) = measure(folder, 0).map_err(|e| UsageError::Walk(e.into()))?;
                counters.set(bytes, inodes);
            }
            Err(Errno::WOULDBLOCK) => {}
            Err(errno) => return Err(failed(errno)),
        }
        // Whoever measured lets others in from here on; they wait for that.
        flock(&file, FlockOperation::LockShared).map_err(failed)?;
        counters.set_limit(limit);
        Ok(Self { counters, _held: file.into() })
    }

    /// Takes room for a change.
    ///
    /// # Errors
    /// `EDQUOT` beyond the limit; nothing is taken.
    pub(super) fn take(&self, bytes: u64, inodes: u64) -> Result<(), Errno> {
        let (has, held) = self.counters.add(bytes, inodes);
        let limit = self.counters.limit();
        if (bytes > 0 && has > limit) || (inodes > 0 && held > inodes_max(limit)) {
            self.give_back(bytes, inodes);
            return Err(Errno::DQUOT);
        }
        Ok(())
    }

    /// Gives back what was taken, or what is gone.
    pub(super) fn give_back(&self, bytes: u64, inodes: u64) {
        self.counters.sub(bytes, inodes);
    }

    /// Counts what a file occupies after a change, in place of what it did before.
    pub(super) fn correct(&self, before: u64, after: u64) {
        match after.checked_sub(before) {
            Some(more) => drop(self.counters.add(more, 0)),
            None => self.counters.sub(before - after, 0),
        }
    }

    /// Returns the share's figures: its own limit, where that is nearer than the host's.
    pub(super) fn narrow(&self, host: Figures) -> Figures {
        let (bytes, inodes) = self.counters.get();
        let (limit, block) = (self.counters.limit(), u64::from(BLOCK_BYTES));
        let left = limit.saturating_sub(bytes) / block;
        Figures {
            blocks: host.blocks.min(limit / block),
            free: host.free.min(left),
            available: host.available.min(left),
            files: host.files.min(inodes_max(limit)),
            files_free: host.files_free.min(inodes_max(limit).saturating_sub(inodes)),
            ..host
        }
    }
}

/// Returns how many files and folders go with a limit.
fn inodes_max(limit: u64) -> u64 {
    // No limit today: one may be set while guests write.
    if limit == u64::MAX { u64::MAX } else { (limit / BYTES_PER_INODE).min(INODES_MAX) }
}

/// Returns the figures of the file system below a descriptor.
pub(super) fn host_figures(fd: BorrowedFd<'_>) -> Result<Figures, Errno> {
    Ok(Figures::of(&fstatvfs(fd)?))
}

/// Returns what a folder occupies, and how many files and folders are in it; links count once each.
fn measure(folder: BorrowedFd<'_>, depth: usize) -> Result<(u64, u64), Errno> {
    if depth > DEPTH_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    let open = beneath::open_folder(folder)?;
    let (mut bytes, mut inodes) = (0_u64, 0_u64);
    for entry in Dir::read_from(&open)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        // What went meanwhile is not there any more.
        let stat = match statat(&open, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => continue,
            stat => stat?,
        };
        let shared = stat.st_nlink.max(1);
        let is_folder = beneath::kind(&stat) == FileType::Directory;
        bytes += if is_folder { occupied(&stat) } else { occupied(&stat) / shared };
        inodes += 1;
        if is_folder {
            let name = super::wire::Name::new(name.to_bytes())?;
            let below = measure(beneath::look(open.as_fd(), name)?.as_fd(), depth + 1)?;
            bytes += below.0;
            inodes += below.1;
        }
    }
    Ok((bytes, inodes))
}

#[cfg(test)]
mod tests {
    use super::super::scratch::Scratch;
    use super::*;

    fn attach(scratch: &Scratch, limit: u64) -> Usage {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.open(scratch.path().join("usage")).unwrap();
        Usage::attach(file.into(), scratch.open("data").as_fd(), limit).unwrap()
    }

    fn folder(bytes: usize) -> Scratch {
        let scratch = Scratch::new();
        std::fs::create_dir_all(scratch.path().join("data/below")).unwrap();
        crate::share::tests::put(&scratch.path().join("data/below/file"), &vec![1; bytes]);
        scratch
    }

    #[test]
    fn who_attaches_first_measures_and_all_share_one_limit() {
        let scratch = folder(64 << 10);
        let first = attach(&scratch, 1 << 20);
        let (bytes, inodes) = first.counters.get();
        assert!((64 << 10..128 << 10).contains(&bytes), "{bytes}");
        assert_eq!(inodes, 2);
        let second = attach(&scratch, 1 << 20);
        first.take(512 << 10, 1).unwrap();
        assert_eq!(second.take(512 << 10, 0), Err(Errno::DQUOT));
        second.take(256 << 10, 0).unwrap();
        assert_eq!(second.counters.get().1, 3);
    }

    #[test]
    fn what_was_refused_is_not_taken() {
        let scratch = folder(0);
        let usage = attach(&scratch, 1 << 20);
        let before = usage.counters.get();
        assert_eq!(usage.take(2 << 20, 1), Err(Errno::DQUOT));
        assert_eq!(usage.counters.get(), before);
    }

    #[test]
    fn figures_tell_the_nearer_limit() {
        let scratch = folder(0);
        let usage = attach(&scratch, 1 << 20);
        let host = host_figures(scratch.open("data").as_fd()).unwrap();
        let told = usage.narrow(host);
        assert_eq!(told.blocks, 256);
        assert!(told.available <= 256 && told.files == 256);
    }
}
