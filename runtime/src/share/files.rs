//! Open files: read, written, cut, synced.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, OFlags, Timespec, Timestamps, fstat};
use rustix::io::Errno;

use super::beneath;
use super::handles::OpenFile;
use super::nodes::{Node, occupied};
use super::ownership::PERMISSIONS;
use super::reply::Reply;
use super::serve::{Place, Server};
use super::wire::{Changes, Moment};

const O_ACCMODE: u32 = 3;
const O_WRONLY: u32 = 1;
const O_RDWR: u32 = 2;
const O_APPEND: u32 = 0o2000;

const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;

/// What a write may occupy beyond its own bytes: the ends of its blocks, and what maps them.
const SLACK_BYTES: u64 = 8 << 10;

/// Writes that are not made smaller to fit below a limit.
const PIECE_BYTES_MIN: usize = 4 << 10;

impl Server {
    pub(super) fn open(&self, id: u64, flags: u32, reply: &mut Reply) -> Result<(), Errno> {
        let handle = match self.place(id)? {
            Place::Node(node) => self.open_node(&node, flags)?,
            Place::File(share) => {
                let is_writable = flags & O_ACCMODE != 0;
                if is_writable && share.read_only {
                    return Err(Errno::ROFS);
                }
                let (fd, _) = share.single()?;
                let fd = beneath::open(fd.as_fd(), access(flags))?;
                self.files.open(OpenFile { fd, share, node: None, is_writable })
            }
            Place::Root | Place::Alone(_) => return Err(Errno::ISDIR),
        };
        reply.opened(handle);
        Ok(())
    }

    pub(super) fn open_node(&self, node: &Arc<Node>, flags: u32) -> Result<u64, Errno> {
        let is_writable = flags & O_ACCMODE != 0;
        if is_writable {
            node.check_change()?;
        }
        let fd = beneath::open(node.fd(), access(flags))?;
        let (share, node) = (Arc::clone(&node.share), Some(Arc::clone(node)));
        Ok(self.files.open(OpenFile { fd, share, node, is_writable }))
    }

    pub(super) fn read(
        &self,
        handle: u64,
        offset: u64,
        size: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let file = self.files.get(handle)?;
        let room = reply.room(usize::try_from(size).unwrap_or(0));
        let count = rustix::io::retry_on_intr(|| rustix::io::pread(&file.fd, &mut *room, offset))?;
        reply.took(count);
        self.tally.read(count);
        Ok(())
    }

    pub(super) fn write(
        &self,
        handle: u64,
        (offset, data): (u64, &[u8]),
        kill_set_id: bool,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let file = self.writable(handle)?;
        if kill_set_id {
            self.kill_set_id(&file)?;
        }
        let mut piece = data;
        let answer = loop {
            let range = (offset, piece.len() as u64);
            match file.counted(range, || write_all(&file.fd, piece, offset)) {
                // As much as there is room for: the guest hears of the limit with the rest.
                Err(Errno::DQUOT) if piece.len() > PIECE_BYTES_MIN => {
                    piece = &piece[..piece.len() / 2];
                }
                answer => break answer,
            }
        };
        let count = answer?;
        self.tally.wrote(usize::try_from(count).unwrap_or(0));
        reply.count(count);
        Ok(())
    }

    fn writable(&self, handle: u64) -> Result<Arc<OpenFile>, Errno> {
        let file = self.files.get(handle)?;
        if file.is_writable { Ok(file) } else { Err(Errno::BADF) }
    }

    fn kill_set_id(&self, file: &OpenFile) -> Result<(), Errno> {
        let Some(node) = &file.node else { return Ok(()) };
        let _alone = node.alone();
        let stat = node.stat()?;
        let owner = self.users.owner(&node.share, node.fd(), &stat);
        let without = owner.without_set_id();
        if owner == without {
            return Ok(());
        }
        self.users.change(&node.share, (node.fd(), &stat), without)
    }

