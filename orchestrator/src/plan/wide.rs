//! What opens access further than it is: told always, refused where nothing may.

use schema::name::InstanceName;
use schema::widening;

use super::scene::{Pair, Scene};
use super::value::{Action, Address, Change, Refusal, Widening};
use super::wish::{Goal, MayWiden, Wish};

/// Returns what the changes open, and marks the fields that do it.
pub(super) fn widenings(wish: &Wish, scene: &Scene<'_>, changes: &mut [Change]) -> Vec<Widening> {
    if wish.goal != Goal::Up {
        return Vec::new();
    }
    let mut found = Vec::new();
    for change in changes {
        let Some(name) = change.address.sandbox() else { continue };
        let Some((name, pair)) = scene.chosen.get_key_value(name) else { continue };
        let opened = opened(*pair, change.action);
        for field in &mut change.fields {
            field.widens = opened.iter().any(|one| is_part(&one.path, &field.path));
        }
        found.extend(opened.into_iter().map(|one| told(wish, name, one)));
    }
    found
}

fn opened(pair: Pair<'_>, action: Action) -> Vec<widening::Widening> {
    let applied = pair.seen.and_then(|seen| seen.applied.as_ref());
    match (applied, pair.want) {
        (Some(before), Some(after)) if before == after => Vec::new(),
        (Some(before), Some(after)) => widening::widening(before, after),
        (None, Some(after)) if action == Action::Create => widening::grants(after),
        _ => Vec::new(),
    }
}

fn told(wish: &Wish, name: &InstanceName, one: widening::Widening) -> Widening {
    let place = wish.origins.nearest(&format!("sandbox.{}", name.sandbox), &one.path);
    Widening { address: Address::Sandbox(name.clone()), path: one.path, text: one.text, place }
}

/// Tells whether one path is the other, or stands above it.
fn is_part(one: &str, other: &str) -> bool {
    let above = |short: &str, long: &str| {
        long.strip_prefix(short).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    above(one, other) || above(other, one)
}

/// Returns a refusal for each, where nothing may be opened.
pub(super) fn refused(wish: &Wish, widenings: &[Widening]) -> Vec<Refusal> {
    if wish.selection.widening == MayWiden::Told {
        return Vec::new();
    }
    let refusal = |one: &Widening| Refusal {
        address: Some(one.address.clone()),
        word: "",
        code: "msb::plan::widening",
        text: format!("opens access: {}", one.text),
        hint: Some("Leave `--deny-widening` out if that is meant.".to_owned()),
        place: one.place.clone(),
    };
    widenings.iter().map(refusal).collect()
}
