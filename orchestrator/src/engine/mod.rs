//! What the commands do: observe, plan, execute, wait, and say how it ended.
//!
//! | a command | calls |
//! |---|---|
//! | `diff`, `plan` | [`Engine::diff`] |
//! | `validate` | [`Engine::preflight`] |
//! | `up`, `down`, `start`, `stop`, `restart`, `rm`, `create`, `run` | [`Engine::apply`] with a [`Wish`] |
//! | `kill`, `adopt` | [`Engine::kill`], [`Engine::adopt`], [`Engine::adopt_volume`] |
//! | `ps`, `list`, `inspect` | [`Engine::sandboxes`], [`Engine::projects`], [`Engine::volumes`] |
//! | `exec`, `logs`, `wait` | [`Engine::instances`], then [`Machine`] |
//! | `volume` | [`Engine::storage`], [`Engine::create_volume`] and its like |
//! | `load`, `image` | [`Engine::store`], [`Engine::images_home`], [`Engine::prune_images`] and its like |
//! | `doctor`, `setup` | [`Engine::prove`], [`Engine::prepare_base`] |

mod adopt;
mod apply;
mod blockers;
mod by_hand;
mod contents;
mod images;
mod moved;
mod options;
mod outcome;
mod preflight;
pub(crate) mod regained;
mod results;
mod session;
mod sources;
mod storage;
mod trouble;
mod view;
mod wishes;

use std::collections::BTreeMap;
use std::path::PathBuf;

use schema::failure::Report;
use schema::launch::DriverName;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{ImageRef, Project};
use schema::sandboxfile::resolve::Trust;
use serde_json::Value;

use crate::context::{Clock as _, Context};
use crate::drivers::{Driver, Drivers, Proving, Verdict};
use crate::images::{Builder, ImagesHome};
use crate::machines::{Folder, Machine};
use crate::observe::{self, Depth, JustSeen, Known, Observed, SeenVolume};
use crate::plan::{Address, Change, Goal, Plan, Wish, plan, saved};
use crate::store::inventory::{self, ProjectRow};
use crate::store::operations::Progress;
use crate::store::witness::Folders;
use crate::store::{Store, operations, soundness};

pub use adopt::Adoption;
pub use adopt::volume::VolumeAdoption;
pub use by_hand::VolumeAct;
pub use images::{ImageError, ImageUsers, Removed};
pub use moved::Moved;
pub use options::{
    AfterFailure, AskedEnd, Attach, AttachedEnd, Cancel, Canceller, Options, SharedUi, Ui, Wait,
    Warnings,
};
pub use outcome::{Blocker, Kept, Outcome, ResultRow, Verb};
pub(crate) use sources::{content_digests, read_env_files, read_source, sensitive_digests};
pub use storage::{Fate, NewVolume, TRASH_KEPT, VolumeView};
pub use trouble::{Trouble, Troubles};
pub use view::SandboxView;
pub use wishes::Adhoc;

/// One host's sandboxes, seen from one process.
#[derive(Clone, Debug)]
pub struct Engine {
    context: Context,
}

impl Engine {
    /// Returns the engine of this process's home.
    #[must_use]
    pub const fn new(context: Context) -> Self {
        Self { context }
    }

