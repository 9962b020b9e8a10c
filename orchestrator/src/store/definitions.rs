//! What sandboxes are to be: each body once, under its digest, however many name it.

use std::collections::{BTreeMap, BTreeSet};

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

const ALL: &str = "SELECT digest, schema, body FROM definition";

/// Those of a list of digests, which is one text of JSON: one statement, however many they are.
pub(super) const NAMED: &str = "SELECT digest, schema, body FROM definition \
                                WHERE digest IN (SELECT value FROM json_each(?1))";

/// Returns every definition, by digest.
///
/// # Errors
/// The table cannot be read, or one is not what was written.
pub fn definitions(db: &Connection) -> Found<BTreeMap<String, Body>> {
    Ok(rows(db, WHAT, (ALL, &[]), definition)?.into_iter().collect())
}

/// Returns the definitions of these digests, each of which state has.
///
/// # Errors
/// The table cannot be read, one is not what was written, or is not there.
pub fn definitions_named(
    db: &Connection,
    digests: &BTreeSet<&str>,
) -> Found<BTreeMap<String, Body>> {
    if digests.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = serde_json::json!(digests).to_string();
    let found: BTreeMap<String, Body> =
        rows(db, WHAT, (NAMED, &[&list]), definition)?.into_iter().collect();
    match digests.iter().find(|digest| !found.contains_key(**digest)) {
        Some(digest) => Err(StoreError::Unsound(format!("no definition has the digest {digest}"))),
        None => Ok(found),
    }
}

const WHAT: &str = "read definitions";

/// Returns the definition of this digest, where it is still kept.
///
/// # Errors
/// The table cannot be read.
pub fn definition_of(db: &Connection, digest: &str) -> Found<Option<Body>> {
    let sql = "SELECT digest, schema, body FROM definition WHERE digest = ?1";
    let found = rows(db, WHAT, (sql, &[&digest]), definition)?;
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
