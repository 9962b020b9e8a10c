//! Whether what commands go by fits its indexes and what it refers to.
//!
//! A row whose key is damaged is not found, which reads as if nothing were there. So before it
//! reads, every command holds each index that reads go by beside its table, in one pass over
//! either; one that is about to act has SQLite look at every cell besides.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::StoreError;
use super::inventory::{self, Found, query};

/// The tables that decide what a plan does.
const VITAL: [&str; 4] = ["project", "sandbox", "machine", "volume"];

const WHAT: &str = "check the tables";

/// An index that reads go by.
struct Index {
    name: &'static str,
    table: &'static str,
    /// Its columns, the row's key last.
    columns: &'static str,
    /// How many of them no two rows share.
    unique: usize,
    /// Which rows it holds.
    only: &'static str,
}

const INDEXES: [Index; 6] = [
    Index {
        name: "sqlite_autoindex_project_2",
        table: "project",
        columns: "name, id",
        unique: 1,
        only: "TRUE",
    },
    Index {
        name: "sqlite_autoindex_sandbox_2",
        table: "sandbox",
        columns: "project_id, name, instance, id",
        unique: 3,
        only: "TRUE",
    },
    Index {
        name: "machine_sandbox",
        table: "machine",
        columns: "sandbox_id, id",
        unique: 2,
        only: "TRUE",
    },
    Index {
        name: "machine_current",
        table: "machine",
        columns: "sandbox_id, id",
        unique: 1,
        only: "role = 'current'",
    },
    Index {
        name: "machine_previous",
        table: "machine",
        columns: "sandbox_id, id",
        unique: 2,
        only: "role = 'previous'",
    },
    Index {
        name: "volume_name",
        table: "volume",
        columns: "project_id, name, id",
        unique: 3,
        only: "trashed_at IS NULL",
    },
];

/// A row that must refer to another one: the table, whom it names, and where that stands.
const REFERENCES: [(&str, &str, &str); 3] = [
    ("sandbox", "SELECT DISTINCT project_id FROM sandbox", "SELECT id FROM project"),
    ("machine", "SELECT DISTINCT sandbox_id FROM machine", "SELECT id FROM sandbox"),
    (
        "volume",
        "SELECT DISTINCT project_id FROM volume WHERE project_id IS NOT NULL",
        "SELECT id FROM project",
    ),
];

/// Holds that what reads go by fits its indexes and what it refers to.
///
/// # Errors
/// [`StoreError::Unsound`] with what does not fit.
pub fn may_be_read(db: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index'";
    let there: BTreeSet<String> = texts(db, sql)?.into_iter().collect();
    for table in VITAL {
        let keys = format!("SELECT id FROM {}", itself(table));
        tally(db, &keys, Some(1))?.ok_or_else(|| unsound(table, "has keys out of order"))?;
    }
    // A state of an older schema lacks some.
    for index in INDEXES.iter().filter(|index| there.contains(index.name)) {
        let Index { name, table, columns, unique, only } = index;
        let of_table = format!("SELECT {columns} FROM {} WHERE {only}", itself(table));
        let of_index = format!("SELECT {columns} FROM {table} INDEXED BY {name} WHERE {only}");
        let rows = tally(db, &of_table, None)?;
        if rows.is_none() || tally(db, &of_index, Some(*unique))? != rows {
            return Err(unsound(table, &format!("does not fit its index {name}")));
        }
    }
    for (table, named, there) in REFERENCES {
        if let Some(lost) = first_of_one_alone(db, named, there)? {
            return Err(unsound(table, &format!("refers to a row that is not there: {lost}")));
        }
    }
    Ok(())
}

/// Has SQLite hold every cell, index and reference of what commands go by.
///
/// # Errors
/// [`StoreError::Unsound`] with what does not fit.
pub fn may_be_changed(db: &Connection) -> Result<(), StoreError> {
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

/// Returns a table as it is read without any index: one that has no row ids is the index of its key.
fn itself(table: &str) -> String {
    format!("{table} INDEXED BY sqlite_autoindex_{table}_1")
}

fn unsound(table: &str, why: &str) -> StoreError {
    StoreError::Unsound(format!("the table {table} {why}"))
}

/// How many rows there are, and a sum over what they say that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: u64,
}

/// Counts the rows of a query; nothing, where two of them share the columns of the key, or are
/// out of its order.
fn tally(db: &Connection, sql: &str, key: Option<usize>) -> Found<Option<Tally>> {
    let mut statement = db.prepare_cached(sql).map_err(query(WHAT))?;
    let columns = statement.column_count();
    let mut found = statement.query([]).map_err(query(WHAT))?;
    let (mut total, mut before, mut now) = (Tally::default(), Vec::new(), Vec::new());
    while let Some(row) = found.next().map_err(query(WHAT))? {
        let mut hasher = DefaultHasher::new();
        for at in 0..columns {
            bytes(row, at)?.hash(&mut hasher);
        }
        total.rows += 1;
        total.sum = total.sum.wrapping_add(hasher.finish());
        let Some(key) = key else { continue };
        now.clear();
        for at in 0..key {
            // No name holds a zero, so texts side by side are ordered as their columns are.
            now.extend_from_slice(bytes(row, at)?.unwrap_or_default());
            now.push(0);
        }
        if total.rows > 1 && before >= now {
            return Ok(None);
        }
        std::mem::swap(&mut before, &mut now);
    }
    Ok(Some(total))
}

fn bytes<'row>(row: &'row Row<'_>, at: usize) -> Found<Option<&'row [u8]>> {
    match row.get_ref(at).map_err(query(WHAT))? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(StoreError::Unsound("a key is a number".to_owned())),
    }
}

