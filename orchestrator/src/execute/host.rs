//! A real host: each act by delegation, each row with the act it tells of.

mod acts;
mod another;
mod boot;
mod fetch;
mod lines;
mod rows;
mod siblings;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use schema::control::Milestone;
use schema::name::{InstanceName, VolumeName};
use schema::project::{Body, ImageRef, Kind};
use thiserror::Error;

use super::world::{Done, Effect, StepError, World};

pub(super) use acts::remove_folder;
pub(super) use rows::{Meant, take_over};

use crate::context::{Clock as _, Context};
use crate::drivers::{Driver, DriversError, Parts};
use crate::engine::{Options, Warnings};
use crate::images::Using;
use crate::machines::process::LookError;
use crate::machines::{Creator, Folder, Machine, process};
use crate::plan::{Address, Op, Step, Wish};
use crate::registry::Registry;
use crate::store::lease::{Holder, Lease, LeaseError, Sharing};
use crate::store::{Store, StoreError, atomic};

/// What a run works with.
#[derive(Debug)]
pub struct Host {
    context: Context,
    wish: Wish,
    options: Options,
    project_id: String,
    run: i64,
    /// Another one where a proof did not hold.
    drivers: RefCell<BTreeMap<InstanceName, Driver>>,
    neighbours: BTreeMap<InstanceName, BTreeSet<InstanceName>>,
    parts: Option<Parts>,
    store: RefCell<Store>,
    creators: RefCell<BTreeMap<InstanceName, Creator>>,
    /// What mounted files held when this run first looked, by sandbox and field.
    contents: RefCell<BTreeMap<InstanceName, BTreeMap<String, String>>>,
    warnings: Warnings,
    /// The door to registries, once one is asked.
    registry: RefCell<Option<Arc<Registry>>>,
    /// Held from the first image that is made ready until only waiting is left: no image goes
    /// before its sandbox is written down.
    images: RefCell<Option<Using>>,
}

