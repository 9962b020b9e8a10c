//! What is remembered in SQLite, as typed reads and writes.
//!
//! Only this room sees a row. The database is opened in one of two ways: to
//! change it, which makes and migrates it, or to read it, which creates
//! nothing and finds nothing on a bare machine.

pub mod anew;
pub mod atomic;
mod definitions;
mod error;
pub mod events;
pub mod images;
mod inhabitants;
pub mod invariants;
pub mod inventory;
pub mod journal;
pub mod lease;
pub mod lift;
pub mod locks;
mod machines;
pub mod migrate;
pub mod operations;
mod ports;
pub mod remembered;
pub mod retention;
pub mod soundness;
pub mod time;
pub mod volumes;
pub mod witness;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, ToSql, Transaction, TransactionBehavior};

pub use error::StoreError;
/// The rows of a database at one moment.
pub use rusqlite::Connection as Rows;

/// How long a statement waits for another writer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of a database is kept in memory, as SQLite wants it: negative, in KiB. What does not fit
/// is read again from the kernel, a page at a time.
const CACHE_KIB: i32 = -32 * 1024;

/// The database of one home.
#[derive(Debug)]
pub struct Store {
    db: Connection,
    path: PathBuf,
    writes: u64,
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
        make_folders(home)?;
        let path = path(home);
        if fs::metadata(&path).map_or(0, |meta| meta.len()) == 0 {
            witness::shows_nothing(home)?;
        }
        make_private(&path)?;
        check_ours(&path)?;
        let opened = |source| StoreError::Open { path: path.clone(), source };
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let db = Connection::open_with_flags(&path, flags).map_err(opened)?;
        // What cannot be opened for writing is opened for reading, and nobody is told.
        if db.is_readonly(rusqlite::MAIN_DB).map_err(opened)? {
            return Err(StoreError::ReadOnly { path });
        }
        db.busy_timeout(BUSY_TIMEOUT).map_err(opened)?;
        let mut store = Self { db, path, writes: 0 };
        migrate::migrate(&mut store.db, home, now_ms).map_err(|error| error.at(&store.path))?;
        store.set("synchronous", "FULL")?;
        store.set("foreign_keys", "ON")?;
        store.set("cache_size", CACHE_KIB)?;
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
            return witness::shows_nothing(home).map(|()| None);
        }
        check_ours(&path)?;
        let db = open_to_read(&path)?;
        if !migrate::is_readable(&db, &path).map_err(|error| error.at(&path))? {
            return witness::shows_nothing(home).map(|()| None);
        }
        let store = Self { db, path, writes: 0 };
        store.set("cache_size", CACHE_KIB)?;
        Ok(Some(store))
    }

    /// Gives back the memory of what was read: for who reads seldom and lives long.
    ///
    /// # Errors
    /// The database is damaged.
    pub fn forget_pages(&self) -> Result<(), StoreError> {
        let done = self.db.execute_batch("PRAGMA shrink_memory");
        done.map_err(|error| StoreError::Query("free memory", error).at(&self.path))
    }

    fn set(&self, pragma: &'static str, value: impl ToSql) -> Result<(), StoreError> {
        let set = self.db.pragma_update(None, pragma, value);
        set.map_err(|error| StoreError::Query("set up a connection", error).at(&self.path))
    }

    /// Does `work` in one transaction that others see whole or not at all.
    ///
    /// # Errors
    /// Whatever `work` fails with; nothing is then written.
    pub fn write<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let path = &self.path;
        let failed = |what| move |error| StoreError::Query(what, error).at(path);
        let transaction = self
            .db
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("begin a change"))?;
        let done = work(&transaction).map_err(|error| error.at(path))?;
        transaction.commit().map_err(failed("commit a change"))?;
        self.writes += 1;
        Ok(done)
    }

    /// Returns how often something was written here: rows that were read at the same count are
    /// as they were, where nobody else may write them.
    #[must_use]
    pub const fn writes(&self) -> u64 {
        self.writes
    }

    /// Returns a number that is another one after somebody else has written here.
    ///
    /// # Errors
    /// The database cannot be read.
    pub fn version(&self) -> Result<i64, StoreError> {
        let read = self.db.pragma_query_value(None, "data_version", |row| row.get(0));
        read.map_err(|error| StoreError::Query("read a version", error).at(&self.path))
    }

    /// Returns the catalogue of images.
    pub fn catalog(&mut self) -> &mut (dyn crate::images::Catalog + Send) {
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
        let path = &self.path;
        let begun = self.db.transaction();
        let transaction =
            begun.map_err(|error| StoreError::Query("begin a read", error).at(path))?;
        work(&transaction).map_err(|error| error.at(path))
    }
}

/// Holds that a database and its folder are ours alone.
fn check_ours(path: &Path) -> Result<(), StoreError> {
    let us = rustix::process::geteuid().as_raw();
    let folder = path.parent().map(Path::to_owned);
    for path in folder.into_iter().chain([path.to_owned()]) {
        let looked = fs::metadata(&path);
        let looked = looked.map_err(|source| StoreError::Prepare { path: path.clone(), source })?;
        let (owner, mode) = (looked.uid(), looked.mode() & 0o7777);
        if owner != us {
            return Err(StoreError::Foreign { path, owner, us });
        }
        if mode & 0o022 != 0 {
            return Err(StoreError::Writable { path, mode });
        }
    }
    Ok(())
}

/// Opens a database to read it, also where nothing can be written beside it.
fn open_to_read(path: &Path) -> Result<Connection, StoreError> {
    let opened = |source| StoreError::Open { path: path.to_owned(), source };
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let log = path.with_extension("db-wal");
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let may_write = rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    let db = if may_write || log.exists() {
        Connection::open_with_flags(path, flags).map_err(opened)?
    } else {
        // Nobody can change it, so it is read without the files that readers and writers share.
        let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f");
        let name = format!("file:{}?immutable=1", escaped.replace('#', "%23"));
        let flags = flags | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(name, flags).map_err(opened)?
    };
    db.busy_timeout(BUSY_TIMEOUT).map_err(opened)?;
    Ok(db)
}

/// Makes the folders of a home that are not there.
fn make_folders(home: &Path) -> Result<(), StoreError> {
    let folders = ["", "db", "locks", "machines", "volumes", "templates"];
    folders.iter().try_for_each(|folder| make_folder(&home.join(folder)))
}

/// Makes a folder of the home for its owner alone, unless it is there.
fn make_folder(path: &Path) -> Result<(), StoreError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| StoreError::Prepare { path: path.to_owned(), source })
}

/// Removes a file; one that is not there is as good.
fn remove_file(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::Prepare { path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
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
