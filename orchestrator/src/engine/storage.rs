//! Volumes by hand: made, put into the trash, taken back, removed for good.
//!
//! Each is one run of one operation under the lock of the volume's project, so a kill at any
//! point leaves a row from which the next changing command goes on. Those of nobody are changed
//! under the imperative project, which is shared; what moves folders holds a lock of its own too.

use std::time::Duration;

use schema::failure::Report;
use schema::name::{ProjectName, VolumeName};
use schema::project::{Labels, VolumeKind};
use schema::units::Bytes;
use serde_json::{Value, json};

use super::options::{Options, SharedUi};
use super::session::Session;
use super::{SandboxView, Troubles, apply};
use crate::context::{Clock as _, Context};
use crate::execute;
use crate::observe::{self, Depth, Known, SeenVolume};
use crate::plan::Op;
use crate::store::inventory::{self, ProjectRow, VolumeRow};
use crate::store::lease::{Lease, Sharing};
use crate::store::operations::{self, Closed, Intent};
use crate::store::volumes as rows;
use crate::store::{Rows, Store, StoreError, atomic, locks, soundness, time};
use crate::volumes::{self, Marker, VolumeError};

/// How long what was removed can be restored where nothing else is configured: a day.
pub const TRASH_KEPT: Duration = Duration::from_secs(86_400);

/// A volume with who uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeView {
    /// What state knows of it.
    pub row: VolumeRow,
    /// The name of its owner; `None` for nobody's.
    pub owner: Option<ProjectName>,
    /// The sandboxes that use it, as `shop/web[0]`.
    pub users: Vec<String>,
}

impl VolumeView {
    /// Returns until when it can be restored, where it lies in the trash and that keeps so long.
    #[must_use]
    pub fn restorable_until_ms(&self, kept: Duration) -> Option<u64> {
        self.row.trashed_at.as_deref().and_then(|at| until_ms(at, kept))
    }
}

fn until_ms(trashed_at: &str, kept: Duration) -> Option<u64> {
    let kept_ms = u64::try_from(kept.as_millis()).unwrap_or(u64::MAX);
    Some(time::parse(trashed_at)?.saturating_add(kept_ms))
}

/// A volume that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewVolume {
    /// Its name.
    pub name: VolumeName,
    /// What it is.
    pub kind: VolumeKind,
    /// The size of a disk.
    pub size: Option<Bytes>,
    /// The most that a folder may hold.
    pub quota: Option<Bytes>,
    /// Its labels.
    pub labels: Labels,
}

/// What becomes of a volume that is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It can be restored for a while.
    Trash,
    /// It is gone.
    Gone,
}

/// Returns every volume, and what lies in the trash.
pub(super) fn views(
    context: &Context,
    mut store: Option<&mut Store>,
) -> Result<(Vec<VolumeView>, Vec<VolumeView>), Troubles> {
    let home = context.home();
    let found =
        observe::look(store.as_deref_mut(), home, (None, Depth::Standing), Known::default())?;
    let trashed = store.map_or(Ok(Vec::new()), |store| store.read(rows::trashed))?;
    let sandboxes = found.sandboxes.into_iter();
    let sandboxes: Vec<SandboxView> = sandboxes
        .map(|(owner, seen)| SandboxView::of(home, owner, *seen))
        .filter(|view| !view.is_cleared())
        .collect();
    let live = found.volumes.into_iter().map(|seen| VolumeView {
        users: users(&seen, &sandboxes),
        row: seen.row,
        owner: seen.owner,
    });
    let projects = &found.projects;
    let trashed = trashed.into_iter().map(|row| VolumeView {
        owner: row.project_id.as_deref().and_then(|id| owner(projects, id)),
        row,
        users: Vec::new(),
    });
    Ok((live.collect(), trashed.collect()))
}

fn owner(projects: &[ProjectRow], id: &str) -> Option<ProjectName> {
    projects.iter().find(|row| row.id == id).map(|row| row.name.clone())
}

