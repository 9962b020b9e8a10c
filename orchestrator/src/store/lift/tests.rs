//! Bodies of every released schema, read today.

use std::collections::BTreeSet;

use rusqlite::Connection;
use schema::project::{Access, ImageRef, Kind, MountSource, RestartPolicy};

use super::*;
use crate::scratch::Scratch;
use crate::store::{self, Store, inventory};

/// The database that the last program of schema 1 left.
const STATE_1: &str = include_str!("../../../../tests/fixtures/state-1.sql");

fn stored(sql: &str) -> Vec<(String, u32, String)> {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch(sql).unwrap();
    let mut statement = db.prepare("SELECT digest, schema, body FROM definition").unwrap();
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    statement.query_map([], read).unwrap().map(Result::unwrap).collect()
}

#[test]
fn sf_p4_a_body_of_schema_1_says_what_a_file_without_new_keys_says_today() {
    for kind in [Kind::Service, Kind::Job] {
        let today = Sandbox::new(kind, ImageRef::parse("redis:7").unwrap());
        let Value::Object(mut old) = serde_json::to_value(&today).unwrap() else { unreachable!() };
        let root = old.remove("root").unwrap();
        old.insert("image".to_owned(), root["image"].clone());
        for (key, _) in unknown_to_1(kind == Kind::Job) {
            old.remove(key).unwrap();
        }
        old["lifecycle"].as_object_mut().unwrap().remove("keep").unwrap();
        let text = Value::Object(old).to_string();
        assert_eq!(lift(&text, 1).unwrap(), today);
        assert!(lift(&text, 2).is_err(), "schema 2 is not read as schema 1");
    }
}

#[test]
fn sf_s6_every_definition_that_schema_1_left_is_whole_and_reads() {
    let all = stored(STATE_1);
    assert_eq!(all.len(), 5);
    let mut db = None;
    for (digest, schema, body) in &all {
        assert!(is_whole(body, (*schema, digest)), "{body}");
        assert!(!is_whole(&body.replace("builtin", "bailtin"), (*schema, digest)));
        let sandbox = lift(body, *schema).unwrap();
        db = db.or_else(|| sandbox.hostname.is_some().then_some(sandbox));
    }
    let db = db.unwrap();
    assert_eq!(db.root.reference().map(ImageRef::to_string).as_deref(), Some("builtin:base"));
    assert_eq!((db.cpus.count, db.cpus.max), (1, 2));
    assert_eq!(db.restart.policy, RestartPolicy::OnFailure);
    assert!(matches!(db.mounts[1].source, MountSource::Tmpfs { mode: 0o700, .. }));
    assert!(db.lifecycle.protect && !db.lifecycle.keep);
    assert_eq!(db.env.len(), 3);
}

#[test]
fn sf_s6_a_mount_with_a_boolean_is_read_only_for_ever() {
    let (_, schema, body) =
        stored(STATE_1).into_iter().find(|(_, _, body)| body.contains("/shared")).unwrap();
    let mut old: Value = serde_json::from_str(&body).unwrap();
    let mount = old["mounts"][1].as_object_mut().unwrap();
    mount.remove("options");
    mount.insert("readonly".to_owned(), json!(true));
    let sandbox = lift(&old.to_string(), schema).unwrap();
    assert_eq!(sandbox.mounts[1].options.access, Access::ReadOnly);
}

#[test]
fn a_file_that_writes_the_only_policy_there_was_says_what_it_said() {
    let (_, schema, body) = stored(STATE_1).into_iter().next().unwrap();
    let lifted = lift(&body, schema).unwrap();
    let mut want = lifted.clone();
    want.restart.policy = RestartPolicy::No;
    let mut applied = Body::of(lifted.clone());
    settle(&mut applied, &want);
    assert_eq!(*applied, want);
    want.restart.policy = RestartPolicy::Always;
    let mut applied = Body::of(lifted.clone());
    settle(&mut applied, &want);
    assert_eq!(*applied, lifted, "what schema 1 could not say is a change");
}

#[test]
fn a_definition_is_stored_in_todays_schema_and_read_as_it_was_stored() {
    let home = Scratch::new();
    let mut store = Store::open(home.path(), 0).unwrap();
    let web = Body::of(Sandbox::new(Kind::Service, ImageRef::parse("redis:7").unwrap()));
    let row = "INSERT INTO project (id, name, folder, created_at, updated_at) \
               VALUES ('p', 'shop', '/', '', ''); \
               INSERT INTO sandbox (id, project_id, name, kind, created_at, updated_at) \
               VALUES ('s', 'p', 'web', 'service', '', '');";
    let put = |db: &store::Rows| {
        let digest = inventory::put_definition(db, &web)?;
        db.execute_batch(&format!("{row} UPDATE sandbox SET desired = '{digest}'"))
            .map_err(|error| store::StoreError::Query("test", error))
    };
    store.write(|db| put(db)).unwrap();
    let found = store.read(inventory::definitions).unwrap();
    assert_eq!(found.get(web.digest()), Some(&web));
    let mut named =
        |digest| store.read(|db| inventory::definitions_named(db, &BTreeSet::from([digest])));
    assert_eq!(named(web.digest()).unwrap(), found);
    let absent = named("0123").unwrap_err();
    assert!(matches!(absent, store::StoreError::Damaged { .. }), "{absent:?}");
    let spoil = "UPDATE definition SET body = replace(body, 'redis', 'radis')";
    let spoilt = |db: &store::Rows| {
        db.execute_batch(spoil).map_err(|error| store::StoreError::Query("test", error))
    };
    store.write(|db| spoilt(db)).unwrap();
    let refused = store.read(inventory::definitions).unwrap_err();
    assert!(matches!(refused, store::StoreError::Damaged { .. }), "{refused:?}");
}
