//! What must hold of a host, whatever was done to it.

use std::collections::{BTreeMap, BTreeSet};

use schema::lifecycle::Phase;
use schema::project::Kind;

use super::state::{PROJECT, State};
use crate::execute::Ended;
use crate::observe::Observed;
use crate::plan::{OnFailure, Plan, StepId, Wish, plan};
use crate::store::inventory::Role;

/// Returns what does not hold of a host that no run works on, once it is settled.
pub(super) fn at_rest(state: &State) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, machine) in &state.machines {
        if !state.rows.contains_key(&machine.sandbox_id) {
            broken.push(format!("machine {id} belongs to no sandbox"));
        }
        if !state.folders.contains_key(id) {
            broken.push(format!("machine {id} ({:?}) has no folder", machine.role));
        }
        if matches!(machine.role, Role::Next | Role::Previous) {
            broken.push(format!("machine {id} is still {:?}", machine.role));
        }
    }
    for (id, folder) in &state.folders {
        match state.machines.get(id) {
            None => broken.push(format!("folder {id} belongs to no machine")),
            Some(machine) if folder.alive && machine.role != Role::Current => {
                broken.push(format!("machine {id} lives and is {:?}", machine.role));
            }
            Some(_) => {}
        }
    }
    let mut names = BTreeSet::new();
    for row in state.rows.values() {
        if !names.insert((&row.project_id, &row.name)) {
            broken.push(format!("two sandboxes are called {}", row.name));
        }
        if row.observed > row.generation {
            broken.push(format!("{} observed what was never wished for", row.name));
        }
        let current = state.machines_of(&row.id);
        if current.iter().filter(|machine| machine.role == Role::Current).count() > 1 {
            broken.push(format!("{} has two machines that count", row.name));
        }
    }
    broken.extend(volumes(state));
    broken
        .extend(state.ops.iter().filter(|op| op.open).map(|op| format!("{:?} stays open", op.op)));
    broken
}

fn volumes(state: &State) -> Vec<String> {
    let rows = state.volumes.values().filter(|row| state.disks.get(&row.name) != Some(&row.id));
    let rows = rows.map(|row| format!("volume {} has no disk", row.name));
    let disks = state.disks.iter().filter(|(_, id)| !state.volumes.contains_key(*id));
    rows.chain(disks.map(|(name, _)| format!("the disk {name} has no row"))).collect()
}

/// Returns what went backwards between two moments, or was lost.
pub(super) fn between(before: &State, after: &State) -> Vec<String> {
    let mut broken = Vec::new();
    let generation = |state: &State| state.project.as_ref().map_or(0, |row| row.generation);
    if generation(after) < generation(before) {
        broken.push("the project's generation went back".to_owned());
    }
    for (id, row) in &before.rows {
        if after.rows.get(id).is_some_and(|now| now.generation < row.generation) {
            broken.push(format!("the generation of {} went back", row.name));
        }
    }
    for (name, id) in &before.disks {
        if !after.disks.values().any(|disk| disk == id) && !after.trash.contains(id) {
            broken.push(format!("the data of {name} are gone"));
        }
    }
    broken
}

/// Returns which steps ended otherwise than the failures of a run account for.
pub(super) fn siblings(planned: &Plan, ended: &BTreeMap<StepId, Ended>) -> Vec<String> {
    let mut lost: BTreeSet<StepId> = BTreeSet::new();
    let mut broken = Vec::new();
    for step in &planned.steps {
        let skip = |edge: &&crate::plan::Edge| edge.on_failure == OnFailure::Skip;
        let skipped = step.after.iter().filter(skip).any(|edge| lost.contains(&edge.step));
        let end = ended.get(&step.id);
        let fits = match end {
            Some(Ended::Skipped(_)) => skipped,
            Some(Ended::Done(_) | Ended::Failed(_)) => !skipped,
            Some(Ended::Interrupted | Ended::TimedOut) | None => false,
        };
        if !fits {
            broken.push(format!("step {} {} is {end:?}", step.op.as_str(), step.address));
        }
        if skipped || matches!(end, Some(Ended::Failed(_))) {
            lost.insert(step.id);
        }
    }
    broken
}

/// Returns how a host differs from what a run without faults was to make of it.
pub(super) fn converged(state: &State, wish: &Wish, observed: &Observed) -> Vec<String> {
    let again = plan(wish, observed);
    let mut broken = Vec::new();
    let changes = again.changes.iter().map(|change| {
        let fields: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
        let (action, reason) = (change.action.as_str(), &change.reason.text);
        format!("{} would still {action}: {reason} {fields:?}", change.address)
    });
    broken.extend(changes);
    broken.extend(
        again.drift.iter().map(|drift| format!("{} drifts: {}", drift.address, drift.path)),
    );
    broken.extend(again.steps.iter().map(|step| format!("{} is still to be done", step.id)));
    let selected = wish.selected();
    for (name, want) in wish.project.sandboxes.iter().filter(|(name, _)| selected.contains(*name)) {
        let Some(seen) = observed.sandboxes.get(name) else {
            broken.push(format!("{name} is not there"));
            continue;
        };
        let wanted = if want.kind == Kind::Job { Phase::Completed } else { Phase::Ready };
        if seen.phase() != wanted {
            broken.push(format!("{name} is {:?}", seen.phase()));
        }
        if seen.row.observed != seen.row.generation {
            broken
                .push(format!("{name} observed {} of {}", seen.row.observed, seen.row.generation));
        }
        let at = format!("sandbox.{}", name.sandbox);
        let flags = [
            ("lifecycle.protect", seen.row.protect, want.lifecycle.protect),
            ("lifecycle.keep", seen.row.keep, want.lifecycle.keep),
        ];
        for (path, now, wanted) in flags {
            if wish.holds(&at, path, (now, wanted)) != now {
                broken.push(format!("{name}: {path} is {now}"));
            }
        }
        let mounts = want.mounts.iter().filter_map(|mount| mount.source.volume());
        for volume in mounts {
            let id = state.disks.get(volume);
            let used = |one: &crate::store::inventory::VolumeUse| {
                one.sandbox_id == seen.row.id && Some(&one.volume_id) == id
            };
            if !state.uses.iter().any(used) {
                broken.push(format!("no row tells that {name} uses {volume}"));
            }
        }
    }
    broken
}

/// Returns what is left of a project that was taken down.
pub(super) fn down(state: &State) -> Vec<String> {
    let rows = state.rows.values().filter(|row| row.project_id == PROJECT);
    rows.map(|row| format!("{} is still there after down", row.name)).collect()
}
