//! What stands between the host as it is and the Sandboxfile as it reads.
//!
//! [`plan`] is a function of its arguments alone. `msb diff` prints what it
//! returns; `msb up` carries out the very same value.

mod change;
pub mod json;
mod order;
mod refuse;
pub mod show;
#[cfg(test)]
mod tests;
mod unbuilt;
mod value;
mod volume;
mod wish;

use std::collections::{BTreeMap, BTreeSet};

use schema::change::Class;
use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{Kind, MountSource, OnChange};

use crate::observe::{Observed, Seen};
use change::Verdict;
use order::{Before, Part};
use volume::VolumeVerdict;

pub use json::{document, hash};
pub use order::depths;
pub use refuse::{is_preflight, subject};
pub use unbuilt::unbuilt;
pub use value::{
    Action, Address, Change, Drift, Edge, Field, Head, OnFailure, Op, Plan, Reason, Refusal,
    Requires, Step, StepId, Summary,
};
pub use wish::{Goal, Reach, Selection, Wish};

/// Returns the steps that turn the host into what the wish asks for, in order.
///
/// Planning twice without acting gives the same plan; acting on all of it and
/// planning again gives none.
#[must_use]
pub fn plan(wish: &Wish, observed: &Observed) -> Plan {
    let verdicts = verdicts(wish, observed);
    let mut changes: Vec<Change> = verdicts
        .iter()
        .filter_map(|(name, verdict)| change_of(wish, observed, name, verdict))
        .collect();
    let mut unchanged: Vec<Address> = verdicts
        .iter()
        .filter(|(_, verdict)| verdict.action.is_none())
        .map(|(name, _)| Address::Sandbox(name.clone()))
        .collect();
    let mut refused = Vec::new();
    if wish.goal == Goal::Up {
        volumes(wish, observed, (&mut changes, &mut refused, &mut unchanged));
    }
    refused.extend(refuse::refuse(wish, observed, &mut changes));
    refused.extend(dependents(wish, observed, &verdicts));
    changes.sort_by(|a, b| a.address.cmp(&b.address));
    let parts = parts(wish, observed, &verdicts, &changes);
    let steps = order::steps(wish, observed, &parts, &mut changes);
    let (warnings, hints) = (missing_sources(observed), Vec::new());
    let drift = verdicts.into_values().flat_map(|verdict| verdict.drift).collect();
    Plan { head: head(wish, observed), changes, drift, refused, warnings, hints, unchanged, steps }
}

fn head(wish: &Wish, observed: &Observed) -> Head {
    Head {
        id: observed.project.as_ref().map(|row| row.id.clone()),
        name: wish.project.name.clone(),
        path: wish.path.clone(),
        files: wish.files.clone(),
        generation: observed.project.as_ref().map_or(0, |row| row.generation),
        last_applied: observed.last_applied.clone(),
        part: wish.is_partial().then(|| chosen(wish, observed).into_iter().collect()),
    }
}

