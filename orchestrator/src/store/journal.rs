//! What runtimes wrote down, taken over into the events of a home: each once, in its order, with a
//! number that every reader can go on from.
//!
//! A runtime keeps its last events beside its machine and knows no state. Whoever writes what became
//! of a machine, removes one, or follows the events takes over what is new, so what happened is told
//! with its own time, also where nobody was there.

use rusqlite::{Connection, OptionalExtension as _, params};
use schema::event::What;
use serde_json::{Value, json};

use super::events::{self, Body, Moment};
use super::inventory::{self, as_word, query};
use super::{StoreError, migrate, time};
use crate::machines::Folder;
use crate::plan::Address;

/// The version of the schema that says how far was taken over.
const SINCE: u32 = 3;

/// How many operations back it is looked for who did something.
const OPERATIONS_BACK: i64 = 1000;

/// How far a machine was told of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The last event of its runtime that was taken over.
    pub(super) seq: u64,
    /// The phase that was told last.
    pub(super) phase: Option<String>,
}

/// Tells whether events can be taken over: a state of earlier does not say how far.
///
/// # Errors
/// The version cannot be read.
pub fn is_possible(db: &Connection) -> Result<bool, StoreError> {
    migrate::has(db, SINCE)
}

/// Returns the machines that there are.
///
/// # Errors
/// The table cannot be read.
pub fn machines(db: &Connection) -> Result<Vec<String>, StoreError> {
    let failed = query("list machines");
    let mut statement = db.prepare_cached("SELECT id FROM machine").map_err(&failed)?;
    let found = statement.query_map([], |row| row.get(0)).map_err(&failed)?;
    found.collect::<Result<_, _>>().map_err(failed)
}

/// Takes over what the runtime of a machine wrote down since the last time.
///
/// # Errors
/// The rows cannot be read or written. A journal that cannot be read has nothing to tell.
pub fn take(db: &Connection, machine: &str, moment: Moment<'_>) -> Result<(), StoreError> {
    told(db, machine, moment).map(|_| ())
}

/// As [`take`]; returns how far the machine was told of.
pub(super) fn told(db: &Connection, machine: &str, moment: Moment<'_>) -> Result<Told, StoreError> {
    let failed = query("read how far a machine was told of");
    let row = db
        .prepare_cached(
            "SELECT m.told_seq, coalesce(m.told_phase, m.phase), m.sandbox_id FROM machine m \
             WHERE m.id = ?1",
        )
        .and_then(|mut statement| {
            let read = |row: &rusqlite::Row<'_>| {
                let seq = u64::try_from(row.get::<_, i64>(0)?).unwrap_or_default();
                Ok((Told { seq, phase: row.get(1)? }, row.get::<_, String>(2)?))
            };
            statement.query_row([machine], read).optional()
        })
        .map_err(failed)?;
    let Some((mut told, sandbox)) = row else { return Ok(Told::default()) };
    let journal = Folder::of(moment.home, machine).journal();
    let last = journal.last().map_or(0, |event| event.seq);
    // A journal that was lost begins anew.
    let since = if last < told.seq { 0 } else { told.seq };
    let mut new = journal.into_iter().filter(|event| event.seq > since).peekable();
    let Some(first) = new.peek().map(|event| event.seq) else { return Ok(told) };
    let Some(of) = inventory::sandbox_by_id(db, &sandbox)? else { return Ok(told) };
    let address = Address::Sandbox(of.name).to_string();
    let owner = (of.project_id.as_str(), address.as_str());
    // What the ring has lost by now is counted where it is missing.
    let mut lost = first.saturating_sub(since + 1);
    for event in new {
        told.seq = event.seq;
        let Some((kind, mut body)) = as_told(&event.what, machine) else { continue };
        let is_phase = kind == "phase";
        if is_phase && body.to == told.phase {
            continue;
        }
        if lost > 0 {
            body.data["lost"] = std::mem::take(&mut lost).into();
        }
        if is_phase {
            told.phase.clone_from(&body.to);
        }
        let run = if is_phase { by(db, owner, event.at_ms)? } else { None };
        events::put(db, (owner.0, Some(owner.1)), (kind, body), (run, event.at_ms))?;
    }
    put_told(db, machine, &told)?;
    Ok(told)
}

