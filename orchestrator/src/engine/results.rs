//! From ended steps to a row for each thing that was touched.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::change::Class;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName};
use schema::project::Kind;

use super::outcome::{Kept, ResultRow, Verb};
use super::trouble::Trouble;
use crate::context::Context;
use crate::execute::{Ended, FailureKind};
use crate::machines::Folder;
use crate::observe::{Depth, Observed};
use crate::plan::{Action, Change, Op, Plan, Step, StepId};
use crate::store::Store;
use crate::volumes;

type Ends<'a> = (&'a BTreeMap<StepId, Ended>, &'a BTreeMap<StepId, Duration>);

/// Returns a row for each change, and for what was only waited for.
pub(super) fn rows(
    context: &Context,
    plan: &Plan,
    observed: &Observed,
    (ended, times): Ends<'_>,
) -> Vec<ResultRow> {
    let mut rows: Vec<ResultRow> =
        plan.changes.iter().map(|change| row(plan, change, (ended, times))).collect();
    for step in plan.steps.iter().filter(|step| step.op == Op::Gate) {
        if plan.change(&step.address).is_none() {
            rows.push(awaited(step, (ended, times)));
        }
    }
    // An image that came is a matter of whoever waited for it; one that did not is told itself.
    let images = plan.steps.iter().filter(|step| matches!(step.op, Op::Pull | Op::BuildRoot));
    let failed = images.filter(|step| matches!(ended.get(&step.id), Some(Ended::Failed(_))));
    rows.extend(failed.map(|step| awaited(step, (ended, times))));
    rows.sort_by(|a, b| a.address.cmp(&b.address));
    if rows.iter().all(|row| row.trouble.is_none()) {
        return rows;
    }
    let current = machines(context, observed);
    for row in &mut rows {
        let id = row.address.sandbox().and_then(|name| current.get(name));
        if let (Some(trouble), Some(id)) = (&mut row.trouble, id) {
            trouble.log = Some(Folder::of(context.home(), id).runtime_log());
        }
    }
    rows
}

/// Returns the machine of each sandbox that the project has by now.
fn machines(context: &Context, observed: &Observed) -> BTreeMap<InstanceName, String> {
    let Some(project) = observed.project.as_ref().map(|row| row.name.clone()) else {
        return BTreeMap::new();
    };
    let Ok(Some(mut store)) = Store::open_read_only(context.home()) else {
        return BTreeMap::new();
    };
    let look = crate::observe::look(
        Some(&mut store),
        context.home(),
        (Some(&project), Depth::Standing),
        crate::observe::Known::default(),
    );
    let seen = look.map(|found| found.sandboxes).unwrap_or_default().into_iter();
    seen.filter_map(|(_, seen)| Some((seen.row.name, seen.machine?.row.id))).collect()
}

fn row(plan: &Plan, change: &Change, (ended, times): Ends<'_>) -> ResultRow {
    let steps: Vec<&Step> = change.steps.iter().filter_map(|id| plan.step(*id)).collect();
    let ends = || steps.iter().filter_map(|step| Some((*step, ended.get(&step.id)?)));
    let mut row = ResultRow {
        address: change.address.clone(),
        verb: done_verb(change),
        class: change.class,
        phase: None,
        reason: None,
        exit_code: None,
        forced: false,
        ports: Vec::new(),
        blocked_by: None,
        took: steps.iter().filter_map(|step| times.get(&step.id)).sum(),
        detail: detail(change),
        trouble: None,
    };
    for (_, end) in ends() {
        tell(&mut row, end);
    }
    let stopped_only = !steps.iter().any(|step| matches!(step.op, Op::Boot | Op::Update));
    if stopped_only && row.phase.is_none() && change.action == Action::Stop {
        row.phase = Some(Phase::Stopped);
    }
    row
}

