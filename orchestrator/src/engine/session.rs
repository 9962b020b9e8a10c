//! The state of one project, held by one command.
//!
//! A file's project is held alone. The imperative project is shared by the
//! commands that are at work in it, and held alone only for the moment of
//! settling: what a dead run left is judged by rows that the others write.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::failure::Report;
use schema::name::ProjectName;

use super::options::{Options, SharedUi};
use super::{Troubles, storage};
use crate::context::{Clock as _, Context};
use crate::execute::{self, Settled};
use crate::store::inventory::{self, ProjectRow};
use crate::store::lease::{Holder, Lease, Sharing};
use crate::store::{Rows, Store, StoreError, atomic, locks};

/// How long commands of the imperative project wait for the one that settles.
pub(super) const SETTLING_MAX: Duration = Duration::from_secs(15);

/// A project of this command, until it is dropped.
pub(super) struct Session {
    pub(super) store: Store,
    pub(super) project_id: Option<String>,
    pub(super) leases: Vec<Lease>,
    /// Whether nobody else is at work in the project.
    alone: bool,
    /// Dropped after the leases: by then nobody of ours holds it.
    nameless: Option<Nameless>,
}

/// The lock of a project that has no id yet; its file goes with the command that gives it none.
struct Nameless {
    path: PathBuf,
    me: Holder,
}

impl Drop for Nameless {
    fn drop(&mut self) {
        remove_free(&self.path, &self.me);
    }
}

impl Session {
    /// Opens the state and takes the project's lock.
    ///
    /// A project that is not there yet is locked by its name until it has an id.
    pub(super) async fn open(
        context: &Context,
        name: &ProjectName,
        options: &Options,
        ui: &SharedUi,
    ) -> Result<Self, Troubles> {
        let now_ms = context.clock.unix_ms();
        let mut store = Store::open(context.home(), now_ms)?;
        let shares = name.as_str() == ProjectName::ADHOC;
        if shares {
            ensure_adhoc(context, &mut store, now_ms)?;
        }
        loop {
            let known = project(&mut store, name)?.map(|row| row.id);
            let path = match &known {
                Some(id) => context.home().join(format!("locks/{id}.lock")),
                None => new_lock(context.home(), name),
            };
            let me = execute::holder(&options.command, now_ms);
            let waiting = |holder: &Holder| ui.waiting(holder);
            let first = Lease::try_take(&path, &me, Sharing::Exclusive);
            let (lease, alone) = match first {
                Ok(lease) => (lease, true),
                Err(_) if shares => {
                    let timeout = options.lock_timeout.max(SETTLING_MAX);
                    (Lease::take(&path, &me, Sharing::Shared, timeout, waiting).await?, false)
                }
                Err(_) => {
                    let timeout = options.lock_timeout;
                    (Lease::take(&path, &me, Sharing::Exclusive, timeout, waiting).await?, true)
                }
            };
            // Whoever we waited for may have given the project its id.
            if project(&mut store, name)?.map(|row| row.id) == known {
                if known.is_some() {
                    remove_new_lock(context.home(), name, &me);
                }
                let nameless = known.is_none().then_some(Nameless { path, me });
                return Ok(Self { store, project_id: known, leases: vec![lease], alone, nameless });
            }
            // What we hold is nobody's, and whoever else waits for it looks again.
            if alone {
                drop(lease.remove(&path));
            }
        }
    }

    /// Returns the project's id; one that it has none yet is locked by its new one from here on.
    pub(super) fn id_or_new(
        &mut self,
        context: &Context,
        options: &Options,
    ) -> Result<String, Troubles> {
        if let Some(id) = &self.project_id {
            return Ok(id.clone());
        }
        let id = project_id()
            .map_err(|error| Troubles::of(Report::of("msb::host::random", "state", &error)))?;
        let path = context.home().join(format!("locks/{id}.lock"));
        let me = execute::holder(&options.command, context.clock.unix_ms());
        self.leases.push(Lease::try_take(&path, &me, Sharing::Shared)?);
        Ok(id)
    }

