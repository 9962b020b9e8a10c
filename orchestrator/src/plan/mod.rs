//! What stands between the host as it is and the Sandboxfile as it reads.
//!
//! [`plan`] is a function of its arguments alone. `msb diff` prints what it
//! returns; `msb up` carries out the very same value.
//!
//! ```text
//! wish ─┐                                      ┌─ refuse: what may not be
//!       ├─ scene ─ change, volume ─ along ─ changes ─ order ─ steps
//! host ─┘  who is    what is to be    what    └─ hints: what was perhaps meant
//!          judged    done, and why    follows
//! ```

mod along;
mod change;
mod hints;
mod hold;
pub mod json;
mod order;
mod places;
mod ports;
mod refuse;
pub mod saved;
mod scene;
pub mod show;
#[cfg(test)]
mod tests;
mod topology;
mod unbuilt;
mod value;
mod volume;
mod wide;
mod wish;

use std::collections::BTreeMap;

use schema::change::Class;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::project::Kind;

use crate::observe::{Observed, Seen};
use along::{Verdicts, restart_along};
use change::{Verdict, because};
use order::{Before, Part};
use scene::{Pair, Scene};
use volume::{VolumeChange, VolumeVerdict};

pub use hold::{Hold, May};
pub use json::{document, hash};
pub use order::depths;
pub use places::Places;
pub use refuse::{is_preflight, subject};
pub use topology::in_order;
pub use unbuilt::unbuilt;
pub use value::{
    Action, Actor, Address, Cause, Change, Drift, Edge, Field, Head, OnFailure, Op, Plan, Reason,
    Refusal, Requires, Step, StepId, Summary, Widening,
};
pub use wish::{Goal, Inputs, MayWiden, Reach, Selection, Sleepers, Variable, Volumes, Wish};

/// Returns the steps that turn the host into what the wish asks for, in order.
///
/// Planning twice without acting gives the same plan; acting on all of it and
/// planning again gives none.
#[must_use]
pub fn plan(wish: &Wish, observed: &Observed) -> Plan {
    let scene = Scene::of(wish, observed);
    let mut verdicts = verdicts(wish, observed, &scene);
    let mut held = hold::sandboxes(wish, &scene, &mut verdicts);
    let mut refused = Vec::new();
    let mut volumes = volumes(wish, observed, &scene);
    held.extend(hold::volumes(wish, observed, &mut volumes));
    let stopping = volumes.iter().filter_map(|(name, verdict)| match verdict {
        VolumeVerdict::Change(change) if change.stops_users() => Some((*name, stops_for(change))),
        _ => None,
    });
    restart_along(&scene, &stopping.collect(), &mut verdicts);
    let mut changes: Vec<Change> = Vec::with_capacity(verdicts.len());
    let mut unchanged = Vec::new();
    let mut pairs = scene.chosen.iter();
    for (name, verdict) in &verdicts {
        // Judged are some of the chosen, in the same order.
        let Some((_, pair)) = pairs.find(|(other, _)| **other == *name) else { continue };
        match change_of(wish, (name, *pair), verdict) {
            Some(change) => changes.push(change),
            None => unchanged.push(Address::Sandbox((*name).clone())),
        }
    }
    for (name, verdict) in volumes {
        match verdict {
            VolumeVerdict::InOrder => unchanged.push(Address::Volume(name.clone())),
            VolumeVerdict::Change(change) => {
                changes.push(volume_change(wish, observed, (name, change)));
            }
            VolumeVerdict::Refuse(refusal) => refused.push(refusal),
        }
    }
    changes.extend(trash(wish, observed));
    let hints = match wish.goal {
        Goal::Up => hints::hints(wish, observed, &scene, &changes),
        _ => Vec::new(),
    };
    refused.extend(refuse::refuse(wish, observed, &scene, &mut changes));
    refused.extend(ports::clashes(wish, &changes));
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    let widening = wide::widenings(wish, &scene, &mut changes);
    refused.extend(wide::refused(wish, &widening));
    let parts = parts(wish, &scene, &verdicts, &changes);
    let steps = order::steps(wish, observed, &parts, &mut changes);
    let warnings = missing_sources(observed);
    let drift = verdicts.into_values().flat_map(|verdict| verdict.drift).collect();
    let head = head(wish, observed, &scene);
    unchanged.retain(|address| held.iter().all(|change| change.address != *address));
    Plan { head, changes, held, drift, widening, refused, warnings, hints, unchanged, steps }
}

