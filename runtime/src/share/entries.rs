//! Entries of folders: made, linked, renamed, removed.

use std::cmp::Ordering;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, linkat, mkdirat, mknodat, readlinkat,
    renameat_with, symlinkat, unlinkat,
};
use rustix::io::Errno;

use super::beneath;
use super::handles::OpenFile;
use super::nodes::{Node, occupied};
use super::ownership::{self, FIFO, Owner, PERMISSIONS, SOCKET};
use super::reply::{Entry, Reply};
use super::serve::Server;
use super::wire::Name;

/// Who asks for a new file, and with what mode.
pub(super) type Wanted = (u32, (u32, u32));

const TYPE: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;

/// What a new entry of a folder takes of a quota; folders take a block.
const FOLDER_BYTES: u64 = 4096;

const O_EXCL: u32 = 0o200;
const O_ACCMODE: u32 = 3;
const O_APPEND: u32 = 0o2000;

impl Server {
    pub(super) fn readlink(&self, node: &Node, reply: &mut Reply) -> Result<(), Errno> {
        let target = readlinkat(node.fd(), "", Vec::new())?;
        reply.push(target.as_bytes());
        Ok(())
    }

    pub(super) fn symlink(
        &self,
        (parent, name): (&Arc<Node>, Name<'_>),
        target: &[u8],
        caller: (u32, u32),
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        parent.check_entry(name.bytes())?;
        parent.share.take(0, 1)?;
        let made = parent.counted(|| symlinkat(target, parent.fd(), name));
        settle(parent, (0, 1), made)?;
        let fd = beneath::look(parent.fd(), name)?;
        let stat = rustix::fs::fstat(&fd)?;
        count_new(parent, 0, &fd);
        if parent.share.stat_virt == schema::launch::StatVirt::Off {
            let owner = Owner { uid: caller.0, gid: caller.1, mode: stat.st_mode };
            // The link is there; whose it is says little.
            self.users.change(&parent.share, (fd.as_fd(), &stat), owner).ok();
        }
        let entry = self.enter(parent, name, fd)?;
        reply.entry(&entry);
        Ok(())
    }

    pub(super) fn mkdir(
        &self,
        parent: &Arc<Node>,
        name: Name<'_>,
        (mode, caller): Wanted,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        parent.check_entry(name.bytes())?;
        let share = &parent.share;
        share.take(FOLDER_BYTES, 1)?;
        let host = Mode::from_raw_mode(ownership::new_mode(share, mode, true));
        let made = parent.counted(|| mkdirat(parent.fd(), name, host));
        settle(parent, (FOLDER_BYTES, 1), made)?;
        let made = beneath::look(parent.fd(), name).and_then(|fd| {
            let wanted = mode & PERMISSIONS | FileType::Directory.as_raw_mode();
            self.own(parent, &fd, (wanted, caller))?;
            count_new(parent, FOLDER_BYTES, &fd);
            self.enter(parent, name, fd)
        });
        let entry = or_remove(parent, name, (FOLDER_BYTES, AtFlags::REMOVEDIR), made)?;
        reply.entry(&entry);
        Ok(())
    }

    pub(super) fn mknod(
        &self,
        parent: &Arc<Node>,
        name: Name<'_>,
        (mode, caller): Wanted,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let kind = match mode & TYPE {
            0 | REGULAR => REGULAR,
            kind @ (FIFO | SOCKET) => kind,
            // Devices of the host are not the guest's to name.
            _ => return Err(Errno::PERM),
        };
        parent.check_entry(name.bytes())?;
        parent.share.take(0, 1)?;
        let wanted = (kind | mode & PERMISSIONS, caller);
        let made = self.make_node(parent, name, wanted);
        let entry = settle(parent, (0, 1), made)?;
        reply.entry(&entry);
        Ok(())
    }

    /// Makes a file, fifo or socket; the latter two as files that say what they are, if they can.
    fn make_node(
        &self,
        parent: &Arc<Node>,
        name: Name<'_>,
        wanted: Wanted,
    ) -> Result<Entry, Errno> {
        let (kind, share) = (wanted.0 & TYPE, &parent.share);
        if kind == REGULAR || share.stat_virt != schema::launch::StatVirt::Off {
            let mode = ownership::new_mode(share, wanted.0, false);
            let open = parent.counted(|| beneath::create(parent.fd(), name, mode))?;
            let made = self.enter_new(parent, name, &open, wanted);
            match &made {
                Ok(entry) if entry.attributes.mode & TYPE == kind => return made,
                Ok(entry) => self.nodes.forget(entry.node, 1),
                Err(_) => {}
            }
            unlinkat(parent.fd(), name, AtFlags::empty())?;
            made?;
        }
        let (kind, mode) = (FileType::from_raw_mode(kind), Mode::from_raw_mode(wanted.0 & 0o777));
        parent.counted(|| mknodat(parent.fd(), name, kind, mode, 0))?;
        self.find(parent, name)
    }

    pub(super) fn create(
        &self,
        (parent, name): (&Arc<Node>, Name<'_>),
        flags: u32,
        (mode, caller): Wanted,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        parent.check_entry(name.bytes())?;
        parent.share.take(0, 1)?;
        let host = ownership::new_mode(&parent.share, mode, false);
        let made = parent.counted(|| beneath::create(parent.fd(), name, host));
        let open = match settle(parent, (0, 1), made) {
            Err(Errno::EXIST) if flags & O_EXCL == 0 => {
                return self.open_found(parent, name, flags, reply);
            }
            made => made?,
        };
        if flags & O_APPEND != 0 {
            rustix::fs::fcntl_setfl(&open, OFlags::APPEND)?;
        }
        let wanted = (REGULAR | mode & PERMISSIONS, caller);
        let made = self.enter_new(parent, name, &open, wanted);
        let entry = or_remove(parent, name, (0, AtFlags::empty()), made)?;
        let file = OpenFile {
            fd: open,
            share: Arc::clone(&parent.share),
            node: Some(self.nodes.get(entry.node)?),
            is_writable: flags & O_ACCMODE != 0,
        };
        reply.entry(&entry);
        reply.opened(self.files.open(file));
        Ok(())
    }

    /// Opens what somebody else made under the name meanwhile.
    fn open_found(
        &self,
        parent: &Arc<Node>,
        name: Name<'_>,
        flags: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let entry = self.find(parent, name)?;
        match self.open_node(&self.nodes.get(entry.node)?, flags) {
            Ok(handle) => {
                reply.entry(&entry);
                reply.opened(handle);
                Ok(())
            }
            Err(errno) => {
                self.nodes.forget(entry.node, 1);
                Err(errno)
            }
        }
    }

    /// Gives a file that was just made to whoever asked for it, and knows it from now on.
    fn enter_new(
        &self,
        parent: &Node,
        name: Name<'_>,
        open: &OwnedFd,
        wanted: Wanted,
    ) -> Result<Entry, Errno> {
        let fd = beneath::name_of(open.as_fd())?;
        self.own(parent, &fd, wanted)?;
        count_new(parent, 0, &fd);
        self.enter(parent, name, fd)
    }

    /// Gives a new file to whoever asked for it.
    fn own(&self, parent: &Node, fd: &OwnedFd, (mode, caller): Wanted) -> Result<(), Errno> {
        let share = &parent.share;
        let stat = rustix::fs::fstat(fd)?;
        let folder = self.users.owner(share, parent.fd(), &parent.stat()?);
        let made = Owner { uid: caller.0, gid: caller.1, mode };
        let is_folder = beneath::kind(&stat) == FileType::Directory;
        self.users.change(share, (fd.as_fd(), &stat), ownership::inherit(folder, made, is_folder))
    }

    pub(super) fn link(
        &self,
        node: &Arc<Node>,
        parent: &Arc<Node>,
        name: Name<'_>,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        if node.share.index != parent.share.index {
            return Err(Errno::XDEV);
        }
        node.check_change()?;
        parent.check_entry(name.bytes())?;
        let path = beneath::path(node.fd());
        parent.counted(|| linkat(CWD, path, parent.fd(), name, AtFlags::SYMLINK_FOLLOW))?;
        let entry = self.find(parent, name)?;
        reply.entry(&entry);
        Ok(())
    }

    pub(super) fn unlink(&self, parent: &Node, name: Name<'_>) -> Result<(), Errno> {
        self.remove(parent, name, AtFlags::empty())
    }

    pub(super) fn rmdir(&self, parent: &Node, name: Name<'_>) -> Result<(), Errno> {
        self.remove(parent, name, AtFlags::REMOVEDIR)
    }

    fn remove(&self, parent: &Node, name: Name<'_>, how: AtFlags) -> Result<(), Errno> {
        parent.check_entry(name.bytes())?;
        let goes = self.counted(parent, name);
        parent.counted(|| unlinkat(parent.fd(), name, how))?;
        self.gone(parent, goes);
        Ok(())
    }

    pub(super) fn rename(
        &self,
        (from, name): (&Arc<Node>, Name<'_>),
        (to, new): (&Arc<Node>, Name<'_>),
        flags: u32,
    ) -> Result<(), Errno> {
        if from.share.index != to.share.index {
            return Err(Errno::XDEV);
        }
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        // A whiteout is a device.
        if flags.contains(RenameFlags::WHITEOUT) {
            return Err(Errno::INVAL);
        }
        from.check_entry(name.bytes())?;
        to.check_entry(new.bytes())?;
        let goes = self.counted(to, new);
        let change = || renameat_with(from.fd(), name, to.fd(), new, flags);
        // Two renames that cross lock their folders in the same order.
        match from.id.cmp(&to.id) {
            Ordering::Equal => to.counted(change),
            Ordering::Less => from.counted(|| to.counted(change)),
            Ordering::Greater => to.counted(|| from.counted(change)),
        }?;
        self.gone(to, goes);
        Ok(())
    }

    /// Returns what an entry leads to, where what it occupies is counted.
    fn counted(&self, parent: &Node, name: Name<'_>) -> Option<OwnedFd> {
        parent.share.usage.as_ref()?;
        beneath::look(parent.fd(), name).ok()
    }

    /// Gives back what a file occupied to which no name leads any more, at once or with its last user.
    fn gone(&self, parent: &Node, file: Option<OwnedFd>) {
        let Some(fd) = file else { return };
        let Ok(stat) = rustix::fs::fstat(&fd) else { return };
        if stat.st_nlink > 0 && beneath::kind(&stat) != FileType::Directory {
            return;
        }
        if beneath::kind(&stat) == FileType::Directory && stat.st_nlink > 0 && is_linked(&fd) {
            return;
        }
        match self.nodes.known(&parent.share, &stat) {
            Some(node) => node.orphan(),
            None => parent.share.give_back(occupied(&stat), 1),
        }
    }
}

/// Counts what something new occupies, in place of what was taken for it.
fn count_new(parent: &Node, taken: u64, fd: &OwnedFd) {
    if let (Some(usage), Ok(stat)) = (&parent.share.usage, rustix::fs::fstat(fd)) {
        usage.correct(taken, occupied(&stat));
    }
}

/// Gives back what a change that failed had taken.
fn settle<T>(
    parent: &Node,
    (bytes, inodes): (u64, u64),
    made: Result<T, Errno>,
) -> Result<T, Errno> {
    if made.is_err() {
        parent.share.give_back(bytes, inodes);
    }
    made
}

/// Removes what was made and could not be given what it should be.
fn or_remove<T>(
    parent: &Node,
    name: Name<'_>,
    (bytes, how): (u64, AtFlags),
    made: Result<T, Errno>,
) -> Result<T, Errno> {
    if made.is_err() && unlinkat(parent.fd(), name, how).is_ok() {
        parent.share.give_back(bytes, 1);
    }
    made
}

/// Tells whether a folder can still be entered by a name; some file systems count no links of it.
fn is_linked(fd: &OwnedFd) -> bool {
    let path = rustix::fs::readlink(beneath::path(fd), Vec::new());
    path.is_ok_and(|path| !path.as_bytes().ends_with(b" (deleted)"))
}
