//! What the guest has open, by number.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use super::nodes::Node;
use super::share::Share;

/// An open file.
#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) fd: OwnedFd,
    pub(super) share: Arc<Share>,
    /// The file; absent for a single one, which is known by its name alone.
    pub(super) node: Option<Arc<Node>>,
    pub(super) is_writable: bool,
}

/// An open folder of a share.
#[derive(Debug)]
pub(super) struct OpenFolder {
    pub(super) fd: OwnedFd,
    pub(super) node: Arc<Node>,
    /// Held while the position of the descriptor is used.
    pub(super) alone: Mutex<()>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Handles<T>(Mutex<(u64, HashMap<u64, Arc<T>>)>);

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self(Mutex::new((0, HashMap::new())))
    }
}

impl<T> Handles<T> {
    /// Keeps something open; returns its number, which is never given again.
    pub(super) fn open(&self, it: T) -> u64 {
        let mut table = self.table();
        table.0 += 1;
        let number = table.0;
        table.1.insert(number, Arc::new(it));
        number
    }

    /// Returns what a number means.
    ///
    /// # Errors
    /// `EBADF` for one that means nothing.
    pub(super) fn get(&self, number: u64) -> Result<Arc<T>, Errno> {
        self.table().1.get(&number).cloned().ok_or(Errno::BADF)
    }

    /// Closes what a number means.
    pub(super) fn close(&self, number: u64) {
        let closed = self.table().1.remove(&number);
        drop(closed);
    }

    fn table(&self) -> MutexGuard<'_, (u64, HashMap<u64, Arc<T>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