/// Why a host cannot begin a run.
#[derive(Debug, Error)]
pub enum HostError {
    /// The kernel gave no random bytes.
    #[error("cannot read random bytes")]
    Random(#[source] io::Error),
    /// `/proc` is not there.
    #[error("cannot tell which process this is")]
    Process(#[source] io::Error),
}

/// What a run of a host is begun with.
#[derive(Debug)]
pub struct Beginning {
    /// The process.
    pub context: Context,
    /// What is wished for.
    pub wish: Wish,
    /// How.
    pub options: Options,
    /// The project's id.
    pub project_id: String,
    /// The run's number.
    pub run: i64,
    /// The driver of each sandbox that boots.
    pub drivers: BTreeMap<InstanceName, Driver>,
    /// Whose machines each sandbox that boots or is updated has to tell of it.
    pub neighbours: BTreeMap<InstanceName, BTreeSet<InstanceName>>,
    /// Kernel and initramfs, where a driver needs them.
    pub parts: Option<Parts>,
    /// The state.
    pub store: Store,
    /// Who is told what is worth knowing.
    pub warnings: Warnings,
}

/// What is remembered of a step between its begin and its close.
#[derive(Clone, Debug, Default)]
pub struct Ticket {
    op: Option<i64>,
    machine: Option<String>,
    nonce: Option<String>,
    volume: Option<(String, String)>,
    lease: Option<Rc<Lease>>,
}

impl Host {
    /// Begins a run.
    #[must_use]
    pub fn begin_run(beginning: Beginning) -> Self {
        let Beginning {
            context,
            wish,
            options,
            project_id,
            run,
            drivers,
            neighbours,
            parts,
            store,
            warnings,
        } = beginning;
        Self {
            context,
            wish,
            options,
            project_id,
            run,
            drivers: RefCell::new(drivers),
            neighbours,
            parts,
            store: RefCell::new(store),
            creators: RefCell::default(),
            contents: RefCell::default(),
            warnings,
            registry: RefCell::default(),
            images: RefCell::default(),
        }
    }

    /// Takes the pipes that keep attached machines.
    #[must_use]
    pub fn take_creators(&self) -> BTreeMap<InstanceName, Creator> {
        self.creators.take()
    }

    /// Does `work` with the state.
    pub fn with_store<T>(&self, work: impl FnOnce(&mut Store) -> T) -> T {
        work(&mut self.store.borrow_mut())
    }

    /// Lets images go that nobody uses, from here on.
    pub fn leaves_images(&self) {
        drop(self.images.take());
    }

    /// Keeps images from going whose sandboxes are only about to be written down.
    async fn keeps_images(&self) -> Result<(), StepError> {
        if self.images.borrow().is_some() {
            return Ok(());
        }
        let home = crate::engine::images_home(&self.context);
        let begin = move || home.prepare().and_then(|()| Using::begin(&home));
        let begun = crate::worker::blocking(begin).await;
        let using = begun
            .map_err(|error| StepError::from("msb::host::event-loop", "state", &error))?
            .map_err(|error| StepError::from("msb::image::store", "image", &error))?;
        *self.images.borrow_mut() = Some(using);
        Ok(())
    }

    fn now_ms(&self) -> u64 {
        self.context.clock.unix_ms()
    }

    fn folder(&self, id: &str) -> Folder {
        Folder::of(self.context.home(), id)
    }

    fn actor(&self) -> String {
        format!("{}, pid {}", self.options.command, std::process::id())
    }

    fn wanted(&self, name: &InstanceName) -> Result<&Body, StepError> {
        self.wish.project.sandboxes.get(name).ok_or_else(|| bug("the wish has no such sandbox"))
    }

    fn driver(&self, name: &InstanceName) -> Result<Driver, StepError> {
        let found = self.drivers.borrow().get(name).cloned();
        found.ok_or_else(|| bug("no driver was chosen for it"))
    }

    /// Returns the digests of what its mounted files hold, where that counts, as this run first saw
    /// them: what changes after that is for the next run, never missed.
    fn contents(&self, name: &InstanceName) -> BTreeMap<String, String> {
        let Some(want) = self.wish.project.sandboxes.get(name) else { return BTreeMap::new() };
        if want.mounts.iter().all(|mount| mount.followed().is_none()) {
            return BTreeMap::new();
        }
        let read = || crate::engine::content_digests(&self.context, want);
        self.contents.borrow_mut().entry(name.clone()).or_insert_with(read).clone()
    }

    /// Takes the lock of one instance for the length of a step.
    fn lock(&self, sandbox_id: &str) -> Result<Rc<Lease>, StepError> {
        let path = self.context.home().join(format!("locks/{sandbox_id}.lock"));
        let me = holder(&self.options.command, self.now_ms());
        let taken = Lease::try_take(&path, &me, Sharing::Exclusive);
        taken.map(Rc::new).map_err(|error| {
            let code = match error {
                LeaseError::Busy { .. } => "msb::lock::busy",
                LeaseError::Lock { .. } => "msb::state::unusable",
            };
            StepError::from(code, "lock", &error)
        })
    }

    /// Returns the machine that counts, as it is in its folder.
    fn current(&self, name: &InstanceName) -> Result<Option<(String, Machine)>, StepError> {
        let row = self.current_row(name)?;
        Ok(row.map(|row| {
            let machine = Machine::new(self.folder(&row.id), row.id.clone(), row.nonce);
            (row.id, machine)
        }))
    }

    fn is_alive(&self, id: &str) -> Result<bool, StepError> {
        Ok(self.folder(id).look(&process::boot_id()?)?.alive)
    }
}

/// Returns how this process signs a lock.
pub(crate) fn holder(command: &str, since_ms: u64) -> Holder {
    let pid = std::process::id();
    // It only tells a waiter whom it waits for; the lock itself is the kernel's.
    let start_ticks = process::own_start_ticks().unwrap_or_default();
    Holder { pid, start_ticks, command: command.to_owned(), since_ms }
}

fn bug(text: &str) -> StepError {
    StepError::of(schema::failure::Report {
        code: "msb::internal::bug".to_owned(),
        stage: "state".to_owned(),
        message: text.to_owned(),
        ..schema::failure::Report::default()
    })
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        Self::of(error.report())
    }
}

impl From<LookError> for StepError {
    fn from(error: LookError) -> Self {
        Self::from("msb::state::unusable", "state", &error)
    }
}

impl From<DriversError> for StepError {
    fn from(error: DriversError) -> Self {
        Self::of(error.report())
    }
}

fn random() -> Result<String, StepError> {
    let failed = |error| StepError::from("msb::host::random", "state", &HostError::Random(error));
    atomic::random_hex(8).map_err(failed)
}

impl World for Host {
    type Ticket = Ticket;

    fn begin(&self, step: &Step) -> Result<Ticket, StepError> {
        self.begin_step(step)
    }

