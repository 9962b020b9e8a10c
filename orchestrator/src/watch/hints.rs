//! Hints that something changed: files of the project, and records of its machines.
//!
//! A hint says only that it is worth to look. What is looked at is everything, so a hint that is
//! lost or comes twice costs time and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
use rustix::io::Errno;

use crate::context::Clock;
use crate::machines::Folder;
use crate::sessions::signals::Signals;

/// How long it must be quiet before a change counts as whole.
pub const QUIET: Duration = Duration::from_millis(300);

/// How files in a project's folder are called that may be part of it although they are not yet.
const SANDBOXFILE: &[u8] = b"Sandboxfile";

/// See the module.
#[derive(Debug)]
pub struct Hints {
    /// `None` where the host watches nothing for us.
    events: Option<OwnedFd>,
    folders: BTreeMap<i32, Watched>,
}

#[derive(Debug)]
struct Watched {
    path: PathBuf,
    /// The names that count in it.
    names: BTreeSet<OsString>,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// Something changed, and it has been quiet since.
    Hint,
    /// The time is over.
    Time,
    /// A signal came.
    Signal(i32),
}

impl Hints {
    /// Begins to watch; where the host has no watches left, only time wakes.
    #[must_use]
    pub fn begin() -> Self {
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        Self { events, folders: BTreeMap::new() }
    }

    /// Watches exactly these files, also those that are not there yet; tells whether all could be.
    pub fn watch(&mut self, files: impl IntoIterator<Item = PathBuf>) -> bool {
        let mut wanted: BTreeMap<PathBuf, BTreeSet<OsString>> = BTreeMap::new();
        for file in files {
            if let (Some(folder), Some(name)) = (file.parent(), file.file_name()) {
                wanted.entry(folder.to_path_buf()).or_default().insert(name.to_owned());
            }
        }
        let Some(events) = &self.events else { return false };
        self.folders.retain(|id, folder| {
            let stays = wanted.contains_key(&folder.path);
            if !stays {
                // A folder that is gone took its watch with it.
                let _ = inotify::remove_watch(events, *id);
            }
            stays
        });
        let mut all = true;
        for (path, names) in wanted {
            match inotify::add_watch(events, &path, EVENTS) {
                Ok(id) => drop(self.folders.insert(id, Watched { path, names })),
                // What is not there is looked for when time wakes.
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(_) => all = false,
            }
        }
        all
    }

    /// Waits for a hint and the quiet after it, for a signal, or until the time is over.
    ///
    /// # Errors
    /// The host cannot wait.
    pub fn wait(
        &mut self,
        signals: &mut Signals,
        most: Duration,
        clock: &impl Clock,
    ) -> io::Result<Woken> {
        let end = clock.elapsed() + most;
        let mut hinted: Option<Duration> = None;
        loop {
            if let Some(signal) = signals.take().first() {
                return Ok(Woken::Signal(*signal));
            }
            let now = clock.elapsed();
            if self.has_hints()? {
                hinted = Some(now);
            }
            // A storm of changes is looked at in the middle, at the latest when the time is over.
            let until = hinted.map_or(end, |at| end.min(at + QUIET));
            if now >= until {
                return Ok(if hinted.is_some() { Woken::Hint } else { Woken::Time });
            }
            let events = self.events.iter().map(AsFd::as_fd);
            signals.wait_beside(events, until - now)?;
        }
    }

    /// Takes every event that is there, and tells whether one of them counts.
    fn has_hints(&mut self) -> io::Result<bool> {
        let Some(events) = &self.events else { return Ok(false) };
        let mut room = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(events, &mut room);
        let mut found = false;
        loop {
            match reader.next() {
                Ok(event) => {
                    let lost = event.events().contains(inotify::ReadFlags::QUEUE_OVERFLOW);
                    let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
                    found |= lost || self.folders.get(&event.wd()).is_some_and(|f| f.counts(name));
                }
                Err(Errno::AGAIN) => return Ok(found),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Watched {
    fn counts(&self, name: Option<&OsStr>) -> bool {
        // Without a name it is the folder itself that went or came.
        name.is_none_or(|name| {
            self.names.contains(name)
                || (self.has_sandboxfile() && name.as_bytes().starts_with(SANDBOXFILE))
        })
    }

    fn has_sandboxfile(&self) -> bool {
        self.names.iter().any(|name| name.as_bytes().starts_with(SANDBOXFILE))
    }
}

/// Whole writes and renames; a file that is still being written is none.
const EVENTS: WatchFlags = WatchFlags::CLOSE_WRITE
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::DELETE)
    .union(WatchFlags::DELETE_SELF)
    .union(WatchFlags::MOVE_SELF)
    .union(WatchFlags::ONLYDIR);

/// Returns the files that tell of a machine: its record says where it is, and a runtime that was
/// killed without a word leaves its log, which nobody else writes to.
#[must_use]
pub fn of_machine(folder: &Folder) -> [PathBuf; 2] {
    [folder.file(schema::record::FILE), folder.runtime_log()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::SystemClock;
    use crate::sessions::signals::RESIZED;
    use crate::store::atomic;

    #[test]
    fn a_file_that_is_replaced_is_a_hint_and_its_neighbour_is_none() {
        let folder = crate::scratch::Scratch::new();
        let file = folder.path().join("Sandboxfile.kdl");
        let mut signals = Signals::catch(&[RESIZED]).unwrap();
        let mut hints = Hints::begin();
        assert!(hints.watch([file.clone()]));
        let clock = SystemClock::start();
        atomic::write(&folder.path().join("notes.txt"), b"").unwrap();
        let most = Duration::from_millis(30);
        assert_eq!(hints.wait(&mut signals, most, &clock).unwrap(), Woken::Time);
        atomic::write(&file, b"").unwrap();
        let most = Duration::from_secs(60);
        assert_eq!(hints.wait(&mut signals, most, &clock).unwrap(), Woken::Hint);
    }
}