    /// Lets whoever waits for a project by its name look again: the id is known from here on.
    pub(super) fn known_by_id(
        &mut self,
        context: &Context,
        name: &ProjectName,
        options: &Options,
    ) -> Result<(), Troubles> {
        if self.project_id.is_some() {
            return Ok(());
        }
        drop(std::fs::remove_file(new_lock(context.home(), name)));
        self.nameless = None;
        // One that was killed before it came so far has left the lock of an id nobody knows.
        let me = execute::holder(&options.command, context.clock.unix_ms());
        Ok(locks::sweep(&mut self.store, context.home(), &me)?)
    }

    /// Closes what dead runs left open, and lets others into the imperative project.
    ///
    /// While others are at work there, what was left waits for the next command.
    pub(super) async fn settle(
        &mut self,
        context: &Context,
        name: &ProjectName,
        options: &Options,
    ) -> Result<Settled, Troubles> {
        storage::empty_trash(context, &mut self.store, options.trash_kept);
        let Some(id) = self.project_id.clone().filter(|_| self.alone) else {
            return Ok(Settled::default());
        };
        let settled = execute::settle(context, &mut self.store, &id).await;
        if name.as_str() == ProjectName::ADHOC {
            self.leases.iter().try_for_each(Lease::share)?;
        }
        let mut settled = settled.map_err(|error| Troubles::of(*error.report))?;
        if name.as_str() == ProjectName::ADHOC {
            // Others are let in, and may write.
            settled.seen.rows = None;
        }
        Ok(settled)
    }
}

/// Gives the imperative project its row, once, whoever comes first.
fn ensure_adhoc(context: &Context, store: &mut Store, now_ms: u64) -> Result<(), Troubles> {
    let name = ProjectName::adhoc();
    if project(store, &name)?.is_some() {
        return Ok(());
    }
    let id = project_id()
        .map_err(|error| Troubles::of(Report::of("msb::host::random", "state", &error)))?;
    let row = ProjectRow {
        id,
        name: name.clone(),
        folder: context.home().to_path_buf(),
        files: Vec::new(),
        generation: 0,
        updated_at: String::new(),
    };
    store.write(|db| {
        let known = inventory::projects(db)?.iter().any(|row| row.name == name);
        if known { Ok(()) } else { inventory::put_project(db, &row, now_ms) }
    })?;
    Ok(())
}

/// Returns the lock of a project that has no id yet.
pub(super) fn new_lock(home: &Path, name: &ProjectName) -> PathBuf {
    home.join(format!("locks/{}{name}.lock", locks::NEW))
}

/// Removes the lock that a project had before its id, where who gave it that could not.
fn remove_new_lock(home: &Path, name: &ProjectName, me: &Holder) {
    remove_free(&new_lock(home, name), me);
}

/// Removes the file of a lock that nobody holds.
fn remove_free(path: &Path, me: &Holder) {
    if path.exists()
        && let Ok(lease) = Lease::try_take(path, me, Sharing::Exclusive)
    {
        // One that stays is in nobody's way.
        drop(lease.remove(path));
    }
}

fn project(store: &mut Store, name: &ProjectName) -> Result<Option<ProjectRow>, StoreError> {
    store.read(|db| named(db, name))
}

/// Returns the project of that name.
pub(super) fn named(db: &Rows, name: &ProjectName) -> Result<Option<ProjectRow>, StoreError> {
    Ok(inventory::projects(db)?.into_iter().find(|row| row.name == *name))
}

/// Returns 16 random bytes as lower-case base 32.
pub(super) fn project_id() -> std::io::Result<String> {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    let bytes = atomic::random(16)?;
    let mut number = bytes.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let mut text = String::new();
    for _ in 0..26 {
        text.push(char::from(LETTERS[(number & 31) as usize]));
        number >>= 5;
    }
    Ok(text)
}
