//! Databases of every age, as each finds this program.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rusqlite::Connection;

use super::{STEPS, VERSION};
use crate::scratch::Scratch;
use crate::store::{self, Store, StoreError};

/// The database that the last program of schema 1 left.
const STATE_1: &str = include_str!("../../../../tests/fixtures/state-1.sql");

/// Makes the database of a home by hand.
fn put(home: &Path, sql: &str) {
    fs::create_dir(home.join("db")).unwrap();
    let db = Connection::open(store::path(home)).unwrap();
    db.execute_batch(sql).unwrap();
}

fn meta(home: &Path, key: &str) -> String {
    let db = Connection::open(store::path(home)).unwrap();
    db.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).unwrap()
}

fn set(store: &mut Store, sql: &str) {
    let set = |error| StoreError::Query("test", error);
    store.write(|db| db.execute_batch(sql).map_err(set)).unwrap();
}

#[test]
fn sf_s6_a_database_of_a_later_msb_is_read_where_that_allows_it_and_never_written() {
    let home = Scratch::new();
    let mut store = Store::open(home.path(), 0).unwrap();
    set(&mut store, "UPDATE meta SET value = '9' WHERE key = 'schema_version'");
    drop(store);
    let newer = |error| matches!(error, StoreError::Newer { found: 9, known: VERSION });
    assert!(newer(Store::open(home.path(), 0).unwrap_err()));
    assert!(Store::open_read_only(home.path()).unwrap().is_some());
    let db = Connection::open(store::path(home.path())).unwrap();
    db.execute_batch("UPDATE meta SET value = '9' WHERE key = 'min_reader'").unwrap();
    assert!(newer(Store::open_read_only(home.path()).unwrap_err()));
}

#[test]
fn sf_s5_an_older_database_is_copied_and_then_brought_forward() {
    let home = Scratch::new();
    put(home.path(), STATE_1);
    let read = Store::open_read_only(home.path()).unwrap();
    drop(read.unwrap());
    assert_eq!(meta(home.path(), "schema_version"), "1", "a reader does not migrate");
    drop(Store::open(home.path(), 0).unwrap());
    assert_eq!(meta(home.path(), "schema_version"), VERSION.to_string());
    assert_eq!(meta(home.path(), "min_reader"), "2", "the program of schema 1 is told the truth");
    let copy = home.path().join("db/msb.db.v1.bak");
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o777, 0o600);
    let copy = Connection::open(copy).unwrap();
    let count = |table: &str| -> u32 {
        let sql = format!("SELECT count(*) FROM {table}");
        copy.query_row(&sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!((count("project"), count("definition"), count("volume")), (2, 5, 4));
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'event'";
    assert_eq!(copy.query_row(tables, [], |row| row.get::<_, u32>(0)).unwrap(), 0);
}

#[test]
fn sf_s5_the_last_two_copies_are_kept() {
    let home = Scratch::new();
    put(home.path(), STATE_1);
    let name = |version: &str| home.path().join(format!("db/msb.db.{version}.bak"));
    for old in ["v0", "vx"] {
        store::make_private(&name(old)).unwrap();
    }
    let db = Connection::open(store::path(home.path())).unwrap();
    super::back_up(&db, home.path(), 1).unwrap();
    assert!(name("v0").exists() && name("v1").exists());
    super::back_up(&db, home.path(), 2).unwrap();
    assert!(!name("v0").exists() && name("v1").exists() && name("v2").exists());
    assert!(name("vx").exists(), "what is no copy of ours stays");
}

#[test]
fn a_migrated_database_is_the_same_as_a_new_one() {
    let (old, new) = (Scratch::new(), Scratch::new());
    put(old.path(), STATE_1);
    let schema = |home: &Path| -> Vec<String> {
        drop(Store::open(home, 0).unwrap());
        let db = Connection::open(store::path(home)).unwrap();
        let sql = "SELECT name || ': ' || coalesce(sql, '') FROM sqlite_schema ORDER BY name";
        let mut statement = db.prepare(sql).unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    };
    assert_eq!(schema(old.path()), schema(new.path()));
}

#[test]
fn no_version_lets_in_readers_that_the_one_before_kept_out() {
    assert!(STEPS.windows(2).all(|pair| pair[0].min_reader <= pair[1].min_reader));
    assert!((1..).zip(STEPS).all(|(version, step)| step.min_reader <= version));
}