/// Returns who mounts a volume: by what was carried out, and by what is defined.
fn users(volume: &SeenVolume, sandboxes: &[SandboxView]) -> Vec<String> {
    let mounts = |view: &&SandboxView| {
        let mounts = view.definition.iter().flat_map(|sandbox| &sandbox.mounts);
        let mut named = mounts.filter_map(|mount| mount.source.volume());
        let is_own = volume.owner.as_ref() == Some(&view.project);
        volume.uses.iter().any(|one| one.sandbox_id == view.id)
            || is_own && named.any(|name| *name == volume.row.name)
    };
    let users = sandboxes.iter().filter(mounts);
    users.map(|view| format!("{}/{}", view.project, view.name)).collect()
}

/// Makes a volume of nobody's.
pub(super) async fn create(
    context: &Context,
    new: &NewVolume,
    how: (&Options, &SharedUi),
) -> Result<(), Troubles> {
    let mut work = Work::open(context, None, how).await?;
    let folder = volumes::folder_name(&ProjectName::adhoc(), &new.name);
    work.is_free(&folder, &new.name, None)?;
    let random = atomic::random_hex(8)
        .map_err(|error| Troubles::of(Report::of("msb::host::random", "state", &error)))?;
    let row = VolumeRow {
        id: random,
        project_id: None,
        name: new.name.clone(),
        folder,
        kind: new.kind,
        size_bytes: new.size.map(|size| size.0),
        quota_bytes: new.quota.map(|most| most.0),
        protect: false,
        labels: new.labels.clone(),
        created_at: time::rfc3339(context.clock.unix_ms()),
        trashed_at: None,
    };
    let marker = Marker {
        format: 1,
        id: row.id.clone(),
        name: row.name.clone(),
        project_id: None,
        project_folder: None,
        kind: row.kind,
        size_bytes: row.size_bytes.unwrap_or(0),
        quota_bytes: row.quota_bytes,
    };
    let more = json!({ "labels": row.labels, "bytes": row.size_bytes });
    let (home, command) = (context.home(), how.0.command.as_str());
    work.act(
        (Op::EnsureVolume, &row, &row.folder, more),
        || volumes::make(home, &row.folder, &marker),
        |db| inventory::put_volume(db, &row, command),
    )
}

/// Puts a volume into the trash, and from there away where it is to be gone.
pub(super) async fn remove(
    context: &Context,
    (view, fate): (&VolumeView, Fate),
    how: (&Options, &SharedUi),
) -> Result<(), Troubles> {
    let mut work = Work::open(context, view.owner.as_ref(), how).await?;
    let (live, trashed) = views(context, Some(&mut work.session.store))?;
    let (home, now_ms) = (context.home(), context.clock.unix_ms());
    // It was chosen before the locks were held, and is looked at once more.
    if let Some(view) = live.iter().find(|other| other.row.id == view.row.id) {
        may_go(view)?;
        let (id, folder) = (view.row.id.as_str(), view.row.folder.as_str());
        work.act(
            (Op::TrashVolume, &view.row, folder, json!({})),
            || volumes::trash(home, folder, id),
            |db| inventory::trash_volume(db, id, (folder, &volumes::trash_name(id)), now_ms),
        )?;
    } else if !trashed.iter().any(|other| other.row.id == view.row.id) {
        return Err(not_found(&view.row.name));
    }
    match fate {
        Fate::Trash => Ok(()),
        Fate::Gone => purge(context, &mut work.session.store, &view.row.id),
    }
}

/// Why something is not done to a volume.
pub(super) struct Objection {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<&'static str>,
}

impl From<Objection> for Troubles {
    fn from(why: Objection) -> Self {
        Self::of(Report {
            code: why.code.to_owned(),
            stage: "volume".to_owned(),
            message: why.message,
            hints: why.hint.map(str::to_owned).into_iter().collect(),
            ..Report::default()
        })
    }
}

