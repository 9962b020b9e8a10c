//! What sandboxes are to be: each body once, under its digest, however many name it.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row, params};
use schema::project::Body;

use super::inventory::{Found, query, rows};
use super::{StoreError, lift};

/// Stores a definition under its digest and returns that.
///
/// # Errors
/// The row cannot be written.
pub fn put_definition(db: &Connection, definition: &Body) -> Found<String> {
    let digest = definition.digest().to_owned();
    let body = serde_json::to_string(definition)
        .map_err(|_| StoreError::Value { what: "a definition", value: digest.clone() })?;
    db.execute(
        "INSERT OR IGNORE INTO definition VALUES (?1, ?2, ?3)",
        params![digest, lift::SCHEMA, body],
    )
    .map_err(query("write a definition"))?;
    Ok(digest)
}

/// The definitions that one project's sandboxes name.
pub(super) const OF_PROJECT: &str = "SELECT digest, schema, body FROM definition WHERE digest IN \
                          (SELECT desired FROM sandbox WHERE project_id = ?1 \
                          UNION SELECT applied FROM sandbox WHERE project_id = ?1)";

/// Those that any sandbox names.
const OF_ALL: &str = "SELECT digest, schema, body FROM definition d WHERE EXISTS \
                      (SELECT 1 FROM sandbox WHERE desired = d.digest) \
                      OR EXISTS (SELECT 1 FROM sandbox WHERE applied = d.digest)";

/// Returns the definitions that a project's sandboxes name, or that any does, by digest.
///
/// # Errors
/// The table cannot be read.
pub fn definitions(db: &Connection, project_id: Option<&str>) -> Found<BTreeMap<String, Body>> {
    let what = "read definitions";
    let found = match &project_id {
        Some(id) => rows(db, what, (OF_PROJECT, &[id]), definition)?,
        None => rows(db, what, (OF_ALL, &[]), definition)?,
    };
    Ok(found.into_iter().collect())
}

/// Returns the definition of this digest, where it is still kept.
///
/// # Errors
/// The table cannot be read.
pub fn definition_of(db: &Connection, digest: &str) -> Found<Option<Body>> {
    let sql = "SELECT digest, schema, body FROM definition WHERE digest = ?1";
    let found = rows(db, "read a definition", (sql, &[&digest]), definition)?;
    Ok(found.into_iter().map(|(_, body)| body).next())
}

fn definition(row: &Row<'_>) -> rusqlite::Result<Found<(String, Body)>> {
    let (digest, schema, body): (String, u32, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
    // What is another than when it was written down would be a plan nobody asked for.
    let whole = lift::is_whole(&body, (schema, &digest));
    let read = if whole { lift::lift(&body, schema).ok() } else { None };
    let Some(sandbox) = read else {
        return Ok(Err(StoreError::Value { what: "a definition", value: body }));
    };
    // One that was lifted is another text by now, with a digest of its own.
    let body = match schema {
        lift::SCHEMA => Body::stored(sandbox, digest.clone()),
        _ => Body::of(sandbox),
    };
    Ok(Ok((digest, body)))
}

/// Drops the definitions that nothing names.
///
/// # Errors
/// The table cannot be written.
pub(super) fn drop_unnamed(db: &Connection) -> Found<()> {
    let sql = "DELETE FROM definition WHERE NOT EXISTS \
               (SELECT 1 FROM sandbox WHERE desired = definition.digest) AND NOT EXISTS \
               (SELECT 1 FROM sandbox WHERE applied = definition.digest)";
    db.execute(sql, []).map(|_| ()).map_err(query("drop definitions"))
}
