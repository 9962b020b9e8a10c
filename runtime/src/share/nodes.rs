//! The files that the guest knows by number, each held by one descriptor.
//!
//! ```text
//! lookup ─▶ known, named n times ─ forget n ─▶ gone: its descriptor is closed
//! ```
//!
//! A file is one node however many names lead to it. While it is held its inode cannot be given to
//! another file, so the pair of device and inode means it. The table is bounded by the descriptors
//! this process may have; near the bound the kernel is asked to give back what it used least.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rustix::fs::{FileType, Stat, fstat};
use rustix::io::Errno;

use super::guard::Guard;
use super::share::Share;

/// The node of the file system's root, which lists the shares.
pub(super) const ROOT: u64 = 1;

/// The first number of a file that was looked up.
const FIRST: u64 = 1 << 16;

/// Nodes of the least use that are given back at once, at most.
const EVICTED_MAX: usize = 256;

/// A file of a share.
#[derive(Debug)]
pub(super) struct Node {
    /// What the guest knows it by.
    pub(super) id: u64,
    pub(super) share: Arc<Share>,
    fd: OwnedFd,
    key: Key,
    is_folder: bool,
    /// How often the guest has named it; guarded by the table.
    named: AtomicU64,
    /// When it was last asked about, in calls.
    used: AtomicU64,
    /// What below it is protected, or that it is itself.
    guard: OnceLock<Arc<Guard>>,
    /// The entry that last led to it, for taking it back.
    entry: Mutex<Option<(u64, Vec<u8>)>>,
    /// Held while what is stored beside the file, or what it occupies, is changed.
    alone: Mutex<()>,
    /// No name leads to it any more: what it occupies is given back with it.
    is_orphan: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    share: u32,
    device: u64,
    inode: u64,
}

impl Node {
    /// Returns the descriptor that names it.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns what the host knows of it.
    pub(super) fn stat(&self) -> Result<Stat, Errno> {
        fstat(&self.fd)
    }

    /// Keeps others from changing what is stored beside the file.
    pub(super) fn alone(&self) -> MutexGuard<'_, ()> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes something of the file besides its bytes, and counts what that came to occupy.
    ///
    /// What is given back when it goes must have been counted: entries make a folder larger, and
    /// attributes a file.
    pub(super) fn counted<T>(&self, change: impl FnOnce() -> T) -> T {
        let _alone = self.alone();
        let Some(usage) = &self.share.usage else { return change() };
        let occupies = || self.stat().map(|stat| occupied(&stat));
        let before = occupies();
        let done = change();
        if let (Ok(before), Ok(after)) = (before, occupies()) {
            usage.correct(before, after);
        }
        done
    }

    /// Returns what below it is protected.
    pub(super) fn guard(&self) -> Option<&Arc<Guard>> {
        self.guard.get()
    }

    /// Refuses a change of a file that is protected.
    pub(super) fn check_change(&self) -> Result<(), Errno> {
        if self.share.read_only || self.guard().is_some_and(|guard| guard.is_file()) {
            return Err(Errno::ROFS);
        }
        Ok(())
    }

    /// Refuses a change of an entry that is protected, or of a folder that is read only.
    pub(super) fn check_entry(&self, name: &[u8]) -> Result<(), Errno> {
        let is_guarded = self.guard().is_some_and(|guard| guard.child(name).is_some());
        if self.share.read_only || is_guarded { Err(Errno::ROFS) } else { Ok(()) }
    }

    /// Notes that no name leads to it any more.
    pub(super) fn orphan(&self) {
        self.is_orphan.store(true, Ordering::Relaxed);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if !self.is_orphan.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(usage), Ok(stat)) = (&self.share.usage, self.stat()) {
            usage.give_back(occupied(&stat), 1);
        }
    }
}

/// Returns what a file occupies on the host.
pub(super) fn occupied(stat: &Stat) -> u64 {
    u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512)
}

/// See the module.
#[derive(Debug)]
pub(super) struct Nodes {
    table: Mutex<Table>,
    clock: AtomicU64,
    max: usize,
    /// The newest file when the guest was last asked to forget some.
    asked: AtomicU64,
}

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u64, Arc<Node>>,
    by_key: HashMap<Key, u64>,
    last: u64,
}

/// A file that was found below a folder and is to be known.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) fd: OwnedFd,
    pub(super) stat: Stat,
}

impl Nodes {
    /// Returns a table of at most `max` files.
    pub(super) fn new(max: usize) -> Self {
        Self { table: Mutex::default(), clock: AtomicU64::new(0), max, asked: AtomicU64::new(0) }
    }

