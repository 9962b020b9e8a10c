//! Files as they were resolved, kept by what they were resolved from.
//!
//! A row is a shortcut and nothing more: whoever finds none, or cannot keep one, resolves anew.
//! Reading commands may write this one table; they never wait for it.

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, params};

use super::{StoreError, check_ours, migrate, path, time};

/// How many rows are kept.
pub const ROWS_MAX: u32 = 64;

/// How many bytes all bodies may have.
pub const BYTES_MAX: u64 = 256 << 20;

/// The version of the schema that brought the table.
const SINCE: u32 = 2;

/// How long a row counts as just used, so that a row that is read often is seldom written.
const FRESH_MS: u64 = 60 * 60 * 1000;

/// A model that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// What was kept.
    pub body: Vec<u8>,
    /// Whether it is time to say that it is still used, with [`Write::Used`].
    pub is_stale: bool,
}

/// What is written of a model.
#[derive(Clone, Copy, Debug)]
pub enum Write<'a> {
    /// It was resolved, and this came of it.
    Made(&'a [u8]),
    /// It was used.
    Used,
}

/// Returns the model of this key.
///
/// # Errors
/// The table cannot be read.
pub fn find(db: &Connection, key: &str, now_ms: u64) -> Result<Option<Model>, StoreError> {
    if !migrate::has(db, SINCE)? {
        return Ok(None);
    }
    let sql = "SELECT body, used_at FROM model_cache WHERE key = ?1";
    let fresh = time::rfc3339(now_ms.saturating_sub(FRESH_MS));
    db.prepare_cached(sql)
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                let is_stale = row.get_ref(1)?.as_str()? < fresh.as_str();
                Ok(Model { body: row.get(0)?, is_stale })
            };
            statement.query_row([key], read).optional()
        })
        .map_err(|error| StoreError::Query("read a resolved file", error))
}

/// Writes of a model, where that is possible at once; tells whether it was.
///
/// The database is neither made nor migrated for it, and nobody is waited for.
///
/// # Errors
/// The database is there and cannot be written.
pub fn note(home: &Path, key: &str, what: Write<'_>, now_ms: u64) -> Result<bool, StoreError> {
    let path = path(home);
    if std::fs::metadata(&path).map_or(0, |meta| meta.len()) == 0 {
        return Ok(false);
    }
    check_ours(&path)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let opened = Connection::open_with_flags(&path, flags);
    let mut db = opened.map_err(|source| StoreError::Open { path: path.clone(), source })?;
    let noted = try_note(&mut db, key, what, now_ms);
    match noted {
        Err(error) if is_busy(&error) => Ok(false),
        other => other.map_err(|error| StoreError::Query("keep a resolved file", error).at(&path)),
    }
}

/// Whether somebody else is at work, or nobody may write.
fn is_busy(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::DatabaseBusy, ErrorCode::DatabaseLocked, ErrorCode::ReadOnly];
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

fn try_note(
    db: &mut Connection,
    key: &str,
    what: Write<'_>,
    now_ms: u64,
) -> rusqlite::Result<bool> {
    // SQLite waits for five seconds unless it is told not to.
    db.busy_timeout(std::time::Duration::ZERO)?;
    // A model that a crash of the host takes along is resolved again.
    db.pragma_update(None, "synchronous", "NORMAL")?;
    let version = "SELECT value FROM meta WHERE key = 'schema_version'";
    let version: Option<String> = db.query_row(version, [], |row| row.get(0)).optional()?;
    if version.and_then(|text| text.parse().ok()) != Some(migrate::VERSION) {
        return Ok(false);
    }
    let transaction = db.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let now = time::rfc3339(now_ms);
    match what {
        Write::Made(body) if body.len() as u64 > BYTES_MAX => return Ok(false),
        Write::Made(body) => {
            transaction.execute(
                "INSERT INTO model_cache VALUES (?1, ?2, ?3) \
                 ON CONFLICT(key) DO UPDATE SET body = excluded.body, used_at = excluded.used_at",
                params![key, body, now],
            )?;
            prune(&transaction, (ROWS_MAX, BYTES_MAX))?;
        }
        Write::Used => {
            let used = "UPDATE model_cache SET used_at = ?2 WHERE key = ?1";
            transaction.execute(used, params![key, now])?;
        }
    }
    transaction.commit()?;
    Ok(true)
}

/// Drops the rows that were not used for longest, until the rest is few and small enough.
fn prune(db: &Connection, (rows_max, bytes_max): (u32, u64)) -> rusqlite::Result<()> {
    let sql = "SELECT key, length(body) FROM model_cache ORDER BY used_at DESC, key";
    let mut statement = db.prepare(sql)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let found: Vec<(String, i64)> = found.collect::<Result<_, _>>()?;
    let (mut rows, mut bytes) = (0, 0);
    for (key, length) in found {
        (rows, bytes) = (rows + 1, bytes + length.cast_unsigned());
        if rows > rows_max || bytes > bytes_max {
            db.execute("DELETE FROM model_cache WHERE key = ?1", [key])?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;

    fn keys(db: &Connection) -> Vec<String> {
        let mut statement = db.prepare("SELECT key FROM model_cache ORDER BY key").unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.map(Result::unwrap).collect()
    }

    #[test]
    fn sf_r10_a_model_is_kept_found_and_said_to_be_used() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        assert_eq!(store.read(|db| find(db, "k", 0)).unwrap(), None);
        assert!(note(home.path(), "k", Write::Made(b"one"), 0).unwrap());
        assert!(note(home.path(), "k", Write::Made(b"two"), 0).unwrap());
        let found = |store: &mut Store, now| store.read(|db| find(db, "k", now)).unwrap().unwrap();
        assert_eq!(found(&mut store, 1), Model { body: b"two".to_vec(), is_stale: false });
        assert!(found(&mut store, 2 * FRESH_MS).is_stale);
        assert!(note(home.path(), "k", Write::Used, 2 * FRESH_MS).unwrap());
        assert!(!found(&mut store, 2 * FRESH_MS).is_stale);
    }

    #[test]
    fn sf_r10_nobody_is_waited_for_and_nothing_is_made_for_a_model() {
        let home = Scratch::new();
        assert!(!note(home.path(), "k", Write::Made(b"body"), 0).unwrap());
        assert!(!path(home.path()).exists());
        let mut store = Store::open(home.path(), 0).unwrap();
        let kept = store.write(|_| note(home.path(), "k", Write::Made(b"body"), 0));
        assert!(!kept.unwrap(), "somebody writes");
        assert!(note(home.path(), "k", Write::Made(b"body"), 0).unwrap());
    }

    #[test]
    fn sf_r10_the_oldest_models_go_when_there_are_too_many_or_too_much() {
        let home = Scratch::new();
        drop(Store::open(home.path(), 0).unwrap());
        for at in 0..=u64::from(ROWS_MAX) {
            note(home.path(), &format!("{at:02}"), Write::Made(&[0; 100]), at).unwrap();
        }
        let db = Connection::open(path(home.path())).unwrap();
        assert_eq!(keys(&db).len(), ROWS_MAX as usize);
        assert_eq!(keys(&db).first().map(String::as_str), Some("01"));
        prune(&db, (ROWS_MAX, 250)).unwrap();
        assert_eq!(keys(&db), ["63", "64"]);
    }
}