/// A volume that is used or protected stays.
pub(super) fn may_go(view: &VolumeView) -> Result<(), Objection> {
    let name = &view.row.name;
    if view.row.protect {
        let hint = Some("Write `lifecycle { protect #false }` and apply it first.");
        let message = format!("volume {name} is protected");
        return Err(Objection { code: "msb::protect::refused", message, hint });
    }
    if !view.users.is_empty() {
        let message = format!("volume {name} is in use by {}", view.users.join(", "));
        let hint = Some("Remove those sandboxes first.");
        return Err(Objection { code: "msb::volume::in-use", message, hint });
    }
    Ok(())
}

/// Tells whether somebody has a name, or the folder that goes with it.
pub(super) fn is_taken<'r>(
    rows: impl IntoIterator<Item = &'r VolumeRow>,
    folder: &str,
    (name, project_id): (&VolumeName, Option<&str>),
) -> bool {
    rows.into_iter().any(|row| {
        row.folder == folder || (row.project_id.as_deref() == project_id && row.name == *name)
    })
}

/// Returns why a name is not given twice.
pub(super) fn taken(name: &VolumeName) -> Objection {
    let message = format!("there is a volume `{name}` already");
    Objection { code: "msb::volume::exists", message, hint: None }
}

/// Takes a volume out of the trash for good; the row goes before its bytes.
fn purge(context: &Context, store: &mut Store, id: &str) -> Result<(), Troubles> {
    volumes::purge(context.home(), id).map_err(|error| failed(&error))?;
    store.write(|db| rows::remove_volume(db, id))?;
    volumes::remove_purged(context.home(), id)
        .map_err(|error| Troubles::of(Report::of("msb::volume::failed", "volume", &error)))
}

/// Takes a volume back from the trash.
pub(super) async fn restore(
    context: &Context,
    (view, name): (&VolumeView, &VolumeName),
    how: (&Options, &SharedUi),
) -> Result<(), Troubles> {
    let mut work = Work::open(context, view.owner.as_ref(), how).await?;
    let (home, id) = (context.home(), view.row.id.as_str());
    let trashed = work.session.store.read(rows::trashed)?;
    let Some(row) = trashed.iter().find(|row| row.id == id) else {
        return Err(not_found(&view.row.name));
    };
    let project = view.owner.clone().unwrap_or_else(ProjectName::adhoc);
    let folder = volumes::folder_name(&project, name);
    work.is_free(&folder, name, row.project_id.as_deref())?;
    work.act(
        (Op::Move, &VolumeRow { name: name.clone(), ..row.clone() }, &folder, json!({})),
        || volumes::rename(home, id, &volumes::trash_name(id), (&folder, name)),
        |db| inventory::rename_volume(db, id, name, &folder),
    )
}

/// Removes what has lain in the trash for its time; what cannot go now goes with a later command.
pub(super) fn empty_trash(context: &Context, store: &mut Store, kept: Duration) {
    let (home, now_ms) = (context.home(), context.clock.unix_ms());
    let begun = volumes::purged(home);
    let Ok(trashed) = store.read(rows::trashed) else { return };
    // One whose folder is elsewhere is on its way back; its project's next command settles it.
    let is_due = |row: &&VolumeRow| {
        let until = row.trashed_at.as_deref().and_then(|at| until_ms(at, kept));
        let is_old = until.is_some_and(|until| until <= now_ms);
        begun.contains(&row.id) || is_old && volumes::is_trashed(home, &row.id)
    };
    let due: Vec<&VolumeRow> = trashed.iter().filter(is_due).collect();
    if due.is_empty() && begun.is_empty() {
        return;
    }
    let me = execute::holder("emptying the trash", now_ms);
    let path = lock(context);
    let Ok(_lease) = Lease::try_take(&path, &me, Sharing::Exclusive) else { return };
    let left = begun.iter().filter(|id| !trashed.iter().any(|row| row.id == **id));
    for id in left {
        if let Err(error) = volumes::remove_purged(home, id) {
            tracing::warn!(%error, id, "cannot remove what went from the trash");
        }
    }
    for row in due {
        if let Err(error) = purge(context, store, &row.id) {
            tracing::warn!(?error, name = %row.name, "cannot remove a volume from the trash");
        }
    }
}

