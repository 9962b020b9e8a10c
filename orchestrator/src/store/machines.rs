//! Machines: one row each, of an instance that may have more than one for a while.

use rusqlite::{Connection, Row, params};
use schema::launch::DriverName;
use schema::lifecycle::Phase;
use schema::record::Effective;
use serde::Serialize;

use super::inventory::{Found, as_word, json, query, rows, word};
use super::{StoreError, migrate};
use crate::machines::Stamp;

/// Which of an instance's machines one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The one that counts.
    Current,
    /// Prepared to take over.
    Next,
    /// Taken over from, kept until the new one is ready.
    Previous,
    /// Did not get ready; kept for its logs.
    Failed,
}

/// A machine that state knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Whose it is.
    pub sandbox_id: String,
    /// Which of the instance's machines it is.
    pub role: Role,
    /// The nonce of its last launch.
    pub nonce: String,
    /// Who runs it, once it was launched.
    pub driver: Option<DriverName>,
    /// The runtime's process id.
    pub pid: Option<u32>,
    /// Where it was when last looked at.
    pub phase: Phase,
    /// Why.
    pub reason: Option<String>,
    /// How its workload ended.
    pub exit_code: Option<u8>,
    /// The image that its root was made from.
    pub image_digest: Option<String>,
    /// Live values, as last told.
    pub effective: Effective,
    /// When it was last launched.
    pub started_at: Option<String>,
    /// When it ended.
    pub ended_at: Option<String>,
    /// Which record that was read from; while it is still that one, there is nothing new in it.
    pub stamp: Option<Stamp>,
}

impl MachineRow {
    /// Returns the row of a machine that was not launched yet.
    #[must_use]
    pub fn new(id: &str, sandbox_id: &str, role: Role) -> Self {
        Self {
            id: id.to_owned(),
            sandbox_id: sandbox_id.to_owned(),
            role,
            nonce: String::new(),
            driver: None,
            pid: None,
            phase: Phase::Pending,
            reason: None,
            exit_code: None,
            image_digest: None,
            effective: Effective::default(),
            started_at: None,
            ended_at: None,
            stamp: None,
        }
    }
}

pub(super) const OF_PROJECT: &str =
    " JOIN sandbox s ON s.id = m.sandbox_id WHERE s.project_id = ?1";

/// Returns the machines of one sandbox.
///
/// # Errors
/// The table cannot be read.
pub fn machines_of(db: &Connection, sandbox_id: &str) -> Found<Vec<MachineRow>> {
    let sql = machine_columns(db)? + " WHERE m.sandbox_id = ?1 ORDER BY m.id";
    rows(db, "list machines", (&sql, &[&sandbox_id]), machine)
}

pub(super) const MACHINE: &str = "SELECT m.id, m.sandbox_id, m.role, m.nonce, m.driver, m.pid, m.phase, \
                       m.reason, m.exit_code, m.image_digest, m.effective, m.started_at, \
                       m.ended_at, {stamp} FROM machine m";

/// The version of the schema that brought the stamps.
const STAMPS_SINCE: u32 = 2;

fn machine_columns(db: &Connection) -> Found<String> {
    let stamp = if migrate::has(db, STAMPS_SINCE)? { "m.stamp" } else { "NULL" };
    Ok(MACHINE.replace("{stamp}", stamp))
}

fn machine(row: &Row<'_>) -> rusqlite::Result<Found<MachineRow>> {
    let (role, driver): (String, Option<String>) = (row.get(2)?, row.get(4)?);
    let (phase, effective): (String, String) = (row.get(6)?, row.get(10)?);
    let (id, sandbox_id, nonce) = (row.get(0)?, row.get(1)?, row.get(3)?);
    let (pid, reason, exit_code) = (row.get(5)?, row.get(7)?, row.get(8)?);
    let (image_digest, started_at, ended_at) = (row.get(9)?, row.get(11)?, row.get(12)?);
    let stamp: Option<String> = row.get(13)?;
    let read = || {
        Ok(MachineRow {
            id,
            sandbox_id,
            role: word("a machine's role", &role)?,
            nonce,
            driver: driver.map(|name| word("a driver", &name)).transpose()?,
            pid,
            phase: word("a phase", &phase)?,
            reason,
            exit_code,
            image_digest,
            effective: json("live values", &effective)?,
            started_at,
            ended_at,
            stamp: stamp.map(Stamp),
        })
    };
    Ok(read())
}

