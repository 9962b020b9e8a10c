//! What exists: projects, sandboxes, their machines, and what belongs to a sandbox.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use rusqlite::{Connection, OptionalExtension, Row, params};
use schema::name::{InstanceName, ProjectName, SandboxName};
use schema::project::{InputFile, Kind, Labels};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::StrDeserializer;

use super::{StoreError, migrate, time};

pub use super::definitions::{definition_of, definitions, definitions_named, put_definition};
pub use super::inhabitants::{Inhabitant, applied_digests, inhabitants};
pub use super::machines::{
    MachineRow, Role, machine_and_siblings, machines, machines_beside, machines_of, put_machine,
    remove_machine,
};
pub use super::ports::{chosen_ports, put_chosen_ports};
pub use super::volumes::{
    VolumeRow, VolumeUse, give_volume, put_volume, rename_volume, trash_volume, volume_uses,
    volumes,
};

/// A project that was brought up at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectRow {
    /// 26 characters of base 32.
    pub id: String,
    /// What it is called.
    pub name: ProjectName,
    /// The folder of its first file.
    pub folder: PathBuf,
    /// The files it was last applied from.
    pub files: Vec<InputFile>,
    /// Rises with every run that changes a wish.
    pub generation: u64,
    /// When it was last written.
    pub updated_at: String,
}

/// A sandbox or job that state knows of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SandboxRow {
    /// 16 hexadecimal digits.
    pub id: String,
    /// Its project's id.
    pub project_id: String,
    /// Its name, with the index of the instance.
    pub name: InstanceName,
    /// Service or job.
    pub kind: Kind,
    /// The digest of the definition that is wished for; `None` once it left the file.
    pub desired: Option<String>,
    /// The digest of the definition that was last applied.
    pub applied: Option<String>,
    /// Rises with every new wish.
    pub generation: u64,
    /// The generation that was last carried out.
    pub observed: u64,
    /// Whether removing it is refused.
    pub protect: bool,
    /// Whether it stays where its definition leaves the file.
    pub keep: bool,
    /// The exit code of its finished run.
    pub completed_code: Option<u8>,
    /// When it was first wished for.
    pub created_at: String,
}

impl SandboxRow {
    /// Returns the row of a sandbox of which nothing is made yet.
    #[must_use]
    pub fn new(
        id: String,
        project_id: &str,
        (name, kind): (&InstanceName, Kind),
        desired: Option<String>,
    ) -> Self {
        Self {
            id,
            project_id: project_id.to_owned(),
            name: name.clone(),
            kind,
            desired,
            applied: None,
            generation: 1,
            observed: 0,
            protect: false,
            keep: false,
            completed_code: None,
            created_at: String::new(),
        }
    }
}

pub(super) type Found<T> = Result<T, StoreError>;

pub(super) fn query(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Query(what, error)
}

/// Turns a column's text into a value, or says which column cannot be read.
pub(super) fn parsed<T: std::str::FromStr>(what: &'static str, text: &str) -> Found<T> {
    text.parse().map_err(|_| StoreError::Value { what, value: text.to_owned() })
}

pub(super) fn json<T: DeserializeOwned>(what: &'static str, text: &str) -> Found<T> {
    serde_json::from_str(text).map_err(|_| StoreError::Value { what, value: text.to_owned() })
}

pub(super) fn word<T: DeserializeOwned>(what: &'static str, text: &str) -> Found<T> {
    let word = StrDeserializer::<serde::de::value::Error>::new(text);
    T::deserialize(word).map_err(|_| StoreError::Value { what, value: text.to_owned() })
}

