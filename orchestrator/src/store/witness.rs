//! What the home itself shows of machines and volumes, against a state that knows less.
//!
//! A row is written before its machine's folder is made and removed after its machine has ended.
//! So a machine that runs and has no row was in a state that was lost, and starting another one
//! in its place would make two of it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use schema::record::LEASE;

use super::{StoreError, invariants, lease};

/// The machine folders of a home at one moment; looked at before the rows are.
#[derive(Debug)]
pub struct Folders(BTreeSet<String>);

impl Folders {
    /// Looks which there are.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        let entries = fs::read_dir(home.join("machines")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        Self(names.filter(|name| is_machine(name)).collect())
    }

    /// Returns their names.
    pub(super) fn ids(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }

    /// Holds that the state knows every one of them that runs.
    ///
    /// # Errors
    /// [`StoreError::Lost`] where one runs without a row.
    pub fn are_known(&self, db: &Connection, home: &Path) -> Result<(), StoreError> {
        let known: BTreeSet<String> = invariants::machines(db)?.into_iter().collect();
        for id in self.0.difference(&known) {
            let lease = home.join("machines").join(id).join(LEASE);
            let is_held = lease::is_held(&lease);
            if is_held.map_err(|source| StoreError::Prepare { path: lease, source })? {
                return Err(StoreError::Lost { path: super::path(home), machine: id.clone() });
            }
        }
        Ok(())
    }
}

/// Holds that a home without a state shows nothing that a state must know.
pub(super) fn shows_nothing(home: &Path) -> Result<(), StoreError> {
    let machines = Folders::of(home).0.len();
    let entries = fs::read_dir(home.join("volumes")).into_iter().flatten().flatten();
    let volumes = entries.filter(|entry| entry.path().join(crate::volumes::MARKER).is_file());
    let volumes = volumes.count();
    if machines == 0 && volumes == 0 {
        return Ok(());
    }
    Err(StoreError::Missing { path: super::path(home), machines, volumes })
}

/// Whatever else lies there is no machine.
fn is_machine(name: &str) -> bool {
    name.len() == 16 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::Store;
    use crate::store::lease::{Holder, Lease, Sharing};

    #[test]
    fn a_state_that_is_gone_is_not_read_as_empty() {
        let home = Scratch::new();
        fs::create_dir_all(home.path().join("machines/0011223344556677")).unwrap();
        let missing = |error| matches!(error, StoreError::Missing { machines: 1, volumes: 0, .. });
        assert!(missing(Store::open(home.path(), 0).unwrap_err()));
        assert!(missing(Store::open_read_only(home.path()).unwrap_err()));
        assert!(!crate::store::path(home.path()).exists(), "looking made one");
    }

    #[test]
    fn a_machine_that_runs_without_a_row_is_told_and_one_that_does_not_is_not() {
        let home = Scratch::new();
        let mut store = Store::open(home.path(), 0).unwrap();
        let folder = home.path().join("machines/0011223344556677");
        fs::create_dir_all(&folder).unwrap();
        let mut known = || {
            let folders = Folders::of(home.path());
            store.read(|db| folders.are_known(db, home.path()))
        };
        known().unwrap();
        let lease = Lease::try_take(&folder.join(LEASE), &Holder::default(), Sharing::Exclusive);
        assert!(matches!(known(), Err(StoreError::Lost { .. })));
        drop(lease);
        known().unwrap();
    }
}
