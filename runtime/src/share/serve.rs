//! Calls in, answers out: what a share server does with one message.
//!
//! ```text
//! 1 ─┬─ 0 ── folder of a share ── its files
//!    ├─ 1 ── f                    a single file, known by its name
//!    └─ …
//! ```

use std::sync::Arc;

use rustix::fs::{FileType, Stat};
use rustix::io::Errno;

use super::greeting;
use super::handles::{Handles, OpenFile, OpenFolder};
use super::nodes::{Node, Nodes, ROOT};
use super::ownership::Users;
use super::quota;
use super::reply::{Attributes, Belief, Entry, NOTHING, Reply};
use super::share::Share;
use super::tally::Tally;
use super::wire::{Call, Head, Name, forgotten};

/// The number of the first share's top.
const TOPS: u64 = 2;
/// The number of the first single file.
const FILES: u64 = 1 << 12;
/// The name that a single file has in its share.
const FILE: &[u8] = b"f";

/// What is told of folders that are on no host.
const BARE_FOLDER: Attributes =
    Attributes { mode: 0o040_755, links: 2, block_bytes: 4096, ino: 1, ..NOTHING };

/// See the module.
#[derive(Debug)]
pub(super) struct Server {
    shares: Vec<Arc<Share>>,
    pub(super) nodes: Nodes,
    pub(super) files: Handles<OpenFile>,
    pub(super) folders: Handles<OpenFolder>,
    pub(super) users: Users,
    pub(super) tally: Tally,
}

/// What a number of the guest means.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The list of the shares.
    Root,
    /// The folder in which a single file stands.
    Alone(Arc<Share>),
    /// A single file.
    File(Arc<Share>),
    /// A file of a shared folder.
    Node(Arc<Node>),
}

impl Server {
    /// Returns a server of these shares that holds at most `nodes_max` files.
    ///
    /// # Errors
    /// A share cannot be looked at.
    pub(super) fn new(
        shares: Vec<Arc<Share>>,
        nodes_max: usize,
        tally: Tally,
    ) -> Result<Self, Errno> {
        let nodes = Nodes::new(nodes_max);
        for share in shares.iter().filter(|share| !share.is_single()) {
            let top = rustix::io::fcntl_dupfd_cloexec(share.folder(), 3)?;
            nodes.root(TOPS + u64::from(share.index), share, top)?;
        }
        let (files, folders) = (Handles::default(), Handles::default());
        Ok(Self { shares, nodes, files, folders, users: Users::of_process(), tally })
    }

    /// Does what a call asks for; absent where nothing is to be answered.
    pub(super) fn answer(
        &self,
        head: &Head,
        call: Result<Call<'_>, Errno>,
        reply: &mut Reply,
    ) -> Option<Result<(), Errno>> {
        reply.begin();
        match call {
            Ok(Call::Forget { count }) => self.nodes.forget(head.node, count),
            Ok(Call::BatchForget { pairs }) => {
                forgotten(pairs).for_each(|(node, count)| self.nodes.forget(node, count));
            }
            Ok(Call::User { uid, gid }) => self.users.set_sandbox(uid, gid),
            Ok(Call::Interrupt) => {}
            Ok(call) => return Some(self.act(head, call, reply)),
            Err(errno) => return Some(Err(errno)),
        }
        None
    }

    fn act(&self, head: &Head, call: Call<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let caller = (head.uid, head.gid);
        match call {
            Call::Init(greeting) => {
                reply.greeting(&greeting::agree(&greeting)?);
                Ok(())
            }
            Call::Lookup { name } => self.lookup(head.node, name, reply),
            Call::Getattr { handle } => self.getattr(head.node, handle, reply),
            Call::Setattr(changes) => self.setattr(head.node, &changes, reply),
            Call::Readlink => self.readlink(&*self.node(head.node)?, reply),
            Call::Symlink { name, target } => {
                self.symlink((&self.node(head.node)?, name), target, caller, reply)
            }
            Call::Mknod { name, mode } => {
                self.mknod(&self.node(head.node)?, name, (mode, caller), reply)
            }
            Call::Mkdir { name, mode } => {
                self.mkdir(&self.node(head.node)?, name, (mode, caller), reply)
            }
            Call::Create { name, flags, mode } => {
                self.create((&self.node(head.node)?, name), flags, (mode, caller), reply)
            }
            Call::Unlink { name } => self.unlink(&*self.node(head.node)?, name),
            Call::Rmdir { name } => self.rmdir(&*self.node(head.node)?, name),
            Call::Rename { name, to, new, flags } => {
                let (from, to) = (self.node(head.node)?, self.node(to)?);
                self.rename((&from, name), (&to, new), flags)
            }
            Call::Link { node, name } => {
                self.link(&self.node(node)?, &self.node(head.node)?, name, reply)
            }
            Call::Statfs => self.statfs(head.node, reply),
            other => self.act_on_open(head, &other, reply),
        }
    }

