//! A volume of nobody's becomes a project's: its folder, its marker and its row get another owner.
//!
//! It is one rename, announced before: whoever is killed in between leaves a row, and where the
//! folder lies tells the project's next command whose the volume is.

use schema::name::{ProjectName, VolumeName};
use serde_json::json;

use super::{both, leaves_it, owned, put_project, refuse, remember};
use crate::context::{Clock as _, Context};
use crate::engine::apply::{refused, run_row};
use crate::engine::options::{Options, SharedUi};
use crate::engine::session::Session;
use crate::engine::storage::{failed, moving};
use crate::engine::{SandboxView, Troubles, observe_with};
use crate::execute::failpoint::{Failpoint, Moment, VARIABLE};
use crate::observe::{self, Depth, Everything, JustSeen, Known, Observed, SeenVolume};
use crate::plan::{Address, Op, Wish, plan};
use crate::store::inventory::{self, VolumeRow};
use crate::store::operations::{self, Closed, Intent};
use crate::store::{Store, StoreError};
use crate::volumes;

/// A volume of nobody's, and what a file calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeAdoption {
    /// Its id.
    pub id: String,
    /// Its name until now.
    pub was: VolumeName,
    /// Its name in the file.
    pub name: VolumeName,
}

impl VolumeAdoption {
    /// Returns it as it is named in messages.
    fn subject(&self) -> String {
        format!("volume {}", self.was)
    }

    fn refuse(&self, code: &str, text: &str, hint: impl Into<String>) -> Troubles {
        Troubles::of(refuse(&self.subject(), code, text).hint(hint))
    }
}

/// Returns the volume as it is, where the file may take it over and then leaves it so.
///
/// # Errors
/// It is somebody's, it is used, its name is taken, or the file asks for something else.
pub(in crate::engine) fn may(
    context: &Context,
    store: Option<&mut Store>,
    (wish, adoption): (&Wish, &VolumeAdoption),
) -> Result<VolumeRow, Troubles> {
    let mut store = store;
    let mut observed = observe_with(context, store.as_deref_mut(), (wish, JustSeen::default()))?;
    let all = (None, Depth::Standing);
    let everything = observe::look(store, context.home(), all, Known::default())?;
    let seen = find(&everything, adoption)?;
    named_so(wish, adoption, &observed)?;
    at_rest(context, (wish, adoption), &seen, everything)?;
    let row = seen.row.clone();
    take_in(&mut observed, (wish, adoption), seen);
    let mut planned = plan(wish, &observed);
    owned(&planned)?;
    let address = Address::Volume(adoption.name.clone());
    planned.refused.retain(|refusal| refusal.address.as_ref() == Some(&address));
    refused(&planned)?;
    planned.changes.retain(|change| change.address == address);
    leaves_it(&adoption.subject(), &planned.changes)?;
    Ok(row)
}

fn find(everything: &Everything, adoption: &VolumeAdoption) -> Result<SeenVolume, Troubles> {
    let seen = everything.volumes.iter().find(|seen| seen.row.id == adoption.id);
    let seen = seen.ok_or_else(|| {
        let hint = "List what exists with `msb volume ls`.";
        adoption.refuse("msb::volume::not-found", "it does not exist", hint)
    })?;
    match seen.owner.as_ref().filter(|owner| owner.as_str() != ProjectName::ADHOC) {
        None => Ok(seen.clone()),
        Some(owner) => {
            let text = format!("it belongs to project {owner}");
            let hint = "No flag overrides an owner; use it with `external #true`.";
            Err(adoption.refuse("msb::owner::foreign", &text, hint))
        }
    }
}

/// Holds that the project has no other volume of the name, and the file no other name for this one.
fn named_so(wish: &Wish, adoption: &VolumeAdoption, observed: &Observed) -> Result<(), Troubles> {
    let (project, name) = (&wish.project.name, &adoption.name);
    let own = observed.volumes.get(name).filter(|seen| seen.owner.as_ref() == Some(project));
    if own.is_some() {
        let text = format!("project {project} has a volume {name} already");
        let hint = "Give it another name with `--as NAME`.";
        return Err(adoption.refuse("msb::owner::foreign", &text, hint));
    }
    if wish.project.volumes.get(name).is_some_and(|want| want.external.is_some()) {
        let text = format!("the file calls {name} somebody else's");
        let hint = format!("Take `external` out of volume {name}, then run this again.");
        return Err(adoption.refuse("msb::owner::differs", &text, hint));
    }
    let is_it = |other: &&VolumeName| {
        observed.volumes.get(*other).is_some_and(|seen| seen.row.id == adoption.id)
    };
    match wish.project.volumes.keys().filter(is_it).find(|other| *other != name) {
        None => Ok(()),
        Some(other) => {
            let text = format!("the file calls it {other}, not {name}");
            let hint = format!("Give it that name with `--as {other}`.");
            Err(adoption.refuse("msb::owner::differs", &text, hint))
        }
    }
}

