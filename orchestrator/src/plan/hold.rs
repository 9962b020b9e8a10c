//! What a loop leaves as it is: changes that nobody agreed to, and what failed a moment ago.

use std::collections::BTreeSet;

use schema::change::Class;
use schema::name::{InstanceName, VolumeName};

use super::along::Verdicts;
use super::scene::Scene;
use super::value::{Action, Address, Change};
use super::volume::VolumeVerdict;
use super::wish::Wish;
use super::{change_of, volume_change};

/// What may not be done this time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hold {
    /// Whether machines may be made anew.
    pub recreate: May,
    /// Whether what left the file may go.
    pub destroy: May,
    /// Those that rest until they are tried again.
    pub resting: BTreeSet<InstanceName>,
}

/// Whether something may be done without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum May {
    /// It may.
    Do,
    /// It is shown and left undone.
    #[default]
    Not,
}

impl Hold {
    fn holds(&self, action: Action, class: Class, address: &Address) -> bool {
        let resting = address.sandbox().is_some_and(|name| self.resting.contains(name));
        let forbidden = match action {
            _ if class == Class::DataLoss => true,
            Action::Recreate => self.recreate == May::Not,
            Action::Destroy => self.destroy == May::Not,
            Action::Trash => true,
            Action::Create
            | Action::Start
            | Action::Update
            | Action::Restart
            | Action::Stop
            | Action::Forget
            | Action::Move => false,
        };
        resting || forbidden
    }
}

/// Takes what is held out of the verdicts; it counts as it is, and nothing follows from it.
pub(super) fn sandboxes(
    wish: &Wish,
    scene: &Scene<'_>,
    verdicts: &mut Verdicts<'_>,
) -> Vec<Change> {
    let Some(hold) = &wish.selection.hold else { return Vec::new() };
    let mut held = Vec::new();
    for (name, verdict) in verdicts.iter_mut() {
        let Some(change) = change_of(wish, (name, scene.chosen[*name]), verdict) else { continue };
        // What a restart policy makes anew is agreed to by the file: it is held no more than a start.
        let by_policy = change.reason.code == "restarts";
        let action = if by_policy { Action::Start } else { change.action };
        if hold.holds(action, change.class, &change.address) {
            verdict.action = None;
            held.push(change);
        }
    }
    held
}

/// As [`sandboxes`], of volumes.
pub(super) fn volumes(
    wish: &Wish,
    observed: &crate::observe::Observed,
    verdicts: &mut [(&VolumeName, VolumeVerdict)],
) -> Vec<Change> {
    let Some(hold) = &wish.selection.hold else { return Vec::new() };
    let mut held = Vec::new();
    for (name, verdict) in verdicts {
        let VolumeVerdict::Change(change) = verdict else { continue };
        let address = Address::Volume((*name).clone());
        if hold.holds(change.action, change.class, &address) {
            held.push(volume_change(wish, observed, (name, change.clone())));
            *verdict = VolumeVerdict::InOrder;
        }
    }
    held
}
