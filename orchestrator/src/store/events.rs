//! What happened, for `msb events`: written in the transaction of what it tells, so that neither is
//! ever without the other.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, params};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::inventory::{self, MachineRow, as_word, query};
use super::journal::Told;
use super::{StoreError, journal, time};
use crate::plan::{Address, Drift};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Rises within a home, and is never used again.
    pub seq: i64,
    /// When, RFC 3339.
    pub at: String,
    /// Its project's name.
    pub project: Option<String>,
    /// To what: `sandbox.web[0]`.
    pub address: Option<String>,
    /// `phase`, `step`, `run`, `removed`, or what a runtime tells.
    pub kind: String,
    /// What there is to say about it.
    pub body: Body,
}

/// What there is to say about an event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Body {
    /// The run that did it; `None` for what was found.
    pub run: Option<i64>,
    /// Who did it.
    pub actor: Option<Actor>,
    /// What it was before.
    pub from: Option<String>,
    /// What it is now.
    pub to: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// More, by kind.
    pub data: Value,
}

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// With which command.
    pub command: String,
    /// In which process.
    pub pid: u32,
    /// As whom: `uid 1000`.
    pub user: Option<String>,
}

/// In the course of what something happened, when, and where.
#[derive(Clone, Copy, Debug)]
pub struct Moment<'a> {
    /// The run, where one did it.
    pub run: Option<i64>,
    /// The time.
    pub now_ms: u64,
    /// The home, in which machines lie.
    pub home: &'a Path,
}

/// How many events are read at once.
pub const BATCH_MAX: usize = 1000;

/// Writes an event; who did it is read from the run.
///
/// # Errors
/// The row cannot be written.
pub(super) fn put(
    db: &Connection,
    (project_id, address): (&str, Option<&str>),
    (kind, body): (&str, Body),
    (run, at_ms): (Option<i64>, u64),
) -> Result<(), StoreError> {
    let actor = run.map(|run| actor(db, run)).transpose()?.flatten();
    let body = Body { run, actor, ..body };
    let text = serde_json::to_string(&body)
        .map_err(|_| StoreError::Value { what: "event", value: kind.to_owned() })?;
    db.prepare_cached(
        "INSERT INTO event (at, project_id, address, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)",
    )
    .and_then(|mut statement| {
        statement.execute(params![time::rfc3339(at_ms), project_id, address, kind, text])
    })
    .map(|_| ())
    .map_err(query("write an event"))
}

fn actor(db: &Connection, run: i64) -> Result<Option<Actor>, StoreError> {
    let user = Some(format!("uid {}", rustix::process::getuid().as_raw()));
    db.prepare_cached("SELECT command, pid FROM run WHERE id = ?1")
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                Ok(Actor { command: row.get(0)?, pid: row.get(1)?, user: user.clone() })
            };
            statement.query_row([run], read).optional()
        })
        .map_err(query("read a run"))
}

/// Writes that a run begins or ends.
///
/// # Errors
/// The row cannot be written.
pub(super) fn run(
    db: &Connection,
    id: i64,
    exit_code: Option<u8>,
    now_ms: u64,
) -> Result<(), StoreError> {
    let project: String = db
        .query_row("SELECT project_id FROM run WHERE id = ?1", [id], |row| row.get(0))
        .map_err(query("read a run"))?;
    let (from, to) = match exit_code {
        None => (None, "started"),
        Some(_) => (Some("started".to_owned()), "ended"),
    };
    let data = json!({ "exit_code": exit_code });
    let body = Body { from, to: Some(to.to_owned()), data, ..Body::default() };
    put(db, (&project, None), ("run", body), (Some(id), now_ms))
}

/// Writes what a run found to be otherwise than it was applied, before it does anything about it.
///
/// # Errors
/// A row cannot be written.
pub fn drift(db: &Connection, run: i64, found: &[Drift], now_ms: u64) -> Result<(), StoreError> {
    let project: String = db
        .query_row("SELECT project_id FROM run WHERE id = ?1", [run], |row| row.get(0))
        .map_err(query("read a run"))?;
    found.iter().try_for_each(|drift| {
        let address = drift.address.to_string();
        let body = Body {
            from: Some(drift.before.clone()),
            to: Some(drift.after.clone()),
            data: json!({ "path": drift.path, "class": drift.class }),
            ..Body::default()
        };
        put(db, (&project, Some(&address)), ("drift", body), (Some(run), now_ms))
    })
}

/// Writes how an operation ended, of which `state` and `error` are written already.
///
/// # Errors
/// The row cannot be written.
pub(super) fn step(db: &Connection, op: i64, now_ms: u64) -> Result<(), StoreError> {
    let sql = "SELECT run.project_id, op.address, op.state, op.error, op.step, op.kind, op.started_at, run.id \
               FROM op JOIN run ON run.id = op.run_id WHERE op.id = ?1";
    let read = |row: &rusqlite::Row<'_>| {
        let started: String = row.get(6)?;
        let duration_ms = time::parse(&started).map(|started| now_ms.saturating_sub(started));
        let (step, does): (String, String) = (row.get(4)?, row.get(5)?);
        let body = Body {
            from: Some("started".to_owned()),
            to: row.get(2)?,
            reason: row.get(3)?,
            data: json!({ "step": step, "do": does, "duration_ms": duration_ms }),
            ..Body::default()
        };
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(7)?, body))
    };
    let found = db
        .prepare_cached(sql)
        .and_then(|mut statement| statement.query_row([op], read))
        .map_err(query("read an operation"))?;
    let (project, address, run, body) = found;
    put(db, (&project, Some(&address)), ("step", body), (Some(run), now_ms))
}

