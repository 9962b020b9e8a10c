//! What holds of the tables, and what holds of them besides while no command is at work.
//!
//! `msb doctor` and the tests ask; nothing is mended here.

mod values;

use rusqlite::{Connection, Row};

use super::operations::{self, OpenOp, RunRow};
use super::soundness::texts;
use super::{StoreError, inventory};

pub use values::{Found, Value, values_in};

/// Returns what does not hold, one sentence each; nothing, in a state as it should be.
///
/// # Errors
/// A table cannot be read.
pub fn broken(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = pages(db)?;
    for (sql, say) in CHECKS {
        found.extend(texts(db, sql)?.into_iter().map(|what| format!("{what} {say}")));
    }
    found.extend(times(db)?);
    Ok(found)
}

/// Returns what a command at work, or one that was cut off, has not brought to its end.
///
/// # Errors
/// A table cannot be read.
pub fn unfinished(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for (sql, say) in UNFINISHED {
        found.extend(texts(db, sql)?.into_iter().map(|what| format!("{what} {say}")));
    }
    Ok(found)
}

/// Returns the runs that have not written their end, and the operations of each that are open.
///
/// # Errors
/// A table cannot be read.
pub fn open_work(db: &Connection) -> Result<Vec<(RunRow, Vec<OpenOp>)>, StoreError> {
    let mut found = Vec::new();
    for project in texts(db, "SELECT id FROM project ORDER BY name")? {
        let mut ops = operations::open_ops(db, &project)?;
        for run in operations::open_runs(db, &project)? {
            let (own, rest) = ops.into_iter().partition(|op| op.run.id == run.id);
            ops = rest;
            found.push((run, own));
        }
        // Who wrote its end and left something open is as dead as one that wrote none.
        for op in ops {
            found.push((op.run.clone(), vec![op]));
        }
    }
    Ok(found)
}

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

/// What is selected must never be there; the words say what it is.
const CHECKS: &[(&str, &str)] = &[
    (
        "SELECT sandbox_id FROM machine WHERE role = 'current' GROUP BY sandbox_id HAVING count(*) > 1",
        "has more than one current machine",
    ),
    ("SELECT id FROM sandbox WHERE observed > generation", "is a sandbox ahead of its wish"),
    (
        "SELECT DISTINCT volume.id FROM volume JOIN volume_use ON volume_use.volume_id = volume.id \
         WHERE trashed_at IS NOT NULL",
        "is a volume in the trash that is in use",
    ),
    (
        "SELECT id FROM volume WHERE (trashed_at IS NULL) <> (trash_folder IS NULL)",
        "is a volume of which it is not known whether it is in the trash",
    ),
    (
        "SELECT id FROM op WHERE (state = 'started') <> (ended_at IS NULL)",
        "is an operation that ended and is open, or neither",
    ),
];

/// What is selected is on its way to somewhere else.
const UNFINISHED: &[(&str, &str)] = &[
    ("SELECT id FROM machine WHERE role = 'next'", "is a machine that nobody goes on preparing"),
    (
        "SELECT id FROM machine WHERE role = 'previous'",
        "is a machine that another one took over from, and that was kept",
    ),
    (
        "SELECT id || ' (' || kind || ' ' || address || ')' FROM op WHERE state = 'started'",
        "is an operation that nobody closed",
    ),
    (
        "SELECT id || ' (' || command || ')' FROM run WHERE ended_at IS NULL",
        "is a run that nobody ended",
    ),
];

/// Moments as they are written: RFC 3339, UTC, milliseconds.
const MOMENT: &str = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T\
                      [0-9][0-9]:[0-9][0-9]:[0-9][0-9].[0-9][0-9][0-9]+00:00";

/// What an image says of itself is kept as it says it.
const OF_IMAGES: (&str, &str) = ("manifest", "created_at");

/// Holds that every column that is a moment is written as one.
fn times(db: &Connection) -> Result<Vec<String>, StoreError> {
    let sql = "SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c \
               WHERE t.type = 'table' AND (c.name = 'at' OR c.name GLOB '*_at')";
    let pair = |row: &Row<'_>| Ok(Ok((row.get(0)?, row.get(1)?)));
    let columns: Vec<(String, String)> = inventory::rows(db, "check the tables", (sql, &[]), pair)?;
    let mut found = Vec::new();
    for (table, column) in columns {
        if (table.as_str(), column.as_str()) == OF_IMAGES {
            continue;
        }
        let sql = format!(
            "SELECT DISTINCT \"{column}\" FROM \"{table}\" WHERE \"{column}\" NOT GLOB '{MOMENT}'"
        );
        let say = |what| format!("`{what}` in {table}.{column} is no moment");
        found.extend(texts(db, &sql)?.into_iter().map(say));
    }
    Ok(found)
}