/// Returns the machines of one project's sandboxes.
///
/// # Errors
/// The table cannot be read.
pub fn machines(db: &Connection, project_id: &str) -> Found<Vec<MachineRow>> {
    let sql = machine_columns(db)? + OF_PROJECT;
    let mut found = rows(db, "list machines", (&sql, &[&project_id]), machine)?;
    // They come as their sandboxes do; to have SQLite sort them costs more than to find them.
    found.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    Ok(found)
}

/// Finds the machines of sandboxes that have a place, in the order of their ids.
pub(super) fn walk<P>(
    db: &Connection,
    place: impl Fn(&str) -> Option<P>,
    mut found: impl FnMut(P, MachineRow),
) -> Found<()> {
    let what = "list machines";
    let sql = machine_columns(db)? + " INDEXED BY sqlite_autoindex_machine_1";
    let mut statement = db.prepare_cached(&sql).map_err(query(what))?;
    let mut rows = statement.query([]).map_err(query(what))?;
    while let Some(row) = rows.next().map_err(query(what))? {
        let of = row.get_ref(1).and_then(|cell| Ok(cell.as_str()?)).map_err(query(what))?;
        if let Some(place) = place(of) {
            found(place, machine(row).map_err(query(what))??);
        }
    }
    Ok(())
}

/// Returns a machine and the others of its sandbox; none where no row knows it.
///
/// # Errors
/// A row cannot be read.
pub fn machine_and_siblings(db: &Connection, id: &str) -> Found<Vec<MachineRow>> {
    let columns = machine_columns(db)?;
    let sql = format!(
        "{columns} WHERE m.sandbox_id = (SELECT sandbox_id FROM machine WHERE id = ?1) ORDER BY m.id"
    );
    rows(db, "list the machines of a sandbox", (&sql, &[&id]), machine)
}

/// Returns the machines of those sandboxes that have more than one; from what took over to its
/// sandbox, since there are few of those.
///
/// # Errors
/// A row cannot be read.
pub fn machines_beside(db: &Connection, project_id: &str) -> Found<Vec<MachineRow>> {
    let sql = machine_columns(db)?
        + " WHERE m.sandbox_id IN (SELECT o.sandbox_id FROM machine o \
           CROSS JOIN sandbox s ON s.id = o.sandbox_id WHERE o.role = 'previous' AND s.project_id = ?1) \
           ORDER BY m.id";
    rows(db, "list machines", (&sql, &[&project_id]), machine)
}

/// Writes a machine's row whole.
///
/// # Errors
/// The instance already has another current machine.
pub fn put_machine(db: &Connection, row: &MachineRow) -> Found<()> {
    let effective = serde_json::to_string(&row.effective)
        .map_err(|_| StoreError::Value { what: "live values", value: row.id.clone() })?;
    db.execute(
        "INSERT INTO machine (id, sandbox_id, role, nonce, driver, pid, phase, reason, exit_code, \
         image_digest, effective, started_at, ended_at, stamp) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14) \
         ON CONFLICT(id) DO UPDATE SET role = excluded.role, nonce = excluded.nonce, \
         driver = excluded.driver, pid = excluded.pid, phase = excluded.phase, \
         reason = excluded.reason, exit_code = excluded.exit_code, \
         image_digest = excluded.image_digest, effective = excluded.effective, \
         started_at = excluded.started_at, ended_at = excluded.ended_at, \
         stamp = excluded.stamp",
        params![
            row.id,
            row.sandbox_id,
            as_word(row.role),
            row.nonce,
            row.driver.map(DriverName::as_str),
            row.pid,
            as_word(row.phase),
            row.reason,
            row.exit_code,
            row.image_digest,
            effective,
            row.started_at,
            row.ended_at,
            row.stamp.as_ref().map(|stamp| &stamp.0)
        ],
    )
    .map(|_| ())
    .map_err(query("write a machine"))
}

/// Removes a machine's row.
///
/// # Errors
/// The row cannot be removed.
pub fn remove_machine(db: &Connection, id: &str) -> Found<()> {
    db.execute("DELETE FROM machine WHERE id = ?1", [id])
        .map(|_| ())
        .map_err(query("remove a machine"))
}
