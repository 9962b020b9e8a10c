//! Attributes beside a file: the users' own pass, ours are not seen, all others are not known.

use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::Arc;

use rustix::fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr};
use rustix::io::Errno;

use super::beneath;
use super::nodes::Node;
use super::ownership::OURS;
use super::reply::Reply;
use super::serve::{Place, Server};
use super::share::Share;

/// The attributes of users, which a file of users may have.
const USERS: &[u8] = b"user.";

/// The longest value that a file system takes.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// The longest list of names.
const LIST_BYTES_MAX: usize = 64 << 10;

/// A file whose attributes are meant.
enum Meant {
    Node(Arc<Node>),
    Single(Arc<Share>, OwnedFd),
}

impl Meant {
    fn path(&self) -> String {
        match self {
            Self::Node(node) => beneath::path(node.fd()),
            Self::Single(_, fd) => beneath::path(fd.as_fd()),
        }
    }

    fn share(&self) -> &Share {
        match self {
            Self::Node(node) => &node.share,
            Self::Single(share, _) => share,
        }
    }

    /// Changes an attribute, which may have a place of its own on the disk.
    fn counted<T>(&self, change: impl FnOnce() -> T) -> T {
        match self {
            Self::Node(node) => node.counted(change),
            Self::Single(..) => change(),
        }
    }

    fn check_change(&self) -> Result<(), Errno> {
        match self {
            Self::Node(node) => node.check_change(),
            Self::Single(share, _) if share.read_only => Err(Errno::ROFS),
            Self::Single(..) => Ok(()),
        }
    }
}

impl Server {
    fn meant(&self, id: u64) -> Result<Meant, Errno> {
        match self.place(id)? {
            Place::Node(node) => Ok(Meant::Node(node)),
            Place::File(share) => {
                let (fd, _) = share.single()?;
                Ok(Meant::Single(share, fd))
            }
            Place::Root | Place::Alone(_) => Err(Errno::OPNOTSUPP),
        }
    }

    pub(super) fn setxattr(
        &self,
        id: u64,
        name: &[u8],
        value: &[u8],
        flags: u32,
    ) -> Result<(), Errno> {
        check(name)?;
        let file = self.meant(id)?;
        file.check_change()?;
        let flags = XattrFlags::from_bits(flags).ok_or(Errno::INVAL)?;
        // Whether there is room; what it takes is known when it is there.
        let bytes = value.len() as u64;
        file.share().take(bytes, 0)?;
        file.share().give_back(bytes, 0);
        file.counted(|| setxattr(file.path(), name, value, flags))
    }

    pub(super) fn removexattr(&self, id: u64, name: &[u8]) -> Result<(), Errno> {
        check(name)?;
        let file = self.meant(id)?;
        file.check_change()?;
        file.counted(|| removexattr(file.path(), name))
    }

    pub(super) fn getxattr(
        &self,
        id: u64,
        name: &[u8],
        size: u32,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        check(name)?;
        let path = self.meant(id)?.path();
        let mut value = vec![0; VALUE_BYTES_MAX];
        let count = getxattr(path, name, &mut value)?;
        answer(value.get(..count).unwrap_or_default(), size, reply)
    }

    pub(super) fn listxattr(&self, id: u64, size: u32, reply: &mut Reply) -> Result<(), Errno> {
        let path = match self.meant(id) {
            Err(Errno::OPNOTSUPP) => return answer(b"", size, reply),
            file => file?.path(),
        };
        let mut names = vec![0; LIST_BYTES_MAX];
        let count = listxattr(path, &mut names)?;
        let names = names.get(..count).unwrap_or_default().split_inclusive(|byte| *byte == 0);
        let seen = names.filter(|name| name.starts_with(USERS) && !name.starts_with(OURS));
        answer(&seen.flatten().copied().collect::<Vec<u8>>(), size, reply)
    }
}

/// Refuses what is not a user's own.
fn check(name: &[u8]) -> Result<(), Errno> {
    if name.starts_with(USERS) && !name.starts_with(OURS) { Ok(()) } else { Err(Errno::OPNOTSUPP) }
}

/// Answers with a value, or with how long it is where that is asked.
fn answer(value: &[u8], size: u32, reply: &mut Reply) -> Result<(), Errno> {
    let len = u32::try_from(value.len()).unwrap_or(u32::MAX);
    if size == 0 {
        reply.count(len);
    } else if len > size {
        return Err(Errno::RANGE);
    } else {
        reply.push(value);
    }
    Ok(())
}