/// Writes how far a machine was told of.
pub(super) fn put_told(db: &Connection, machine: &str, told: &Told) -> Result<(), StoreError> {
    let seq = i64::try_from(told.seq).unwrap_or(i64::MAX);
    db.prepare_cached("UPDATE machine SET told_seq = ?2, told_phase = ?3 WHERE id = ?1")
        .and_then(|mut statement| statement.execute(params![machine, seq, told.phase]))
        .map(|_| ())
        .map_err(query("write how far a machine was told of"))
}

/// Returns the run that was at work on something at a moment.
fn by(
    db: &Connection,
    (project, address): (&str, &str),
    at_ms: u64,
) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT run.id FROM op JOIN run ON run.id = op.run_id \
               WHERE op.id > (SELECT coalesce(max(id), 0) FROM op) - ?4 \
               AND op.address = ?2 AND run.project_id = ?1 AND op.started_at <= ?3 \
               AND (run.ended_at IS NULL OR run.ended_at >= ?3) ORDER BY op.id DESC LIMIT 1";
    db.prepare_cached(sql)
        .and_then(|mut statement| {
            let at = time::rfc3339(at_ms);
            let values = params![project, address, at, OPERATIONS_BACK];
            statement.query_row(values, |row| row.get(0)).optional()
        })
        .map_err(query("look for who did something"))
}