/// Returns the sandboxes that the command is about, of the file and of state.
fn chosen(wish: &Wish, observed: &Observed) -> BTreeSet<InstanceName> {
    match wish.goal {
        Goal::Up => wish.selected(),
        Goal::Down | Goal::Stopped | Goal::Restarted => {
            let known = observed.sandboxes.keys().cloned();
            let mut chosen: BTreeSet<_> = known.filter(|name| wish.selection_names(name)).collect();
            if wish.selection.reach == Reach::Dependents {
                while let Some(next) = observed.sandboxes.iter().find(|(name, seen)| {
                    let taken = |target: &InstanceName| chosen.iter().any(|one| target.means(one));
                    !chosen.contains(*name) && needs(seen).any(taken)
                }) {
                    chosen.insert(next.0.clone());
                }
            }
            chosen.retain(|name| !wish.excludes(name));
            chosen
        }
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

fn needs(seen: &Seen) -> impl Iterator<Item = &InstanceName> {
    seen.applied.iter().flat_map(|sandbox| sandbox.depends_on.keys())
}

fn verdicts(wish: &Wish, observed: &Observed) -> BTreeMap<InstanceName, Verdict> {
    let chosen = chosen(wish, observed);
    let mut verdicts: BTreeMap<InstanceName, Verdict> = BTreeMap::new();
    for name in &chosen {
        let seen = observed.sandboxes.get(name);
        let verdict = match wish.goal {
            Goal::Up | Goal::Restarted => change::judge(wish, observed, name),
            Goal::Down => Verdict::of(Action::Destroy, Class::Recreate, asked()),
            Goal::Stopped if seen.is_some_and(Seen::is_alive) => {
                Verdict::of(Action::Stop, Class::Restart, asked())
            }
            Goal::Stopped => continue,
        };
        verdicts.insert(name.clone(), verdict);
    }
    if wish.goal == Goal::Up && !wish.is_partial() {
        let gone = observed.sandboxes.keys().filter(|n| !wish.project.sandboxes.contains_key(*n));
        verdicts.extend(gone.map(|name| (name.clone(), change::judge(wish, observed, name))));
    }
    restart_with(wish, observed, &mut verdicts);
    verdicts
}

fn asked() -> Reason {
    Reason { code: "asked", text: String::new() }
}

/// Restarts what asked to be restarted with what it depends on.
fn restart_with(wish: &Wish, observed: &Observed, verdicts: &mut BTreeMap<InstanceName, Verdict>) {
    let restarted = |verdict: &Verdict| {
        matches!(verdict.action, Some(Action::Start | Action::Restart | Action::Recreate))
    };
    let grown = grown(wish, observed);
    let grows = |want: &schema::project::Sandbox| {
        let named = want.mounts.iter().filter_map(|mount| mount.source.volume());
        named.filter_map(|volume| grown.get(volume).map(ToString::to_string)).next()
    };
    loop {
        let next = wish.project.sandboxes.iter().find_map(|(name, want)| {
            let quiet = |v: &Verdict| matches!(v.action, None | Some(Action::Update));
            let alive = observed.sandboxes.get(name).is_some_and(Seen::is_alive);
            if !alive || want.kind == Kind::Job || !verdicts.get(name).is_some_and(quiet) {
                return None;
            }
            let cause = want.depends_on.iter().find(|(target, dependency)| {
                dependency.on_change == OnChange::Restart
                    && meant(verdicts, target).any(|(_, verdict)| restarted(verdict))
            });
            let cause = cause.map(|(target, _)| target.to_string());
            Some((name.clone(), cause.or_else(|| grows(want))?))
        });
        let Some((name, cause)) = next else { return };
        if let Some(verdict) = verdicts.get_mut(&name) {
            let text = format!("restarts with {cause}");
            verdict.action = Some(Action::Restart);
            verdict.class = verdict.class.max(Class::Restart);
            verdict.reason = Reason { code: "dependency", text };
        }
    }
}

/// Returns the volumes that grow; their users are at rest meanwhile.
fn grown(wish: &Wish, observed: &Observed) -> BTreeSet<schema::name::VolumeName> {
    let grows = |(name, want): &(&schema::name::VolumeName, &schema::project::Volume)| {
        matches!(volume::judge(wish, observed, name, want), VolumeVerdict::Grow(..))
    };
    let all = wish.project.volumes.iter();
    if wish.goal == Goal::Up {
        all.filter(grows).map(|(name, _)| name.clone()).collect()
    } else {
        BTreeSet::new()
    }
}

fn change_of(
    wish: &Wish,
    observed: &Observed,
    name: &InstanceName,
    verdict: &Verdict,
) -> Option<Change> {
    let want = wish.project.sandboxes.get(name);
    let seen = observed.sandboxes.get(name);
    let kind = want.map(|want| want.kind).or_else(|| seen.map(|seen| seen.row.kind));
    let depends_on = want.into_iter().flat_map(|want| want.depends_on.keys());
    let place = wish.origins.nearest(&format!("sandbox.{}", name.sandbox), "");
    Some(Change {
        address: Address::Sandbox(name.clone()),
        kind,
        action: verdict.action?,
        class: verdict.class,
        reason: verdict.reason.clone(),
        fields: verdict.fields.clone(),
        requires: Requires {
            generation: seen.map_or(0, |seen| seen.row.generation),
            observed: seen.map(json::observed_digest),
        },
        depends_on: depends_on
            .flat_map(|target| wish.project.meant(target))
            .map(|(target, _)| Address::Sandbox(target.clone()))
            .collect(),
        steps: Vec::new(),
        place,
    })
}

/// Judges the volumes that the chosen sandboxes use, or all of a whole project.
fn volumes(
    wish: &Wish,
    observed: &Observed,
    (changes, refused, unchanged): (&mut Vec<Change>, &mut Vec<Refusal>, &mut Vec<Address>),
) {
    let selected = wish.selected();
    let used = |name: &schema::name::VolumeName| {
        let mut chosen = selected.iter().filter_map(|s| wish.project.sandboxes.get(s));
        chosen.any(|sandbox| {
            sandbox
                .mounts
                .iter()
                .any(|mount| matches!(&mount.source, MountSource::Named(named) if named == name))
        })
    };
    for (name, want) in &wish.project.volumes {
        if wish.is_partial() && !used(name) {
            continue;
        }
        let address = Address::Volume(name.clone());
        let (action, reason, fields) = match volume::judge(wish, observed, name, want) {
            VolumeVerdict::InOrder => {
                unchanged.push(address);
                continue;
            }
            VolumeVerdict::Refuse(refusal) => {
                refused.push(refusal);
                continue;
            }
            VolumeVerdict::Create(reason, fields) => (Action::Create, reason, fields),
            VolumeVerdict::Grow(reason, fields) | VolumeVerdict::Update(reason, fields) => {
                (Action::Update, reason, fields)
            }
        };
        let gravest = fields.iter().map(|field| field.class).max();
        let class = gravest.unwrap_or(Class::Meta);
        changes.push(Change {
            place: wish.origins.nearest(&format!("volume.{name}"), ""),
            kind: None,
            action,
            class,
            reason,
            fields,
            requires: Requires::default(),
            depends_on: Vec::new(),
            steps: Vec::new(),
            address,
        });
    }
}

/// Refuses to take away what a running sandbox outside the choice needs, or to start without a need.
fn dependents(
    wish: &Wish,
    observed: &Observed,
    verdicts: &BTreeMap<InstanceName, Verdict>,
) -> Vec<Refusal> {
    let mut refused = Vec::new();
    let refusal = |name: &InstanceName, code, text: String, hint: &str| Refusal {
        address: Some(Address::Sandbox(name.clone())),
        code,
        text,
        hint: Some(hint.to_owned()),
        place: None,
    };
    if wish.goal == Goal::Down && wish.is_partial() {
        for (name, seen) in observed.sandboxes.iter().filter(|(_, seen)| seen.is_alive()) {
            let lost = needs(seen).find_map(|target| meant(verdicts, target).next());
            if let (false, Some((target, _))) = (verdicts.contains_key(name), lost) {
                let text = format!("{name} runs and depends on it");
                let hint = "Say `--with-dependents` to take them along.";
                refused.push(refusal(target, "msb::plan::dependents", text, hint));
            }
        }
    }
    if wish.goal == Goal::Up && wish.selection.reach == Reach::Alone {
        for name in verdicts.keys() {
            let needs = wish.project.sandboxes.get(name).into_iter().flat_map(|s| &s.depends_on);
            let apart = |target: &InstanceName| meant(verdicts, target).next().is_none();
            for (target, dependency) in needs.filter(|(target, _)| apart(target)) {
                let Some(phase) = not_up(observed, target).filter(|_| !dependency.optional) else {
                    continue;
                };
                let text = format!("{target}, which it depends on, is {}", phase.as_str());
                let hint = "Leave `--no-deps` out, or start it first.";
                refused.push(refusal(name, "msb::sandbox::not-running", text, hint));
            }
        }
    }
    refused
}

/// Returns where the first instance of `target` is that is not up; `None` where all are.
fn not_up(observed: &Observed, target: &InstanceName) -> Option<Phase> {
    let up = |phase: &Phase| matches!(phase, Phase::Ready | Phase::Degraded | Phase::Completed);
    let mut phases = meant(&observed.sandboxes, target).map(|(_, seen)| seen.phase()).peekable();
    if phases.peek().is_none() { Some(Phase::Absent) } else { phases.find(|phase| !up(phase)) }
}

/// Returns what each sandbox takes part with: its change, or a wait for what is not ready yet.
fn parts(
    wish: &Wish,
    observed: &Observed,
    verdicts: &BTreeMap<InstanceName, Verdict>,
    changes: &[Change],
) -> BTreeMap<InstanceName, Part> {
    let mut parts = BTreeMap::new();
    let changed: BTreeMap<&Address, Action> =
        changes.iter().map(|change| (&change.address, change.action)).collect();
    for (name, verdict) in verdicts {
        let seen = observed.sandboxes.get(name);
        let phase = seen.map_or(Phase::Absent, Seen::phase);
        let address = Address::Sandbox(name.clone());
        let change = changed.get(&address);
        let running = seen.is_some_and(Seen::is_alive);
        let before = if running { Before::Running } else { Before::AtRest };
        let is_job = wish.project.sandboxes.get(name).is_some_and(|s| s.kind == Kind::Job);
        let unfinished =
            matches!(phase, Phase::Booting | Phase::Starting) || (is_job && phase == Phase::Ready);
        match (change, verdict.action) {
            (Some(action), _) => {
                parts.insert(name.clone(), Part::Change(*action, before));
            }
            (None, None) if wish.goal == Goal::Up && running && unfinished => {
                parts.insert(name.clone(), Part::Await);
            }
            (None, _) => {}
        }
    }
    parts
}

fn missing_sources(observed: &Observed) -> Vec<String> {
    let missing = observed.sources.iter().filter(|(_, s)| **s == crate::observe::Source::Missing);
    missing
        .map(|((name, path), _)| {
            format!("{name}: the source of {path} is not there; it counts as unchanged")
        })
        .collect()
}
