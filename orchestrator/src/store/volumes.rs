//! Named volumes, and who uses them.

use rusqlite::{Connection, Row, params};
use schema::name::VolumeName;
use schema::project::{Labels, VolumeKind};

use super::StoreError;
use super::inventory::{Found, json, parsed, query, rows, word};
use super::time;

/// A volume that state knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Whose it is; `None` for nobody's.
    pub project_id: Option<String>,
    /// Its name.
    pub name: VolumeName,
    /// Its folder below `volumes/`.
    pub folder: String,
    /// What it is.
    pub kind: VolumeKind,
    /// Its size, for a disk.
    pub size_bytes: Option<u64>,
    /// What it may hold, for a folder.
    pub quota_bytes: Option<u64>,
    /// Whether removing it is refused.
    pub protect: bool,
    /// Its labels.
    pub labels: Labels,
    /// When it was made.
    pub created_at: String,
    /// When it was put into the trash, where it lies there.
    pub trashed_at: Option<String>,
}

const VOLUME: &str = "SELECT id, project_id, name, folder, kind, size_bytes, protect, labels, \
                      created_at, quota_bytes, trashed_at FROM volume";

fn volume(row: &Row<'_>) -> rusqlite::Result<Found<VolumeRow>> {
    let (name, kind, labels): (String, String, String) = (row.get(2)?, row.get(4)?, row.get(7)?);
    let (id, project_id, folder) = (row.get(0)?, row.get(1)?, row.get(3)?);
    let size: Option<i64> = row.get(5)?;
    let (protect, created_at) = (row.get(6)?, row.get(8)?);
    let (quota, trashed_at): (Option<i64>, _) = (row.get(9)?, row.get(10)?);
    let read = || {
        Ok(VolumeRow {
            id,
            project_id,
            name: parsed("a volume's name", &name)?,
            folder,
            kind: word("a volume's kind", &kind)?,
            size_bytes: size.map(i64::cast_unsigned),
            quota_bytes: quota.map(i64::cast_unsigned),
            protect,
            labels: json("a volume's labels", &labels)?,
            created_at,
            trashed_at,
        })
    };
    Ok(read())
}

/// Returns every volume that is not in the trash, by owner and name.
///
/// # Errors
/// The table cannot be read.
pub fn volumes(db: &Connection) -> Found<Vec<VolumeRow>> {
    let sql = format!("{VOLUME} WHERE trashed_at IS NULL ORDER BY project_id, name");
    rows(db, "list volumes", (&sql, &[]), volume)
}

/// Returns every volume in the trash, by owner and name, the last that came first.
///
/// # Errors
/// The table cannot be read.
pub fn trashed(db: &Connection) -> Found<Vec<VolumeRow>> {
    let order = "ORDER BY project_id, name, trashed_at DESC, id";
    let sql = format!("{VOLUME} WHERE trashed_at IS NOT NULL {order}");
    rows(db, "list the trash", (&sql, &[]), volume)
}

/// Removes the row of a volume in the trash.
///
/// # Errors
/// The row cannot be removed.
pub fn remove_volume(db: &Connection, id: &str) -> Found<()> {
    db.execute("DELETE FROM volume WHERE id = ?1 AND trashed_at IS NOT NULL", [id])
        .map(|_| ())
        .map_err(query("remove a volume"))
}

/// Writes a volume's row whole.
///
/// # Errors
/// The owner already has a volume of that name.
pub fn put_volume(db: &Connection, row: &VolumeRow, created_by: &str) -> Found<()> {
    let labels = serde_json::to_string(&row.labels)
        .map_err(|_| StoreError::Value { what: "a volume's labels", value: row.id.clone() })?;
    db.execute(
        "INSERT INTO volume (id, project_id, name, folder, kind, size_bytes, protect, labels, \
         created_by, created_at, quota_bytes) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11) \
         ON CONFLICT(id) DO UPDATE SET name = excluded.name, folder = excluded.folder, \
         quota_bytes = excluded.quota_bytes, size_bytes = excluded.size_bytes, \
         protect = excluded.protect, labels = excluded.labels",
        params![
            row.id,
            row.project_id,
            row.name.as_str(),
            row.folder,
            row.kind.as_str(),
            row.size_bytes.map(u64::cast_signed),
            row.protect,
            labels,
            created_by,
            row.created_at,
            row.quota_bytes.map(u64::cast_signed)
        ],
    )
    .map(|_| ())
    .map_err(query("write a volume"))
}