    /// What is said of open files and folders, and of attributes beside a file.
    fn act_on_open(&self, head: &Head, call: &Call<'_>, reply: &mut Reply) -> Result<(), Errno> {
        match *call {
            Call::Open { flags, .. } => self.open(head.node, flags, reply),
            Call::Read { handle, offset, size } => self.read(handle, offset, size, reply),
            Call::Write { handle, offset, data, kill_set_id } => {
                self.write(handle, (offset, data), kill_set_id, reply)
            }
            Call::Release { handle } => {
                self.files.close(handle);
                Ok(())
            }
            Call::Fsync { handle, data_only } => self.fsync(handle, data_only),
            Call::Fallocate { handle, offset, length, mode } => {
                self.fallocate(handle, (offset, length), mode)
            }
            Call::Lseek { handle, offset, whence } => self.lseek(handle, offset, whence, reply),
            Call::CopyFileRange { from, to, length } => {
                self.copy(from, (to.1, to.2), length, reply)
            }
            Call::Opendir => self.opendir(head.node, reply),
            Call::Readdir { handle, offset, size, plus } => {
                self.readdir(head.node, handle, (offset, size, plus), reply)
            }
            Call::Releasedir { handle } => {
                self.folders.close(handle);
                Ok(())
            }
            Call::Fsyncdir { handle } => {
                // Those that are on no host are always as they are.
                self.folders.get(handle).map_or(Ok(()), |open| rustix::fs::fsync(&open.fd))
            }
            Call::Setxattr { name, value, flags } => self.setxattr(head.node, name, value, flags),
            Call::Getxattr { name, size } => self.getxattr(head.node, name, size, reply),
            Call::Listxattr { size } => self.listxattr(head.node, size, reply),
            Call::Removexattr { name } => self.removexattr(head.node, name),
            Call::Destroy => Ok(()),
            _ => Err(Errno::NOSYS),
        }
    }

    /// Returns what a number means.
    pub(super) fn place(&self, id: u64) -> Result<Place, Errno> {
        let share = |first: u64| {
            let index = usize::try_from(id.checked_sub(first)?).ok()?;
            self.shares.get(index).cloned()
        };
        match id {
            ROOT => Ok(Place::Root),
            TOPS..FILES => match share(TOPS).ok_or(Errno::STALE)? {
                share if share.is_single() => Ok(Place::Alone(share)),
                _ => self.nodes.get(id).map(Place::Node),
            },
            _ => match share(FILES).filter(|share| share.is_single()) {
                Some(share) => Ok(Place::File(share)),
                None => self.nodes.get(id).map(Place::Node),
            },
        }
    }

    /// Returns a file of a shared folder; nothing else can be changed through its entries.
    pub(super) fn node(&self, id: u64) -> Result<Arc<Node>, Errno> {
        match self.place(id)? {
            Place::Node(node) => Ok(node),
            // The target of a mount, to whoever tries.
            Place::File(_) | Place::Alone(_) => Err(Errno::BUSY),
            Place::Root => Err(Errno::ROFS),
        }
    }

    fn lookup(&self, parent: u64, name: Name<'_>, reply: &mut Reply) -> Result<(), Errno> {
        let entry = match self.place(parent)? {
            Place::Root => self.top(name)?,
            Place::Alone(share) if name.bytes() == FILE => self.single(&share)?,
            Place::Alone(_) => return Err(Errno::NOENT),
            Place::File(_) => return Err(Errno::NOTDIR),
            Place::Node(parent) => match self.find(&parent, name) {
                // That it is not there is believed as long as what is.
                Err(Errno::NOENT) => Entry { belief: Belief::Second, ..super::reply::NO_ENTRY },
                found => found?,
            },
        };
        reply.entry(&entry);
        Ok(())
    }

    /// Returns the top of the share whose number is the name.
    fn top(&self, name: Name<'_>) -> Result<Entry, Errno> {
        let number = std::str::from_utf8(name.bytes()).ok().and_then(|text| text.parse().ok());
        let share = number.and_then(|number: usize| self.shares.get(number)).ok_or(Errno::NOENT)?;
        let id = TOPS + u64::from(share.index);
        match self.place(id)? {
            Place::Node(node) => self.entry(&node, &node.stat()?),
            _ => Ok(Entry { node: id, belief: Belief::Second, attributes: BARE_FOLDER }),
        }
    }

