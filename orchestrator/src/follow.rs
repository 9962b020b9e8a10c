//! The logs of machines, as they lie and as they grow.
//!
//! Each file is followed by inode and length: one that was renamed away is
//! read to its end before its successor is begun, so no line is lost or told
//! twice. One watch on the machine's folder says when to look.

mod cursor;
mod entry;
mod tail;

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;

pub use cursor::Cursor;
pub use entry::{Entry, Place, Source};
use tail::Tail;

/// The logs of one machine.
#[derive(Debug)]
pub struct Logs {
    tails: Vec<Tail>,
    watch: Option<OwnedFd>,
}

impl Logs {
    /// Opens the logs in a machine's folder that hold these sources; a log that is not there is empty.
    ///
    /// `started_ms` stands in for the time of lines that carry none, as the console's.
    #[must_use]
    pub fn open(folder: &Path, sources: &BTreeSet<Source>, started_ms: u64) -> Self {
        let kinds = tail::KINDS.into_iter();
        let wanted = kinds.filter(|kind| kind.sources().iter().any(|of| sources.contains(of)));
        let tails = wanted.map(|kind| Tail::new(folder, kind, started_ms)).collect();
        Self { tails, watch: None }
    }

    /// Watches the folder from now on.
    pub fn watch(&mut self, folder: &Path) {
        self.watch = watch(folder).ok();
    }

    /// Returns what becomes readable when something happens in the folder.
    #[must_use]
    pub fn as_watched(&self) -> Option<BorrowedFd<'_>> {
        self.watch.as_ref().map(AsFd::as_fd)
    }

    /// Returns what was written since the last time, oldest first.
    pub fn read(&mut self) -> Vec<Entry> {
        self.drain_watch();
        let mut entries: Vec<Entry> = self.tails.iter_mut().flat_map(Tail::read).collect();
        entries.sort_by_key(|entry| entry.at_ms);
        entries
    }

    fn drain_watch(&self) {
        let Some(watch) = &self.watch else { return };
        let mut bytes = [0; 4096];
        while matches!(rustix::io::read(watch, &mut bytes), Ok(count) if count > 0) {}
    }
}

fn watch(folder: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    let watch = inotify::init(flags)?;
    let events = inotify::WatchFlags::MODIFY
        | inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::CLOSE_WRITE
        | inotify::WatchFlags::DELETE_SELF;
    inotify::add_watch(&watch, folder, events)?;
    Ok(watch)
}
