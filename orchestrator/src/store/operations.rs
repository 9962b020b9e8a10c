//! What was begun: runs, and the operations of each, written before they act.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use super::{StoreError, events, retention, time};

/// A command that changes a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunRow {
    /// Its number.
    pub id: i64,
    /// The process that runs it.
    pub pid: u32,
    /// The ticks at which that started.
    pub start_ticks: u64,
    /// The command: `msb up`.
    pub command: String,
}

/// An operation that was begun and not closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOp {
    /// Its number.
    pub id: i64,
    /// The run that began it.
    pub run: RunRow,
    /// What it was to do.
    pub kind: String,
    /// To what.
    pub address: String,
    /// The nonce of the launch, for a boot.
    pub nonce: Option<String>,
    /// What is needed to judge it, as JSON.
    pub intent: String,
}

/// How an operation was closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closed {
    /// It was done.
    Done,
    /// It was tried and failed.
    Failed(String),
    /// A later command judged it by what exists.
    Settled(String),
}

fn query(what: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| StoreError::Query(what, error)
}

/// Writes that a command begins to change a project; returns the run's number.
///
/// # Errors
/// The row cannot be written.
pub fn begin_run(
    db: &Connection,
    project_id: &str,
    run: &RunRow,
    plan_digest: &str,
    now_ms: u64,
) -> Result<i64, StoreError> {
    db.execute(
        "INSERT INTO run (project_id, command, actor, pid, start_ticks, plan_digest, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![
            project_id,
            run.command,
            format!("pid {}", run.pid),
            run.pid,
            run.start_ticks.cast_signed(),
            plan_digest,
            time::rfc3339(now_ms)
        ],
    )
    .map_err(query("begin a run"))?;
    let id = db.last_insert_rowid();
    events::run(db, id, None, now_ms)?;
    Ok(id)
}

/// Writes how a run ended, and drops what is too old to matter.
///
/// # Errors
/// The rows cannot be written.
pub fn end_run(db: &Connection, id: i64, exit_code: u8, now_ms: u64) -> Result<(), StoreError> {
    db.execute(
        "UPDATE run SET ended_at = ?2, exit_code = ?3 WHERE id = ?1",
        params![id, time::rfc3339(now_ms), exit_code],
    )
    .map_err(query("end a run"))?;
    events::run(db, id, Some(exit_code), now_ms)?;
    retention::trim(db, id, now_ms)
}

/// How a project stands with those who change it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// When `msb up` last went to its end.
    pub applied_at: Option<String>,
    /// Whether loops leave it alone.
    pub is_paused: bool,
}

/// Returns how each project stands, by its id.
///
/// # Errors
/// The tables cannot be read.
pub fn progress(db: &Connection) -> Result<BTreeMap<String, Progress>, StoreError> {
    let sql = "SELECT id, paused, (SELECT max(ended_at) FROM run WHERE project_id = project.id \
               AND command = 'msb up' AND exit_code = 0) FROM project";
    let mut statement = db.prepare_cached(sql).map_err(query("list runs"))?;
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, Progress { is_paused: row.get(1)?, applied_at: row.get(2)? }))
    });
    rows.and_then(Iterator::collect).map_err(query("list runs"))
}

/// What an operation is about to do.
#[derive(Clone, Debug)]
pub struct Intent<'a> {
    /// The step's id.
    pub step: &'a str,
    /// What it does.
    pub kind: &'a str,
    /// To what.
    pub address: &'a str,
    /// The wish that it carries out.
    pub generation: u64,
    /// The nonce of the launch, for a boot.
    pub nonce: Option<&'a str>,
    /// What is needed to judge it later, as JSON.
    pub intent: &'a str,
}

/// Writes what is about to be done; returns the operation's number.
///
/// # Errors
/// The row cannot be written; nothing may then be done.
pub fn begin_op(
    db: &Connection,
    run_id: i64,
    op: &Intent<'_>,
    now_ms: u64,
) -> Result<i64, StoreError> {
    db.prepare_cached(
        "INSERT INTO op (run_id, step, address, kind, generation, nonce, intent, state, started_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'started', ?8)",
    )
    .and_then(|mut statement| {
        statement.execute(params![
            run_id,
            op.step,
            op.address,
            op.kind,
            op.generation.cast_signed(),
            op.nonce,
            op.intent,
            time::rfc3339(now_ms)
        ])
    })
    .map_err(query("begin an operation"))?;
    Ok(db.last_insert_rowid())
}

/// Writes how an operation ended.
///
/// # Errors
/// The row cannot be written.
pub fn close_op(db: &Connection, id: i64, how: &Closed, now_ms: u64) -> Result<(), StoreError> {
    let (state, error) = match how {
        Closed::Done => ("done", None),
        Closed::Failed(error) => ("failed", Some(error)),
        Closed::Settled(found) => ("settled", Some(found)),
    };
    db.execute(
        "UPDATE op SET state = ?2, error = ?3, ended_at = ?4 WHERE id = ?1",
        params![id, state, error, time::rfc3339(now_ms)],
    )
    .map_err(query("close an operation"))?;
    events::step(db, id, now_ms)
}