    fn close(&self, step: &Step, ticket: &Ticket, done: &Done) -> Result<(), StepError> {
        self.close_step(step, ticket, done)
    }

    async fn pull(&self, image: &ImageRef) -> Done {
        self.fetch(image).await
    }

    async fn build_root(&self, image: &ImageRef) -> Done {
        debug_assert!(matches!(image, ImageRef::Builtin(_)), "only builtin images are made here");
        build_base(&self.context).await.map(|()| Effect::default())
    }

    async fn ensure_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        self.make_volume(name, ticket).await
    }

    async fn change_volume(&self, name: &VolumeName) -> Done {
        self.limit_volume(name).await
    }

    async fn trash_volume(&self, _: &VolumeName, ticket: &Ticket) -> Done {
        self.put_into_trash(ticket).await
    }

    async fn rename_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        self.move_volume(name, ticket).await
    }

    async fn prepare(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        self.make_machine(name, ticket).await
    }

    async fn boot(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        self.boot_wanted(name, ticket).await
    }

    async fn gate(&self, name: &InstanceName) -> Done {
        let kind = self.sandbox_row(name)?.kind;
        let until = if kind == Kind::Job { Milestone::Completed } else { Milestone::Ready };
        self.wait_at_gate(name, until).await
    }

    async fn gate_ready(&self, name: &InstanceName) -> Done {
        self.wait_at_gate(name, Milestone::Ready).await
    }

    async fn listen(&self, name: &InstanceName) -> Done {
        self.hear_lines(name).await
    }

    async fn update(&self, name: &InstanceName) -> Done {
        self.update_live(name).await
    }

    async fn stop(&self, name: &InstanceName, _ticket: &Ticket) -> Done {
        self.stop_current(name).await
    }

    async fn retire(&self, name: &InstanceName, _ticket: &Ticket) -> Done {
        self.remove_old(name)
    }

    async fn discard(&self, name: &InstanceName, _ticket: &Ticket) -> Done {
        self.remove_all(name)
    }

    async fn revert(&self, name: &InstanceName) -> Done {
        self.put_back(name).await
    }
}

/// The archive of the root that comes with msb, beside the programs.
const BASE_ARCHIVE: &str = "base.oci.tar";

/// Makes the root that comes with msb, unless it is there.
///
/// # Errors
/// Its archive is not beside the programs, or is damaged.
pub async fn build_base(context: &Context) -> Result<(), StepError> {
    let home = crate::engine::images_home(context);
    let path: PathBuf = context.programs.join(BASE_ARCHIVE);
    let (home_folder, now_ms) = (context.home().to_path_buf(), context.clock.unix_ms());
    let work = move || -> Result<(), StepError> {
        let base = ImageRef::Builtin("base".to_owned());
        let mut store = Store::open(&home_folder, now_ms)?;
        let failed = |error: &(dyn std::error::Error + 'static)| {
            StepError::from("msb::image::not-found", "image", error)
        };
        let known = store.catalog().find(&base.to_string()).map_err(|error| failed(&error))?;
        if let Some(entry) = known {
            return crate::images::root_for(&home, &entry)
                .map(|_| ())
                .map_err(|error| failed(&error));
        }
        let archive = std::fs::File::open(&path).map_err(|source| {
            let mut error = failed(&NoBase { path: path.clone(), source });
            error.report.hints.push("Run `msb setup` to install it.".to_owned());
            error
        })?;
        let options = crate::images::LoadOptions { tags: vec![base], now_ms };
        let input = io::BufReader::new(archive);
        crate::images::load(&home, input, &options, store.catalog(), &mut |_| {})
            .map(|_| ())
            .map_err(|error| failed(&error))
    };
    let done = crate::worker::blocking(work).await;
    done.unwrap_or_else(|error| Err(StepError::from("msb::host::event-loop", "state", &error)))
}

/// The archive of the base root is not there.
#[derive(Debug, Error)]
#[error("cannot open {}", path.display())]
struct NoBase {
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Returns the address of a step's sandbox, where it is one.
fn sandbox_of(step: &Step) -> Option<&InstanceName> {
    match &step.address {
        Address::Sandbox(name) => Some(name),
        Address::Image(_) | Address::Volume(_) => None,
    }
}

/// Tells whether an operation has a row of its own; a wait changes nothing.
const fn has_row(op: Op) -> bool {
    !op.is_wait()
}
