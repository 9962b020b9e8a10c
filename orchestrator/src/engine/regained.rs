//! Wishes that came back to what holds: nothing is to be done, and the rows still tell of another.
//!
//! A run that fails leaves its wish in the rows. Where the next one wishes for
//! what was applied before, the rows say so again, or a later command without
//! a file would go on with what was given up. A new name alone is no work either.

use schema::lifecycle::Phase;

use crate::observe::{Observed, Seen};
use crate::plan::{Action, Address, Goal, Plan, Wish};
use crate::store::inventory::SandboxRow;

/// Returns the rows of those that are in order and whose last wish was another one.
pub(crate) fn regained(wish: &Wish, planned: &Plan, observed: &Observed) -> Vec<SandboxRow> {
    if wish.goal != Goal::Up {
        return Vec::new();
    }
    let names = planned.unchanged.iter().filter_map(Address::sandbox);
    let rows = names.filter_map(|name| {
        let (want, seen) = (wish.project.sandboxes.get(name)?, observed.sandboxes.get(name)?);
        let row = &seen.row;
        let is_known = row.desired == row.applied || row.desired.as_deref() == Some(want.digest());
        if is_known {
            return None;
        }
        let generation = row.generation + 1;
        let observed = if is_there(seen) { generation } else { row.observed };
        Some(SandboxRow { desired: row.applied.clone(), generation, observed, ..row.clone() })
    });
    rows.collect()
}

/// Returns the row of a sandbox that changes, with what is wished for it now.
///
/// Steps tell when a wish holds; a change that only gives another name has none.
pub(crate) fn wished(action: Action, seen: &Seen, desired: Option<String>) -> SandboxRow {
    let row = &seen.row;
    let generation = row.generation + u64::from(row.desired != desired);
    let holds = action == Action::Move && is_there(seen);
    let observed = if holds { generation } else { row.observed };
    SandboxRow { desired, generation, observed, ..row.clone() }
}

/// Tells whether a sandbox is where it was to come; what has not come yet is told by its gate.
fn is_there(seen: &Seen) -> bool {
    matches!(seen.phase(), Phase::Ready | Phase::Degraded | Phase::Completed)
}