/// Asks SQLite whether pages, indexes and references fit each other.
fn pages(db: &Connection) -> Result<Vec<String>, StoreError> {
    let mut found = texts(db, "SELECT integrity_check FROM pragma_integrity_check")?;
    found.retain(|line| line != "ok");
    let foreign = "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check";
    let foreign = texts(db, foreign)?.into_iter();
    found.extend(foreign.map(|table| format!("{table} refers to a row that is not there")));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;

    fn write(store: &mut Store, sql: &str) {
        let write = |error| StoreError::Query("test", error);
        store.write(|db| db.execute_batch(sql).map_err(write)).unwrap();
    }

    const PROJECT: &str = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                           VALUES ('p', 'shop', '/', '2026-11-22T09:02:11.482+00:00', \
                           '2026-11-22T09:02:11.482+00:00')";

    #[test]
    fn a_new_state_is_as_it_should_be_and_an_open_operation_is_told() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        let none = Vec::<String>::new();
        assert_eq!(store.read(broken).unwrap(), none);
        write(&mut store, PROJECT);
        let begun = store.write(|db| {
            let run = RunRow { id: 0, pid: 1, start_ticks: 1, command: "msb up".into() };
            let run = operations::begin_run(db, "p", &run, "", 0)?;
            let op = operations::Intent {
                step: "s1",
                kind: "stop",
                address: "sandbox.web",
                generation: 1,
                nonce: None,
                intent: "{}",
            };
            operations::begin_op(db, run, &op, 0)
        });
        begun.unwrap();
        assert_eq!(store.read(broken).unwrap(), none, "somebody may be at work");
        assert_eq!(
            store.read(unfinished).unwrap(),
            [
                "1 (stop sandbox.web) is an operation that nobody closed",
                "1 (msb up) is a run that nobody ended"
            ]
        );
        let open = store.read(open_work).unwrap();
        assert_eq!((open.len(), open[0].1.len()), (1, 1));
        write(&mut store, "UPDATE run SET ended_at = started_at");
        assert_eq!(store.read(open_work).unwrap(), open, "its operation is open still");
    }

    #[test]
    fn sf_s3_each_way_to_be_wrong_is_told_in_a_sentence() {
        for (sql, said) in [
            (
                "UPDATE project SET updated_at = '2026-11-22 09:02:11'",
                "project.updated_at is no moment",
            ),
            (
                "INSERT INTO volume (id, name, folder, kind, created_by, created_at, trashed_at) \
                 SELECT 'v', 'd', 'd', 'disk', '', created_at, created_at FROM project",
                "v is a volume of which it is not known whether it is in the trash",
            ),
            (
                "INSERT INTO sandbox (id, project_id, name, kind, created_at, updated_at) \
                 SELECT 's', id, 'web', 'service', created_at, updated_at FROM project; \
                 INSERT INTO volume (id, name, folder, kind, created_by, created_at, trashed_at, trash_folder) \
                 SELECT 'v', 'd', 'd', 'disk', '', created_at, created_at, 'd' FROM project; \
                 INSERT INTO volume_use VALUES ('v', 's', '/d', 'rw')",
                "v is a volume in the trash that is in use",
            ),
            (
                "PRAGMA ignore_check_constraints = 1; \
                 INSERT INTO sandbox (id, project_id, name, kind, observed, created_at, updated_at) \
                 SELECT 's', id, 'web', 'service', 3, created_at, updated_at FROM project",
                "s is a sandbox ahead of its wish",
            ),
            (
                "PRAGMA foreign_keys = OFF; DROP INDEX machine_current; \
                 INSERT INTO machine (id, sandbox_id, role, nonce, phase) \
                 VALUES ('a', 's', 'current', '', 'ready'), ('b', 's', 'current', '', 'ready')",
                "s has more than one current machine",
            ),
        ] {
            let home = Scratch::new();
            drop(Store::open(home.path(), 0).unwrap());
            let db = Connection::open(super::super::path(home.path())).unwrap();
            db.execute_batch(PROJECT).unwrap();
            db.execute_batch(sql).unwrap();
            let told = broken(&db).unwrap();
            assert!(told.iter().any(|told| told.contains(said)), "{said}: {told:?}");
        }
    }
}