/// Holds that nobody else uses the volume, and that no machine of the project has it open.
fn at_rest(
    context: &Context,
    (wish, adoption): (&Wish, &VolumeAdoption),
    seen: &SeenVolume,
    everything: Everything,
) -> Result<(), Troubles> {
    let sandboxes = everything.sandboxes.into_iter();
    let views = sandboxes.map(|(owner, seen)| SandboxView::of(context.home(), owner, *seen));
    let users = views
        .filter(|view| !view.is_cleared() && seen.uses.iter().any(|one| one.sandbox_id == view.id));
    let (own, others): (Vec<_>, Vec<_>) = users.partition(|view| view.project == wish.project.name);
    let own: Vec<_> = own.into_iter().filter(|view| view.alive).collect();
    let (users, hint) = match (others.is_empty(), own.is_empty()) {
        (true, true) => return Ok(()),
        (false, _) => (others, "Remove those sandboxes first."),
        (true, false) => (own, "Stop those sandboxes first."),
    };
    let users: Vec<_> =
        users.iter().map(|view| format!("{}/{}", view.project, view.name)).collect();
    let text = format!("it is in use by {}", users.join(", "));
    Err(adoption.refuse("msb::volume::in-use", &text, hint))
}

fn take_in(
    observed: &mut Observed,
    (wish, adoption): (&Wish, &VolumeAdoption),
    mut seen: SeenVolume,
) {
    seen.row.name = adoption.name.clone();
    seen.owner = Some(wish.project.name.clone());
    seen.row.project_id = observed.project.as_ref().map(|project| project.id.clone());
    observed.volumes.retain(|_, other| other.row.id != adoption.id);
    observed.volumes.insert(adoption.name.clone(), seen);
}

/// Gives the volume to the wish's project; `write` comes just before.
///
/// # Errors
/// A lock is held, it may not be taken over, the file could not be written, or its folder could
/// not be renamed: it stays whose it is.
pub(in crate::engine) async fn adopt(
    context: &Context,
    (wish, adoption): (&Wish, &VolumeAdoption),
    (options, ui): (&Options, &SharedUi),
    write: impl FnOnce() -> Result<(), Troubles>,
) -> Result<(), Troubles> {
    let (mut own, _adhoc) = both(context, wish, (options, ui)).await?;
    let _moving = moving(context, (options, ui)).await?;
    // A run that was killed may have come so far.
    if is_given(&mut own, adoption)? {
        write()?;
        return remember_all(context, &mut own);
    }
    let row = may(context, Some(&mut own.store), (wish, adoption))?;
    write()?;
    let given = give(context, &mut own, (&row, wish, adoption), options);
    own.known_by_id(context, &wish.project.name, options)?;
    given?;
    remember_all(context, &mut own)
}

fn is_given(own: &mut Session, adoption: &VolumeAdoption) -> Result<bool, StoreError> {
    let Some(project) = &own.project_id else { return Ok(false) };
    let rows = own.store.read(inventory::volumes)?;
    Ok(rows.iter().any(|row| {
        row.id == adoption.id
            && row.name == adoption.name
            && row.project_id.as_ref() == Some(project)
    }))
}

/// Renames the folder: its intent first, then the act, then what it has come to.
fn give(
    context: &Context,
    own: &mut Session,
    (row, wish, adoption): (&VolumeRow, &Wish, &VolumeAdoption),
    options: &Options,
) -> Result<(), Troubles> {
    let now_ms = context.clock.unix_ms();
    let (begun, project) = (run_row(options)?, own.id_or_new(context, options)?);
    let (name, to) = (&adoption.name, volumes::folder_name(&wish.project.name, &adoption.name));
    let address = format!("volume.{name}");
    let meant = json!({ "volume": row.id, "folder": to, "name": name, "project": project });
    let intent = Intent {
        step: "s1",
        kind: Op::Move.as_str(),
        address: &address,
        generation: 0,
        nonce: None,
        intent: &meant.to_string(),
    };
    let failpoint = Failpoint::parse(context.environment.get(VARIABLE));
    failpoint.reach(Moment::BeforeIntent, Op::Move);
    let (run, op) = own.store.write(|db| {
        put_project(db, (&project, wish), now_ms)?;
        let run = operations::begin_run(db, &project, &begun, "", now_ms)?;
        Ok((run, operations::begin_op(db, run, &intent, now_ms)?))
    })?;
    failpoint.reach(Moment::AfterIntent, Op::Move);
    let owner = (project.as_str(), wish.project.folder.as_path());
    let given = volumes::give(context.home(), &row.id, &row.folder, (&to, name), owner);
    failpoint.reach(Moment::AfterAct, Op::Move);
    let (closed, code) = match &given {
        Ok(()) => (Closed::Done, 0),
        Err(error) => (Closed::Failed(error.to_string()), 1),
    };
    own.store.write(|db| {
        if given.is_ok() {
            inventory::give_volume(db, &row.id, &project, (name, &to))?;
        }
        operations::close_op(db, op, &closed, now_ms)?;
        operations::end_run(db, run, code, now_ms)
    })?;
    failpoint.reach(Moment::AfterClose, Op::Move);
    given.map_err(|error| failed(&error))
}

/// What is kept beside the project's machines tells of their volumes too.
fn remember_all(context: &Context, own: &mut Session) -> Result<(), Troubles> {
    let Some(project) = own.project_id.clone() else { return Ok(()) };
    for machine in own.store.read(|db| inventory::machines(db, &project))? {
        remember(context, &mut own.store, &machine.id)?;
    }
    Ok(())
}