fn lock(context: &Context) -> std::path::PathBuf {
    context.home().join(format!("locks/{}.lock", locks::VOLUMES))
}

/// Takes the lock of whoever moves volumes.
pub(super) async fn moving(
    context: &Context,
    (options, ui): (&Options, &SharedUi),
) -> Result<Lease, Troubles> {
    let me = execute::holder(&options.command, context.clock.unix_ms());
    let timeout = options.lock_timeout.max(super::session::SETTLING_MAX);
    let waiting = |holder: &_| ui.waiting(holder);
    Ok(Lease::take(&lock(context), &me, Sharing::Exclusive, timeout, waiting).await?)
}

fn not_found(name: &VolumeName) -> Troubles {
    Troubles::plain("msb::volume::not-found", "state", format!("there is no volume `{name}`"))
}

pub(super) fn failed(error: &VolumeError) -> Troubles {
    Troubles::of(Report::of("msb::volume::failed", "volume", error))
}

/// The state of a volume's project, and the locks under which it is changed.
struct Work<'a> {
    context: &'a Context,
    options: &'a Options,
    session: Session,
    _moving: Lease,
}

impl<'a> Work<'a> {
    async fn open(
        context: &'a Context,
        owner: Option<&ProjectName>,
        (options, ui): (&'a Options, &'a SharedUi),
    ) -> Result<Self, Troubles> {
        let project = owner.cloned().unwrap_or_else(ProjectName::adhoc);
        let mut session = Session::open(context, &project, options, ui).await?;
        let recovered = session.settle(context, &project, options).await?.operations;
        if recovered > 0 {
            ui.recovered(recovered);
        }
        session.store.read(soundness::may_be_changed)?;
        let moving = moving(context, (options, ui)).await?;
        Ok(Self { context, options, session, _moving: moving })
    }

    /// Holds that nobody has a name, nor the folder that goes with it.
    fn is_free(
        &mut self,
        folder: &str,
        name: &VolumeName,
        project_id: Option<&str>,
    ) -> Result<(), Troubles> {
        let rows = self.session.store.read(inventory::volumes)?;
        match is_taken(&rows, folder, (name, project_id)) {
            true => Err(taken(name).into()),
            false => Ok(()),
        }
    }

    /// Does one thing to a volume: its intent first, then the act, then what it has come to.
    fn act(
        &mut self,
        (op, row, folder, mut intent): (Op, &VolumeRow, &str, Value),
        act: impl FnOnce() -> Result<(), VolumeError>,
        write: impl FnOnce(&Rows) -> Result<(), StoreError>,
    ) -> Result<(), Troubles> {
        let now_ms = self.context.clock.unix_ms();
        let project = self.session.id_or_new(self.context, self.options)?;
        let run = apply::run_row(self.options)?;
        intent["volume"] = row.id.as_str().into();
        intent["folder"] = folder.into();
        intent["name"] = row.name.as_str().into();
        let address = format!("volume.{}", row.name);
        let intent = Intent {
            step: "s1",
            kind: op.as_str(),
            address: &address,
            generation: 0,
            nonce: None,
            intent: &intent.to_string(),
        };
        let (run, op) = self.session.store.write(|db| {
            let run = operations::begin_run(db, &project, &run, "", now_ms)?;
            Ok((run, operations::begin_op(db, run, &intent, now_ms)?))
        })?;
        let done = act();
        let (closed, code) = match &done {
            Ok(()) => (Closed::Done, 0),
            Err(error) => (Closed::Failed(error.to_string()), 1),
        };
        let now_ms = self.context.clock.unix_ms();
        self.session.store.write(|db| {
            if done.is_ok() {
                write(db)?;
            }
            operations::close_op(db, op, &closed, now_ms)?;
            operations::end_run(db, run, code, now_ms)
        })?;
        done.map_err(|error| failed(&error))
    }
}
