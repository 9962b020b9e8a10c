//! What changes along with something else: dependents that asked for it, users of a volume.

use std::collections::{BTreeMap, VecDeque};

use schema::change::Class;
use schema::name::{InstanceName, VolumeName};
use schema::project::{Kind, OnChange};

use super::change::{Verdict, because};
use super::scene::{Pair, Scene};
use super::value::{Action, Cause};
use crate::observe::Seen;

/// The verdict of each instance that is judged.
pub(super) type Verdicts<'a> = BTreeMap<&'a InstanceName, Verdict>;

/// Restarts what asked to be restarted with what it depends on, and the users of volumes that
/// change only while nobody uses them.
pub(super) fn restart_along(
    scene: &Scene<'_>,
    stopping_volumes: &BTreeMap<&VolumeName, &'static str>,
    verdicts: &mut Verdicts<'_>,
) {
    let followers = followers(scene);
    let mut open: VecDeque<InstanceName> = verdicts
        .iter()
        .filter(|(_, verdict)| is_interrupted(verdict))
        .map(|(name, _)| (*name).clone())
        .collect();
    for (name, pair) in &scene.chosen {
        let named = pair.want.into_iter().flat_map(|want| &want.mounts);
        let mut volumes = named.filter_map(|mount| mount.source.volume());
        let cause = volumes.find_map(|volume| Some((volume, stopping_volumes.get(volume)?)));
        if let Some((volume, what)) = cause
            && interrupt(verdicts, name, *pair, format!("restarts while {volume} {what}"))
        {
            open.push_back((*name).clone());
        }
    }
    while let Some(cause) = open.pop_front() {
        for follower in followers.get(&cause).into_iter().flatten() {
            let pair = scene.chosen[*follower];
            if interrupt(verdicts, follower, pair, format!("restarts with {cause}")) {
                open.push_back((*follower).clone());
            }
        }
    }
}

/// Tells whether an instance is away for a moment.
fn is_interrupted(verdict: &Verdict) -> bool {
    matches!(verdict.action, Some(Action::Start | Action::Restart | Action::Recreate))
}

/// Returns who restarts with each instance.
fn followers<'a>(scene: &Scene<'a>) -> BTreeMap<InstanceName, Vec<&'a InstanceName>> {
    let mut followers: BTreeMap<InstanceName, Vec<&InstanceName>> = BTreeMap::new();
    for (name, pair) in &scene.chosen {
        let needs = pair.want.into_iter().flat_map(|want| &want.depends_on);
        for (target, _) in needs.filter(|(_, need)| need.on_change == OnChange::Restart) {
            for (needed, _) in scene.meant(target) {
                followers.entry(needed.clone()).or_default().push(name);
            }
        }
    }
    followers
}

/// Restarts an instance that would otherwise run on; tells whether that was so.
fn interrupt(
    verdicts: &mut Verdicts<'_>,
    name: &InstanceName,
    pair: Pair<'_>,
    text: String,
) -> bool {
    let runs = pair.seen.is_some_and(Seen::is_alive);
    let is_job = pair.want.is_none_or(|want| want.kind == Kind::Job);
    let Some(verdict) = verdicts.get_mut(name).filter(|_| runs && !is_job) else { return false };
    if !matches!(verdict.action, None | Some(Action::Update)) {
        return false;
    }
    verdict.action = Some(Action::Restart);
    verdict.class = verdict.class.max(Class::Restart);
    verdict.reason = because("dependency", text);
    verdict.cause = Cause::Wish;
    true
}
