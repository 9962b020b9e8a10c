//! A project that moved: its file lies elsewhere by now, or gives it another name.
//!
//! Volumes are renamed one by one, each announced before; the project's own row comes last. So
//! whoever is killed in between finds the project under its old name, and goes on with the rest.

use std::path::PathBuf;

use schema::name::ProjectName;
use serde_json::json;

use super::adopt::remember;
use super::options::{Options, SharedUi};
use super::session::Session;
use super::storage::failed;
use super::{Troubles, apply};
use crate::context::{Clock as _, Context};
use crate::plan::{Op, Wish};
use crate::store::inventory::{self, ProjectRow, VolumeRow};
use crate::store::operations::{self, Closed, Intent};
use crate::store::{Store, StoreError, soundness};
use crate::volumes;

/// What became of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// Its file lay in this folder until now.
    From(PathBuf),
    /// It had this name until now.
    Named(ProjectName),
}

/// Ties the project that moved to the wish's file.
///
/// # Errors
/// Nothing moved here, or a lock is held.
pub(super) async fn follow(
    context: &Context,
    wish: &Wish,
    (options, ui): (&Options, &SharedUi),
) -> Result<Moved, Troubles> {
    let store = Store::open_read_only(context.home())?;
    let (old, moved) = find(store, wish)?;
    let mut session = Session::open(context, &old.name, options, ui).await?;
    session.settle(context, &old.name, options).await?;
    session.store.read(soundness::may_be_changed)?;
    // Whoever had the lock until now may have been here for the same.
    let (row, again) = find(Store::open_read_only(context.home())?, wish)?;
    if (&row.id, &again) != (&old.id, &moved) {
        return Err(nothing(wish));
    }
    let now_ms = context.clock.unix_ms();
    let run = apply::run_row(options)?;
    let run = session.store.write(|db| operations::begin_run(db, &row.id, &run, "", now_ms))?;
    let named = move_volumes(context, &mut session.store, (&row, wish), run);
    if let Err(troubles) = named {
        session.store.write(|db| operations::end_run(db, run, 1, now_ms))?;
        return Err(troubles);
    }
    let row = ProjectRow {
        name: wish.project.name.clone(),
        folder: wish.project.folder.clone(),
        generation: row.generation + 1,
        ..row
    };
    let machines = session.store.write(|db| {
        inventory::put_project(db, &row, now_ms)?;
        operations::end_run(db, run, 0, now_ms)?;
        inventory::machines(db, &row.id)
    })?;
    for machine in machines {
        remember(context, &mut session.store, &machine.id)?;
    }
    Ok(moved)
}

/// Returns the project that is the wish's, and how it moved: its name decides, then its folder.
fn find(store: Option<Store>, wish: &Wish) -> Result<(ProjectRow, Moved), Troubles> {
    let Some(mut store) = store else { return Err(nothing(wish)) };
    let (rows, inhabited) =
        store.read(|db| Ok((inventory::projects(db)?, inventory::inhabited(db)?)))?;
    let (name, folder) = (&wish.project.name, &wish.project.folder);
    if let Some(row) = rows.iter().find(|row| row.name == *name) {
        if row.folder == *folder {
            return Err(nothing(wish));
        }
        return Ok((row.clone(), Moved::From(row.folder.clone())));
    }
    let here = rows.into_iter().find(|row| {
        let is_adhoc = row.name.as_str() == ProjectName::ADHOC;
        row.folder == *folder && !is_adhoc && inhabited.contains(&row.id)
    });
    let row = here.ok_or_else(|| nothing(wish))?;
    let was = row.name.clone();
    Ok((row, Moved::Named(was)))
}

fn nothing(wish: &Wish) -> Troubles {
    let message = format!("project {} has not moved", wish.project.name);
    Troubles::plain("msb::project::not-found", "state", message)
}

/// Gives the project's volumes the folders that its name wants, and says where its file lies.
fn move_volumes(
    context: &Context,
    store: &mut Store,
    (project, wish): (&ProjectRow, &Wish),
    run: i64,
) -> Result<(), Troubles> {
    let rows = store.read(inventory::volumes)?;
    let own = rows.into_iter().filter(|row| row.project_id.as_ref() == Some(&project.id));
    for (number, row) in (1_u32..).zip(own) {
        let to = volumes::folder_name(&wish.project.name, &row.name);
        if row.folder != to {
            move_volume(context, store, (&row, &to), (run, number))?;
        }
        volumes::tie(context.home(), &to, &wish.project.folder).map_err(|error| failed(&error))?;
    }
    Ok(())
}

fn move_volume(
    context: &Context,
    store: &mut Store,
    (row, to): (&VolumeRow, &str),
    (run, number): (i64, u32),
) -> Result<(), Troubles> {
    let now_ms = context.clock.unix_ms();
    let (step, address) = (format!("s{number}"), format!("volume.{}", row.name));
    let intent = json!({ "volume": row.id, "folder": to, "name": row.name }).to_string();
    let intent = Intent {
        step: &step,
        kind: Op::Move.as_str(),
        address: &address,
        generation: 0,
        nonce: None,
        intent: &intent,
    };
    let op = store.write(|db| operations::begin_op(db, run, &intent, now_ms))?;
    let renamed = volumes::rename(context.home(), &row.id, &row.folder, (to, &row.name));
    let closed = match &renamed {
        Ok(()) => Closed::Done,
        Err(error) => Closed::Failed(error.to_string()),
    };
    store.write(|db| -> Result<(), StoreError> {
        if renamed.is_ok() {
            inventory::rename_volume(db, &row.id, &row.name, to)?;
        }
        operations::close_op(db, op, &closed, now_ms)
    })?;
    renamed.map_err(|error| failed(&error))
}