    /// Returns what stands between a wish and the host; acts on nothing.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn diff(&self, wish: &Wish) -> Result<Plan, Troubles> {
        Ok(plan(wish, &self.observe(wish)?))
    }

    /// Returns what stands between a wish and the host, as it is saved to be carried out later.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn diff_to_save(&self, wish: &Wish) -> Result<(Plan, Value), Troubles> {
        let observed = self.observe(wish)?;
        let plan = plan(wish, &observed);
        unresolved(&plan, &observed)?;
        let saved = saved::save(wish, &observed, &plan);
        Ok((plan, saved))
    }

    /// Returns what the host lacks for a wish, as if none of its sandboxes was there yet.
    ///
    /// Drivers are proved where that was not done yet, and the proof is kept; nothing else is written.
    ///
    /// # Errors
    /// The state cannot be read, or the home that is to keep the proof cannot be used.
    pub async fn preflight(&self, wish: &Wish) -> Result<Vec<Trouble>, Troubles> {
        if wish.driver != Some(DriverName::Process) && self.remembered_driver().is_none() {
            self.prepared()?;
        }
        Ok(preflight::whole(&self.context, wish, self.observe(wish)?).await)
    }

    /// Carries out a wish: lock, settle, observe, plan, consent, execute, wait.
    ///
    /// # Errors
    /// Nothing was changed: a lock is held, the plan is refused, consent is
    /// missing, or no driver is usable. What fails later stands in the outcome.
    pub async fn apply(
        &self,
        wish: Wish,
        options: Options,
        ui: SharedUi,
    ) -> Result<Outcome, Troubles> {
        apply::apply(&self.context, wish, options, ui).await
    }

    /// Tells what a file would change about a sandbox of nobody's once it is its own: nothing but
    /// what only state knows.
    ///
    /// # Errors
    /// It would change more, or it may not be taken over.
    pub fn may_adopt(&self, wish: &Wish, adoption: &Adoption) -> Result<Vec<Change>, Troubles> {
        let mut store = Store::open_read_only(&self.home())?;
        let changes = adopt::preview(&self.context, store.as_mut(), (wish, adoption))?;
        adopt::leaves_it(&adoption.subject(), &changes)?;
        Ok(changes)
    }

    /// Gives a sandbox of nobody's to a project; `write` is called under its locks, just before.
    ///
    /// # Errors
    /// Nothing was changed: a lock is held, it may not be taken over, or `write` failed.
    pub async fn adopt(
        &self,
        (wish, adoption): (&Wish, &Adoption),
        (options, ui): (&Options, &SharedUi),
        write: impl FnOnce() -> Result<(), Troubles>,
    ) -> Result<(), Troubles> {
        self.prepared()?;
        adopt::adopt(&self.context, (wish, adoption), (options, ui), write).await
    }

    /// Tells whether a file asks for a volume of nobody's as it is; what only state knows may differ.
    ///
    /// # Errors
    /// It asks for something else, or the volume may not be taken over.
    pub fn may_adopt_volume(&self, wish: &Wish, adoption: &VolumeAdoption) -> Result<(), Troubles> {
        let mut store = Store::open_read_only(&self.home())?;
        adopt::volume::may(&self.context, store.as_mut(), (wish, adoption)).map(|_| ())
    }

    /// Gives a volume of nobody's to a project, with what it holds; `write` is called under the
    /// locks, just before.
    ///
    /// # Errors
    /// It stays whose it is: a lock is held, it may not be taken over, `write` failed, or its
    /// folder cannot be renamed.
    pub async fn adopt_volume(
        &self,
        (wish, adoption): (&Wish, &VolumeAdoption),
        (options, ui): (&Options, &SharedUi),
        write: impl FnOnce() -> Result<(), Troubles>,
    ) -> Result<(), Troubles> {
        self.prepared()?;
        adopt::volume::adopt(&self.context, (wish, adoption), (options, ui), write).await
    }

    /// Ties the project of the wish's name, else of its folder, to its file; machines stay.
    ///
    /// # Errors
    /// Nothing moved, or a lock is held; what was moved when it failed is gone on with next time.
    pub async fn follow(
        &self,
        wish: &Wish,
        (options, ui): (&Options, &SharedUi),
    ) -> Result<Moved, Troubles> {
        self.prepared()?;
        moved::follow(&self.context, wish, (options, ui)).await
    }

    /// Returns every sandbox of a project, or of all, by project and name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn sandboxes(&self, project: Option<&ProjectName>) -> Result<Vec<SandboxView>, Troubles> {
        self.sandboxes_beside(project, None)
    }

    /// As [`Self::sandboxes`], beside what files ask for: definitions they have in common are read
    /// once.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn sandboxes_beside(
        &self,
        project: Option<&ProjectName>,
        wish: Option<&Project>,
    ) -> Result<Vec<SandboxView>, Troubles> {
        let found = self.look_beside(project, wish)?;
        let views = found.sandboxes.into_iter();
        let views = views.map(|(owner, seen)| SandboxView::of(&self.home(), owner, *seen));
        // What the runtime has cleared away is gone; its rows go with the next change.
        let mut views: Vec<SandboxView> = views.filter(|view| !view.is_cleared()).collect();
        views.sort_by(|a, b| (&a.project, &a.name).cmp(&(&b.project, &b.name)));
        Ok(views)
    }

    /// Returns the instances that a name means, in order; none where the project has none.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn instances(
        &self,
        project: &ProjectName,
        name: &InstanceName,
    ) -> Result<Vec<SandboxView>, Troubles> {
        let mut views = self.sandboxes(Some(project))?;
        views.retain(|view| name.means(&view.name));
        Ok(views)
    }

    /// Returns every project, by name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn projects(&self) -> Result<Vec<ProjectRow>, Troubles> {
        Ok(self.look(Some(&ProjectName::adhoc()))?.projects)
    }

    /// Returns how each project stands with those who change it, by its id.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn progress(&self) -> Result<BTreeMap<String, Progress>, Troubles> {
        let Some(mut store) = Store::open_read_only(&self.home())? else {
            return Ok(BTreeMap::new());
        };
        Ok(store.read(operations::progress)?)
    }

    /// Tells whether a command is at work on a project: what rests may start again.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_being_changed(&self, project: &ProjectName) -> Result<bool, Troubles> {
        let Some(mut store) = Store::open_read_only(&self.home())? else { return Ok(false) };
        let runs = store.read(|db| match inventory::project_id(db, project)? {
            Some(id) => operations::open_runs(db, &id),
            None => Ok(Vec::new()),
        })?;
        // Where the host does not say, the run is taken for one that goes on.
        Ok(runs.iter().any(|run| crate::execute::is_live(run).unwrap_or(true)))
    }

    /// Returns every volume, by owner and name.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn volumes(&self) -> Result<Vec<SeenVolume>, Troubles> {
        Ok(self.look(Some(&ProjectName::adhoc()))?.volumes)
    }

    /// Returns every volume with its users, by owner and name, and what lies in the trash.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn storage(&self) -> Result<(Vec<VolumeView>, Vec<VolumeView>), Troubles> {
        let mut store = Store::open_read_only(&self.home())?;
        known(store.as_mut(), &self.context)?;
        storage::views(&self.context, store.as_mut())
    }

    /// Returns what acts upon volumes would do, as one plan for each project; acts on nothing.
    ///
    /// `live` is what there is, from [`Engine::storage`].
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn plan_volumes(
        &self,
        live: &[VolumeView],
        acts: &[VolumeAct<'_>],
    ) -> Result<Vec<Plan>, Troubles> {
        let (home, projects) = (self.home(), self.projects()?);
        Ok(by_hand::plans(&by_hand::Against { home: &home, projects: &projects, live }, acts))
    }

    /// Makes a volume of nobody's.
    ///
    /// # Errors
    /// Nothing is made: the name is taken, or a lock is held.
    pub async fn create_volume(
        &self,
        new: &NewVolume,
        (options, ui): (&Options, &SharedUi),
    ) -> Result<(), Troubles> {
        self.prepared()?;
        storage::create(&self.context, new, (options, ui)).await
    }

    /// Puts a volume into the trash, or removes it for good.
    ///
    /// # Errors
    /// It is in use or protected, or a lock is held.
    pub async fn remove_volume(
        &self,
        (view, fate): (&VolumeView, Fate),
        (options, ui): (&Options, &SharedUi),
    ) -> Result<(), Troubles> {
        storage::remove(&self.context, (view, fate), (options, ui)).await
    }

    /// Takes a volume back from the trash, perhaps under another name.
    ///
    /// # Errors
    /// The name is taken, or a lock is held.
    pub async fn restore_volume(
        &self,
        (view, name): (&VolumeView, &VolumeName),
        (options, ui): (&Options, &SharedUi),
    ) -> Result<(), Troubles> {
        storage::restore(&self.context, (view, name), (options, ui)).await
    }

    /// Ends a machine at once, without a flush; takes no lock.
    ///
    /// # Errors
    /// It does not run, or does not end.
    pub async fn kill(&self, view: &SandboxView) -> Result<(), Troubles> {
        apply::kill(view).await
    }

    /// Asks a machine to end, and does not wait until it has; takes no lock.
    ///
    /// # Errors
    /// It does not run, or does not answer.
    pub async fn ask_to_end(&self, view: &SandboxView, how: AskedEnd) -> Result<(), Troubles> {
        apply::ask_to_end(view, how).await
    }

    /// Returns the machine of a sandbox, to ask it and to reach its agent.
    ///
    /// # Errors
    /// It has none that lives.
    pub fn machine(&self, view: &SandboxView) -> Result<Machine, Troubles> {
        view.machine().ok_or_else(|| Troubles::not_running(view))
    }

    /// Returns the driver that was proved before, without starting anything.
    #[must_use]
    pub fn remembered_driver(&self) -> Option<Driver> {
        Drivers::of(&self.context).remembered()
    }

    /// Proves drivers of this host anew; the verdicts are remembered.
    ///
    /// # Errors
    /// No proof could be attempted.
    pub async fn prove(&self, which: Proving) -> Result<Vec<Verdict>, Troubles> {
        self.prepared()?;
        Drivers::of(&self.context).prove(which).await.map_err(Troubles::from)
    }

    /// Makes the root that comes with msb, unless it is there.
    ///
    /// # Errors
    /// Its archive is not beside the programs, or is damaged.
    pub async fn prepare_base(&self) -> Result<(), Troubles> {
        self.prepared()?;
        crate::execute::build_base(&self.context).await.map_err(|error| Troubles::of(*error.report))
    }

    /// Opens the state to change the catalogue of images.
    ///
    /// # Errors
    /// The state cannot be opened.
    pub fn store(&self) -> Result<Store, Troubles> {
        self.prepared()?;
        Ok(Store::open(&self.home(), self.context.clock.unix_ms())?)
    }

    /// Opens the state to read it; `None` where there is none.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn store_read_only(&self) -> Result<Option<Store>, Troubles> {
        Ok(Store::open_read_only(&self.home())?)
    }

    /// Returns the folder of images, with the program that builds roots.
    #[must_use]
    pub fn images_home(&self) -> ImagesHome {
        images_home(&self.context)
    }

    /// Returns the folder of a machine.
    #[must_use]
    pub fn folder(&self, machine_id: &str) -> Folder {
        Folder::of(&self.home(), machine_id)
    }

    /// Returns a wish over what state knows of a project, for commands that read no file.
    ///
    /// # Errors
    /// The state cannot be read, or knows no such project.
    pub fn wish_of_state(&self, project: &ProjectName, goal: Goal) -> Result<Wish, Troubles> {
        wishes::of_state(self, project, goal)
    }

    /// Returns a wish for one sandbox that a command defines.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn wish_of_command(&self, adhoc: Adhoc) -> Result<Wish, Troubles> {
        wishes::of_command(self, adhoc)
    }

    fn observe(&self, wish: &Wish) -> Result<Observed, Troubles> {
        let mut store = Store::open_read_only(&self.home())?;
        observe_with(&self.context, store.as_mut(), (wish, JustSeen::default()))
    }

    fn look(&self, project: Option<&ProjectName>) -> Result<observe::Everything, Troubles> {
        self.look_beside(project, None)
    }

    fn look_beside(
        &self,
        project: Option<&ProjectName>,
        wish: Option<&Project>,
    ) -> Result<observe::Everything, Troubles> {
        let mut store = Store::open_read_only(&self.home())?;
        known(store.as_mut(), &self.context)?;
        Ok(observe::look(
            store.as_mut(),
            &self.home(),
            (project, Depth::Records),
            Known { wish, ..Known::default() },
        )?)
    }

    fn home(&self) -> PathBuf {
        self.context.home().to_path_buf()
    }

    fn prepared(&self) -> Result<(), Troubles> {
        self.context
            .prepared_home()
            .map(|_| ())
            .map_err(|error| Troubles::of(Report::of("msb::home::foreign", "state", &error)))
    }
}