/// Returns a value of a closed set as the word that is stored.
pub(super) fn as_word<T: Serialize>(value: T) -> String {
    let value = serde_json::to_value(value).ok();
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

/// Returns every row that `read` makes of `sql`.
pub(super) fn rows<T>(
    db: &Connection,
    what: &'static str,
    (sql, values): (&str, &[&dyn rusqlite::ToSql]),
    read: impl Fn(&Row<'_>) -> rusqlite::Result<Found<T>>,
) -> Found<Vec<T>> {
    let mut statement = db.prepare_cached(sql).map_err(query(what))?;
    let found = statement.query_map(values, |row| read(row)).map_err(query(what))?;
    found.map(|row| row.map_err(query(what))?).collect()
}

const PROJECT: &str = "SELECT id, name, folder, files, generation, updated_at FROM project";

fn project(row: &Row<'_>) -> rusqlite::Result<Found<ProjectRow>> {
    let (id, name, folder): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let (files, generation, updated_at): (String, i64, String) =
        (row.get(3)?, row.get(4)?, row.get(5)?);
    let read = || {
        Ok(ProjectRow {
            id,
            name: parsed("a project's name", &name)?,
            folder: folder.into(),
            files: json("a project's files", &files)?,
            generation: generation.cast_unsigned(),
            updated_at,
        })
    };
    Ok(read())
}

/// Returns every project, by name.
///
/// # Errors
/// The table cannot be read.
pub fn projects(db: &Connection) -> Found<Vec<ProjectRow>> {
    rows(db, "list projects", (&format!("{PROJECT} ORDER BY name"), &[]), project)
}

/// Returns the ids of projects that have a sandbox or a volume.
///
/// # Errors
/// The tables cannot be read.
pub fn inhabited(db: &Connection) -> Found<BTreeSet<String>> {
    let sql = "SELECT project_id FROM sandbox UNION SELECT project_id FROM volume \
               WHERE project_id IS NOT NULL AND trashed_at IS NULL";
    let found = rows(db, "list projects", (sql, &[]), |row| Ok(Ok(row.get(0)?)))?;
    Ok(found.into_iter().collect())
}

/// Writes a project: new, or with its folder and files as they now are.
///
/// # Errors
/// The row cannot be written.
pub fn put_project(db: &Connection, row: &ProjectRow, now_ms: u64) -> Found<()> {
    let files = serde_json::to_string(&row.files)
        .map_err(|_| StoreError::Value { what: "a project's files", value: String::new() })?;
    db.execute(
        "INSERT INTO project (id, name, folder, files, generation, created_at, updated_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT(id) DO UPDATE SET \
         name = excluded.name, folder = excluded.folder, files = excluded.files, \
         generation = excluded.generation, updated_at = excluded.updated_at",
        params![
            row.id,
            row.name.as_str(),
            row.folder.to_string_lossy(),
            files,
            row.generation.cast_signed(),
            time::rfc3339(now_ms)
        ],
    )
    .map(|_| ())
    .map_err(query("write a project"))
}

/// Returns the id of the project of this name.
///
/// # Errors
/// The table cannot be read.
pub fn project_id(db: &Connection, name: &ProjectName) -> Found<Option<String>> {
    let sql = "SELECT id FROM project WHERE name = ?1";
    db.query_row(sql, [name.as_str()], |row| row.get(0)).optional().map_err(query("list projects"))
}

const SANDBOX: &str = "SELECT id, project_id, name, kind, desired, applied, generation, observed, \
                       protect, completed_code, created_at, instance, keep FROM sandbox";

fn sandbox(row: &Row<'_>) -> rusqlite::Result<Found<SandboxRow>> {
    let (name, kind): (String, String) = (row.get(2)?, row.get(3)?);
    let row = SandboxRow {
        id: row.get(0)?,
        project_id: row.get(1)?,
        name: match instance(&name, row.get_ref(11)?.as_str()?) {
            Ok(name) => name,
            Err(error) => return Ok(Err(error)),
        },
        kind: match word("a sandbox's kind", &kind) {
            Ok(kind) => kind,
            Err(error) => return Ok(Err(error)),
        },
        desired: row.get(4)?,
        applied: row.get(5)?,
        generation: row.get::<_, i64>(6)?.cast_unsigned(),
        observed: row.get::<_, i64>(7)?.cast_unsigned(),
        protect: row.get(8)?,
        keep: row.get(12)?,
        completed_code: row.get(9)?,
        created_at: row.get(10)?,
    };
    Ok(Ok(row))
}

fn instance(name: &str, slot: &str) -> Found<InstanceName> {
    let sandbox: SandboxName = parsed("a sandbox's name", name)?;
    let index = match slot {
        "" => None,
        slot => Some(parsed("the index of an instance", slot)?),
    };
    Ok(InstanceName { sandbox, index })
}

/// Returns the sandboxes of one project, or of all, by name.
///
/// # Errors
/// The table cannot be read.
pub fn sandboxes(db: &Connection, project_id: Option<&str>) -> Found<Vec<SandboxRow>> {
    let what = "list sandboxes";
    let Some(id) = project_id else {
        return rows(db, what, (&format!("{SANDBOX} ORDER BY project_id, name"), &[]), sandbox);
    };
    // The table is walked: to go from the index of names to each row takes longer.
    let sql = format!("{SANDBOX} INDEXED BY sqlite_autoindex_sandbox_1 WHERE project_id = ?1");
    let mut found = rows(db, what, (&sql, &[&id]), sandbox)?;
    found.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(found)
}

/// Returns the names of a project's sandboxes.
///
/// # Errors
/// The table cannot be read.
pub fn names(db: &Connection, project_id: &str) -> Found<BTreeSet<InstanceName>> {
    let sql = "SELECT name, instance FROM sandbox WHERE project_id = ?1";
    let found = rows(db, "list sandboxes", (sql, &[&project_id]), |row| {
        let name: String = row.get(0)?;
        Ok(instance(&name, row.get_ref(1)?.as_str()?))
    })?;
    Ok(found.into_iter().collect())
}

/// Returns the sandbox of a project that has this name.
///
/// # Errors
/// The table cannot be read.
pub fn sandbox_by_name(
    db: &Connection,
    project_id: &str,
    name: &InstanceName,
) -> Found<Option<SandboxRow>> {
    let sql = format!("{SANDBOX} WHERE project_id = ?1 AND name = ?2 AND instance = ?3");
    let (name, slot) = (name.sandbox.as_str(), name.slot());
    Ok(rows(db, "read a sandbox", (&sql, &[&project_id, &name, &slot]), sandbox)?.pop())
}

/// Writes a sandbox's row whole.
///
/// # Errors
/// The row cannot be written.
pub fn put_sandbox(db: &Connection, row: &SandboxRow, now_ms: u64) -> Found<()> {
    db.execute(
        "INSERT INTO sandbox (id, project_id, name, instance, kind, desired, applied, generation, \
         observed, protect, completed_code, created_at, updated_at, keep) \
         VALUES (?1, ?2, ?3, ?12, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?11, ?13) \
         ON CONFLICT(id) DO UPDATE SET keep = excluded.keep, \
         project_id = excluded.project_id, name = excluded.name, instance = excluded.instance, \
         kind = excluded.kind, desired = excluded.desired, applied = excluded.applied, \
         generation = excluded.generation, observed = excluded.observed, \
         protect = excluded.protect, completed_code = excluded.completed_code, \
         updated_at = excluded.updated_at",
        params![
            row.id,
            row.project_id,
            row.name.sandbox.as_str(),
            if row.kind == Kind::Job { "job" } else { "service" },
            row.desired,
            row.applied,
            row.generation.cast_signed(),
            row.observed.cast_signed(),
            row.protect,
            row.completed_code,
            time::rfc3339(now_ms),
            row.name.slot(),
            row.keep
        ],
    )
    .map(|_| ())
    .map_err(query("write a sandbox"))
}

/// The version of the schema that brought the fields that may drift.
const IGNORED_SINCE: u32 = 2;

/// Returns the fields of a project's sandboxes that may drift, by sandbox; those of none are left
/// out, and a state of schema 1 knows of none.
///
/// # Errors
/// The table cannot be read.
pub fn ignored(db: &Connection, project_id: &str) -> Found<BTreeMap<String, BTreeSet<String>>> {
    if !migrate::has(db, IGNORED_SINCE)? {
        return Ok(BTreeMap::new());
    }
    let what = "list fields that may drift";
    let sql = "SELECT id, ignored FROM sandbox WHERE project_id = ?1 AND ignored <> '[]'";
    let found = rows(db, what, (sql, &[&project_id]), |row| {
        let (id, fields): (String, String) = (row.get(0)?, row.get(1)?);
        Ok(json("fields that may drift", &fields).map(|fields| (id, fields)))
    })?;
    Ok(found.into_iter().collect())
}

/// Writes which fields of a sandbox may drift.
///
/// # Errors
/// The row cannot be written.
pub fn put_ignored(db: &Connection, id: &str, ignored: &BTreeSet<String>) -> Found<()> {
    let what = "fields that may drift";
    let fields = serde_json::to_string(ignored)
        .map_err(|error| StoreError::Value { what, value: error.to_string() })?;
    db.execute("UPDATE sandbox SET ignored = ?2 WHERE id = ?1", params![id, fields])
        .map(|_| ())
        .map_err(query("write fields that may drift"))
}

/// Takes a sandbox's name away for a moment, so that another can have it.
///
/// # Errors
/// The row cannot be written.
pub fn park_sandbox(db: &Connection, id: &str) -> Found<()> {
    db.execute("UPDATE sandbox SET instance = '~' || id WHERE id = ?1", [id])
        .map(|_| ())
        .map_err(query("rename a sandbox"))
}

/// Returns one sandbox.
///
/// # Errors
/// The table cannot be read.
pub fn sandbox_by_id(db: &Connection, id: &str) -> Found<Option<SandboxRow>> {
    let sql = format!("{SANDBOX} WHERE id = ?1");
    Ok(rows(db, "read a sandbox", (&sql, &[&id]), sandbox)?.pop())
}

/// Removes a sandbox that no machine belongs to any more.
///
/// # Errors
/// A machine still belongs to it.
pub fn remove_sandbox(db: &Connection, id: &str) -> Found<()> {
    db.execute("DELETE FROM sandbox WHERE id = ?1", [id])
        .map(|_| ())
        .map_err(query("remove a sandbox"))
}

/// Replaces what a sandbox uses of volumes, its labels, and the digests of its sensitive values.
///
/// # Errors
/// The rows cannot be written.
pub fn put_belongings(
    db: &Connection,
    sandbox_id: &str,
    uses: &[VolumeUse],
    labels: &Labels,
    sensitive: &BTreeMap<String, String>,
) -> Found<()> {
    let failed = query("write what belongs to a sandbox");
    for table in ["volume_use", "label", "sensitive"] {
        db.execute(&format!("DELETE FROM {table} WHERE sandbox_id = ?1"), [sandbox_id])
            .map_err(&failed)?;
    }
    for one in uses {
        let values = params![one.volume_id, one.sandbox_id, one.destination, one.mode];
        db.execute("INSERT INTO volume_use VALUES (?1, ?2, ?3, ?4)", values).map_err(&failed)?;
    }
    for (key, value) in labels {
        let values = params![sandbox_id, key, value];
        db.execute("INSERT INTO label VALUES (?1, ?2, ?3, 'file')", values).map_err(&failed)?;
    }
    for (path, digest) in sensitive {
        let values = params![sandbox_id, path, digest];
        db.execute("INSERT INTO sensitive VALUES (?1, ?2, ?3)", values).map_err(&failed)?;
    }
    Ok(())
}

/// Returns a value of the installation itself.
///
/// # Errors
/// The table cannot be read.
pub fn meta(db: &Connection, key: &str) -> Found<Option<String>> {
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0))
        .optional()
        .map_err(query("read the installation"))
}

#[cfg(test)]
mod tests;