fn head(wish: &Wish, observed: &Observed, scene: &Scene<'_>) -> Head {
    let chosen = || scene.chosen.keys().map(|name| (*name).clone()).collect();
    Head {
        id: observed.project.as_ref().map(|row| row.id.clone()),
        name: wish.project.name.clone(),
        path: wish.path.clone(),
        inputs: wish.inputs.clone(),
        generation: observed.project.as_ref().map_or(0, |row| row.generation),
        last_applied: observed.last_applied.clone(),
        part: wish.is_partial().then(chosen),
    }
}

/// Returns the entries of `map` that `target` means: itself, or all instances.
fn meant<'a, T>(
    map: &'a BTreeMap<InstanceName, T>,
    target: &'a InstanceName,
) -> impl Iterator<Item = (&'a InstanceName, &'a T)> {
    let first = InstanceName { index: None, ..target.clone() };
    let last = InstanceName { index: Some(u32::MAX), ..target.clone() };
    map.range(first..=last).filter(|(name, _)| target.means(name))
}

fn verdicts<'a>(wish: &Wish, observed: &Observed, scene: &Scene<'a>) -> Verdicts<'a> {
    let asked = || because("asked", "");
    let judged = |(name, pair): (&&'a InstanceName, &Pair<'a>)| {
        let mut verdict = match (wish.goal, pair.want, pair.seen) {
            (Goal::Down, _, _) => Verdict::of(Action::Destroy, Class::Recreate, asked()),
            (Goal::Stopped, _, Some(seen)) if seen.is_alive() => {
                Verdict::of(Action::Stop, Class::Restart, asked())
            }
            (Goal::Stopped, _, _) => return None,
            (_, Some(want), seen) => change::judge(wish, observed, (name, want), seen),
            (_, None, Some(seen)) => change::judge_gone(wish, name, seen),
            (_, None, None) => return None,
        };
        if let (None, Some(was)) = (verdict.action, pair.was) {
            verdict.action = Some(Action::Move);
            verdict.class = Class::Meta;
            verdict.reason = because("moved", format!("it was {was}"));
        }
        if matches!(verdict.action, Some(Action::Move | Action::Update))
            && pair.was.is_some()
            && has_siblings(wish, name, *pair)
        {
            verdict.action = Some(Action::Restart);
            verdict.class = Class::Restart;
            verdict.reason = because("moved", "its siblings know it by its name");
        }
        Some((*name, verdict))
    };
    scene.chosen.iter().filter_map(judged).collect()
}

/// Tells whether a service that lives is connected to others, or others to it: both ends are told the
/// names of both when they boot.
fn has_siblings(wish: &Wish, name: &InstanceName, pair: Pair<'_>) -> bool {
    let service = pair.want.filter(|want| want.kind == Kind::Service);
    let Some(want) = service.filter(|_| pair.seen.is_some_and(Seen::is_alive)) else {
        return false;
    };
    let is_called =
        || wish.project.sandboxes.values().any(|body| body.connect.contains_key(&name.sandbox));
    !want.connect.is_empty() || is_called()
}

/// Returns what a change of an address is planned against.
fn requires(observed: &Observed, address: &Address) -> Requires {
    match address {
        Address::Sandbox(name) => requires_of(observed.sandboxes.get(name).map(Box::as_ref)),
        Address::Volume(name) => {
            let observed = observed.volumes.get(name).map(json::volume_digest);
            Requires { generation: 0, observed }
        }
        Address::Image(_) => Requires::default(),
    }
}

fn requires_of(seen: Option<&Seen>) -> Requires {
    Requires {
        generation: seen.map_or(0, |seen| seen.row.generation),
        observed: seen.map(json::observed_digest),
    }
}

const fn stops_for(change: &VolumeChange) -> &'static str {
    match change.action {
        Action::Recreate => "is made anew",
        _ => "grows",
    }
}