    /// Returns a node that the guest named.
    ///
    /// # Errors
    /// `ESTALE` for a number that means nothing here.
    pub(super) fn get(&self, id: u64) -> Result<Arc<Node>, Errno> {
        let now = self.clock.fetch_add(1, Ordering::Relaxed);
        let node = self.table().by_id.get(&id).cloned().ok_or(Errno::STALE)?;
        node.used.store(now, Ordering::Relaxed);
        Ok(node)
    }

    /// Knows the top folder of a share under a number that is never forgotten.
    pub(super) fn root(&self, id: u64, share: &Arc<Share>, fd: OwnedFd) -> Result<(), Errno> {
        let stat = fstat(&fd)?;
        let key = key(share, &stat);
        let node = blank(id, Arc::clone(share), (fd, key), true);
        node.guard.get_or_init(|| Arc::clone(&share.guard));
        let mut table = self.table();
        table.by_key.insert(key, id);
        table.by_id.insert(id, Arc::new(node));
        Ok(())
    }

    /// Knows a file that `name` leads to from `parent`; the guest names it once more.
    ///
    /// # Errors
    /// `ENFILE` where no more files can be held.
    pub(super) fn find(&self, parent: &Node, name: &[u8], it: Found) -> Result<Arc<Node>, Errno> {
        let share = &parent.share;
        let key = key(share, &it.stat);
        let guard = parent.guard().and_then(|guard| guard.child(name)).cloned();
        let mut table = self.table();
        let known = table.by_key.get(&key).and_then(|id| table.by_id.get(id)).cloned();
        let node = match known {
            Some(node) => node,
            None if table.by_id.len() >= self.max => return Err(Errno::NFILE),
            None => {
                table.last = table.last.max(FIRST - 1) + 1;
                let id = table.last;
                let is_folder = super::beneath::kind(&it.stat) == FileType::Directory;
                let node = Arc::new(blank(id, Arc::clone(share), (it.fd, key), is_folder));
                table.by_key.insert(key, id);
                table.by_id.insert(id, Arc::clone(&node));
                node
            }
        };
        node.named.fetch_add(1, Ordering::Relaxed);
        node.used.store(self.clock.load(Ordering::Relaxed), Ordering::Relaxed);
        drop(table);
        if let Some(guard) = guard {
            node.guard.get_or_init(|| guard);
        }
        let mut entry = node.entry.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *entry {
            Some((folder, old)) if *folder == parent.id && old == name => {}
            other => *other = Some((parent.id, name.to_vec())),
        }
        drop(entry);
        Ok(node)
    }

    /// Returns the node of a file that is known already.
    pub(super) fn known(&self, share: &Share, stat: &Stat) -> Option<Arc<Node>> {
        let table = self.table();
        table.by_key.get(&key(share, stat)).and_then(|id| table.by_id.get(id)).cloned()
    }

    /// Takes back `count` namings; the last one lets go of the file.
    pub(super) fn forget(&self, id: u64, count: u64) {
        let mut table = self.table();
        // The top of a share stays, whatever is said of it.
        let Some(node) = table.by_id.get(&id).filter(|node| node.id >= FIRST) else { return };
        let named = node.named.load(Ordering::Relaxed).saturating_sub(count);
        node.named.store(named, Ordering::Relaxed);
        if named > 0 {
            return;
        }
        let gone = table.by_id.remove(&id);
        if let Some(node) = &gone {
            table.by_key.remove(&node.key);
        }
        // Closing it may take its time: not while others wait.
        drop(table);
        drop(gone);
    }

    /// Returns the entries that the guest should forget, where the table is nearly full.
    pub(super) fn crowded(&self) -> Vec<(u64, Vec<u8>)> {
        let table = self.table();
        let asked = self.asked.load(Ordering::Relaxed);
        let is_crowded = table.by_id.len() >= self.max / 10 * 9;
        if !is_crowded || table.last < asked + EVICTED_MAX as u64 {
            return Vec::new();
        }
        self.asked.store(table.last, Ordering::Relaxed);
        let given = |node: &&Arc<Node>| node.id >= FIRST && !node.is_folder;
        let mut nodes: Vec<_> = table.by_id.values().filter(given).collect();
        nodes.sort_by_key(|node| node.used.load(Ordering::Relaxed));
        let entry =
            |node: &&Arc<Node>| node.entry.lock().unwrap_or_else(PoisonError::into_inner).clone();
        nodes.iter().take(EVICTED_MAX).filter_map(entry).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(share: &Share, stat: &Stat) -> Key {
    Key { share: share.index, device: stat.st_dev, inode: stat.st_ino }
}

fn blank(id: u64, share: Arc<Share>, (fd, key): (OwnedFd, Key), is_folder: bool) -> Node {
    Node {
        id,
        share,
        fd,
        key,
        is_folder,
        named: AtomicU64::new(0),
        used: AtomicU64::new(0),
        guard: OnceLock::new(),
        entry: Mutex::default(),
        alone: Mutex::default(),
        is_orphan: AtomicBool::new(false),
    }
}
