//! What a plan needs said aloud, and whether it was.

use schema::change::Class;

use crate::plan::{Action, Address, Goal, Plan, Wish};

/// What was consented to by flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Consents {
    /// Recreating and destroying.
    pub yes: bool,
    /// Losing data.
    pub delete_data: bool,
}

/// One thing that needs consent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// These are made anew or go.
    Replace(Vec<Address>),
    /// Bytes of these volumes go.
    DataLoss(Vec<Address>),
}

/// The answer of a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Given,
    /// No, or nobody could be asked.
    Denied,
    /// The input ended, or Ctrl-C.
    Ended,
}

impl Need {
    /// Returns the flag that says it.
    #[must_use]
    pub const fn flag(&self) -> &'static str {
        match self {
            Self::Replace(_) => "-y",
            Self::DataLoss(_) => "--yes-delete-data",
        }
    }

    /// Returns the code of its refusal.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Replace(_) => "msb::consent::needed",
            Self::DataLoss(_) => "msb::consent::data-loss",
        }
    }
}

/// Returns what the plan still needs said, in the order it is asked.
///
/// To name a sandbox in `down` or `rm` is the consent, and a job that runs
/// again loses nothing that a run of it left.
#[must_use]
pub fn needed(wish: &Wish, plan: &Plan, given: Consents) -> Vec<Need> {
    let mut needs = Vec::new();
    if wish.goal == Goal::Up && !given.yes {
        let replaced = plan.changes.iter().filter(|change| {
            let runs_again = change.kind == Some(schema::project::Kind::Job)
                && change.reason.code == "not-running";
            // `then "recreate"` in the file is the consent.
            let by_policy = change.reason.code == "restarts";
            let replaces = matches!(change.action, Action::Recreate | Action::Destroy);
            replaces && !runs_again && !by_policy
        });
        let addresses: Vec<Address> = replaced.map(|change| change.address.clone()).collect();
        if !addresses.is_empty() {
            needs.push(Need::Replace(addresses));
        }
    }
    let lost = plan.changes.iter().filter(|change| change.class == Class::DataLoss);
    let addresses: Vec<Address> = lost.map(|change| change.address.clone()).collect();
    if !addresses.is_empty() && !given.delete_data {
        needs.push(Need::DataLoss(addresses));
    }
    needs
}
