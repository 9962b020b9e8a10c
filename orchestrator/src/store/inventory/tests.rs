//! One project's rows, found without a look at everybody else's.

use super::*;
use crate::scratch::Scratch;
use crate::store::{Store, definitions, machines as of_machines, operations};

/// Returns how SQLite goes about a query.
fn way(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let found = statement.query_map(["x"], |row| row.get(3)).unwrap();
    found.map(Result::unwrap).collect()
}

#[test]
fn what_belongs_to_one_project_is_found_by_indexes_alone() {
    let home = Scratch::new();
    let mut store = Store::open(home.path(), 0).unwrap();
    let queries = [
        of_machines::MACHINE.replace("{stamp}", "m.stamp") + of_machines::OF_PROJECT,
        definitions::NAMED.to_owned(),
        operations::AUDITS.to_owned(),
        operations::OPEN_OPS.to_owned(),
        operations::OPEN_RUNS.to_owned(),
        operations::INTENTS.to_owned(),
        operations::LAST_APPLIED.to_owned(),
        "DELETE FROM sandbox WHERE id = ?1".to_owned(),
    ];
    let ways = |db: &Connection| -> Vec<String> {
        // A list that was handed over is walked whole, and so is that of what is at work.
        let is_short = |step: &str| step.contains("json_each") || step.contains("op_open");
        let is_scan = |step: &String| step.starts_with("SCAN") && !is_short(step);
        let scans = |sql: &String| way(db, sql).into_iter().filter(is_scan);
        queries.iter().flat_map(scans).collect()
    };
    assert_eq!(store.read(|db| Ok(ways(db))).unwrap(), Vec::<String>::new());
}

#[test]
fn the_beginning_of_an_address_is_taken_as_it_is_written() {
    let home = Scratch::new();
    let mut store = Store::open(home.path(), 0).unwrap();
    let (what, who) = (("phase", None, None), ("pid 1, ana", "msb stop"));
    let put = |db: &Connection| {
        for address in ["shop/sandbox.web", "shop-2/sandbox.web", "shopper/sandbox.web"] {
            operations::put_audit(db, who, address, what, 0)?;
        }
        operations::put_audit(db, who, "shop/sandbox.db[7]", what, 1)
    };
    store.write(|db| put(db)).unwrap();
    let found = store.read(|db| operations::audits(db, "shop/")).unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["shop/sandbox.db[7]", "shop/sandbox.web"]);
}

#[test]
fn what_may_drift_is_kept_and_stays_as_a_sandbox_is_written_again() {
    let home = Scratch::new();
    let mut store = Store::open(home.path(), 0).unwrap();
    let rows = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                VALUES ('p', 'shop', '/', '', ''); \
                INSERT INTO sandbox (id, project_id, name, kind, created_at, updated_at) \
                VALUES ('s', 'p', 'web', 'service', '', '')";
    store.write(|db| db.execute_batch(rows).map_err(query("test"))).unwrap();
    assert!(store.read(|db| ignored(db, "p")).unwrap().is_empty());
    let fields: BTreeSet<String> = ["memory.size".to_owned()].into();
    store.write(|db| put_ignored(db, "s", &fields)).unwrap();
    let row = store.read(|db| sandbox_by_id(db, "s")).unwrap().unwrap();
    store.write(|db| put_sandbox(db, &row, 1)).unwrap();
    assert_eq!(store.read(|db| ignored(db, "p")).unwrap(), [("s".to_owned(), fields)].into());
    let old = "DROP INDEX sandbox_ignored; ALTER TABLE sandbox DROP COLUMN ignored; \
               UPDATE meta SET value = '1' WHERE key = 'schema_version'";
    store.write(|db| db.execute_batch(old).map_err(query("test"))).unwrap();
    assert!(store.read(|db| ignored(db, "p")).unwrap().is_empty(), "as schema 1 is read");
}
