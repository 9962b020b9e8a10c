//! Locks that a dead process gives back: a project's, an instance's, the migration's.
//!
//! The lock is the kernel's `flock`; the text in the file only tells a waiter
//! whom it waits for.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How often a waiter looks again; the kernel has no flock with a deadline.
const RETRY: Duration = Duration::from_millis(50);

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lease(File);

/// Who holds a lock, as it wrote of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Its process id.
    pub pid: u32,
    /// The ticks at which it started.
    pub start_ticks: u64,
    /// Its command.
    pub command: String,
    /// Since when, milliseconds since 1970.
    pub since_ms: u64,
}

/// Whether others may hold the same lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Nobody.
    Exclusive,
    /// Those who ask for it shared too.
    Shared,
}

/// Why a lock was not had.
#[derive(Debug, Error)]
pub enum LeaseError {
    /// Somebody else holds it.
    #[error("the lock {} is held by {}", path.display(), describe(holder.as_ref()))]
    Busy {
        /// The lock's file.
        path: PathBuf,
        /// Who holds it, where it could be read.
        holder: Option<Holder>,
    },
    /// The lock's file could not be opened or locked.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

fn describe(holder: Option<&Holder>) -> String {
    holder.map_or_else(
        || "another process".to_owned(),
        |holder| format!("pid {} ({})", holder.pid, holder.command),
    )
}

impl Lease {
    /// Takes the lock at `path` at once, or says who holds it.
    ///
    /// # Errors
    /// [`LeaseError::Busy`] where somebody else holds it.
    pub fn try_take(path: &Path, me: &Holder, sharing: Sharing) -> Result<Self, LeaseError> {
        loop {
            let lease = Self::take_file(path, me, sharing)?;
            // Whoever tidies up may have taken the name away before the lock was ours.
            if lease.is_named(path) {
                return Ok(lease);
            }
        }
    }

    /// Removes the file of a lock that is held for oneself alone, and gives it back.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn remove(self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn is_named(&self, path: &Path) -> bool {
        let named = std::fs::metadata(path);
        let held = self.0.metadata();
        named.is_ok_and(|named| {
            held.is_ok_and(|held| (held.dev(), held.ino()) == (named.dev(), named.ino()))
        })
    }

    fn take_file(path: &Path, me: &Holder, sharing: Sharing) -> Result<Self, LeaseError> {
        let failed = |source| LeaseError::Lock { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        let operation = match sharing {
            Sharing::Exclusive => FlockOperation::NonBlockingLockExclusive,
            Sharing::Shared => FlockOperation::NonBlockingLockShared,
        };
        match flock(&file, operation) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(LeaseError::Busy { path: path.to_owned(), holder: read(&mut file) });
            }
            Err(errno) => return Err(failed(errno.into())),
        }
        if sharing == Sharing::Exclusive {
            write(&mut file, me).map_err(failed)?;
        }
        Ok(Self(file))
    }

    /// Lets those in who ask for the lock shared.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn share(&self) -> Result<(), LeaseError> {
        flock(&self.0, FlockOperation::NonBlockingLockShared)
            .map_err(|errno| LeaseError::Lock { path: PathBuf::from("held"), source: errno.into() })
    }

    /// Takes the lock at `path`, waiting for it as long as `timeout` says.
    ///
    /// `waiting` hears once of the holder when there is one to wait for.
    ///
    /// # Errors
    /// [`LeaseError::Busy`] when the time is over.
    pub async fn take(
        path: &Path,
        me: &Holder,
        sharing: Sharing,
        timeout: Duration,
        waiting: impl Fn(&Holder),
    ) -> Result<Self, LeaseError> {
        let mut told = false;
        let mut left = timeout;
        loop {
            match Self::try_take(path, me, sharing) {
                Err(LeaseError::Busy { holder, .. }) if !left.is_zero() => {
                    if !told && timeout.saturating_sub(left) >= 4 * RETRY {
                        waiting(&holder.unwrap_or_default());
                        told = true;
                    }
                }
                settled => return settled,
            }
            tokio::time::sleep(RETRY.min(left)).await;
            left = left.saturating_sub(RETRY);
        }
    }
}

impl Drop for Lease {
    /// Gives the lock back itself: a program that is just being started by another thread has a
    /// copy of the descriptor until it runs, and closing ours would leave the lock with that.
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Tells whether somebody holds the lock at `path` for itself alone.
///
/// # Errors
/// The file is there and cannot be opened.
pub fn is_held(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => {
            // Given back at once, as by `Lease`.
            let _ = flock(&file, FlockOperation::Unlock);
            Ok(false)
        }
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

fn read(file: &mut File) -> Option<Holder> {
    let mut text = String::new();
    file.take(4096).read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

fn write(file: &mut File, holder: &Holder) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&serde_json::to_vec(holder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_taker_hears_who_holds_the_lock() {
        let folder = crate::scratch::Scratch::new();
        let path = folder.path().join("p.lock");
        let me = Holder { pid: 7, command: "msb up".to_owned(), ..Holder::default() };
        let held = Lease::try_take(&path, &me, Sharing::Exclusive).unwrap();
        let refused = Lease::try_take(&path, &Holder::default(), Sharing::Shared).unwrap_err();
        assert!(refused.to_string().ends_with("is held by pid 7 (msb up)"), "{refused}");
        assert!(is_held(&path).unwrap());
        drop(held);
        assert!(!is_held(&path).unwrap());
        Lease::try_take(&path, &me, Sharing::Exclusive).unwrap();
    }

    #[test]
    fn a_lock_whose_file_was_taken_away_is_taken_anew() {
        let folder = crate::scratch::Scratch::new();
        let path = folder.path().join("p.lock");
        let me = Holder::default();
        let old = Lease::try_take(&path, &me, Sharing::Exclusive).unwrap();
        old.remove(&path).unwrap();
        let new = Lease::try_take(&path, &me, Sharing::Exclusive).unwrap();
        assert!(new.is_named(&path));
        std::fs::remove_file(&path).unwrap();
        assert!(!new.is_named(&path), "who holds a lock without a name holds nothing");
    }

    #[test]
    fn a_lock_is_given_back_whoever_else_has_its_descriptor() {
        let folder = crate::scratch::Scratch::new();
        let path = folder.path().join("p.lock");
        let lease = Lease::try_take(&path, &Holder::default(), Sharing::Exclusive).unwrap();
        let copy = lease.0.try_clone().unwrap();
        drop(lease);
        assert!(!is_held(&path).unwrap(), "a child that is being started would hold it");
        drop(copy);
    }

    #[test]
    fn those_who_share_do_not_wait_for_each_other() {
        let folder = crate::scratch::Scratch::new();
        let path = folder.path().join("p.lock");
        let me = Holder::default();
        let _first = Lease::try_take(&path, &me, Sharing::Shared).unwrap();
        let _second = Lease::try_take(&path, &me, Sharing::Shared).unwrap();
        Lease::try_take(&path, &me, Sharing::Exclusive).unwrap_err();
    }
}