fn change_of(
    wish: &Wish,
    (name, pair): (&InstanceName, Pair<'_>),
    verdict: &Verdict,
) -> Option<Change> {
    let kind = pair.want.map(|want| want.kind).or_else(|| pair.seen.map(|seen| seen.row.kind));
    let depends_on = pair.want.into_iter().flat_map(|want| want.depends_on.keys());
    Some(Change {
        address: Address::Sandbox(name.clone()),
        kind,
        action: verdict.action?,
        class: verdict.class,
        reason: verdict.reason.clone(),
        fields: verdict.fields.clone(),
        was: pair.was.map(|was| Address::Sandbox(was.clone())),
        cause: verdict.cause,
        requires: requires_of(pair.seen),
        depends_on: depends_on
            .flat_map(|target| wish.project.meant(target))
            .map(|(target, _)| Address::Sandbox(target.clone()))
            .collect(),
        steps: Vec::new(),
        place: wish.origins.nearest(&format!("sandbox.{}", name.sandbox), ""),
    })
}

/// Judges the volumes that the chosen sandboxes use, or all of a whole project.
fn volumes<'a>(
    wish: &'a Wish,
    observed: &Observed,
    scene: &Scene<'_>,
) -> Vec<(&'a VolumeName, VolumeVerdict)> {
    if wish.goal != Goal::Up {
        return Vec::new();
    }
    let whole = !wish.is_partial();
    let wants = scene.chosen.values().filter_map(|pair| pair.want);
    let used: std::collections::BTreeSet<&VolumeName> = wants
        .filter(|_| !whole)
        .flat_map(|want| want.mounts.iter().filter_map(|mount| mount.source.volume()))
        .collect();
    let all = wish.project.volumes.iter().filter(|(name, _)| whole || used.contains(name));
    all.map(|(name, want)| (name, volume::judge(wish, observed, name, want))).collect()
}

fn volume_change(
    wish: &Wish,
    observed: &Observed,
    (name, change): (&VolumeName, VolumeChange),
) -> Change {
    let VolumeChange { action, class, reason, fields, was } = change;
    let at = Address::Volume(was.clone().unwrap_or_else(|| name.clone()));
    Change {
        place: volume::place(wish, name, ""),
        kind: None,
        action,
        class,
        reason,
        fields,
        was: was.map(Address::Volume),
        cause: Cause::Wish,
        requires: requires(observed, &at),
        depends_on: Vec::new(),
        steps: Vec::new(),
        address: Address::Volume(name.clone()),
    }
}

/// Returns the volumes that go with the whole project; what must stay stays.
fn trash(wish: &Wish, observed: &Observed) -> Vec<Change> {
    let whole = wish.goal == Goal::Down && !wish.is_partial();
    if !whole || wish.selection.volumes == Volumes::Stay {
        return Vec::new();
    }
    let own = observed.volumes.iter().filter(|(_, seen)| {
        let ours = seen.owner.as_ref() == Some(&wish.project.name);
        ours && !seen.row.protect && !refuse::is_used_elsewhere(observed, seen)
    });
    own.map(|(name, seen)| {
        let text = seen.row.size_bytes.map_or_else(String::new, |bytes| {
            format!("{}; it can be restored", schema::units::Bytes(bytes))
        });
        let change = VolumeChange {
            action: Action::Trash,
            class: Class::DataLoss,
            reason: because("asked", text),
            fields: Vec::new(),
            was: None,
        };
        volume_change(wish, observed, (name, change))
    })
    .collect()
}

/// Returns what each sandbox takes part with: its change, or a wait for what is not ready yet.
fn parts<'a>(
    wish: &Wish,
    scene: &Scene<'a>,
    verdicts: &Verdicts<'_>,
    changes: &[Change],
) -> BTreeMap<&'a InstanceName, Part> {
    let changed = changes.iter().filter_map(|change| Some((change.address.sandbox()?, change)));
    let changed: BTreeMap<&InstanceName, &Change> = changed.collect();
    let mut parts = BTreeMap::new();
    for (name, pair) in &scene.chosen {
        let running = pair.seen.is_some_and(Seen::is_alive);
        let unfinished = running && is_unfinished(pair);
        let before = match (running, unfinished) {
            (true, true) => Before::Unfinished,
            (true, false) => Before::Running,
            (false, _) => Before::AtRest,
        };
        if let Some(change) = changed.get(name) {
            let moves = change.was.is_some();
            parts.insert(*name, Part::Change { action: change.action, before, moves });
            continue;
        }
        let in_order = verdicts.get(name).is_some_and(|verdict| verdict.action.is_none());
        if wish.goal.compares() && in_order && unfinished {
            parts.insert(*name, Part::Await);
        }
    }
    parts
}

/// Tells whether a machine has not come yet where it is to come by itself.
fn is_unfinished(pair: &Pair<'_>) -> bool {
    let phase = pair.seen.map_or(Phase::Absent, Seen::phase);
    let is_job = pair.want.is_some_and(|want| want.kind == Kind::Job);
    matches!(phase, Phase::Booting | Phase::Starting) || (is_job && phase == Phase::Ready)
}

fn missing_sources(observed: &Observed) -> Vec<String> {
    let missing = observed.sources.iter().filter(|(_, s)| **s == crate::observe::Source::Missing);
    missing
        .map(|((name, path), _)| {
            format!("{name}: the source of {path} is not there; it counts as unchanged")
        })
        .collect()
}