/// Writes that a volume lies in the trash, `from` one folder `to` another; nobody uses it there.
///
/// # Errors
/// The rows cannot be written.
pub fn trash_volume(db: &Connection, id: &str, (from, to): (&str, &str), now_ms: u64) -> Found<()> {
    let failed = query("trash a volume");
    db.execute("DELETE FROM volume_use WHERE volume_id = ?1", [id]).map_err(&failed)?;
    db.execute(
        "UPDATE volume SET trashed_at = ?2, trash_folder = ?3, folder = ?4 \
         WHERE id = ?1 AND trashed_at IS NULL",
        params![id, time::rfc3339(now_ms), from, to],
    )
    .map(|_| ())
    .map_err(failed)
}

/// Gives a volume another name and folder, where it is not in the trash.
///
/// # Errors
/// The owner has another volume of that name.
pub fn rename_volume(db: &Connection, id: &str, name: &VolumeName, folder: &str) -> Found<()> {
    db.execute(
        "UPDATE volume SET name = ?2, folder = ?3, trashed_at = NULL, trash_folder = NULL \
         WHERE id = ?1",
        params![id, name.as_str(), folder],
    )
    .map(|_| ())
    .map_err(query("rename a volume"))
}

/// Gives a volume to a project, under a name and in the folder that go with it.
///
/// # Errors
/// The project has another volume of that name.
pub fn give_volume(
    db: &Connection,
    id: &str,
    project_id: &str,
    (name, folder): (&VolumeName, &str),
) -> Found<()> {
    db.execute(
        "UPDATE volume SET project_id = ?2, name = ?3, folder = ?4 WHERE id = ?1",
        params![id, project_id, name.as_str(), folder],
    )
    .map(|_| ())
    .map_err(query("give a volume"))
}

/// One mount of a volume in a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeUse {
    /// The volume.
    pub volume_id: String,
    /// The sandbox.
    pub sandbox_id: String,
    /// Where in the guest.
    pub destination: String,
    /// `ro` or `rw`.
    pub mode: String,
}

/// Returns every use of every volume.
///
/// # Errors
/// The table cannot be read.
pub fn volume_uses(db: &Connection) -> Found<Vec<VolumeUse>> {
    let sql = "SELECT volume_id, sandbox_id, destination, mode FROM volume_use ORDER BY 1, 2, 3";
    rows(db, "list uses of volumes", (sql, &[]), |row| {
        Ok(Ok(VolumeUse {
            volume_id: row.get(0)?,
            sandbox_id: row.get(1)?,
            destination: row.get(2)?,
            mode: row.get(3)?,
        }))
    })
}

/// One thing that was done to a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePast {
    /// When it was begun.
    pub at: String,
    /// The command that did it: `msb up`.
    pub command: String,
    /// What was done: `trash-volume`.
    pub op: String,
    /// How it ended: `done`.
    pub state: String,
}

/// Returns what was done to a volume, oldest first, as far back as operations are kept.
///
/// # Errors
/// The tables cannot be read.
pub fn volume_past(db: &Connection, id: &str) -> Found<Vec<VolumePast>> {
    let sql = "SELECT op.started_at, run.command, op.kind, op.state FROM op \
               JOIN run ON run.id = op.run_id \
               WHERE json_extract(op.intent, '$.volume') = ?1 ORDER BY op.id";
    rows(db, "read the past of a volume", (sql, &[&id]), |row| {
        let (at, command, op, state) = (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        Ok(Ok(VolumePast { at, command, op, state }))
    })
}
