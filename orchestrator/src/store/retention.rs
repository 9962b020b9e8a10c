//! What of the past goes at the end of a run: what is old, what is too much, what nothing names.
//!
//! Rows are numbered in the order in which they came, so what is old lies at the lower end: a
//! look at the first row that stays is all that a run pays where nothing goes.

use rusqlite::Connection;

use super::inventory::query;
use super::{StoreError, definitions, time};

/// How long rows of finished work are kept: 30 days.
const KEPT_MS: u64 = 30 * 86_400_000;

/// How many rows of a table are kept.
const ROWS_MAX: i64 = 100_000;

/// A table of the past.
struct Past {
    table: &'static str,
    number: &'static str,
    at: &'static str,
    /// What may go, however old it is.
    may_go: &'static str,
}

/// Every table of the past; an operation goes before its run.
const PAST: [Past; 4] = [
    Past { table: "op", number: "id", at: "ended_at", may_go: "state <> 'started'" },
    Past {
        table: "run",
        number: "id",
        at: "ended_at",
        may_go: "ended_at IS NOT NULL AND NOT EXISTS (SELECT 1 FROM op WHERE run_id = run.id)",
    },
    Past { table: "audit", number: "id", at: "at", may_go: "1" },
    Past { table: "event", number: "seq", at: "at", may_go: "1" },
];

/// Drops what a run at its end finds too old or too much; what is open never goes.
///
/// # Errors
/// The tables cannot be written.
pub(super) fn trim(db: &Connection, run: i64, now_ms: u64) -> Result<(), StoreError> {
    PAST.iter().try_for_each(|past| past.trim(db, ROWS_MAX, now_ms))?;
    // A run without an operation has taken no name from any definition.
    let acted = "SELECT EXISTS (SELECT 1 FROM op WHERE run_id = ?1)";
    let acted: bool =
        db.query_row(acted, [run], |row| row.get(0)).map_err(query("drop definitions"))?;
    if acted { definitions::drop_unnamed(db) } else { Ok(()) }
}

/// Drops the events that are too old or too many, where they come without a run.
///
/// # Errors
/// The table cannot be written.
pub fn trim_events(db: &Connection, now_ms: u64) -> Result<(), StoreError> {
    let [.., events] = &PAST;
    events.trim(db, ROWS_MAX, now_ms)
}