/// Returns the first text of one query that the other one lacks; both come sorted.
fn first_of_one_alone(db: &Connection, one: &str, other: &str) -> Found<Option<String>> {
    let sorted = |sql: &str| format!("{sql} ORDER BY 1");
    let mut one = db.prepare_cached(&sorted(one)).map_err(query(WHAT))?;
    let mut other = db.prepare_cached(&sorted(other)).map_err(query(WHAT))?;
    let (mut one, mut other) =
        (one.query([]).map_err(query(WHAT))?, other.query([]).map_err(query(WHAT))?);
    let mut beside: Vec<u8> = Vec::new();
    let mut is_over = false;
    while let Some(row) = one.next().map_err(query(WHAT))? {
        let wanted = bytes(row, 0)?.unwrap_or_default();
        while !is_over && beside.as_slice() < wanted {
            match other.next().map_err(query(WHAT))? {
                Some(row) => {
                    beside.clear();
                    beside.extend_from_slice(bytes(row, 0)?.unwrap_or_default());
                }
                None => is_over = true,
            }
        }
        if beside != wanted {
            return Ok(Some(String::from_utf8_lossy(wanted).into_owned()));
        }
    }
    Ok(None)
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

fn texts(db: &Connection, sql: &str) -> Result<Vec<String>, StoreError> {
    let text = |row: &Row<'_>| row.get(0).map(Ok);
    inventory::rows(db, WHAT, (sql, &[]), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;

    const ROWS: &str = "INSERT INTO project (id, name, folder, created_at, updated_at) \
        VALUES ('p', 'shop', '/', '', ''), ('q', 'other', '/o', '', ''); \
        INSERT INTO sandbox (id, project_id, name, kind, created_at, updated_at) VALUES \
        ('s1', 'p', 'web', 'service', '', ''), ('s2', 'p', 'db', 'service', '', ''), \
        ('s3', 'q', 'web', 'service', '', ''); \
        INSERT INTO machine (id, sandbox_id, role, nonce, phase) VALUES \
        ('m1', 's1', 'current', '', 'ready'), ('m2', 's1', 'previous', '', 'ready'), \
        ('m0', 's3', 'current', '', 'ready'); \
        INSERT INTO volume (id, project_id, name, folder, kind, created_by, created_at) VALUES \
        ('v1', 'p', 'data', 'a', 'dir', '', ''), ('v2', NULL, 'data', 'b', 'dir', '', '')";

    fn with_rows(home: &Scratch) -> Store {
        let mut store = Store::open(home.path(), 0).unwrap();
        let put = |error| StoreError::Query("test", error);
        store.write(|db| db.execute_batch(ROWS).map_err(put)).unwrap();
        store
    }

    #[test]
    fn a_page_that_cannot_be_read_is_no_damage() {
        let told =
            |code: u32| format!("Tree 16 page 16: unable to get the page. error code={code}");
        assert!(matches!(unread(&told(8458)), Some(StoreError::Query(..))));
        assert!(unread(&told(11)).is_none());
        assert!(unread("row 3 missing from index machine_sandbox").is_none());
    }

    #[test]
    fn tables_that_fit_their_indexes_may_be_read() {
        let home = Scratch::new();
        let mut store = with_rows(&home);
        store.read(may_be_read).unwrap();
        store.read(may_be_changed).unwrap();
    }

    /// Lets an index and its table tell two things: the rows are written while the index is another one.
    #[test]
    fn r7_an_index_that_tells_something_else_than_its_table_is_found() {
        for (index, sql) in [
            ("machine_current", "DELETE FROM machine WHERE id = 'm0'"),
            ("machine_sandbox", "UPDATE machine SET sandbox_id = 's2' WHERE id = 'm2'"),
            ("machine_previous", "UPDATE machine SET role = 'failed' WHERE id = 'm2'"),
            ("volume_name", "UPDATE volume SET name = 'date' WHERE id = 'v1'"),
        ] {
            let home = Scratch::new();
            drop(with_rows(&home));
            let db = Connection::open(super::super::path(home.path())).unwrap();
            // Hidden from the schema, an index is not kept up.
            db.execute_batch(&format!(
                "PRAGMA writable_schema = ON; CREATE TEMP TABLE kept AS SELECT * FROM \
                 sqlite_schema WHERE name = '{index}'; \
                 DELETE FROM sqlite_schema WHERE name = '{index}';"
            ))
            .unwrap();
            let kept: (String, String, String, i64, String) = db
                .query_row("SELECT type, name, tbl_name, rootpage, sql FROM kept", [], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?))
                })
                .unwrap();
            drop(db);
            let db = Connection::open(super::super::path(home.path())).unwrap();
            db.execute_batch(sql).unwrap();
            db.execute_batch("PRAGMA writable_schema = ON").unwrap();
            db.execute("INSERT INTO sqlite_schema VALUES (?1, ?2, ?3, ?4, ?5)", kept).unwrap();
            drop(db);
            let db = Connection::open(super::super::path(home.path())).unwrap();
            let told = may_be_read(&db).unwrap_err();
            assert!(matches!(&told, StoreError::Unsound(why) if why.contains(index)), "{told:?}");
        }
    }

    #[test]
    fn r7_what_refers_to_nothing_is_found() {
        for (sql, who) in [
            (
                "DELETE FROM sandbox WHERE id = 's3'",
                "machine refers to a row that is not there: s3",
            ),
            ("DELETE FROM project WHERE id = 'q'", "sandbox refers to a row that is not there: q"),
        ] {
            let home = Scratch::new();
            drop(with_rows(&home));
            let db = Connection::open(super::super::path(home.path())).unwrap();
            db.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
            db.execute_batch(sql).unwrap();
            let told = may_be_read(&db).unwrap_err();
            assert!(matches!(&told, StoreError::Unsound(why) if why.contains(who)), "{told:?}");
        }
    }
}
