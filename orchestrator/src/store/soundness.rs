//! Whether what commands go by fits its indexes and what it refers to.
//!
//! A row whose key is damaged is not found, which reads as if nothing were there. So before it
//! reads, every command holds each index that reads go by beside its table, in one pass over
//! either; one that is about to act has SQLite look at every cell besides.

use std::hash::BuildHasher as _;

use foldhash::fast::FixedState;
use foldhash::{HashSet, HashSetExt as _};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::StoreError;
use super::inventory::{self, Found, query};

/// A table that decides what a plan does.
struct Table {
    name: &'static str,
    /// What is read of it: its key, then what its indexes hold and what it refers to.
    columns: &'static [&'static str],
    indexes: &'static [Index],
    /// The column that names a row of an earlier table, and which one.
    refers: Option<(usize, &'static str)>,
}

/// An index that reads go by.
struct Index {
    name: &'static str,
    /// Its columns, by their place among those of the table; the row's key comes last.
    columns: &'static [usize],
    /// How many of them no two rows share.
    unique: usize,
    /// Which rows it holds: a column, and what stands there; nothing for NULL.
    only: Option<(usize, Option<&'static str>)>,
}

const VITAL: [Table; 4] = [
    Table {
        name: "project",
        columns: &["id", "name"],
        indexes: &[Index {
            name: "sqlite_autoindex_project_2",
            columns: &[1, 0],
            unique: 1,
            only: None,
        }],
        refers: None,
    },
    Table {
        name: "sandbox",
        columns: &["id", "project_id", "name", "instance"],
        indexes: &[Index {
            name: "sqlite_autoindex_sandbox_2",
            columns: &[1, 2, 3, 0],
            unique: 3,
            only: None,
        }],
        refers: Some((1, "project")),
    },
    Table {
        name: "machine",
        columns: &["id", "sandbox_id", "role"],
        indexes: &[
            Index { name: "machine_sandbox", columns: &[1, 0], unique: 2, only: None },
            Index {
                name: "machine_current",
                columns: &[1, 0],
                unique: 1,
                only: Some((2, Some("current"))),
            },
            Index {
                name: "machine_previous",
                columns: &[1, 0],
                unique: 2,
                only: Some((2, Some("previous"))),
            },
        ],
        refers: Some((1, "sandbox")),
    },
    Table {
        name: "volume",
        columns: &["id", "project_id", "name", "trashed_at"],
        indexes: &[Index {
            name: "volume_name",
            columns: &[1, 2, 0],
            unique: 3,
            only: Some((3, None)),
        }],
        refers: Some((1, "project")),
    },
];

const WHAT: &str = "check the tables";

/// Holds that what reads go by fits its indexes and what it refers to.
///
/// # Errors
/// [`StoreError::Unsound`] with what does not fit.
pub fn may_be_read(db: &Connection) -> Result<(), StoreError> {
    let sql = "SELECT name FROM sqlite_schema WHERE type = 'index'";
    let there: HashSet<String> = texts(db, sql)?.into_iter().collect();
    let mut keys: Vec<(&str, HashSet<u64>)> = Vec::new();
    for table in &VITAL {
        // A state of an older schema lacks some.
        let indexes: Vec<&Index> =
            table.indexes.iter().filter(|index| there.contains(index.name)).collect();
        let referred = table.refers.and_then(|(_, to)| keys.iter().find(|(name, _)| *name == to));
        let referred = referred.map(|(_, keys)| keys);
        let (own, tallies) = walk_table(db, table, (&indexes, referred))?;
        for (index, tally) in indexes.iter().zip(tallies) {
            if walk_index(db, table, index)? != Some(tally) {
                let why = format!("does not fit its index {}", index.name);
                return Err(unsound(table.name, &why));
            }
        }
        keys.push((table.name, own));
    }
    Ok(())
}

/// Walks a table in the order of its key: returns its keys, and what each index must add up to.
fn walk_table(
    db: &Connection,
    table: &Table,
    (indexes, referred): (&[&Index], Option<&HashSet<u64>>),
) -> Found<(HashSet<u64>, Vec<Tally>)> {
    let mut tallies = vec![Tally::default(); indexes.len()];
    let mut keys = HashSet::new();
    // A table that has no row ids is the index of its key.
    let name = table.name;
    let columns = table.columns.join(", ");
    let sql = format!("SELECT {columns} FROM {name} INDEXED BY sqlite_autoindex_{name}_1");
    let mut order = Order::default();
    let mut statement = db.prepare_cached(&sql).map_err(query(WHAT))?;
    let mut rows = statement.query([]).map_err(query(WHAT))?;
    while let Some(row) = rows.next().map_err(query(WHAT))? {
        let mut cells = [None; CELLS_MAX];
        for (at, cell) in cells.iter_mut().enumerate().take(table.columns.len()) {
            *cell = bytes(row, at)?;
        }
        if !order.rises(&cells[..1]) {
            return Err(unsound(name, "has keys out of order"));
        }
        if let (Some((at, _)), Some(referred)) = (table.refers, referred)
            && let Some(named) = cells[at]
            && !referred.contains(&hash(&[Some(named)]))
        {
            let lost = String::from_utf8_lossy(named);
            return Err(unsound(name, &format!("refers to a row that is not there: {lost}")));
        }
        keys.insert(hash(&cells[..1]));
        for (index, tally) in indexes.iter().zip(&mut tallies) {
            if index.only.is_none_or(|(at, word)| cells[at] == word.map(str::as_bytes)) {
                let mut held = [None; CELLS_MAX];
                for (cell, at) in held.iter_mut().zip(index.columns) {
                    *cell = cells[*at];
                }
                tally.add(&held[..index.columns.len()]);
            }
        }
    }
    Ok((keys, tallies))
}

/// Walks an index in its own order; nothing, where two rows share what they may not, or are out of
/// that order.
fn walk_index(db: &Connection, table: &Table, index: &Index) -> Found<Option<Tally>> {
    let columns: Vec<&str> = index.columns.iter().map(|at| table.columns[*at]).collect();
    let only = match index.only {
        None => String::new(),
        Some((at, None)) => format!(" WHERE {} IS NULL", table.columns[at]),
        Some((at, Some(word))) => format!(" WHERE {} = '{word}'", table.columns[at]),
    };
    let (columns, count) = (columns.join(", "), columns.len());
    let sql = format!("SELECT {columns} FROM {} INDEXED BY {}{only}", table.name, index.name);
    let mut statement = db.prepare_cached(&sql).map_err(query(WHAT))?;
    let mut rows = statement.query([]).map_err(query(WHAT))?;
    let (mut tally, mut order) = (Tally::default(), Order::default());
    while let Some(row) = rows.next().map_err(query(WHAT))? {
        let mut cells = [None; CELLS_MAX];
        for (at, cell) in cells.iter_mut().enumerate().take(count) {
            *cell = bytes(row, at)?;
        }
        if !order.rises(&cells[..index.unique]) {
            return Ok(None);
        }
        tally.add(&cells[..count]);
    }
    Ok(Some(tally))
}

/// The most columns that are looked at.
const CELLS_MAX: usize = 4;

type Cell<'row> = Option<&'row [u8]>;

/// How many rows there are, and a sum over what they say that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    rows: u64,
    sum: u64,
}

