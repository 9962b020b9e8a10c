//! What the state knows of a machine, kept beside the machine, so that state can be made anew.
//!
//! The rows are copied as they are, with their columns' names; whoever reads them back puts in
//! what today's tables have of them.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

use super::{StoreError, atomic, migrate};

/// The file in a machine's folder.
pub const FILE: &str = "state.json";

/// The form of the file.
const FORMAT: u32 = 1;

/// Which rows tell of machine `?1`, by table; a table stands after those that its rows refer to.
const TABLES: &[(&str, &str)] = &[
    ("meta", "key = 'installation' AND ?1 <> ''"),
    (
        "project",
        "id IN (SELECT project_id FROM sandbox WHERE id IN (SELECT sandbox_id FROM machine WHERE id = ?1))",
    ),
    (
        "definition",
        "digest IN (SELECT desired FROM sandbox WHERE id IN (SELECT sandbox_id FROM machine WHERE id = ?1) \
         UNION SELECT applied FROM sandbox WHERE id IN (SELECT sandbox_id FROM machine WHERE id = ?1))",
    ),
    ("sandbox", "id IN (SELECT sandbox_id FROM machine WHERE id = ?1)"),
    ("sensitive", "sandbox_id IN (SELECT sandbox_id FROM machine WHERE id = ?1)"),
    ("label", "sandbox_id IN (SELECT sandbox_id FROM machine WHERE id = ?1)"),
    ("port", "sandbox_id IN (SELECT sandbox_id FROM machine WHERE id = ?1)"),
    ("machine", "id = ?1"),
    (
        "volume",
        "id IN (SELECT volume_id FROM volume_use WHERE sandbox_id IN (SELECT sandbox_id FROM machine WHERE id = ?1))",
    ),
    ("volume_use", "sandbox_id IN (SELECT sandbox_id FROM machine WHERE id = ?1)"),
    ("manifest", "digest IN (SELECT image_digest FROM machine WHERE id = ?1)"),
    (
        "blob",
        "digest IN (SELECT blob FROM manifest_blob WHERE manifest IN (SELECT image_digest FROM machine WHERE id = ?1))",
    ),
    ("manifest_blob", "manifest IN (SELECT image_digest FROM machine WHERE id = ?1)"),
    (
        "root",
        "digest IN (SELECT root FROM manifest WHERE digest IN (SELECT image_digest FROM machine WHERE id = ?1))",
    ),
    ("image_ref", "manifest IN (SELECT image_digest FROM machine WHERE id = ?1)"),
];

/// Rows of several tables.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Remembered {
    format: u32,
    /// The schema that they are of.
    schema: u32,
    /// By table, each as its columns.
    rows: BTreeMap<String, Vec<BTreeMap<String, Cell>>>,
}

/// A value of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Cell {
    Nothing,
    Number(i64),
    Real(f64),
    Text(String),
}

impl Remembered {
    /// Reads what the state knows of a machine.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn of(db: &Connection, machine: &str) -> Result<Self, StoreError> {
        let mut rows = BTreeMap::new();
        for (table, condition) in TABLES {
            let sql = format!("SELECT * FROM {table} WHERE {condition}");
            rows.insert((*table).to_owned(), read(db, &sql, machine)?);
        }
        Ok(Self { format: FORMAT, schema: migrate::VERSION, rows })
    }

    /// Keeps it in a machine's folder, where there is one.
    ///
    /// # Errors
    /// It cannot be written; what was kept before stands.
    pub fn keep(&self, folder: &Path) -> std::io::Result<()> {
        if !folder.is_dir() {
            return Ok(());
        }
        atomic::write_lazily(&folder.join(FILE), &serde_json::to_vec(self)?)
    }

    /// Reads what was kept in a machine's folder.
    #[must_use]
    pub fn kept(folder: &Path) -> Option<Self> {
        let kept: Self = serde_json::from_slice(&std::fs::read(folder.join(FILE)).ok()?).ok()?;
        (kept.format <= FORMAT).then_some(kept)
    }

    /// Returns the value of a column of the only row of a table.
    #[must_use]
    pub fn text(&self, table: &str, column: &str) -> Option<&str> {
        match self.rows.get(table)?.first()?.get(column)? {
            Cell::Text(text) => Some(text),
            Cell::Nothing | Cell::Number(_) | Cell::Real(_) => None,
        }
    }

    /// Puts the rows into tables that do not have them yet.
    ///
    /// # Errors
    /// A table cannot be written.
    pub fn put(&self, db: &Connection) -> Result<(), StoreError> {
        for (table, _) in TABLES {
            let columns = columns(db, table)?;
            for row in self.rows.get(*table).into_iter().flatten() {
                put(db, table, &columns, row)?;
            }
        }
        Ok(())
    }
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Query("copy what is known of a machine", error)
}

fn read(
    db: &Connection,
    sql: &str,
    machine: &str,
) -> Result<Vec<BTreeMap<String, Cell>>, StoreError> {
    let mut statement = db.prepare_cached(sql).map_err(failed)?;
    let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let rows = statement.query_map(params![machine], |row| {
        let cell = |(at, name): (usize, &String)| Ok((name.clone(), cell(row.get_ref(at)?)));
        names.iter().enumerate().map(cell).collect()
    });
    rows.map_err(failed)?.collect::<Result<_, _>>().map_err(failed)
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Nothing,
        ValueRef::Integer(number) => Cell::Number(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
            Cell::Text(String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

fn columns(db: &Connection, table: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = db.prepare("SELECT name FROM pragma_table_info(?1)").map_err(failed)?;
    let names = statement.query_map([table], |row| row.get(0)).map_err(failed)?;
    names.collect::<Result<_, _>>().map_err(failed)
}

fn put(
    db: &Connection,
    table: &str,
    columns: &[String],
    row: &BTreeMap<String, Cell>,
) -> Result<(), StoreError> {
    let known: Vec<(&String, &Cell)> =
        row.iter().filter(|(name, _)| columns.contains(name)).collect();
    let names: Vec<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
    let marks = vec!["?"; names.len()].join(", ");
    let sql = format!("INSERT OR IGNORE INTO {table} ({}) VALUES ({marks})", names.join(", "));
    let values = known.into_iter().map(|(_, cell)| match cell {
        Cell::Nothing => Value::Null,
        Cell::Number(number) => Value::Integer(*number),
        Cell::Real(number) => Value::Real(*number),
        Cell::Text(text) => Value::Text(text.clone()),
    });
    db.execute(&sql, rusqlite::params_from_iter(values)).map(|_| ()).map_err(failed)
}