    pub(super) fn fsync(&self, handle: u64, data_only: bool) -> Result<(), Errno> {
        let file = self.files.get(handle)?;
        if data_only { rustix::fs::fdatasync(&file.fd) } else { rustix::fs::fsync(&file.fd) }
    }

    pub(super) fn fallocate(
        &self,
        handle: u64,
        (offset, length): (u64, u64),
        mode: u32,
    ) -> Result<(), Errno> {
        let file = self.writable(handle)?;
        let known =
            FallocateFlags::KEEP_SIZE | FallocateFlags::PUNCH_HOLE | FallocateFlags::ZERO_RANGE;
        let mode = FallocateFlags::from_bits(mode).filter(|mode| known.contains(*mode));
        let mode = mode.ok_or(Errno::OPNOTSUPP)?;
        let takes = if mode.contains(FallocateFlags::PUNCH_HOLE) { 0 } else { length };
        file.counted((offset, takes), || rustix::fs::fallocate(&file.fd, mode, offset, length))
    }

    pub(super) fn lseek(
        &self,
        handle: u64,
        offset: u64,
        whence: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let file = self.files.get(handle)?;
        let to = match whence {
            SEEK_DATA => rustix::fs::SeekFrom::Data(offset),
            SEEK_HOLE => rustix::fs::SeekFrom::Hole(offset),
            _ => return Err(Errno::INVAL),
        };
        reply.u64(rustix::fs::seek(&file.fd, to)?);
        Ok(())
    }

    pub(super) fn copy(
        &self,
        (from, mut from_at): (u64, u64),
        (to, mut to_at): (u64, u64),
        length: u64,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let (from, to) = (self.files.get(from)?, self.writable(to)?);
        let wanted = usize::try_from(length.min(1 << 30)).unwrap_or(0);
        let copied = to.counted((to_at, wanted as u64), || {
            let (source, target) = (Some(&mut from_at), Some(&mut to_at));
            rustix::fs::copy_file_range(&from.fd, source, &to.fd, target, wanted)
        })?;
        self.tally.read(copied);
        self.tally.wrote(copied);
        reply.count(u32::try_from(copied).unwrap_or(u32::MAX));
        Ok(())
    }

    pub(super) fn setattr(
        &self,
        id: u64,
        changes: &Changes,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        match self.place(id)? {
            Place::Node(node) => {
                node.check_change()?;
                self.change_size(&node, changes)?;
                node.counted(|| self.change_owner(&node.share, node.fd(), changes))?;
                change_times(node.fd(), changes)?;
            }
            Place::File(share) if share.read_only => return Err(Errno::ROFS),
            Place::File(share) => {
                let (fd, _) = share.single()?;
                if let Some(size) = changes.size {
                    let file = beneath::open(fd.as_fd(), OFlags::WRONLY)?;
                    rustix::fs::ftruncate(&file, size)?;
                }
                self.change_owner(&share, fd.as_fd(), changes)?;
                change_times(fd.as_fd(), changes)?;
            }
            Place::Root | Place::Alone(_) => return Err(Errno::ROFS),
        }
        self.getattr(id, changes.handle, reply)
    }

    fn change_size(&self, node: &Arc<Node>, changes: &Changes) -> Result<(), Errno> {
        let Some(size) = changes.size else { return Ok(()) };
        let open = changes.handle.and_then(|handle| self.writable(handle).ok());
        let file = match open {
            Some(file) => file,
            None => Arc::new(OpenFile {
                fd: beneath::open(node.fd(), OFlags::WRONLY)?,
                share: Arc::clone(&node.share),
                node: Some(Arc::clone(node)),
                is_writable: true,
            }),
        };
        file.counted((0, 0), || rustix::fs::ftruncate(&file.fd, size))
    }