/// Returns the folder of images, with the program that builds roots.
pub(crate) fn images_home(context: &Context) -> ImagesHome {
    let program = context.programs.join("msb");
    let arguments = vec![BUILD_ROOT.into()];
    ImagesHome { dir: context.home().join("images"), builder: Builder { program, arguments } }
}

/// The hidden argument with which `msb` becomes the builder of root images.
pub const BUILD_ROOT: &str = "__build-root";

/// Refuses a plan to be saved while nobody knows what an image of it is.
fn unresolved(plan: &Plan, observed: &Observed) -> Result<(), Troubles> {
    let unknown = plan.steps.iter().filter_map(|step| match &step.address {
        Address::Image(image @ ImageRef::Registry(_)) => {
            matches!(observed.images.get(image), Some(None)).then(|| image.short())
        }
        _ => None,
    });
    let trouble = |short: String| {
        Trouble::of(Report {
            code: "msb::image::unresolved".to_owned(),
            stage: "image".to_owned(),
            message: format!("the digest of {short} is unknown, so that a plan cannot hold it"),
            hints: vec!["Pin it with `msb lock`.".to_owned()],
            ..Report::default()
        })
    };
    let troubles: Vec<_> = unknown.map(trouble).collect();
    if troubles.is_empty() { Ok(()) } else { Err(Troubles(troubles)) }
}

/// Holds that the state is sound, and knows every machine that runs.
fn known(store: Option<&mut Store>, context: &Context) -> Result<(), Troubles> {
    let Some(store) = store else { return Ok(()) };
    let folders = Folders::of(context.home());
    Ok(store.read(|db| {
        soundness::may_be_read(db)?;
        folders.are_known(db, context.home())
    })?)
}

/// Looks at everything a wish is compared with.
pub(crate) fn observe_with(
    context: &Context,
    store: Option<&mut Store>,
    (wish, seen): (&Wish, JustSeen),
) -> Result<Observed, Troubles> {
    let mut store = store;
    known(store.as_deref_mut(), context)?;
    let which = (Some(&wish.project.name), Depth::Standing);
    let known = Known { seen, wish: Some(&wish.project) };
    let everything = observe::look(store.as_deref_mut(), context.home(), which, known)?;
    let mut observed = Observed::of(wish, everything);
    (observed.images, observed.absent) = sources::images(store, wish)?;
    observed.locked = sources::locked(wish);
    if wish.trust == Trust::Trusted {
        observed.sources = sources::digests(context, wish);
    }
    Ok(observed)
}
