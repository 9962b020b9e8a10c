//! Who lives on this host: what state remembers, and what leases and processes say of it.
//!
//! Rows are read again when somebody has written to the database, folders when their record is
//! another; a machine that somebody is connected to lives.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use schema::launch::DriverName;
use schema::name::{InstanceName, ProjectName};
use schema::project::{Body, Metrics};

use crate::engine::SandboxView;
use crate::machines::{Folder, Machine, Shelf, Stamp, process};
use crate::store::inventory::{self, Inhabitant};
use crate::store::{self, Rows, Store, StoreError};

/// A sandbox whose machine lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Living {
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: InstanceName,
    /// Its machine.
    pub machine: Machine,
    /// Who runs it.
    pub driver: DriverName,
    /// The process id of its runtime.
    pub pid: u32,
    /// The manifest digest of its image.
    pub image_digest: Option<String>,
    /// What it is: as applied, else as wished for.
    pub definition: Option<Body>,
}

impl Living {
    /// Returns a sandbox that was looked at, where its machine lives.
    #[must_use]
    pub fn of(view: &SandboxView) -> Option<Self> {
        let record = view.record.as_ref()?;
        Some(Self {
            project: view.project.clone(),
            name: view.name.clone(),
            machine: view.machine()?,
            driver: record.driver,
            pid: record.runtime.pid,
            image_digest: view.image_digest.clone(),
            definition: view.definition.clone(),
        })
    }

