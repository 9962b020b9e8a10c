//! A state that was lost, made anew from what lies beside machines and volumes.
//!
//! It is made under another name and gets its own when it is whole, so one that was cut off is
//! made again. What ran goes on: its row is back, and the next command looks at its record.

use std::fs;
use std::path::Path;

use rusqlite::{Connection, params};
use schema::name::ProjectName;

use super::lease::{Holder, Lease, Sharing};
use super::remembered::Remembered;
use super::witness::Folders;
use super::{Store, StoreError, lease, migrate, time};
use crate::volumes::{self, Marker};

/// What was made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anew {
    /// Machines whose rows are back.
    pub machines: usize,
    /// Volumes whose rows are back.
    pub volumes: usize,
    /// Machine folders that say nothing of themselves.
    pub unknown: usize,
}

/// Makes the state of a home anew, where there is none and the home shows that there was one.
///
/// # Errors
/// It cannot be written, or somebody else is at work in the home.
pub fn make(home: &Path, now_ms: u64) -> Result<Anew, StoreError> {
    super::make_folders(home)?;
    let path = super::path(home);
    let me = Holder { pid: std::process::id(), since_ms: now_ms, ..Holder::default() };
    let lock = home.join("locks/migrate.lock");
    let _lease = Lease::try_take(&lock, &me, Sharing::Exclusive).map_err(|error| {
        StoreError::Prepare { path: lock, source: std::io::Error::other(error) }
    })?;
    let draft = home.join("db/.anew.tmp");
    super::remove_file(&draft)?;
    let made = fill(&draft, home, now_ms)?;
    // The logs of a database that is gone belong to nobody.
    for left in ["msb.db-wal", "msb.db-shm"] {
        super::remove_file(&home.join("db").join(left))?;
    }
    let prepared = |source| StoreError::Prepare { path: path.clone(), source };
    fs::rename(&draft, &path).and_then(|()| super::atomic::sync_folder(&path)).map_err(prepared)?;
    // What makes a connection whole is done by whoever opens it.
    Store::open(home, now_ms)?;
    Ok(made)
}

/// Writes a whole database; it is one file when this returns.
fn fill(path: &Path, home: &Path, now_ms: u64) -> Result<Anew, StoreError> {
    super::make_private(path)?;
    let failed = |source| StoreError::Open { path: path.to_owned(), source };
    let mut db = Connection::open(path).map_err(failed)?;
    migrate::make(&mut db, now_ms)?;
    // Rows come in any order, which making the tables left allowed; what refers to nothing in the
    // end is removed.
    let transaction = db.transaction().map_err(failed)?;
    let (mut machines, unknown) = remembered(home);
    // A folder that outlived its successor tells an older story; the youngest one comes first.
    machines.sort_by(|one, other| other.age.cmp(&one.age));
    let mut made = Anew { machines: machines.len(), unknown, volumes: 0 };
    for machine in &machines {
        machine.rows.put(&transaction)?;
    }
    for (folder, marker) in markers(home) {
        put_volume(&transaction, &folder, &marker, now_ms)?;
        made.volumes += 1;
    }
    for sql in DANGLING {
        transaction.execute(sql, []).map_err(failed)?;
    }
    // Events of the state that was lost may be known to somebody; seconds go faster than they came.
    let number = i64::try_from(now_ms / 1000).unwrap_or_default();
    transaction
        .execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?1)", [number])
        .map_err(failed)?;
    transaction.commit().map_err(failed)?;
    db.close().map_err(|(_, error)| failed(error))?;
    Ok(made)
}

/// Rows that refer to what nobody remembers.
const DANGLING: [&str; 4] = [
    "DELETE FROM volume_use WHERE volume_id NOT IN (SELECT id FROM volume) \
     OR sandbox_id NOT IN (SELECT id FROM sandbox)",
    "UPDATE volume SET project_id = NULL WHERE project_id NOT IN (SELECT id FROM project)",
    "UPDATE sandbox SET applied = NULL WHERE applied NOT IN (SELECT digest FROM definition)",
    "UPDATE sandbox SET desired = NULL WHERE desired NOT IN (SELECT digest FROM definition)",
];

/// What one machine's folder remembers.
struct Machine {
    /// Living ones count as younger than any other, then the time of their start.
    age: (bool, String),
    rows: Remembered,
}

/// Returns what machine folders remember, and how many of them remember nothing.
fn remembered(home: &Path) -> (Vec<Machine>, usize) {
    let mut unknown = 0;
    let mut machines = Vec::new();
    for id in Folders::of(home).ids() {
        let folder = home.join("machines").join(id);
        let Some(rows) = Remembered::kept(&folder) else {
            unknown += 1;
            continue;
        };
        let lives = lease::is_held(&folder.join(schema::record::LEASE)).unwrap_or(false);
        let started = rows.text("machine", "started_at").unwrap_or_default().to_owned();
        machines.push(Machine { age: (lives, started), rows });
    }
    (machines, unknown)
}

/// Returns the markers of volumes, with their folders' names.
fn markers(home: &Path) -> Vec<(String, Marker)> {
    let entries = fs::read_dir(home.join("volumes")).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let whole = names.filter(|name| !name.starts_with('.'));
    whole.filter_map(|name| Some((name.clone(), volumes::marker(home, &name)?))).collect()
}

