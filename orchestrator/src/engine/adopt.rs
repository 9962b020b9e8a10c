//! What was nobody's becomes a project's: the row gets another owner, the machine is not touched.

pub(super) mod volume;

use std::path::PathBuf;

use schema::change::Class;
use schema::failure::Report;
use schema::name::{InstanceName, ProjectName};

use super::apply::{refused, run_row};
use super::options::{Options, SharedUi};
use super::session::{Session, named};
use super::{Troubles, observe_with};
use crate::context::{Clock as _, Context};
use crate::execute;
use crate::machines::Folder;
use crate::observe::{self, Depth, JustSeen, Known, Observed, Seen};
use crate::plan::{Address, Change, Plan, Reach, Wish, plan};
use crate::store::inventory::{self, ProjectRow, SandboxRow};
use crate::store::lease::{Lease, Sharing};
use crate::store::operations;
use crate::store::remembered::Remembered;
use crate::store::{Rows, Store, StoreError, soundness};

/// A sandbox of the imperative project, and what a file calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adoption {
    /// Its name in the imperative project.
    pub was: InstanceName,
    /// Its name in the file.
    pub name: InstanceName,
}

impl Adoption {
    fn refuse(&self, code: &str, text: &str) -> Report {
        refuse(&self.subject(), code, text)
    }

    /// Returns it as it is named in messages.
    pub(super) fn subject(&self) -> String {
        format!("adhoc/{}", self.was)
    }
}

/// Returns the failure of what does not fit.
fn refuse(subject: &str, code: &str, text: &str) -> Report {
    Report {
        code: code.to_owned(),
        stage: "plan".to_owned(),
        message: format!("{subject}: {text}"),
        ..Report::default()
    }
}

/// Returns what the file would change about the sandbox once it is its own; nothing is done.
///
/// # Errors
/// It may not be taken over: its name is taken, or the file is not the project's.
pub(super) fn preview(
    context: &Context,
    store: Option<&mut Store>,
    (wish, adoption): (&Wish, &Adoption),
) -> Result<Vec<Change>, Troubles> {
    let mut store = store;
    let mut observed = observe_with(context, store.as_deref_mut(), (wish, JustSeen::default()))?;
    let seen = find(context, store, adoption)?;
    if observed.sandboxes.contains_key(&adoption.name) {
        let text = format!("project {} has a {} already", wish.project.name, adoption.name);
        let report = adoption.refuse("msb::owner::foreign", &text);
        return Err(Troubles::of(report.hint("Give it another name with `--as NAME`.")));
    }
    take_in(&mut observed, adoption, seen);
    let mut wish = wish.clone();
    wish.selection.names = [adoption.name.clone()].into();
    wish.selection.reach = Reach::Alone;
    let planned = plan(&wish, &observed);
    owned(&planned)?;
    let address = Address::Sandbox(adoption.name.clone());
    let mut changes = planned.changes;
    changes.retain(|change| change.address == address);
    Ok(changes)
}

/// Holds that the folder and the name are the project's.
fn owned(planned: &Plan) -> Result<(), Troubles> {
    let mut of_owner = planned.clone();
    of_owner.refused.retain(|refusal| refusal.code.starts_with("msb::owner::"));
    refused(&of_owner)
}

fn take_in(observed: &mut Observed, adoption: &Adoption, mut seen: Box<Seen>) {
    seen.row.name = adoption.name.clone();
    if let Some(project) = &observed.project {
        seen.row.project_id.clone_from(&project.id);
    }
    observed.sandboxes.insert(adoption.name.clone(), seen);
}

fn find(
    context: &Context,
    store: Option<&mut Store>,
    adoption: &Adoption,
) -> Result<Box<Seen>, Troubles> {
    let adhoc = ProjectName::adhoc();
    let everything =
        observe::look(store, context.home(), (Some(&adhoc), Depth::Standing), Known::default())?;
    let found = everything.sandboxes.into_iter().find(|(owner, seen)| {
        owner.as_str() == ProjectName::ADHOC && seen.row.name == adoption.was
    });
    found.map(|(_, seen)| seen).ok_or_else(|| {
        Troubles::of(adoption.refuse("msb::sandbox::not-found", "it does not exist"))
    })
}

