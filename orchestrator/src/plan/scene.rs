//! Who is judged against what: instances of the file beside instances of state.
//!
//! What moved stands beside what it was, so nothing behind this file knows
//! that names can change.

use std::collections::{BTreeMap, BTreeSet};

use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::Body;

use super::wish::{Goal, Reach, Wish};
use crate::observe::{Beside, Observed, Seen};

/// One instance, as it is wished for and as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair<'a> {
    /// What is wished for; `None` where it is not, or not any more.
    pub(super) want: Option<&'a Body>,
    /// What was found; `None` where there is nothing.
    pub(super) seen: Option<&'a Seen>,
    /// What it is called until now, where that is another name.
    pub(super) was: Option<&'a InstanceName>,
}

/// The instances that a command is about.
pub(super) struct Scene<'a> {
    /// Those that are judged, by the name that they will have.
    pub(super) chosen: BTreeMap<&'a InstanceName, Pair<'a>>,
}

impl<'a> Scene<'a> {
    pub(super) fn of(wish: &'a Wish, observed: &'a Observed) -> Self {
        let chosen = match wish.goal {
            Goal::Up | Goal::Undrifted => of_file(wish, observed),
            Goal::Down | Goal::Stopped | Goal::Restarted => of_state(wish, observed),
        };
        Self { chosen }
    }

    /// Tells whether an instance is judged.
    pub(super) fn has(&self, name: &InstanceName) -> bool {
        self.chosen.contains_key(name)
    }

    /// Tells whether any of the instances that `target` means is judged.
    pub(super) fn meant<'s>(
        &'s self,
        target: &'s InstanceName,
    ) -> impl Iterator<Item = (&'a InstanceName, Pair<'a>)> + 's {
        let first = InstanceName { index: None, ..target.clone() };
        let last = InstanceName { index: Some(u32::MAX), ..target.clone() };
        let range = self.chosen.range::<InstanceName, _>(first..=last);
        let all: Vec<(&'a InstanceName, Pair<'a>)> = range
            .filter(|(name, _)| target.means(name))
            .map(|(name, pair)| (*name, *pair))
            .collect();
        all.into_iter()
    }
}

/// What the file has, and what it does not have any more.
fn of_file<'a>(wish: &'a Wish, observed: &'a Observed) -> BTreeMap<&'a InstanceName, Pair<'a>> {
    let whole = !wish.is_partial();
    let selected = if whole { BTreeSet::new() } else { wish.selected() };
    let moved = moved(wish, observed, |name| whole || selected.contains(name));
    let mut chosen = Vec::with_capacity(wish.project.sandboxes.len());
    let mut known = Beside::of(&observed.sandboxes);
    for (name, want) in &wish.project.sandboxes {
        if !whole && !selected.contains(name) {
            continue;
        }
        let mut pair = Pair { want: Some(want), seen: known.get(name).map(Box::as_ref), was: None };
        if !moved.is_empty() {
            // What was there under a name is another's by now, where that moved away from it.
            let own = pair.seen.filter(|_| !moved.contains_key(name));
            pair.was = old_name(wish, observed, name).filter(|old| moved.get(old) == Some(&name));
            pair.seen = own.or_else(|| Some(observed.sandboxes.get(pair.was?)?.as_ref()));
        }
        chosen.push((name, pair));
    }
    if whole {
        let mut wanted = Beside::of(&wish.project.sandboxes);
        for (name, seen) in &observed.sandboxes {
            if wanted.get(name).is_none() && !moved.contains_key(name) {
                chosen.push((name, Pair { want: None, seen: Some(seen), was: None }));
            }
        }
    }
    chosen.into_iter().collect()
}

