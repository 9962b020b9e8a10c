//! Who waits for whom at the end of a run that did not come to its end, down to the causes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::outcome::{Blocker, Outcome, ResultRow, Verb};
use crate::context::Context;
use crate::plan::Address;

/// What each thing depends on.
type Needs<'a> = BTreeMap<&'a Address, &'a [Address]>;

/// Finds what stands in the way, the one with the longest chain first, and says how each is.
pub(super) async fn find(context: &Context, outcome: &mut Outcome) {
    let changes = outcome.plan.changes.iter();
    let needs = changes.map(|change| (&change.address, &change.depends_on[..])).collect();
    let mut blockers = standing(&needs, &outcome.results);
    if blockers.is_empty() {
        return;
    }
    let engine = super::Engine::new(context.clone());
    let views = engine.sandboxes(Some(&outcome.plan.head.name)).unwrap_or_default();
    for blocker in &mut blockers {
        let Some(name) = blocker.address.sandbox() else { continue };
        let Some(view) = views.iter().find(|view| view.name == *name) else { continue };
        blocker.phase = Some(view.phase);
        blocker.reason.clone_from(&view.reason);
        blocker.since_ms = view.record.as_ref().map(|record| record.since_ms);
        if let (Some(machine), Verb::NotReady) = (view.machine(), blocker.how) {
            blocker.probe = machine.last_probe().await;
        }
    }
    outcome.blockers = blockers;
}

/// Returns what failed, or is not ready and waits for nothing else that is not.
fn standing(needs: &Needs<'_>, rows: &[ResultRow]) -> Vec<Blocker> {
    let bad = |row: &&ResultRow| matches!(row.verb, Verb::Failed | Verb::NotReady);
    let late: BTreeSet<&Address> = rows.iter().filter(bad).map(|row| &row.address).collect();
    let is_cause = |row: &&ResultRow| {
        let waits =
            || needs.get(&row.address).is_some_and(|on| on.iter().any(|a| late.contains(a)));
        bad(row) && (row.trouble.is_some() || row.verb == Verb::Failed || !waits())
    };
    let causes: BTreeSet<&Address> = rows.iter().filter(is_cause).map(|r| &r.address).collect();
    let waits = |row: &&ResultRow| {
        matches!(row.verb, Verb::Skipped | Verb::NotReady) && !causes.contains(&row.address)
    };
    let waiters: BTreeMap<&Address, &ResultRow> =
        rows.iter().filter(waits).map(|row| (&row.address, row)).collect();
    let blocker = |row: &ResultRow| {
        let depths = depths(&row.address, &waiters, needs);
        let mut waiting: Vec<&Address> = depths.keys().copied().collect();
        waiting.sort_by_key(|one| (depths[one], *one));
        let mut chain: Vec<Address> =
            waiting.last().map(|one| (*one).clone()).into_iter().collect();
        while let Some(next) = chain.last().and_then(|last| next(last, &depths, needs)) {
            chain.push(next.clone());
        }
        chain.push(row.address.clone());
        Blocker {
            address: row.address.clone(),
            how: row.verb,
            phase: row.phase,
            reason: row.reason.clone(),
            since_ms: None,
            probe: None,
            waiting: waiting.into_iter().cloned().collect(),
            chain,
        }
    };
    let mut blockers: Vec<Blocker> = rows.iter().filter(is_cause).map(blocker).collect();
    blockers.sort_by_key(|blocker| Reverse(blocker.chain.len()));
    blockers
}