/// Holds that the file asks for something as it is; what only state knows may differ.
///
/// # Errors
/// It names what the file would change.
pub(super) fn leaves_it(subject: &str, changes: &[Change]) -> Result<(), Troubles> {
    let fields = changes.iter().flat_map(|change| &change.fields);
    let dearer: Vec<_> = fields.filter(|field| field.class > Class::Meta).collect();
    if dearer.is_empty() {
        return Ok(());
    }
    let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
    let text = "the file asks for something else than it is";
    let mut report = refuse(subject, "msb::owner::differs", text)
        .hint("Write it as it is, see `msb adopt ADDRESS --print`; change it in a second run.");
    report.notes = dearer
        .iter()
        .map(|field| format!("{} {} → {}", field.path, told(&field.before), told(&field.after)))
        .collect();
    Err(Troubles::of(report))
}

/// Takes the locks of the wish's project and of the imperative one, with nothing left open in
/// either.
async fn both(
    context: &Context,
    wish: &Wish,
    (options, ui): (&Options, &SharedUi),
) -> Result<(Session, Session), Troubles> {
    let mut own = Session::open(context, &wish.project.name, options, ui).await?;
    own.settle(context, &wish.project.name, options).await?;
    let mut adhoc = Session::open(context, &ProjectName::adhoc(), options, ui).await?;
    adhoc.settle(context, &ProjectName::adhoc(), options).await?;
    own.store.read(soundness::may_be_changed)?;
    Ok((own, adhoc))
}

/// Gives the sandbox to the wish's project, under the locks of both; `write` comes just before.
///
/// # Errors
/// A lock is held, it may not be taken over, or the file could not be written: nothing changed.
pub(super) async fn adopt(
    context: &Context,
    (wish, adoption): (&Wish, &Adoption),
    (options, ui): (&Options, &SharedUi),
    write: impl FnOnce() -> Result<(), Troubles>,
) -> Result<(), Troubles> {
    let (mut own, _adhoc) = both(context, wish, (options, ui)).await?;
    let seen = find(context, Some(&mut own.store), adoption)?;
    let me = execute::holder(&options.command, context.clock.unix_ms());
    let lock = context.home().join(format!("locks/{}.lock", seen.row.id));
    let _instance = Lease::try_take(&lock, &me, Sharing::Exclusive)?;
    let changes = preview(context, Some(&mut own.store), (wish, adoption))?;
    leaves_it(&adoption.subject(), &changes)?;
    write()?;
    let now_ms = context.clock.unix_ms();
    let run = run_row(options)?;
    let id = own.id_or_new(context, options)?;
    let machine = own.store.write(|db| {
        put_project(db, (&id, wish), now_ms)?;
        let run = operations::begin_run(db, &id, &run, "", now_ms)?;
        let row = inventory::sandbox_by_name(db, &seen.row.project_id, &adoption.was)?;
        let row = row.ok_or_else(|| StoreError::Raced(adoption.was.to_string()))?;
        let row = SandboxRow { project_id: id.clone(), name: adoption.name.clone(), ..row };
        inventory::put_sandbox(db, &row, now_ms)?;
        operations::end_run(db, run, 0, now_ms)?;
        Ok(seen.machine.as_ref().map(|machine| machine.row.id.clone()))
    })?;
    own.known_by_id(context, &wish.project.name, options)?;
    if let Some(machine) = machine {
        remember(context, &mut own.store, &machine)?;
    }
    Ok(())
}

/// Keeps what is known of a machine beside it, after that has changed.
pub(super) fn remember(
    context: &Context,
    store: &mut Store,
    machine: &str,
) -> Result<(), StoreError> {
    let rows = store.read(|db| Remembered::of(db, machine))?;
    // It is there for a state that is lost; nobody fails for want of it.
    if let Err(error) = rows.keep(Folder::of(context.home(), machine).path()) {
        tracing::warn!(%error, %machine, "cannot keep what is known of a machine beside it");
    }
    Ok(())
}

fn put_project(db: &Rows, (id, wish): (&str, &Wish), now_ms: u64) -> Result<(), StoreError> {
    let known = named(db, &wish.project.name)?;
    let (folder, files): (PathBuf, _) = match known.as_ref() {
        Some(row) => (row.folder.clone(), row.files.clone()),
        None => (wish.project.folder.clone(), wish.inputs.files.clone()),
    };
    let row = ProjectRow {
        id: id.to_owned(),
        name: wish.project.name.clone(),
        folder,
        files,
        generation: known.map_or(0, |row| row.generation) + 1,
        updated_at: String::new(),
    };
    inventory::put_project(db, &row, now_ms)
}