    /// Returns how often it is worth asking.
    #[must_use]
    pub fn interval(&self) -> Duration {
        let metrics = self.definition.as_ref().map(|definition| &definition.metrics);
        let interval = metrics.map_or_else(|| Metrics::default().interval, |m| m.interval);
        Duration::from_millis(interval.0)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Roster {
    home: PathBuf,
    database: Option<Database>,
    /// What was remembered when the database was last written to.
    remembered: Vec<Remembered>,
    definitions: BTreeMap<String, Body>,
    /// Those that lived when they were looked at, by machine.
    known: BTreeMap<String, Arc<Living>>,
    /// The last records of machines that have ended.
    ended: BTreeMap<String, Stamp>,
}

/// A database that is open, and which state of it was read.
#[derive(Debug)]
struct Database {
    store: Store,
    file: u64,
    read: Option<i64>,
}

/// A sandbox that has a machine, alive or not.
#[derive(Debug)]
struct Remembered {
    project: ProjectName,
    name: InstanceName,
    machine: String,
    image_digest: Option<String>,
    definition: Option<String>,
}

impl Remembered {
    /// Tells whether what is known of a machine is what is remembered of it.
    fn is_told_by(&self, known: &Living, definition: Option<&Body>) -> bool {
        let Self { project, name, image_digest, .. } = self;
        (&known.project, &known.name, &known.image_digest) == (project, name, image_digest)
            && known.definition.as_ref() == definition
    }

    /// Returns what is known of a machine with what is remembered by now; its process is the same.
    fn as_told(&self, known: &Living, definition: Option<&Body>) -> Living {
        Living {
            project: self.project.clone(),
            name: self.name.clone(),
            image_digest: self.image_digest.clone(),
            definition: definition.cloned(),
            ..known.clone()
        }
    }
}

impl Roster {
    /// Returns that of `home`, which need not exist yet.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            database: None,
            remembered: Vec::new(),
            definitions: BTreeMap::new(),
            known: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// Returns who lives, by project and name; those that `is_connected` tells of are not looked at.
    ///
    /// # Errors
    /// The state cannot be read, or what tells whether something lives.
    pub fn living(
        &mut self,
        is_connected: impl Fn(&str) -> bool,
    ) -> Result<Vec<Arc<Living>>, StoreError> {
        self.read_again()?;
        let boot_id = process::boot_id()?;
        let shelf = Shelf::of(&self.home);
        let mut living = Vec::new();
        for one in &self.remembered {
            let id = one.machine.as_str();
            if let Some(known) = self.known.get_mut(id).filter(|_| is_connected(id)) {
                let definition = one.definition.as_ref().and_then(|at| self.definitions.get(at));
                if !one.is_told_by(known, definition) {
                    *known = Arc::new(one.as_told(known, definition));
                }
                living.push(Arc::clone(known));
                continue;
            }
            if self.ended.get(id).is_some_and(|stamp| shelf.is_still(id, stamp)) {
                continue;
            }
            self.known.remove(id);
            let folder = Folder::of(&self.home, id);
            let look = folder.look(&boot_id)?;
            match look.record.filter(|_| look.alive) {
                Some(record) => {
                    let definition = one.definition.as_ref();
                    let found = Arc::new(Living {
                        project: one.project.clone(),
                        name: one.name.clone(),
                        machine: Machine::new(folder, id.to_owned(), record.nonce),
                        driver: record.driver,
                        pid: record.runtime.pid,
                        image_digest: one.image_digest.clone(),
                        definition: definition.and_then(|at| self.definitions.get(at)).cloned(),
                    });
                    self.known.insert(id.to_owned(), Arc::clone(&found));
                    living.push(found);
                }
                None => {
                    let stamp = look.stamp.map(|stamp| (id.to_owned(), stamp));
                    self.ended.extend(stamp);
                }
            }
        }
        Ok(living)
    }

    /// Forgets a machine that is no longer connected to.
    pub(super) fn forget(&mut self, id: &str) {
        self.known.remove(id);
    }

    /// Reads what is remembered, where it is not what was read before.
    fn read_again(&mut self) -> Result<(), StoreError> {
        let file = std::fs::metadata(store::path(&self.home)).map_or(0, |meta| meta.ino());
        // A state that was made anew is another file.
        if self.database.as_ref().is_some_and(|database| database.file != file) {
            self.database = None;
            self.remembered.clear();
        }
        if self.database.is_none() {
            let Some(store) = Store::open_read_only(&self.home)? else { return Ok(()) };
            self.database = Some(Database { store, file, read: None });
        }
        let Some(database) = &mut self.database else { return Ok(()) };
        let version = database.store.version()?;
        if database.read == Some(version) {
            return Ok(());
        }
        let definitions = &mut self.definitions;
        self.remembered = database.store.read(|db| remembered(db, definitions))?;
        database.store.forget_pages()?;
        database.read = Some(version);
        let machines: BTreeSet<&str> =
            self.remembered.iter().map(|one| one.machine.as_str()).collect();
        self.ended.retain(|id, _| machines.contains(id.as_str()));
        self.known.retain(|id, _| machines.contains(id.as_str()));
        Ok(())
    }
}

/// Returns every sandbox that has a machine, by project and name, and adds the definitions that
/// are not known yet.
fn remembered(
    db: &Rows,
    definitions: &mut BTreeMap<String, Body>,
) -> Result<Vec<Remembered>, StoreError> {
    let projects = inventory::projects(db)?;
    let names: BTreeMap<&str, &ProjectName> =
        projects.iter().map(|row| (row.id.as_str(), &row.name)).collect();
    let rows = inventory::inhabitants(db, None)?;
    let found = rows.into_iter().filter_map(|Inhabitant { row, current, .. }| {
        let machine = current?;
        Some(Remembered {
            project: (*names.get(row.project_id.as_str())?).clone(),
            name: row.name,
            machine: machine.id,
            image_digest: machine.image_digest,
            definition: row.applied.or(row.desired),
        })
    });
    let mut found: Vec<Remembered> = found.collect();
    found.sort_by(|a, b| (&a.project, &a.name).cmp(&(&b.project, &b.name)));
    let wanted: BTreeSet<&str> = found.iter().filter_map(|one| one.definition.as_deref()).collect();
    definitions.retain(|digest, _| wanted.contains(digest.as_str()));
    let missing = wanted.into_iter().filter(|digest| !definitions.contains_key(*digest));
    let missing: BTreeSet<&str> = missing.collect();
    definitions.extend(inventory::definitions_named(db, &missing)?);
    Ok(found)
}