/// Puts the row of a volume, and of its project where no machine told of that.
fn put_volume(
    db: &Connection,
    folder: &str,
    marker: &Marker,
    now_ms: u64,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::Query("write a volume", error);
    let now = time::rfc3339(now_ms);
    if let (Some(id), Some((project, _))) = (&marker.project_id, folder.split_once('.')) {
        let name = project.parse::<ProjectName>().ok();
        let place = marker.project_folder.as_ref().map(|path| path.display().to_string());
        if let Some(name) = name {
            db.execute(
                "INSERT OR IGNORE INTO project (id, name, folder, created_at, updated_at) \
                 VALUES (?1, ?2, ?3, ?4, ?4)",
                params![id, name.as_str(), place.unwrap_or_default(), now],
            )
            .map_err(failed)?;
        }
    }
    db.execute(
        "INSERT OR IGNORE INTO volume (id, project_id, name, folder, kind, size_bytes, created_by, \
         created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, 'msb setup', ?7)",
        params![
            marker.id,
            marker.project_id,
            marker.name.as_str(),
            folder,
            marker.kind.as_str(),
            i64::try_from(marker.size_bytes).unwrap_or(i64::MAX),
            now
        ],
    )
    .map(|_| ())
    .map_err(failed)
}

#[cfg(test)]
mod tests {
    use schema::project::VolumeKind;

    use super::*;
    use crate::scratch::Scratch;
    use crate::store::invariants;

    const ROWS: &str = "INSERT INTO project (id, name, folder, created_at, updated_at) \
         VALUES ('p', 'shop', '/srv/shop', '2026-01-01T00:00:00.000+00:00', \
         '2026-01-01T00:00:00.000+00:00'); \
         INSERT INTO definition VALUES ('d', 1, '{}'); \
         INSERT INTO sandbox (id, project_id, name, kind, desired, applied, created_at, updated_at) \
         VALUES ('s', 'p', 'web', 'service', 'd', 'd', \
         '2026-01-01T00:00:00.000+00:00', '2026-01-01T00:00:00.000+00:00'); \
         INSERT INTO machine (id, sandbox_id, role, nonce, phase) \
         VALUES ('0011223344556677', 's', 'current', 'n', 'ready');";

    fn write(store: &mut Store, sql: &str) {
        let write = |error| StoreError::Query("test", error);
        store.write(|db| db.execute_batch(sql).map_err(write)).unwrap();
    }

    fn names(store: &mut Store, sql: &str) -> Vec<String> {
        let read = |db: &Connection| -> rusqlite::Result<Vec<String>> {
            db.prepare(sql)?.query_map([], |row| row.get(0))?.collect()
        };
        store.read(|db| Ok(read(db).unwrap())).unwrap()
    }

    #[test]
    fn sf_s7_a_state_is_made_anew_from_what_lies_beside_machines_and_volumes() {
        let home = Scratch::new();
        let folder = home.path().join("machines/0011223344556677");
        fs::create_dir_all(&folder).unwrap();
        // The rows as they were while there was a state.
        let other = Scratch::new();
        let mut store = Store::open(other.path(), 0).unwrap();
        write(&mut store, ROWS);
        let known = store.read(|db| Remembered::of(db, "0011223344556677")).unwrap();
        known.keep(&folder).unwrap();
        assert_eq!(Remembered::kept(&folder), Some(known));
        let marker = Marker {
            format: 1,
            id: "v".to_owned(),
            name: "data".parse().unwrap(),
            project_id: Some("q".to_owned()),
            project_folder: Some("/srv/other".into()),
            kind: VolumeKind::Disk,
            size_bytes: 16 << 20,
            quota_bytes: None,
        };
        let volume = home.path().join("volumes/other.data");
        fs::create_dir_all(&volume).unwrap();
        let bytes = serde_json::to_vec(&marker).unwrap();
        super::super::atomic::write(&volume.join(volumes::MARKER), &bytes).unwrap();
        // One that was on its way to a project, and has nobody's folder yet.
        let loose = home.path().join("volumes/loose");
        fs::create_dir_all(&loose).unwrap();
        let marker = Marker {
            id: "w".to_owned(),
            name: "loose".parse().unwrap(),
            project_id: Some("r".to_owned()),
            ..marker
        };
        let bytes = serde_json::to_vec(&marker).unwrap();
        super::super::atomic::write(&loose.join(volumes::MARKER), &bytes).unwrap();

        assert!(matches!(Store::open(home.path(), 0), Err(StoreError::Missing { .. })));
        let made = make(home.path(), 0).unwrap();
        assert_eq!(made, Anew { machines: 1, volumes: 2, unknown: 0 });
        let mut store = Store::open(home.path(), 0).unwrap();
        assert_eq!(names(&mut store, "SELECT name FROM sandbox"), ["web"]);
        assert_eq!(names(&mut store, "SELECT name FROM volume ORDER BY 1"), ["data", "loose"]);
        let of_nobody = "SELECT name FROM volume WHERE project_id IS NULL";
        assert_eq!(names(&mut store, of_nobody), ["loose"]);
        assert_eq!(
            names(&mut store, "SELECT folder FROM project ORDER BY 1"),
            ["/srv/other", "/srv/shop"]
        );
        assert_eq!(store.read(invariants::broken).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn of_two_machines_that_say_they_count_the_younger_one_does() {
        let home = Scratch::new();
        let other = Scratch::new();
        let mut store = Store::open(other.path(), 0).unwrap();
        write(&mut store, ROWS);
        for (id, started) in
            [("0011223344556677", "2026-01-01"), ("8899aabbccddeeff", "2026-01-02")]
        {
            let sql = format!("UPDATE machine SET id = '{id}', started_at = '{started}'");
            write(&mut store, &sql);
            let folder = home.path().join("machines").join(id);
            fs::create_dir_all(&folder).unwrap();
            store.read(|db| Remembered::of(db, id)).unwrap().keep(&folder).unwrap();
        }
        make(home.path(), 0).unwrap();
        let mut store = Store::open(home.path(), 0).unwrap();
        assert_eq!(names(&mut store, "SELECT id FROM machine"), ["8899aabbccddeeff"]);
    }
}