/// Returns what there is to tell of an event; a boot step is nothing that anybody waits for.
fn as_told(what: &What, machine: &str) -> Option<(&'static str, Body)> {
    let with = |data: Value| {
        let mut data = data;
        data["machine"] = machine.into();
        Body { data, ..Body::default() }
    };
    let told = match what {
        What::BootStep { .. } => return None,
        What::Phase { from, to, reason, exit_code } => {
            let (from, to) = (Some(as_word(from)), Some(as_word(to)));
            let body = with(json!({ "exit_code": exit_code }));
            ("phase", Body { from, to, reason: reason.clone(), ..body })
        }
        What::Restart { count, subject, reason } => {
            let body = with(json!({ "count": count }));
            let (to, reason) = (Some(subject.clone()), Some(reason.clone()));
            ("restart", Body { to, reason, ..body })
        }
        What::Health { from, to, reason } => {
            let (from, to) = (Some(as_word(from)), Some(as_word(to)));
            ("health", Body { from, to, reason: reason.clone(), ..with(json!({})) })
        }
        What::Oom { session } => ("oom", with(json!({ "session": session }))),
        What::PolicyDenied { by, direction, protocol, remote } => {
            let data = json!({ "direction": direction, "protocol": protocol, "remote": remote });
            ("policy-denied", Body { reason: Some(by.clone()), ..with(data) })
        }
        What::Mount { serial, detail } => {
            let body = with(json!({ "serial": serial }));
            ("mount", Body { reason: Some(detail.clone()), ..body })
        }
        What::Port { port, published } => {
            let to = if *published { "published" } else { "withdrawn" };
            ("port", Body { to: Some(to.to_owned()), ..with(json!({ "port": port })) })
        }
    };
    Some(told)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schema::event::Event;
    use schema::lifecycle::Phase;
    use schema::record::Health;

    use super::*;
    use crate::scratch::Scratch;
    use crate::store::inventory::{MachineRow, Role};
    use crate::store::{Store, atomic};

    const MACHINE: &str = "00000000000000aa";

    /// A state with one machine that was announced.
    fn state(home: &Path) -> Store {
        let mut store = Store::open(home, 0).unwrap();
        let sql = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                   VALUES ('p', 'shop', '/', '', '');
                   INSERT INTO sandbox (id, project_id, name, instance, kind, generation, created_at, updated_at) \
                   VALUES ('s', 'p', 'web', '', 'service', 1, '', '');";
        store
            .write(|db| {
                db.execute_batch(sql).map_err(query("set up"))?;
                let row = MachineRow::new(MACHINE, "s", Role::Current);
                inventory::put_machine(db, &row)?;
                let row = MachineRow { phase: Phase::Booting, ..row };
                events::announce(db, &row, moment(home))
            })
            .unwrap();
        store
    }

    fn moment(home: &Path) -> Moment<'_> {
        Moment { run: None, now_ms: 1_000, home }
    }

    fn writes_down(home: &Path, events: &[(u64, What)]) {
        let folder = home.join("machines").join(MACHINE);
        std::fs::create_dir_all(&folder).unwrap();
        let lines: String = events
            .iter()
            .map(|(seq, what)| {
                let event = Event { seq: *seq, at_ms: 2_000 + seq, what: what.clone() };
                serde_json::to_string(&event).unwrap() + "\n"
            })
            .collect();
        atomic::write_lazily(&folder.join(schema::event::FILE), lines.as_bytes()).unwrap();
    }

    fn moves(from: Phase, to: Phase) -> What {
        What::Phase { from, to, reason: None, exit_code: None }
    }

    fn told(store: &mut Store) -> Vec<String> {
        let events = store.read(|db| events::after(db, 0)).unwrap();
        let line = |event: &events::Event| {
            let word = |word: &Option<String>| word.clone().unwrap_or_default();
            let (from, to) = (word(&event.body.from), word(&event.body.to));
            format!("{} {from}>{to} {}", event.kind, event.body.data["lost"])
        };
        events.iter().map(line).collect()
    }

    fn take_all(store: &mut Store, home: &Path) {
        store.write(|db| take(db, MACHINE, moment(home))).unwrap();
    }

    #[test]
    fn each_is_told_once_and_a_phase_by_whoever_knows_it_first() {
        let home = Scratch::new();
        let mut store = state(home.path());
        let health = What::Health { from: Health::None, to: Health::Starting, reason: None };
        let mut journal = vec![
            (1, What::BootStep { name: "early".into() }),
            (2, moves(Phase::Booting, Phase::Starting)),
            (3, health),
            (4, moves(Phase::Starting, Phase::Ready)),
        ];
        writes_down(home.path(), &journal);
        take_all(&mut store, home.path());
        take_all(&mut store, home.path());
        let ready = [
            "phase pending>booting null",
            "phase booting>starting null",
            "health none>starting null",
            "phase starting>ready null",
        ];
        assert_eq!(told(&mut store), ready);
        // A record that was read before says something older, and is not believed.
        let row =
            MachineRow { phase: Phase::Starting, ..MachineRow::new(MACHINE, "s", Role::Current) };
        store.write(|db| events::put_machine(db, &row, moment(home.path()))).unwrap();
        assert_eq!(told(&mut store), ready);
        // How it ended is told by its row where the runtime could not, and then not again.
        let row = MachineRow { phase: Phase::Failed, ..row };
        store.write(|db| events::put_machine(db, &row, moment(home.path()))).unwrap();
        journal.push((5, moves(Phase::Ready, Phase::Failed)));
        writes_down(home.path(), &journal);
        take_all(&mut store, home.path());
        assert_eq!(told(&mut store)[4..], ["phase ready>failed null"]);
    }

    #[test]
    fn what_the_ring_has_lost_is_counted_and_a_new_journal_is_read_from_its_beginning() {
        let home = Scratch::new();
        let mut store = state(home.path());
        let oom = || What::Oom { session: "7".into() };
        writes_down(home.path(), &[(1, oom())]);
        take_all(&mut store, home.path());
        writes_down(home.path(), &[(5, oom()), (6, oom())]);
        take_all(&mut store, home.path());
        writes_down(home.path(), &[(1, oom())]);
        take_all(&mut store, home.path());
        let lines = told(&mut store);
        assert_eq!(lines[1..], ["oom > null", "oom > 3", "oom > null", "oom > null"]);
    }
}