/// Returns who waits for `cause`, each with the number of links between.
fn depths<'a>(
    cause: &'a Address,
    waiters: &BTreeMap<&'a Address, &'a ResultRow>,
    needs: &Needs<'a>,
) -> BTreeMap<&'a Address, usize> {
    let mut depths: BTreeMap<&Address, usize> = waiters
        .values()
        .filter(|row| row.blocked_by.as_ref() == Some(cause))
        .map(|row| (&row.address, 1))
        .collect();
    // Each round finds those one link further; dependencies have no cycles.
    for round in 1..=waiters.len() {
        let is_behind = |one: &Address| match round {
            1 => one == cause,
            _ => depths.get(one) == Some(&(round - 1)),
        };
        let further: Vec<&Address> = waiters
            .keys()
            .filter(|one| needs.get(**one).is_some_and(|on| on.iter().any(is_behind)))
            .copied()
            .collect();
        if further.is_empty() && round > 1 {
            break;
        }
        for one in further {
            depths.insert(one, round);
        }
    }
    depths
}

/// Returns what `one` waits for on the longest way.
fn next<'a>(
    one: &Address,
    depths: &BTreeMap<&'a Address, usize>,
    needs: &Needs<'a>,
) -> Option<&'a Address> {
    let depth = depths.get(one)?;
    let on = *needs.get(one)?;
    on.iter().find(|next| depths.get(next).is_some_and(|of| of + 1 == *depth))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use schema::change::Class;

    use super::*;

    fn address(name: &str) -> Address {
        Address::parse(&format!("sandbox.{name}")).unwrap()
    }

    fn row(name: &str, verb: Verb, blocked_by: Option<&str>) -> ResultRow {
        ResultRow {
            address: address(name),
            verb,
            class: Class::None,
            phase: None,
            reason: None,
            exit_code: None,
            forced: false,
            ports: Vec::new(),
            blocked_by: blocked_by.map(address),
            took: Duration::ZERO,
            detail: String::new(),
            trouble: None,
        }
    }

    /// Returns each cause as `CHAIN; all that wait`, where `web` needs `api`, and that and `seed` need `db`.
    fn told(rows: &[ResultRow]) -> Vec<String> {
        let all = ["web", "api", "seed", "db"].map(address);
        let on = [vec![address("api")], vec![address("db")], vec![address("db")], vec![]];
        let needs = all.iter().zip(on.iter().map(Vec::as_slice)).collect();
        let names = |all: &[Address], between: &str| {
            all.iter().map(Address::name).collect::<Vec<_>>().join(between)
        };
        let blockers = standing(&needs, rows);
        let told = blockers.iter();
        told.map(|one| format!("{}; {}", names(&one.chain, " > "), names(&one.waiting, " ")))
            .collect()
    }

    #[test]
    fn w5_the_deepest_cause_is_told_with_all_that_wait_for_it_once() {
        let late = ["web", "api", "seed", "db"].map(|name| row(name, Verb::NotReady, None));
        assert_eq!(told(&late), ["web > api > db; api seed web"]);
    }

    #[test]
    fn a5_what_was_skipped_waits_for_what_failed() {
        let rows = [
            row("web", Verb::Skipped, Some("db")),
            row("api", Verb::Skipped, Some("db")),
            row("seed", Verb::Completed, None),
            row("db", Verb::Failed, None),
        ];
        assert_eq!(told(&rows), ["web > api > db; api web"]);
    }

    #[test]
    fn two_causes_are_told_apart_the_deeper_first() {
        let rows = [
            row("web", Verb::Skipped, Some("api")),
            row("api", Verb::Failed, None),
            row("seed", Verb::Failed, None),
            row("db", Verb::Created, None),
        ];
        assert_eq!(told(&rows), ["web > api; web", "seed; "]);
    }

    #[test]
    fn on_the_way_down_a_cause_is_known_by_what_it_blocked() {
        let rows = [row("web", Verb::Failed, None), row("db", Verb::Skipped, Some("web"))];
        assert_eq!(told(&rows), ["db > web; db"]);
    }

    #[test]
    fn what_is_well_has_no_causes() {
        assert_eq!(
            told(&[row("web", Verb::Created, None), row("db", Verb::Unchanged, None)]),
            [""; 0]
        );
    }
}
