//! Wishes without a file: what state remembers, or what one command defines.

use std::collections::BTreeMap;

use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{Definition, Origins, Project, Quota, Sandbox, Volume};
use schema::units::Bytes;

use super::{Engine, Troubles};
use crate::plan::{Goal, Inputs, Selection, Wish};
use crate::store::inventory;

/// A sandbox that a command defines.
#[derive(Clone, Debug)]
pub struct Adhoc {
    /// Its name.
    pub name: InstanceName,
    /// What it is to be.
    pub sandbox: Sandbox,
    /// The volumes that its mounts name.
    pub volumes: BTreeMap<VolumeName, Volume>,
}

pub(super) fn of_state(
    engine: &Engine,
    project: &ProjectName,
    goal: Goal,
) -> Result<Wish, Troubles> {
    let found = engine.look(Some(project))?;
    let row = found.projects.iter().find(|row| row.name == *project);
    let folder = row.map_or_else(|| engine.home(), |row| row.folder.clone());
    if row.is_none() && project.as_str() != ProjectName::ADHOC {
        let message = format!("there is no project {project}");
        return Err(Troubles::plain("msb::project::not-found", "state", message));
    }
    let mut ignored = match (goal, row, engine.store_read_only()?) {
        (Goal::Undrifted, Some(row), Some(mut store)) => {
            store.read(|db| inventory::ignored(db, &row.id))?
        }
        _ => BTreeMap::new(),
    };
    let mut wanted = Project::empty(project.clone(), folder.clone());
    for (owner, seen) in found.sandboxes {
        if owner != *project {
            continue;
        }
        let definition = match goal {
            Goal::Undrifted => seen.applied,
            _ => seen.desired.or(seen.applied),
        };
        if let Some(ignore_drift) = ignored.remove(&seen.row.id) {
            let definition = Definition { ignore_drift, ..Definition::default() };
            wanted.definitions.insert(seen.row.name.sandbox.clone(), definition);
        }
        if let Some(definition) = definition {
            wanted.sandboxes.insert(seen.row.name, definition);
        }
    }
    for volume in found.volumes {
        if volume.owner.as_ref() == Some(project) {
            let wish = Volume {
                kind: Some(volume.row.kind),
                size: volume.row.size_bytes.map(Bytes),
                quota: volume.row.quota_bytes.map(|most| Quota::Bytes(Bytes(most))),
                labels: volume.row.labels,
                protect: volume.row.protect,
                ..Volume::unsaid()
            };
            wanted.volumes.insert(volume.row.name, wish);
        }
    }
    let mut wish = Wish::new(wanted, Origins::default(), Inputs::default(), folder);
    wish.goal = goal;
    Ok(wish)
}

pub(super) fn of_command(engine: &Engine, adhoc: Adhoc) -> Result<Wish, Troubles> {
    let mut wish = of_state(engine, &ProjectName::adhoc(), Goal::Up)?;
    wish.selection = Selection { names: [adhoc.name.clone()].into(), ..Selection::default() };
    wish.project.sandboxes.insert(adhoc.name, adhoc.sandbox.into());
    wish.project.volumes.extend(adhoc.volumes);
    Ok(wish)
}
