//! Values that may stand in no column: those of variables and files that a definition only names.

use std::collections::BTreeSet;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::store::StoreError;
use crate::store::inventory::query;

/// The shortest value that is looked for; shorter ones stand in many a place by chance.
const VALUE_BYTES_MIN: usize = 12;

/// A value, and what it is the value of.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// What a definition names: `env:TOKEN`, `file:/run/token`.
    pub of: String,
    /// What must not be found.
    pub bytes: Vec<u8>,
}

/// A value is never shown.
impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Value").field("of", &self.of).finish_non_exhaustive()
    }
}

/// A value that stands in a column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// What it is the value of.
    pub of: String,
    /// Where it stands: `event.body`.
    pub column: String,
}

/// Returns which of the values stand in which column, also as part of a longer text.
///
/// # Errors
/// A table cannot be read.
pub fn values_in(db: &Connection, values: &[Value]) -> Result<BTreeSet<Found>, StoreError> {
    let failed = query("look for values in the tables");
    let values: Vec<&Value> =
        values.iter().filter(|value| value.bytes.len() >= VALUE_BYTES_MIN).collect();
    let mut found = BTreeSet::new();
    if values.is_empty() {
        return Ok(found);
    }
    let tables = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut statement = db.prepare(tables).map_err(&failed)?;
    let names = statement.query_map([], |row| row.get::<_, String>(0)).map_err(&failed)?;
    let names: Vec<String> = names.collect::<Result<_, _>>().map_err(&failed)?;
    for table in names {
        let mut statement = db.prepare(&format!("SELECT * FROM \"{table}\"")).map_err(&failed)?;
        let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.query([]).map_err(&failed)?;
        while let Some(row) = rows.next().map_err(&failed)? {
            for (at, column) in columns.iter().enumerate() {
                let (ValueRef::Text(cell) | ValueRef::Blob(cell)) =
                    row.get_ref(at).map_err(&failed)?
                else {
                    continue;
                };
                let here = values.iter().filter(|value| holds(cell, &value.bytes));
                let of = |value: &&&Value| value.of.clone();
                let column = format!("{table}.{column}");
                found.extend(here.map(|value| Found { of: of(&value), column: column.clone() }));
            }
        }
    }
    Ok(found)
}

fn holds(cell: &[u8], value: &[u8]) -> bool {
    cell.windows(value.len()).any(|part| part == value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;

    #[test]
    fn sf_s3_a_value_is_found_wherever_it_stands_and_never_shown() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        let value = |of: &str, text: &str| Value { of: of.into(), bytes: text.into() };
        let values = [value("env:TOKEN", "correct horse"), value("env:SHORT", "meta")];
        assert!(!format!("{values:?}").contains("horse"));
        assert!(store.read(|db| values_in(db, &values)).unwrap().is_empty());
        let put =
            "INSERT INTO event (at, kind, body) VALUES ('', 'run', 'a correct horse battery')";
        store.write(|db| db.execute_batch(put).map_err(query("test"))).unwrap();
        let found = store.read(|db| values_in(db, &values)).unwrap();
        let expected = Found { of: "env:TOKEN".into(), column: "event.body".into() };
        assert_eq!(found.into_iter().collect::<Vec<_>>(), [expected]);
    }
}
