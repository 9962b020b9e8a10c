//! Sandboxes with their machines and what was applied of values that nobody may see, read in one
//! pass over each table.

use std::collections::BTreeMap;

use foldhash::{HashMap, HashMapExt as _};
use rusqlite::Connection;

use super::inventory::{self, Found, MachineRow, Role, SandboxRow, query};
use super::machines;

/// A sandbox with what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inhabitant {
    /// Its row.
    pub row: SandboxRow,
    /// Its current machine.
    pub current: Option<MachineRow>,
    /// Machines that are not current, by id.
    pub others: Vec<MachineRow>,
    /// Digests of sensitive values as applied, by field.
    pub sensitive: BTreeMap<String, String>,
}

impl Inhabitant {
    /// Returns every machine it has.
    pub fn machines(&self) -> impl Iterator<Item = &MachineRow> {
        self.current.iter().chain(&self.others)
    }
}

/// Returns the sandboxes of one project, or of all, by name.
///
/// Tables are walked: to find what belongs to many sandboxes one by one takes longer.
///
/// # Errors
/// A table cannot be read.
pub fn inhabitants(db: &Connection, project_id: Option<&str>) -> Found<Vec<Inhabitant>> {
    let rows = inventory::sandboxes(db, project_id)?;
    let places: HashMap<&str, usize> =
        rows.iter().enumerate().map(|(at, row)| (row.id.as_str(), at)).collect();
    let mut current: Vec<Option<MachineRow>> = Vec::new();
    current.resize_with(rows.len(), || None);
    let mut others: HashMap<usize, Vec<MachineRow>> = HashMap::new();
    machines::walk(
        db,
        |id| places.get(id).copied(),
        |at, machine| match &mut current[at] {
            place @ None if machine.role == Role::Current => *place = Some(machine),
            _ => others.entry(at).or_default().push(machine),
        },
    )?;
    let mut sensitive = sensitive(db, |id| places.get(id).copied())?;
    let found = rows.into_iter().zip(current).enumerate().map(|(at, (row, current))| {
        let others = others.remove(&at).unwrap_or_default();
        Inhabitant { row, current, others, sensitive: sensitive.remove(&at).unwrap_or_default() }
    });
    Ok(found.collect())
}

/// Returns the digests of one sandbox as they were last applied, by path.
///
/// # Errors
/// The table cannot be read.
pub fn applied_digests(db: &Connection, sandbox_id: &str) -> Found<BTreeMap<String, String>> {
    let what = "read digests";
    let sql = "SELECT path, digest FROM sensitive WHERE sandbox_id = ?1";
    let mut statement = db.prepare_cached(sql).map_err(query(what))?;
    let rows = statement.query_map([sandbox_id], |row| Ok((row.get(0)?, row.get(1)?)));
    rows.and_then(Iterator::collect).map_err(query(what))
}

/// Returns the digests of sensitive values as they were last applied, by sandbox and path.
fn sensitive(
    db: &Connection,
    place: impl Fn(&str) -> Option<usize>,
) -> Found<HashMap<usize, BTreeMap<String, String>>> {
    let what = "read digests";
    let sql = "SELECT sandbox_id, path, digest FROM sensitive";
    let mut statement = db.prepare_cached(sql).map_err(query(what))?;
    let mut rows = statement.query([]).map_err(query(what))?;
    let mut found: HashMap<usize, BTreeMap<String, String>> = HashMap::new();
    while let Some(row) = rows.next().map_err(query(what))? {
        let of = row.get_ref(0).and_then(|cell| Ok(cell.as_str()?)).map_err(query(what))?;
        if let Some(at) = place(of) {
            let (path, digest) =
                (row.get(1).map_err(query(what))?, row.get(2).map_err(query(what))?);
            found.entry(at).or_default().insert(path, digest);
        }
    }
    Ok(found)
}
