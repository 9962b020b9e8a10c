//! How the tables came to be, one forward step a version.
//!
//! Each step is one transaction under a lock of its own, after a copy of the
//! database as it was. A reader never migrates.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use super::lease::{Holder, Lease, Sharing};
use super::{StoreError, atomic, time, witness};

/// The schema that this program writes.
pub const VERSION: u32 = 3;

/// Marks the file as ours: `msb` and a zero.
const APPLICATION_ID: i32 = 0x6d73_6200;

/// One version of the schema.
#[derive(Clone, Copy)]
struct Step {
    /// What it adds to the one before; the first makes everything.
    sql: &'static str,
    /// The oldest program that reads what it writes; whoever is older is told so.
    min_reader: u32,
}

/// Every version, the first one first.
const STEPS: [Step; VERSION as usize] = [
    Step { sql: concat!(include_str!("schema-1.sql"), include_str!("images.sql")), min_reader: 1 },
    // Definitions have another shape, which the program of schema 1 takes for damage.
    Step { sql: include_str!("schema-2.sql"), min_reader: 2 },
    Step { sql: include_str!("schema-3.sql"), min_reader: 2 },
];

/// How many copies of databases as they were before a migration are kept.
const COPIES: usize = 2;

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
    let Some(found) = version(db, path)? else { return Ok(false) };
    let min: Option<u32> = db
        .query_row("SELECT value FROM meta WHERE key = 'min_reader'", [], |row| row.get(0))
        .optional()
        .map_err(|error| StoreError::Query("read the version", error))?
        .and_then(|text: String| text.parse().ok());
    match min {
        Some(min) if min > VERSION => Err(StoreError::Newer { found, known: VERSION }),
        _ => Ok(true),
    }
}

/// Tells whether the tables of a version are there; a reader meets those of older ones too.
pub(super) fn has(db: &Connection, wanted: u32) -> Result<bool, StoreError> {
    let sql = "SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'schema_version'";
    let found: Option<u32> = db
        .query_row(sql, [], |row| row.get(0))
        .optional()
        .map_err(|error| StoreError::Query("read the version", error))?;
    Ok(found.is_some_and(|found| found >= wanted))
}

/// Returns the schema's version, `None` for a database without tables.
fn version(db: &Connection, path: &Path) -> Result<Option<u32>, StoreError> {
    let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
    let failed = |error| StoreError::Query("read the version", error).at(path);
    // The tables come first: whoever makes them gives them the mark in the same transaction.
    let tables: u32 =
        db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        return Ok(None);
    }
    let id: i32 =
        db.pragma_query_value(None, "application_id", |row| row.get(0)).map_err(failed)?;
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
    let file = fs::OpenOptions::new().append(true).create(true).open(path).map_err(failed)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|errno| failed(errno.into()))?;
    drop(file);
    Lease::try_take(path, me, Sharing::Exclusive).or_else(|_| wait_for(path, me))
}

/// Copies the database as it is, whole or not at all, and drops copies of long ago.
fn back_up(db: &Connection, home: &Path, found: u32) -> Result<(), StoreError> {
    let folder = home.join("db");
    let copy = folder.join(format!("{COPY}{found}{COPY_ENDING}"));
    let draft = folder.join(format!(".{COPY}{found}.tmp"));
    let prepared = |source| StoreError::Prepare { path: copy.clone(), source };
    super::remove_file(&draft)?;
    super::make_private(&draft)?;
    db.backup("main", &draft, None::<fn(rusqlite::backup::Progress)>)
        .map_err(|error| StoreError::Query("copy the database before migrating", error))?;
    fs::rename(&draft, &copy).and_then(|()| atomic::sync_folder(&copy)).map_err(prepared)?;
    let old = copies(&folder).into_iter().rev().skip(COPIES);
    old.map(|version| folder.join(format!("{COPY}{version}{COPY_ENDING}")))
        .try_for_each(|path| super::remove_file(&path))
}

/// How the name of a copy begins and ends; between them stands its version.
const COPY: &str = "msb.db.v";
const COPY_ENDING: &str = ".bak";

/// Returns the versions of the copies in a folder, the oldest first.
fn copies(folder: &Path) -> Vec<u32> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let version =
        |name: String| name.strip_prefix(COPY)?.strip_suffix(COPY_ENDING)?.parse::<u32>().ok();
    let mut versions: Vec<u32> = names.filter_map(version).collect();
    versions.sort_unstable();
    versions
}

fn apply(db: &mut Connection, version: u32, step: Step, now_ms: u64) -> Result<(), StoreError> {
    let failed = |error| StoreError::Query("migrate", error);
    // A table that others refer to may be made anew; who opens a database turns this on.
    db.pragma_update(None, "foreign_keys", "OFF").map_err(failed)?;
    let transaction = db.transaction().map_err(failed)?;
    transaction.execute_batch(step.sql).map_err(failed)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed)?;
    if version == 1 {
        let installation = atomic::random_hex(16)
            .map_err(|source| StoreError::Prepare { path: "/dev/urandom".into(), source })?;
        let at = time::rfc3339(now_ms);
        transaction
            .execute(
                "INSERT INTO meta VALUES ('installation', ?1), ('made_at', ?2)",
                (installation, at),
            )
            .map_err(failed)?;
    }
    transaction
        .execute(
            "INSERT INTO meta VALUES ('schema_version', ?1), ('min_reader', ?2) \
             ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            [version.to_string(), step.min_reader.to_string()],
        )
        .map_err(failed)?;
    transaction.commit().map_err(failed)
}

#[cfg(test)]
mod tests;
