//! What is remembered in SQLite, as typed reads and writes.
//!
//! Only this room sees a row. The database is opened in one of two ways: to
//! change it, which makes and migrates it, or to read it, which creates
//! nothing and finds nothing on a bare machine.

pub mod atomic;
pub mod images;
pub mod invariants;
pub mod inventory;
pub mod lease;
pub mod locks;
pub mod migrate;
pub mod operations;
pub mod time;
mod volumes;

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior};

/// The rows of a database at one moment.
pub use rusqlite::Connection as Rows;
use thiserror::Error;

/// How long a statement waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// The database of one home.
#[derive(Debug)]
pub struct Store {
    db: Connection,
}

/// Why what is remembered could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A folder or file of the home could not be made.
    #[error("cannot prepare {}", path.display())]
    Prepare {
        /// What was to be made.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The database could not be opened.
    #[error("cannot open the state at {}", path.display())]
    Open {
        /// The database's file.
        path: PathBuf,
        /// What SQLite answered.
        #[source]
        source: rusqlite::Error,
    },
    /// A read or a write failed.
    #[error("cannot {0} in the state")]
    Query(&'static str, #[source] rusqlite::Error),
    /// A stored value is not what this program writes.
    #[error("the state holds {what} that cannot be read: {value}")]
    Value {
        /// What it should have been.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// The database is not ours or is broken.
    #[error("the state at {} is damaged: {why}", path.display())]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A later msb has written the database.
    #[error("the state was written by a newer msb (schema {found}, this one knows {known})")]
    Newer {
        /// The schema's version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Somebody else changed the row first.
    #[error("{0} was changed by somebody else in between")]
    Raced(String),
}

impl StoreError {
    /// Returns the code under which the failure is explained.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "msb::state::newer",
            Self::Prepare { .. } | Self::Open { .. } | Self::Query(..) => "msb::state::unusable",
            Self::Damaged { .. } | Self::Value { .. } => "msb::state::damaged",
            Self::Raced(_) => "msb::state::raced",
        }
    }
}

/// Returns where the database of `home` lies.
#[must_use]
pub fn path(home: &Path) -> PathBuf {
    home.join("db/msb.db")
}

impl Store {
    /// Opens the database of `home` to change it; makes and migrates it where needed.
    ///
    /// # Errors
    /// The home cannot be made, or the database is damaged or newer.
    pub fn open(home: &Path, now_ms: u64) -> Result<Self, StoreError> {
        for folder in ["", "db", "locks", "machines", "volumes", "templates"] {
            make_folder(&home.join(folder))?;
        }
        let path = path(home);
        make_private(&path)?;
        let opened = |source| StoreError::Open { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags).map_err(opened)?;
        db.busy_timeout(BUSY_TIMEOUT).map_err(opened)?;
        let mut store = Self { db };
        migrate::migrate(&mut store.db, home, now_ms)?;
        store.db.pragma_update(None, "synchronous", "FULL").map_err(opened)?;
        store.db.pragma_update(None, "foreign_keys", "ON").map_err(opened)?;
        Ok(store)
    }

    /// Opens the database of `home` to read it; `None` where there is none.
    ///
    /// # Errors
    /// The database is damaged, or newer than may be read.
    pub fn open_read_only(home: &Path) -> Result<Option<Self>, StoreError> {
        let path = path(home);
        // A database that was never migrated holds nothing yet.
        if fs::metadata(&path).map_or(0, |meta| meta.len()) == 0 {
            return Ok(None);
        }
        let opened = |source| StoreError::Open { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags).map_err(opened)?;
        db.busy_timeout(BUSY_TIMEOUT).map_err(opened)?;
        migrate::check_readable(&db, &path)?;
        Ok(Some(Self { db }))
    }

    /// Does `work` in one transaction that others see whole or not at all.
    ///
    /// # Errors
    /// Whatever `work` fails with; nothing is then written.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(|error| StoreError::Query("begin a change", error))?;
        let done = work(&transaction)?;
        transaction.commit().map_err(|error| StoreError::Query("commit a change", error))?;
        Ok(done)
    }

    /// Returns the catalogue of images.
    pub fn catalog(&mut self) -> &mut dyn crate::images::Catalog {
        &mut self.db
    }

    /// Does `work` over one unchanging view of the database.
    ///
    /// # Errors
    /// Whatever `work` fails with.
    pub fn read<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let transaction =
            self.db.transaction().map_err(|error| StoreError::Query("begin a read", error))?;
        work(&transaction)
    }
}

/// Makes a folder of the home for its owner alone, unless it is there.
fn make_folder(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Prepare { path: path.to_owned(), source })
}

fn make_private(path: &Path) -> Result<(), StoreError> {
    let made = fs::OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(|_| ());
    made.map_err(|source| StoreError::Prepare { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn reading_on_a_bare_machine_finds_nothing_and_makes_nothing() {
        let home = Scratch::new();
        let absent = home.path().join("home");
        assert!(Store::open_read_only(&absent).unwrap().is_none());
        assert!(!absent.exists());
    }

    #[test]
    fn what_was_made_is_read_by_others() {
        let home = Scratch::new();
        let made = Store::open(home.path(), 0).unwrap();
        let read = Store::open_read_only(home.path()).unwrap();
        assert!(read.is_some());
        drop(made);
        let mode = fs::metadata(path(home.path())).unwrap();
        assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o600);
    }

    #[test]
    fn a_file_of_somebody_else_is_never_taken_as_empty() {
        let home = Scratch::new();
        fs::create_dir(home.path().join("db")).unwrap();
        atomic::write(&path(home.path()), b"not a database, and longer than a header of one, by far: it goes on and on for a hundred bytes").unwrap();
        assert!(matches!(Store::open(home.path(), 0), Err(StoreError::Damaged { .. })));
        assert!(matches!(Store::open_read_only(home.path()), Err(StoreError::Damaged { .. })));
    }
}