    /// Returns the single file of a share, as it is now.
    fn single(&self, share: &Share) -> Result<Entry, Errno> {
        let (fd, stat) = share.single()?;
        let id = FILES + u64::from(share.index);
        let owner = self.users.owner(share, std::os::fd::AsFd::as_fd(&fd), &stat);
        // Whatever file has the name: to the guest it stays the same one.
        let attributes = Attributes { ino: id, ..attributes(share, &stat, owner) };
        Ok(Entry { node: id, belief: Belief::None, attributes })
    }

    /// Finds an entry of a folder and knows it from now on.
    pub(super) fn find(&self, parent: &Node, name: Name<'_>) -> Result<Entry, Errno> {
        let fd = super::beneath::look(parent.fd(), name)?;
        self.enter(parent, name, fd)
    }

    /// Knows what an entry of a folder leads to; the guest has named it once more.
    pub(super) fn enter(
        &self,
        parent: &Node,
        name: Name<'_>,
        fd: std::os::fd::OwnedFd,
    ) -> Result<Entry, Errno> {
        let stat = rustix::fs::fstat(&fd)?;
        let found = super::nodes::Found { fd, stat };
        let node = self.nodes.find(parent, name.bytes(), found)?;
        self.entry(&node, &stat)
    }

    pub(super) fn entry(&self, node: &Node, stat: &Stat) -> Result<Entry, Errno> {
        let owner = self.users.owner(&node.share, node.fd(), stat);
        let attributes = attributes(&node.share, stat, owner);
        Ok(Entry { node: node.id, belief: Belief::Second, attributes })
    }

    pub(super) fn getattr(
        &self,
        id: u64,
        handle: Option<u64>,
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let entry = match self.place(id)? {
            Place::Root | Place::Alone(_) => {
                Entry { node: id, belief: Belief::Second, attributes: BARE_FOLDER }
            }
            Place::File(share) => match handle.and_then(|handle| self.files.get(handle).ok()) {
                // What is open stays what it is, also when another file has its name.
                Some(open) => {
                    let stat = rustix::fs::fstat(&open.fd)?;
                    let fd = std::os::fd::AsFd::as_fd(&open.fd);
                    let owner = self.users.owner(&share, fd, &stat);
                    let attributes = Attributes { ino: id, ..attributes(&share, &stat, owner) };
                    Entry { node: id, belief: Belief::None, attributes }
                }
                None => self.single(&share)?,
            },
            Place::Node(node) => self.entry(&node, &node.stat()?)?,
        };
        reply.attributes(entry.belief, &entry.attributes);
        Ok(())
    }

    fn statfs(&self, id: u64, reply: &mut Reply) -> Result<(), Errno> {
        let share = match self.place(id)? {
            Place::Root => None,
            Place::Alone(share) | Place::File(share) => Some(share),
            Place::Node(node) => Some(Arc::clone(&node.share)),
        };
        let figures = match &share {
            None => quota::Figures { block_bytes: 4096, name_max: 255, ..Default::default() },
            Some(share) => {
                let host = quota::host_figures(share.folder())?;
                share.usage.as_ref().map_or(host, |usage| usage.narrow(host))
            }
        };
        reply.figures(&figures);
        Ok(())
    }

    /// Returns the numbers of the shares and what single files are called, for listing.
    pub(super) fn names(&self, place: &Place) -> Vec<(String, u64)> {
        match place {
            Place::Root => {
                let numbers = 0..self.shares.len() as u64;
                numbers.map(|number| (number.to_string(), TOPS + number)).collect()
            }
            Place::Alone(share) => vec![("f".to_owned(), FILES + u64::from(share.index))],
            Place::File(_) | Place::Node(_) => Vec::new(),
        }
    }
}

/// Returns what the guest is told of a file.
pub(super) fn attributes(share: &Share, stat: &Stat, owner: super::ownership::Owner) -> Attributes {
    let number = |number: i64| u64::try_from(number).unwrap_or(0);
    let moment =
        |seconds: i64, nanos: u64| (seconds.cast_unsigned(), u32::try_from(nanos).unwrap_or(0));
    let is_plain = FileType::from_raw_mode(owner.mode) == super::beneath::kind(stat);
    Attributes {
        ino: share.inode(stat),
        // A fifo is an empty file on the host.
        size: if is_plain { number(stat.st_size) } else { 0 },
        blocks: number(stat.st_blocks),
        accessed: moment(stat.st_atime, stat.st_atime_nsec),
        modified: moment(stat.st_mtime, stat.st_mtime_nsec),
        changed: moment(stat.st_ctime, stat.st_ctime_nsec),
        mode: owner.mode,
        links: u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        uid: owner.uid,
        gid: owner.gid,
        block_bytes: 4096,
    }
}
