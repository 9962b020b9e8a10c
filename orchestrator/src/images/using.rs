//! Who works with the store, and who takes something out of it: many of the first, or one of the
//! second.
//!
//! What a command has fetched and not written down yet looks like what nobody needs, and so does an
//! image whose sandbox is only about to be made.

use std::fs::File;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::cache::{ImagesHome, RootError, flocked};

/// The name of the lock, in the temporary folder.
pub(super) const LOCK: &str = "store.lock";

/// Until it is dropped, nothing is taken out of the store.
#[derive(Debug)]
pub struct Using(File);

/// Until it is dropped, nobody puts anything into the store.
#[derive(Debug)]
pub struct Alone(File);

impl Using {
    /// Begins to work with the store; who takes something out of it is waited for, which is short.
    ///
    /// # Errors
    /// The lock cannot be taken; the folder is to be there.
    pub fn begin(home: &ImagesHome) -> Result<Self, RootError> {
        let path = path(home);
        flocked(&path, FlockOperation::LockShared)
            .map(Self)
            .map_err(|source| RootError::Folder { path, source })
    }
}

impl Alone {
    /// Begins to take from the store, unless somebody works with it.
    ///
    /// # Errors
    /// The lock cannot be taken; the folder is to be there.
    pub fn try_begin(home: &ImagesHome) -> Result<Option<Self>, RootError> {
        let path = path(home);
        match flocked(&path, FlockOperation::NonBlockingLockExclusive) {
            Ok(file) => Ok(Some(Self(file))),
            Err(error) if Errno::from_io_error(&error) == Some(Errno::WOULDBLOCK) => Ok(None),
            Err(source) => Err(RootError::Folder { path, source }),
        }
    }
}

// A program that is just being started has a copy of the descriptor until it runs: the lock is given
// back by word, not by closing.
impl Drop for Using {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

fn path(home: &ImagesHome) -> PathBuf {
    home.tmp().join(LOCK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::images::Builder;
    use crate::scratch::Scratch;

    #[test]
    fn many_work_with_the_store_or_one_takes_from_it() {
        let folder = Scratch::new();
        let builder = Builder { program: "/nowhere".into(), arguments: Vec::new() };
        let home = ImagesHome { dir: folder.path().to_owned(), builder };
        home.prepare().unwrap();
        let (one, other) = (Using::begin(&home).unwrap(), Using::begin(&home).unwrap());
        drop(one);
        assert!(Alone::try_begin(&home).unwrap().is_none());
        drop(other);
        let alone = Alone::try_begin(&home).unwrap().unwrap();
        assert!(Alone::try_begin(&home).unwrap().is_none());
        drop(alone);
        Using::begin(&home).unwrap();
    }
}
