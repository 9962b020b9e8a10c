//! How the tables came to be, one forward step a version.
//!
//! Each step is one transaction under a lock of its own, after a copy of the
//! database as it was. A reader never migrates.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::lease::{Holder, Lease, Sharing};
use super::{StoreError, atomic, time, witness};

/// The schema that this program writes.
pub const VERSION: u32 = 1;

/// Marks the file as ours: `msb` and a zero.
const APPLICATION_ID: i32 = 0x6d73_6200;

/// What each version adds; the first makes everything.
const STEPS: [&str; VERSION as usize] =
    [concat!(include_str!("schema-1.sql"), include_str!("images.sql"))];

/// Brings the database to [`VERSION`].
pub(super) fn migrate(db: &mut Connection, home: &Path, now_ms: u64) -> Result<(), StoreError> {
    let path = super::path(home);
    if version(db, &path)? == Some(VERSION) {
        return Ok(());
    }
    let me = Holder { pid: std::process::id(), since_ms: now_ms, ..Holder::default() };
    let _lease = wait_for(&home.join("locks/migrate.lock"), &me)?;
    // Another process may have migrated while we waited.
    let found = version(db, &path)?.unwrap_or(0);
    if found == 0 {
        witness::shows_nothing(home)?;
    }
    if found > VERSION {
        return Err(StoreError::Newer { found, known: VERSION });
    }
    if found > 0 && found < VERSION {
        back_up(db, home, found)?;
    }
    // The mode stays in the file; to set it takes the database for a moment, so it is set only here.
    db.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))
        .map_err(|error| StoreError::Query("choose the journal", error))?;
    for (next, step) in (1..=VERSION).zip(STEPS).skip(found as usize) {
        apply(db, next, step, now_ms)?;
    }
    Ok(())
}

/// Makes all tables in an empty database.
pub(super) fn make(db: &mut Connection, now_ms: u64) -> Result<(), StoreError> {
    (1..=VERSION).zip(STEPS).try_for_each(|(next, step)| apply(db, next, step, now_ms))
}

/// Tells whether there is anything to read in a database; one that was never migrated has no tables.
pub(super) fn is_readable(db: &Connection, path: &Path) -> Result<bool, StoreError> {
    if version(db, path)?.is_none() {
        return Ok(false);
    }
    let min: Option<u32> = db
        .query_row("SELECT value FROM meta WHERE key = 'min_reader'", [], |row| row.get(0))
        .optional()
        .map_err(|error| StoreError::Query("read the version", error))?
        .and_then(|text: String| text.parse().ok());
    match min {
        Some(found) if found > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Ok(true),
    }
}

/// Returns the schema's version, `None` for a database without tables.
fn version(db: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
    let failed = |error| StoreError::Query("read the version", error).at(path);
    let id: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
    let tables: u32 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        return Ok(None);
    }
    if id != APPLICATION_ID {
        return Err(damaged("it is the database of another program".to_owned()));
    }
    db.query_row("SELECT value FROM meta WHERE key = 'schema_version'", [], |row| {
        row.get::<_, String>(0)
    })
    // Tables without a version are none of ours.
    .map_err(|error| match error {
        rusqlite::Error::QueryReturnedNoRows => damaged("it has no version".to_owned()),
        error => failed(error),
    })?
    .parse()
    .map(Some)
    .map_err(|_| damaged("its version is not a number".to_owned()))
}

/// Takes the migration's lock; a migration is short, so the wait is one blocking call.
fn wait_for(path: &Path, me: &Holder) -> Result<Lease, StoreError> {
    let failed = |source| StoreError::Prepare { path: path.to_owned(), source };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| failed(errno.into()))?;
    drop(file);
    Lease::try_take(path, me, Sharing::Exclusive).or_else(|_| wait_for(path, me))
}

fn back_up(db: &Connection, home: &Path, found: u32) -> Result<(), StoreError> {
    let copy = home.join(format!("db/msb.db.v{found}.bak"));
    db.backup("main", &copy, None::<fn(rusqlite::backup::Progress)>)
        .map_err(|error| StoreError::Query("copy the database before migrating", error))
}

fn apply(db: &mut Connection, version: u32, step: &str, now_ms: u64) -> Result<(), StoreError> {
    let failed = |error| StoreError::Query("migrate", error);
    let transaction = db.transaction().map_err(failed)?;
    transaction.execute_batch(step).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    if version == 1 {
        let installation = atomic::random_hex(16)
            .map_err(|source| StoreError::Prepare { path: "/dev/urandom".into(), source })?;
        let at = time::rfc3339(now_ms);
        transaction
            .execute(
                "INSERT INTO meta VALUES ('installation', ?1), ('min_reader', '1'), ('made_at', ?2)",
                (installation, at),
            )
            .map_err(failed)?;
    }
    transaction
        .execute(
            "INSERT INTO meta VALUES ('schema_version', ?1) \
             ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            [version.to_string()],
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests {
    use crate::scratch::Scratch;
    use crate::store::{Store, StoreError};

    #[test]
    fn a_database_of_a_later_msb_is_refused_with_both_versions() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        let raise = "UPDATE meta SET value = '9'";
        let raised = store.write(|db| Ok(db.execute_batch(raise)));
        raised.unwrap().unwrap();
        drop(store);
        let refused = Store::open(home.path(), 0).unwrap_err();
        assert!(matches!(refused, StoreError::Newer { found: 9, known: 1 }));
        let refused = Store::open_read_only(home.path()).unwrap_err();
        assert!(matches!(refused, StoreError::Newer { found: 9, known: 1 }));
    }
}