/// A sandbox that was in order and not ready yet.
fn awaited(step: &Step, (ended, times): Ends<'_>) -> ResultRow {
    let mut row = ResultRow {
        address: step.address.clone(),
        verb: Verb::Unchanged,
        class: Class::None,
        phase: None,
        reason: None,
        exit_code: None,
        forced: false,
        ports: Vec::new(),
        blocked_by: None,
        took: times.get(&step.id).copied().unwrap_or_default(),
        detail: String::new(),
        trouble: None,
    };
    if let Some(end) = ended.get(&step.id) {
        tell(&mut row, end);
    }
    row
}

/// Takes one step's end into the row; a worse one stays.
fn tell(row: &mut ResultRow, end: &Ended) {
    match end {
        Ended::Done(effect) => {
            row.phase = effect.phase.or(row.phase);
            row.reason = effect.reason.clone().or(row.reason.take());
            row.exit_code = effect.exit_code.or(row.exit_code);
            row.forced |= effect.forced;
            if !effect.ports.is_empty() {
                row.ports.clone_from(&effect.ports);
            }
        }
        Ended::Failed(error) => {
            row.verb = match error.kind {
                FailureKind::Failed => Verb::Failed,
                FailureKind::NotReady => Verb::NotReady,
            };
            row.phase = error.phase.or(row.phase);
            row.reason = error.reason.clone().or(row.reason.take());
            row.exit_code = error.exit_code.or(row.exit_code);
            row.detail = format!("{}: {}", error.report.stage, error.report.message);
            let address = Some(row.address.clone());
            row.trouble = Some(Trouble { report: (*error.report).clone(), address, log: None });
        }
        Ended::Skipped(cause) if row.trouble.is_none() => {
            row.verb = Verb::Skipped;
            row.detail = format!("{} failed", cause.name());
            row.blocked_by = Some(cause.clone());
        }
        Ended::Interrupted if row.trouble.is_none() => row.verb = Verb::Interrupted,
        Ended::TimedOut if row.trouble.is_none() => {
            row.verb = Verb::NotReady;
            "not ready in time".clone_into(&mut row.detail);
        }
        Ended::Skipped(_) | Ended::Interrupted | Ended::TimedOut => {}
    }
}

fn done_verb(change: &Change) -> Verb {
    let runs = matches!(change.action, Action::Create | Action::Start | Action::Recreate);
    if runs && change.kind == Some(Kind::Job) {
        return Verb::Completed;
    }
    match change.action {
        Action::Create => Verb::Created,
        Action::Start => Verb::Started,
        Action::Update => Verb::Updated,
        Action::Restart => Verb::Restarted,
        Action::Recreate => Verb::Recreated,
        Action::Destroy => Verb::Destroyed,
        Action::Stop => Verb::Stopped,
        Action::Trash => Verb::Trashed,
        Action::Forget => Verb::Forgotten,
        Action::Move => Verb::Moved,
    }
}

/// The gravest field that changed, for people.
fn detail(change: &Change) -> String {
    if let (Action::Move, Some(was)) = (change.action, &change.was) {
        return format!("it was {}", was.name());
    }
    if matches!(change.action, Action::Create | Action::Destroy | Action::Stop) {
        return String::new();
    }
    let gravest = change.fields.iter().max_by_key(|field| field.class);
    gravest.map_or_else(String::new, |field| match (&field.before, &field.after) {
        (Some(before), Some(after)) => format!("{} {before} → {after}", field.path),
        (None, Some(after)) => format!("{} → {after}", field.path),
        (Some(before), None) => format!("{} {before} → (none)", field.path),
        (None, None) => field.path.clone(),
    })
}

/// Returns the volumes that a project keeps.
pub(super) fn kept(context: &Context, observed: &Observed, project: &ProjectName) -> Vec<Kept> {
    let own = observed.volumes.values().filter(|volume| volume.owner.as_ref() == Some(project));
    own.map(|volume| Kept {
        name: volume.row.name.clone(),
        bytes: volumes::used(context.home(), &volume.row.folder).unwrap_or(0),
    })
    .collect()
}