impl Tally {
    fn add(&mut self, cells: &[Cell<'_>]) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(hash(cells));
    }
}

/// Whether what comes is more than what came before.
#[derive(Default)]
struct Order {
    before: Vec<u8>,
    now: Vec<u8>,
}

impl Order {
    fn rises(&mut self, cells: &[Cell<'_>]) -> bool {
        self.now.clear();
        for cell in cells {
            // No name holds a zero, so texts side by side are ordered as their columns are.
            self.now.extend_from_slice(cell.unwrap_or_default());
            self.now.push(0);
        }
        // Of the first row nothing came before, which is less than anything.
        let rises = self.before < self.now;
        std::mem::swap(&mut self.before, &mut self.now);
        rises
    }
}

fn hash(cells: &[Cell<'_>]) -> u64 {
    // Of what was written by us: nobody chose it to collide.
    FixedState::default().hash_one(cells)
}

fn bytes<'row>(row: &'row Row<'_>, at: usize) -> Found<Cell<'row>> {
    match row.get_ref(at).map_err(query(WHAT))? {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Ok(Some(bytes)),
        ValueRef::Null => Ok(None),
        _ => Err(StoreError::Unsound("a key is a number".to_owned())),
    }
}

/// Has SQLite hold every cell, index and reference of what commands go by.
///
/// # Errors
/// [`StoreError::Unsound`] with what does not fit.
pub fn may_be_changed(db: &Connection) -> Result<(), StoreError> {
    for Table { name: table, .. } in VITAL {
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

fn unsound(table: &str, why: &str) -> StoreError {
    StoreError::Unsound(format!("the table {table} {why}"))
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

/// Returns the first column of a query.
pub(super) fn texts(db: &Connection, sql: &str) -> Found<Vec<String>> {
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
