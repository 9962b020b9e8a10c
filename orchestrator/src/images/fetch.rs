//! A blob of a registry on its way into the store: once, whole, or not at all.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use image::digest::Digest;
use image::draft::{Draft, sync_folder};
use schema::project::ImageRef;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::cache::{ImagesHome, RootError, lock};
use crate::registry::{Descriptor, Registry, RegistryError};

/// How many blobs of an image come at once.
const AT_ONCE: usize = 6;

/// Why a blob is not in the store.
#[derive(Debug, Error)]
pub enum FetchError {
    /// Nobody could be kept from fetching the same.
    #[error("cannot wait for who else fetches {digest}")]
    Lock {
        /// The blob.
        digest: String,
        /// What the host answered.
        #[source]
        source: RootError,
    },
    /// The registry did not give it.
    #[error("cannot fetch {digest}")]
    Registry {
        /// The blob.
        digest: String,
        /// Why not.
        #[source]
        source: Box<RegistryError>,
    },
    /// What came is something else.
    #[error("what the registry gave for {expected} hashes to {found}")]
    Damaged {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// It could not be kept.
    #[error("cannot keep {digest} in the store of images")]
    Keep {
        /// The blob.
        digest: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

/// Returns the name of the lock under which a blob gets or loses its name.
pub(super) fn lock_name(digest: &Digest) -> String {
    format!("blob-{}", digest.hex())
}

/// Where blobs come from and go to.
pub(super) struct Fetching<'a> {
    pub(super) home: &'a ImagesHome,
    pub(super) registry: &'a Registry,
    pub(super) reference: &'a ImageRef,
    /// Whether what is there already is fetched all the same.
    pub(super) force: bool,
    /// Is told how many bytes came.
    pub(super) came: &'a (dyn Fn(u64) + Sync),
}

impl Fetching<'_> {
    /// Fetches what the store lacks of these, several at once; returns the bytes that came.
    ///
    /// After the first failure nothing more is begun.
    pub(super) fn all(&self, parts: &[Descriptor]) -> Result<u64, FetchError> {
        let waiting: Mutex<VecDeque<&Descriptor>> = Mutex::new(parts.iter().collect());
        let failed: Mutex<Option<FetchError>> = Mutex::new(None);
        let came = AtomicU64::new(0);
        let work = || {
            loop {
                let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some(part) = next else { return };
                match self.one(part) {
                    Ok(bytes) => drop(came.fetch_add(bytes, Ordering::Relaxed)),
                    Err(error) => {
                        waiting.lock().unwrap_or_else(PoisonError::into_inner).clear();
                        failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            (1..AT_ONCE.min(parts.len())).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(came.into_inner()),
        }
    }

    /// Fetches one, unless it is there; who wants the same waits and finds it.
    fn one(&self, part: &Descriptor) -> Result<u64, FetchError> {
        let digest = part.digest.to_string();
        let held = lock(self.home, &lock_name(&part.digest));
        let _held = held.map_err(|source| FetchError::Lock { digest: digest.clone(), source })?;
        let path = self.home.blob(&part.digest);
        let is_there = fs::metadata(&path).is_ok_and(|found| found.len() == part.size);
        if is_there && !self.force {
            return Ok(0);
        }
        let keep = |source| FetchError::Keep { digest: digest.clone(), source };
        let draft = Draft::create(&self.home.tmp()).map_err(keep)?;
        let mut hasher = Sha256::new();
        let mut file = draft.file();
        let mut take = |bytes: &[u8]| -> io::Result<()> {
            hasher.update(bytes);
            (self.came)(bytes.len() as u64);
            file.write_all(bytes)
        };
        self.registry.blob(self.reference, part, 0, &mut take).map_err(|source| {
            FetchError::Registry { digest: digest.clone(), source: Box::new(source) }
        })?;
        let found = Digest::from(hasher);
        if found != part.digest {
            return Err(FetchError::Damaged { expected: digest, found: found.to_string() });
        }
        draft.publish(&path).and_then(|()| sync_folder(&self.home.blobs())).map_err(keep)?;
        Ok(part.size)
    }
}