/// Writes a machine's row, and that its phase is another where it is.
///
/// As long as a runtime is there to tell, only what it wrote down is told of its machine: the row
/// may be read from a record that is older or newer than that.
///
/// # Errors
/// The rows cannot be written.
pub fn put_machine(
    db: &Connection,
    row: &MachineRow,
    moment: Moment<'_>,
) -> Result<(), StoreError> {
    let told = journal::told(db, &row.id, moment)?;
    if told.seq == 0 || row.phase.is_resting() {
        return put_phase(db, row, told, moment);
    }
    inventory::put_machine(db, row)
}

/// Writes the row of a machine that is to be launched.
///
/// # Errors
/// The rows cannot be written.
pub fn announce(db: &Connection, row: &MachineRow, moment: Moment<'_>) -> Result<(), StoreError> {
    let told = journal::told(db, &row.id, moment)?;
    put_phase(db, row, told, moment)
}

fn put_phase(
    db: &Connection,
    row: &MachineRow,
    told: Told,
    moment: Moment<'_>,
) -> Result<(), StoreError> {
    inventory::put_machine(db, row)?;
    let is = as_word(row.phase);
    if told.phase.as_ref() == Some(&is) {
        return Ok(());
    }
    let Some(sandbox) = inventory::sandbox_by_id(db, &row.sandbox_id)? else { return Ok(()) };
    let body = Body {
        from: told.phase,
        to: Some(is.clone()),
        reason: row.reason.clone(),
        data: json!({ "machine": row.id, "exit_code": row.exit_code }),
        ..Body::default()
    };
    let address = Address::Sandbox(sandbox.name).to_string();
    let of = (sandbox.project_id.as_str(), Some(address.as_str()));
    put(db, of, ("phase", body), (moment.run, moment.now_ms))?;
    journal::put_told(db, &row.id, &Told { phase: Some(is), ..told })
}

/// Removes a sandbox's row, and writes that it is gone.
///
/// # Errors
/// The rows cannot be written.
pub fn remove_sandbox(db: &Connection, id: &str, moment: Moment<'_>) -> Result<(), StoreError> {
    let Some(sandbox) = inventory::sandbox_by_id(db, id)? else { return Ok(()) };
    inventory::remove_sandbox(db, id)?;
    let address = Address::Sandbox(sandbox.name).to_string();
    let body = Body { data: json!({}), ..Body::default() };
    let of = (sandbox.project_id.as_str(), Some(address.as_str()));
    put(db, of, ("removed", body), (moment.run, moment.now_ms))
}

/// How far the past reaches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// The event before the first that is kept.
    pub before: i64,
    /// The last that happened, kept or not.
    pub last: i64,
}

/// Returns how far the past reaches; nowhere in a state that is older than events.
///
/// # Errors
/// The tables cannot be read.
pub fn reach(db: &Connection) -> Result<Reach, StoreError> {
    let failed = query("look for events");
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'event'";
    let tables: i64 = db.query_row(tables, [], |row| row.get(0)).map_err(&failed)?;
    if tables == 0 {
        return Ok(Reach::default());
    }
    let last = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'event'";
    let last: i64 = db.query_row(last, [], |row| row.get(0)).map_err(&failed)?;
    let first = "SELECT min(seq) FROM event";
    let first: Option<i64> = db.query_row(first, [], |row| row.get(0)).map_err(&failed)?;
    Ok(Reach { before: first.map_or(last, |first| first - 1), last })
}

/// Returns the event before the first that happened at an instant or later.
///
/// # Errors
/// The table cannot be read.
pub fn before(db: &Connection, since_ms: u64, reach: Reach) -> Result<i64, StoreError> {
    if reach == Reach::default() {
        return Ok(0);
    }
    let sql = "SELECT min(seq) FROM event WHERE at >= ?1";
    let first: Option<i64> = db
        .query_row(sql, [time::rfc3339(since_ms)], |row| row.get(0))
        .map_err(query("look for events"))?;
    Ok(first.map_or(reach.last, |first| first - 1))
}

/// Returns the first events after `seq`, at most [`BATCH_MAX`], in order.
///
/// # Errors
/// The table cannot be read.
pub fn after(db: &Connection, seq: i64) -> Result<Vec<Event>, StoreError> {
    let failed = query("read events");
    let sql = format!(
        "SELECT seq, at, project.name, address, event.kind, body FROM event \
         LEFT JOIN project ON project.id = event.project_id WHERE seq > ?1 ORDER BY seq \
         LIMIT {BATCH_MAX}"
    );
    let mut statement = db.prepare_cached(&sql).map_err(&failed)?;
    let found = statement
        .query_map([seq], |row| {
            let body: String = row.get(5)?;
            Ok(Event {
                seq: row.get(0)?,
                at: row.get(1)?,
                project: row.get(2)?,
                address: row.get(3)?,
                kind: row.get(4)?,
                // A later msb may have more to say; what is known of it is shown.
                body: serde_json::from_str(&body).unwrap_or_default(),
            })
        })
        .map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
