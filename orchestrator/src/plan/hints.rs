//! Possible mistakes: what went and what came, and are nearly the same.

use schema::name::{InstanceName, SandboxName};
use schema::project::Body;

use super::meant;
use super::scene::Scene;
use super::value::{Action, Change};
use super::wish::Wish;
use crate::observe::Observed;

/// The least share of equal leaves, in percent, at which two definitions may be one.
const ALIKE_PERCENT: usize = 90;

/// The most pairs that are compared; beyond them nothing is guessed.
const PAIRS_MAX: usize = 400;

/// Returns everything that was perhaps meant otherwise.
pub(super) fn hints(
    wish: &Wish,
    observed: &Observed,
    scene: &Scene<'_>,
    changes: &[Change],
) -> Vec<String> {
    let mut hints = other_shapes(wish, observed);
    hints.extend(renames(scene, changes));
    hints
}

/// Returns a hint for each definition that was to be renamed and has other instances by now.
fn other_shapes(wish: &Wish, observed: &Observed) -> Vec<String> {
    let mut hints = Vec::new();
    for (name, definition) in &wish.project.definitions {
        let Some(old) = &definition.moved_from else { continue };
        let all = |sandbox: &SandboxName| InstanceName { sandbox: sandbox.clone(), index: None };
        let (before, after) = (all(old), all(name));
        let seen = meant(&observed.sandboxes, &before).next();
        let want = wish.project.meant(&after).next();
        let (Some((seen, _)), Some((want, _))) = (seen, want) else { continue };
        if seen.index.is_some() != want.index.is_some() {
            hints.push(format!(
                "{old} is not renamed to {name}: one of the two has replicas; rename it first, \
                 and change replicas in a second run"
            ));
        }
    }
    hints
}

/// Returns a hint for each definition that was probably renamed; each takes part in one.
fn renames(scene: &Scene<'_>, changes: &[Change]) -> Vec<String> {
    let gone = definitions(scene, changes, Action::Destroy);
    let new = definitions(scene, changes, Action::Create);
    if gone.is_empty() || gone.len().saturating_mul(new.len()) > PAIRS_MAX {
        return Vec::new();
    }
    let mut pairs = Vec::new();
    for (old, before) in &gone {
        for (name, after) in &new {
            let percent = alike(before, after);
            if percent >= ALIKE_PERCENT {
                pairs.push((percent, *old, *name));
            }
        }
    }
    // The most alike first, ties by alphabet.
    pairs.sort_by(|a, b| b.0.cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let mut hints = Vec::new();
    let mut taken: Vec<&SandboxName> = Vec::new();
    for (percent, old, name) in pairs {
        if taken.contains(&old) || taken.contains(&name) {
            continue;
        }
        taken.extend([old, name]);
        hints.push(format!(
            "{old} and {name} are {percent} % alike; a rename? write lifecycle {{ moved-from \
             \"{old}\" }} in {name}"
        ));
    }
    hints.sort();
    hints
}

/// Returns one body of each definition, all of whose instances go or come.
fn definitions<'a>(
    scene: &Scene<'a>,
    changes: &[Change],
    action: Action,
) -> Vec<(&'a SandboxName, &'a Body)> {
    let mut found: Vec<(&SandboxName, &Body)> = Vec::new();
    let mut judged = None;
    for change in changes.iter().filter(|change| change.action == action) {
        let Some(name) = change.address.sandbox() else { continue };
        let Some((name, pair)) = scene.chosen.get_key_value(name) else { continue };
        // Instances of a definition stand side by side; the first speaks for all.
        if judged == Some(&name.sandbox) {
            continue;
        }
        let body = pair.want.or_else(|| pair.seen.and_then(|seen| seen.applied.as_ref()));
        let Some(body) = body else { continue };
        judged = Some(&name.sandbox);
        let all = InstanceName { index: None, sandbox: name.sandbox.clone() };
        let stays = scene.meant(&all).any(|(_, pair)| match action {
            Action::Destroy => pair.want.is_some(),
            _ => pair.seen.is_some(),
        });
        if !stays {
            found.push((&name.sandbox, body));
        }
    }
    found
}

/// Returns how many of the leaves of two definitions are equal, in percent.
fn alike(before: &Body, after: &Body) -> usize {
    let (before, after) = (before.fields(), after.fields());
    let equal = before.iter().filter(|leaf| after.contains(leaf)).count();
    let all = before.len() + after.len() - equal;
    (equal * 100).checked_div(all).unwrap_or(0)
}