    fn change_owner(
        &self,
        share: &super::share::Share,
        fd: BorrowedFd<'_>,
        changes: &Changes,
    ) -> Result<(), Errno> {
        let gives = changes.uid.is_some() || changes.gid.is_some();
        if !gives && changes.mode.is_none() && !changes.kill_set_id {
            return Ok(());
        }
        let stat = fstat(fd)?;
        let now = self.users.owner(share, fd, &stat);
        let mut wanted = now;
        let is_folder = beneath::kind(&stat) == rustix::fs::FileType::Directory;
        if (gives || changes.kill_set_id) && !is_folder {
            wanted = wanted.without_set_id();
        }
        wanted.uid = changes.uid.unwrap_or(wanted.uid);
        wanted.gid = changes.gid.unwrap_or(wanted.gid);
        if let Some(mode) = changes.mode {
            wanted.mode = wanted.mode & !PERMISSIONS | mode & PERMISSIONS;
        }
        if wanted == now { Ok(()) } else { self.users.change(share, (fd, &stat), wanted) }
    }
}

impl OpenFile {
    /// Changes a range of a file that may come to occupy as much, and counts what it does.
    fn counted<T>(
        &self,
        (offset, bytes): (u64, u64),
        change: impl FnOnce() -> Result<T, Errno>,
    ) -> Result<T, Errno> {
        let (Some(node), Some(usage)) = (&self.node, &self.share.usage) else {
            self.share.take(bytes, 0)?;
            return change();
        };
        let _alone = node.alone();
        let stat = fstat(&self.fd)?;
        let before = occupied(&stat);
        let reserved = if bytes == 0 { 0 } else { bytes.saturating_add(SLACK_BYTES) };
        let taken = match self.share.take(reserved, 0) {
            Ok(()) => reserved,
            // What is written over what is there takes nothing.
            Err(Errno::DQUOT) if is_whole(&stat, offset.saturating_add(bytes)) => 0,
            Err(errno) => return Err(errno),
        };
        let answer = change();
        let after = fstat(&self.fd).map_or(before, |stat| occupied(&stat));
        usage.give_back(taken, 0);
        usage.correct(before, after);
        answer
    }
}

/// Tells whether a file has no holes and is as long as `end`.
fn is_whole(stat: &rustix::fs::Stat, end: u64) -> bool {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    occupied(stat) >= size && end <= size
}

/// Writes as much as can be; an error that comes after the first byte is left to the next write.
fn write_all(fd: &std::os::fd::OwnedFd, data: &[u8], offset: u64) -> Result<u32, Errno> {
    let mut written = 0;
    while written < data.len() {
        let at = offset + written as u64;
        match rustix::io::retry_on_intr(|| rustix::io::pwrite(fd, &data[written..], at)) {
            Ok(count) => written += count,
            Err(errno) if written == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(u32::try_from(written).unwrap_or(u32::MAX))
}

/// Returns how a file is opened on the host for what the guest wants of it.
fn access(flags: u32) -> OFlags {
    let access = match flags & O_ACCMODE {
        O_WRONLY => OFlags::WRONLY,
        O_RDWR => OFlags::RDWR,
        _ => OFlags::RDONLY,
    };
    if flags & O_APPEND != 0 { access | OFlags::APPEND } else { access }
}

fn change_times(fd: BorrowedFd<'_>, changes: &Changes) -> Result<(), Errno> {
    if changes.accessed.is_none() && changes.modified.is_none() {
        return Ok(());
    }
    let times = Timestamps {
        last_access: moment(changes.accessed),
        last_modification: moment(changes.modified),
    };
    rustix::fs::utimensat(rustix::fs::CWD, beneath::path(fd), &times, rustix::fs::AtFlags::empty())
}

fn moment(wanted: Option<Moment>) -> Timespec {
    match wanted {
        None => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
        Some(Moment::Now) => Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_NOW },
        Some(Moment::At(seconds, nanos)) => Timespec { tv_sec: seconds, tv_nsec: nanos.into() },
    }
}
