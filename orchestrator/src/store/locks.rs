//! The files of locks whose owners are gone.
//!
//! A lock is named after a project or a sandbox, and its file is removed with its owner's row. A
//! command that is killed in between leaves the file; so does one that is killed before it has
//! written the row of a new project.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::lease::{Holder, Lease, Sharing};
use super::{Store, StoreError, invariants};

/// How the lock of a project begins that has no id yet.
pub const NEW: &str = "new-";

/// What a lock's file ends with.
const ENDING: &str = ".lock";

/// The lock of whoever moves volumes into the trash, out of it, or empties it.
pub const VOLUMES: &str = "volumes";

/// The locks that have no owner, of migrations and of volumes.
pub const OF_NOBODY: [&str; 2] = ["migrate", VOLUMES];

/// Removes the files of locks that nobody owns and nobody holds.
///
/// # Errors
/// The owners cannot be read; a file that cannot be removed stays.
pub fn sweep(store: &mut Store, home: &Path, me: &Holder) -> Result<(), StoreError> {
    let Ok(entries) = fs::read_dir(home.join("locks")) else { return Ok(()) };
    // Names are read before owners: what is locked for a row that comes later is held meanwhile.
    let names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let owners: BTreeSet<String> = store.read(invariants::lock_owners)?.into_iter().collect();
    for name in names {
        let Some(owner) = name.strip_suffix(ENDING) else { continue };
        if OF_NOBODY.contains(&owner) || owners.contains(owner) {
            continue;
        }
        let path = home.join("locks").join(&name);
        if let Ok(lease) = Lease::try_take(&path, me, Sharing::Exclusive) {
            drop(lease.remove(&path));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn locks_without_an_owner_go_unless_somebody_holds_them() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        let insert = "INSERT INTO project (id, name, folder, created_at, updated_at) \
                      VALUES ('owned', 'shop', '/', '', '')";
        store
            .write(|db| db.execute_batch(insert).map_err(|error| StoreError::Query("test", error)))
            .unwrap();
        let path = |name: &str| home.path().join(format!("locks/{name}.lock"));
        let me = Holder::default();
        for name in ["owned", "gone", "new-gone"] {
            drop(Lease::try_take(&path(name), &me, Sharing::Exclusive).unwrap());
        }
        let held = Lease::try_take(&path("held"), &me, Sharing::Shared).unwrap();
        sweep(&mut store, home.path(), &me).unwrap();
        let there = |name: &str| path(name).exists();
        assert!(there("owned") && there("held") && there("migrate"));
        assert!(!there("gone") && !there("new-gone"));
        drop(held);
    }
}