impl Past {
    fn trim(&self, db: &Connection, rows_max: i64, now_ms: u64) -> Result<(), StoreError> {
        let Self { table, number, at, may_go } = self;
        let failed = query("drop rows of the past");
        let horizon = time::rfc3339(now_ms.saturating_sub(KEPT_MS));
        let last = format!("SELECT max({number}) FROM {table}");
        let last: Option<i64> = db
            .prepare_cached(&last)
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(&failed)?;
        let Some(last) = last else { return Ok(()) };
        let young = format!(
            "SELECT {number} FROM {table} WHERE {may_go} AND {at} >= ?1 ORDER BY {number} LIMIT 1"
        );
        let young: Option<i64> = db
            .prepare_cached(&young)
            .and_then(|mut statement| {
                let mut rows = statement.query([&horizon])?;
                rows.next()?.map(|row| row.get(0)).transpose()
            })
            .map_err(&failed)?;
        let first = young.unwrap_or(last + 1).max(last - rows_max + 1);
        let drop = format!("DELETE FROM {table} WHERE {number} < ?1 AND {may_go}");
        db.prepare_cached(&drop)
            .and_then(|mut statement| statement.execute([first]))
            .map(|_| ())
            .map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;

    const DAY_MS: u64 = 86_400_000;

    fn numbers(db: &Connection, table: &str) -> Vec<i64> {
        let past = PAST.iter().find(|past| past.table == table).unwrap();
        let sql = format!("SELECT {0} FROM {table} ORDER BY {0}", past.number);
        let mut statement = db.prepare(&sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }

    /// Four rows of each table: two of long ago, of which the first is open, one of today, and
    /// one that is open today.
    fn house(home: &Scratch, now: u64) -> Store {
        let mut store = Store::open(home.path(), 0).unwrap();
        let (old, new) = (time::rfc3339(now - 40 * DAY_MS), time::rfc3339(now - DAY_MS));
        let mut sql = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                       VALUES ('p', 'shop', '/', '', '');"
            .to_owned();
        for (id, at, is_open) in
            [(1, &old, true), (2, &old, false), (3, &new, false), (4, &new, true)]
        {
            let end = if is_open { "NULL".to_owned() } else { format!("'{at}'") };
            let state = if is_open { "started" } else { "done" };
            let rows = format!(
                "INSERT INTO run (id, project_id, command, actor, pid, start_ticks, started_at, ended_at) \
                 VALUES ({id}, 'p', 'msb up', '', 1, 1, '{at}', {end});
                 INSERT INTO op (id, run_id, step, address, kind, generation, intent, state, started_at, ended_at) \
                 VALUES ({id}, {id}, 's1', '', 'stop', 1, '{{}}', '{state}', '{at}', {end});
                 INSERT INTO audit (id, at, actor, command, address, path) VALUES ({id}, '{at}', '', '', '', '');
                 INSERT INTO event (seq, at, kind, body) VALUES ({id}, '{at}', 'run', '{{}}');
                 INSERT INTO definition VALUES ('{id}', 2, '');"
            );
            sql.push_str(&rows);
        }
        sql += "INSERT INTO sandbox (id, project_id, name, kind, desired, applied, created_at, updated_at) \
                VALUES ('s', 'p', 'web', 'service', '1', '2', '', '');";
        store.write(|db| db.execute_batch(&sql).map_err(query("test"))).unwrap();
        store
    }

    #[test]
    fn sf_s10_what_is_old_goes_and_what_is_open_stays() {
        let home = Scratch::new();
        let now = 100 * DAY_MS;
        let mut store = house(&home, now);
        store.write(|db| trim(db, 3, now)).unwrap();
        store
            .read(|db| {
                assert_eq!(numbers(db, "op"), [1, 3, 4]);
                assert_eq!(numbers(db, "run"), [1, 3, 4]);
                assert_eq!(numbers(db, "audit"), [3, 4]);
                assert_eq!(numbers(db, "event"), [3, 4]);
                let mut statement = db.prepare("SELECT digest FROM definition").unwrap();
                let left = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
                assert_eq!(left.map(Result::unwrap).collect::<Vec<_>>(), ["1", "2"]);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn sf_s10_what_is_too_much_goes_and_what_is_open_stays() {
        let home = Scratch::new();
        let now = 100 * DAY_MS;
        let mut store = house(&home, now);
        store.write(|db| PAST.iter().try_for_each(|past| past.trim(db, 1, now))).unwrap();
        store
            .read(|db| {
                assert_eq!(numbers(db, "op"), [1, 4]);
                assert_eq!(numbers(db, "run"), [1, 4]);
                assert_eq!(numbers(db, "event"), [4]);
                Ok(())
            })
            .unwrap();
    }

    #[test]
    fn sf_s10_a_run_that_did_nothing_looks_at_no_definition() {
        let home = Scratch::new();
        let now = 100 * DAY_MS;
        let mut store = house(&home, now);
        store.write(|db| trim(db, 9, now)).unwrap();
        let count = "SELECT count(*) FROM definition";
        let count =
            store.read(|db| Ok(db.query_row(count, [], |row| row.get::<_, u32>(0)).unwrap()));
        assert_eq!(count.unwrap(), 4);
    }

    #[test]
    fn sf_3_8_the_number_of_an_event_is_never_used_again() {
        let home = Scratch::new();
        let mut store = house(&home, 100 * DAY_MS);
        let put = "DELETE FROM event; INSERT INTO event (at, kind, body) VALUES ('', 'run', '{}')";
        store.write(|db| db.execute_batch(put).map_err(query("test"))).unwrap();
        assert_eq!(store.read(|db| Ok(numbers(db, "event"))).unwrap(), [5]);
    }
}
