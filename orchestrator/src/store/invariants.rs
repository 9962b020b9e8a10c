//! What holds of the tables whenever no command is at work.
//!
//! `msb doctor` and the tests ask; nothing is mended here.

use rusqlite::{Connection, Row};

use super::{StoreError, inventory};

/// Returns what does not hold, one sentence each; nothing, in a state as it should be.
///
/// # Errors
/// A table cannot be read.
pub fn broken(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = pages(db)?;
    for (sql, say) in CHECKS {
        found.extend(texts(db, sql)?.into_iter().map(|what| format!("{what} {say}")));
    }
    Ok(found)
}

/// Holds that what commands go by fits its indexes and what it refers to.
///
/// A row whose key is damaged is not found, which reads as if nothing were there.
///
/// # Errors
/// [`StoreError::Unsound`] with what does not fit.
pub fn are_sound(db: &Connection) -> Result<(), StoreError> {
    for table in VITAL {
        let checks = format!("SELECT integrity_check FROM pragma_integrity_check('{table}')");
        let mut found = texts(db, &checks)?;
        found.retain(|line| line != "ok");
        let refers = format!("SELECT \"table\" FROM pragma_foreign_key_check('{table}') LIMIT 1");
        let refers = texts(db, &refers)?.into_iter();
        found.extend(refers.map(|table| format!("{table} refers to a row that is not there")));
        if let Some(first) = found.into_iter().next() {
            return Err(unread(&first).unwrap_or(StoreError::Unsound(first)));
        }
    }
    Ok(())
}

/// Returns the failure where a page could not be read, which is no damage.
fn unread(found: &str) -> Option<StoreError> {
    let code = found.split_once("error code=")?.1;
    let digits = code.find(|c: char| !c.is_ascii_digit()).unwrap_or(code.len());
    let code = rusqlite::ffi::Error::new(code[..digits].parse().ok()?);
    let failure = rusqlite::Error::SqliteFailure(code, None);
    let is_damage = code.code == rusqlite::ErrorCode::DatabaseCorrupt;
    (!is_damage).then_some(StoreError::Query("read a page", failure))
}

/// The tables that decide what a plan does.
const VITAL: [&str; 4] = ["project", "sandbox", "machine", "volume"];

/// Returns the ids of all machines.
///
/// # Errors
/// The table cannot be read.
pub fn machines(db: &Connection) -> Result<Vec<String>, StoreError> {
    texts(db, "SELECT id FROM machine")
}

/// Returns the ids that locks are named after.
///
/// # Errors
/// The tables cannot be read.
pub fn lock_owners(db: &Connection) -> Result<Vec<String>, StoreError> {
    texts(db, "SELECT id FROM project UNION SELECT id FROM sandbox")
}

/// What is selected must not be there; the words say what it is.
const CHECKS: &[(&str, &str)] = &[
    (
        "SELECT sandbox_id FROM machine WHERE role = 'current' GROUP BY sandbox_id HAVING count(*) > 1",
        "has more than one current machine",
    ),
    ("SELECT id FROM machine WHERE role = 'next'", "is a machine that nobody goes on preparing"),
    (
        "SELECT id FROM machine WHERE role = 'previous'",
        "is a machine that another one took over from, and that was kept",
    ),
    ("SELECT id FROM sandbox WHERE observed > generation", "is a sandbox ahead of its wish"),
    (
        "SELECT id || ' (' || kind || ' ' || address || ')' FROM op WHERE state = 'started'",
        "is an operation that nobody closed",
    ),
    (
        "SELECT id || ' (' || command || ')' FROM run WHERE ended_at IS NULL",
        "is a run that nobody ended",
    ),
    (
        "SELECT DISTINCT volume.id FROM volume JOIN volume_use ON volume_use.volume_id = volume.id \
         WHERE trashed_at IS NOT NULL",
        "is a volume in the trash that is in use",
    ),
    (
        "SELECT id FROM machine WHERE coalesce(started_at, ended_at, '2000-01-01T00:00:00.000+00:00') \
         NOT GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]+00:00'",
        "is a machine with a time that is none",
    ),
];

/// Asks SQLite whether pages, indexes and references fit each other.
fn pages(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = texts(db, "SELECT integrity_check FROM pragma_integrity_check")?;
    found.retain(|line| line != "ok");
    let foreign = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check";
    let foreign = texts(db, foreign)?.into_iter();
    found.extend(foreign.map(|table| format!("{table} refers to a row that is not there")));
    Ok(found)
}

fn texts(db: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let text = |row: &Row<'_>| row.get(0).map(Ok);
    inventory::rows(db, "check the tables", (sql, &[]), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::{Store, operations};

    #[test]
    fn a_page_that_cannot_be_read_is_no_damage() {
        let told =
            |code: u32| format!("Tree 16 page 16: unable to get the page. error code={code}");
        assert!(matches!(unread(&told(8458)), Some(StoreError::Query(..))));
        assert!(unread(&told(11)).is_none());
        assert!(unread("row 3 missing from index machine_sandbox").is_none());
    }

    #[test]
    fn a_new_state_is_as_it_should_be_and_an_open_operation_is_told() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        assert_eq!(store.read(broken).unwrap(), Vec::<String>::new());
        let begun = store.write(|db| {
            let row = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                       VALUES ('p', 'shop', '/', '', '')";
            db.execute_batch(row).map_err(|error| StoreError::Query("test", error))?;
            let run =
                operations::RunRow { id: 0, pid: 1, start_ticks: 1, command: "msb up".into() };
            operations::begin_run(db, "p", &run, "", 0)
        });
        begun.unwrap();
        assert_eq!(store.read(broken).unwrap(), ["1 (msb up) is a run that nobody ended"]);
    }
}