/// From the index of what is open to its runs: it is as long as what is at work, and runs are many.
pub(super) const OPEN_OPS: &str = "SELECT op.id, op.kind, op.address, op.nonce, op.intent, run.id, run.pid, run.start_ticks, \
     run.command FROM op INDEXED BY op_open CROSS JOIN run ON run.id = op.run_id \
     WHERE op.state = 'started' AND run.project_id = ?1 ORDER BY op.id";

/// Returns the operations of a project that were begun and not closed, oldest first.
///
/// # Errors
/// The table cannot be read.
pub fn open_ops(db: &Connection, project_id: &str) -> Result<Vec<OpenOp>, StoreError> {
    let failed = query("list open operations");
    let mut statement = db.prepare_cached(OPEN_OPS).map_err(&failed)?;
    let found = statement
        .query_map([project_id], |row| {
            Ok(OpenOp {
                id: row.get(0)?,
                kind: row.get(1)?,
                address: row.get(2)?,
                nonce: row.get(3)?,
                intent: row.get(4)?,
                run: RunRow {
                    id: row.get(5)?,
                    pid: row.get(6)?,
                    start_ticks: row.get::<_, i64>(7)?.cast_unsigned(),
                    command: row.get(8)?,
                },
            })
        })
        .map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

pub(super) const OPEN_RUNS: &str = "SELECT id, pid, start_ticks, command FROM run \
                                    WHERE project_id = ?1 AND ended_at IS NULL ORDER BY id";

/// Returns the runs of a project that have not written their end.
///
/// # Errors
/// The table cannot be read.
pub fn open_runs(db: &Connection, project_id: &str) -> Result<Vec<RunRow>, StoreError> {
    let failed = query("list open runs");
    let mut statement = db.prepare_cached(OPEN_RUNS).map_err(&failed)?;
    let found = statement
        .query_map([project_id], |row| {
            Ok(RunRow {
                id: row.get(0)?,
                pid: row.get(1)?,
                start_ticks: row.get::<_, i64>(2)?.cast_unsigned(),
                command: row.get(3)?,
            })
        })
        .map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

pub(super) const INTENTS: &str = "SELECT intent FROM op WHERE run_id = ?1";

/// Returns what the operations of a run meant to do, as they wrote it down.
///
/// # Errors
/// The table cannot be read.
pub fn intents(db: &Connection, run_id: i64) -> Result<Vec<String>, StoreError> {
    let failed = query("list the intents of a run");
    let mut statement = db.prepare_cached(INTENTS).map_err(&failed)?;
    let found = statement.query_map([run_id], |row| row.get(0)).map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

pub(super) const LAST_APPLIED: &str = "SELECT id, started_at FROM run WHERE project_id = ?1 AND command = 'msb up' \
     AND ended_at IS NOT NULL ORDER BY id DESC LIMIT 1";

/// Returns the number and the start of the last run of a project that ended well.
///
/// # Errors
/// The table cannot be read.
pub fn last_applied(
    db: &Connection,
    project_id: &str,
) -> Result<Option<(i64, String)>, StoreError> {
    use rusqlite::OptionalExtension;
    db.query_row(LAST_APPLIED, [project_id], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(query("read the last run"))
}

/// Notes that somebody did something to an address, for plans to name later.
///
/// # Errors
/// The row cannot be written.
pub fn put_audit(
    db: &Connection,
    (actor, command): (&str, &str),
    address: &str,
    (path, before, after): (&str, Option<&str>, Option<&str>),
    now_ms: u64,
) -> Result<(), StoreError> {
    db.execute(
        "INSERT INTO audit (at, actor, command, address, path, before, after) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![time::rfc3339(now_ms), actor, command, address, path, before, after],
    )
    .map(|_| ())
    .map_err(query("write the audit"))
}

/// What an `audit` row tells of a drift.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When.
    pub at: String,
    /// Who: a process and a user.
    pub actor: String,
    /// With which command.
    pub command: String,
}

/// What was done to addresses with a common beginning; none has a letter after the last one.
pub(super) const AUDITS: &str = "SELECT address, at, actor, command FROM audit \
                                 WHERE address >= ?1 AND address < ?1 || char(0x10ffff) ORDER BY id";

/// Returns the last thing that was done by hand to each address of a project, `PROJECT/ADDRESS`.
///
/// # Errors
/// The table cannot be read.
pub fn audits(db: &Connection, prefix: &str) -> Result<BTreeMap<String, Audit>, StoreError> {
    let failed = query("read the audit");
    let mut statement = db.prepare_cached(AUDITS).map_err(&failed)?;
    let found = statement
        .query_map([prefix], |row| {
            let audit = Audit { at: row.get(1)?, actor: row.get(2)?, command: row.get(3)? };
            Ok((row.get::<_, String>(0)?, audit))
        })
        .map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}