/// Returns the new name of each instance that gets one.
///
/// A name is free to be taken where nothing has it, or what has it moves away itself.
fn moved<'a>(
    wish: &'a Wish,
    observed: &'a Observed,
    is_chosen: impl Fn(&InstanceName) -> bool,
) -> BTreeMap<&'a InstanceName, &'a InstanceName> {
    if wish.project.definitions.values().all(|definition| definition.moved_from.is_none()) {
        return BTreeMap::new();
    }
    let names = wish.project.sandboxes.keys().filter(|name| is_chosen(name));
    let mut open: Vec<(&InstanceName, &InstanceName)> =
        names.filter_map(|name| Some((old_name(wish, observed, name)?, name))).collect();
    let mut moved = BTreeMap::new();
    loop {
        let before = open.len();
        open.retain(|(old, name)| {
            let is_free = !observed.sandboxes.contains_key(*name) || moved.contains_key(*name);
            if is_free {
                moved.insert(*old, *name);
            }
            !is_free
        });
        if open.len() == before {
            return moved;
        }
    }
}

/// Returns what an instance was called before, by its definition.
fn old_name<'a>(
    wish: &Wish,
    observed: &'a Observed,
    name: &InstanceName,
) -> Option<&'a InstanceName> {
    let old = wish.project.definitions.get(&name.sandbox)?.moved_from.as_ref()?;
    let old = InstanceName { sandbox: old.clone(), index: name.index };
    observed.sandboxes.get_key_value(&old).map(|(old, _)| old)
}

/// What state has, and the command chose.
fn of_state<'a>(wish: &'a Wish, observed: &'a Observed) -> BTreeMap<&'a InstanceName, Pair<'a>> {
    let known = observed.sandboxes.keys();
    let mut names: BTreeSet<&InstanceName> =
        known.filter(|name| wish.selection_names(name)).collect();
    if wish.selection.reach == Reach::Dependents {
        let dependents = dependents(observed);
        let mut open: Vec<&InstanceName> = names.iter().copied().collect();
        while let Some(name) = open.pop() {
            for dependent in dependents.get(name).into_iter().flatten() {
                if names.insert(dependent) {
                    open.push(dependent);
                }
            }
        }
    }
    if wish.goal == Goal::Restarted && wish.selection.reach == Reach::Dependencies {
        let mut open: Vec<&InstanceName> = names.iter().copied().collect();
        while let Some(name) = open.pop() {
            let needed = missing(wish, observed, name);
            open.extend(needed.into_iter().filter(|needed| names.insert(needed)));
        }
    }
    names.retain(|name| !wish.excludes(name));
    names
        .into_iter()
        .map(|name| {
            let want = wish.project.sandboxes.get(name);
            let seen = observed.sandboxes.get(name).map(Box::as_ref);
            (name, Pair { want, seen, was: None })
        })
        .collect()
}

/// Returns what an instance needs to start and that is not up.
fn missing<'a>(
    wish: &'a Wish,
    observed: &'a Observed,
    name: &InstanceName,
) -> Vec<&'a InstanceName> {
    let want = wish.project.sandboxes.get(name);
    let targets = want.into_iter().flat_map(|want| want.depends_on.keys());
    let needed = targets.flat_map(|target| super::meant(&observed.sandboxes, target));
    needed.filter(|(_, seen)| !is_up(seen.phase())).map(|(name, _)| name).collect()
}

/// Tells whether what depends on a sandbox in this phase finds it as it needs it.
pub(super) const fn is_up(phase: Phase) -> bool {
    matches!(phase, Phase::Ready | Phase::Degraded | Phase::Completed)
}

/// Returns who depends on each instance, by what was last applied.
pub(super) fn dependents(observed: &Observed) -> BTreeMap<&InstanceName, Vec<&InstanceName>> {
    let mut dependents: BTreeMap<&InstanceName, Vec<&InstanceName>> = BTreeMap::new();
    for (name, seen) in &observed.sandboxes {
        for target in needs(seen) {
            for (needed, _) in super::meant(&observed.sandboxes, target) {
                dependents.entry(needed).or_default().push(name);
            }
        }
    }
    dependents
}

/// Returns what an instance depends on, by what was last applied.
pub(super) fn needs(seen: &Seen) -> impl Iterator<Item = &InstanceName> {
    seen.applied.iter().flat_map(|sandbox| sandbox.depends_on.keys())
}
