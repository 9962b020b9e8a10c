//! What is said of a run that did not come to its end: what failed, who waited for it, what it
//! wrote last, and how to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use schema::name::InstanceName;
use serde_json::json;

use super::call::Call;
use super::failure::Failure;
use super::{outcome, shapes};
use crate::context::Clock as _;
use crate::engine::{Blocker, Outcome, Verb};
use crate::follow::{Entry, Logs, Source};
use crate::machines::Folder;
use crate::plan::Address;
use crate::report::Report;
use crate::report::human;

/// How many last lines of a sandbox are shown.
const LAST_LINES: usize = 20;

/// How many causes are named in the last line.
const NAMED_MAX: usize = 3;

/// Says what went wrong, each with its own block, then each cause with those who waited for it.
pub(super) fn tell(call: &Call, command: &str, outcome: &Outcome) {
    let failures: Vec<Failure> = outcome.results.iter().filter_map(outcome::failure).collect();
    for failure in &failures {
        call.report.failure(failure);
    }
    let now_ms = call.context.clock.unix_ms();
    let folders = if command == "up" { folders(call, outcome) } else { BTreeMap::new() };
    for blocker in &outcome.blockers {
        tell_blocked(call, blocker, outcome, now_ms);
        let name = blocker.address.sandbox();
        let last = name.and_then(|name| folders.get(name)).map(last_lines).unwrap_or_default();
        call.report.trouble(&block(&call.report, blocker, outcome.took, (&last, now_ms)));
    }
    if let Some(line) = go_on(command, outcome) {
        call.report.trouble(&format!("{line}\n"));
    }
}

/// Says how a run that failed, or was interrupted, is gone on with.
pub(super) fn go_on(command: &str, outcome: &Outcome) -> Option<String> {
    if outcome.interrupted {
        return Some(format!("interrupted: run msb {command} again to go on"));
    }
    let of = |how: Verb| outcome.blockers.iter().filter(move |one| one.how == how);
    let failed: Vec<String> = of(Verb::Failed).map(|one| one.address.name()).collect();
    let late: Vec<String> = of(Verb::NotReady).map(|one| one.address.name()).collect();
    match (failed.as_slice(), late.as_slice()) {
        ([], []) => None,
        ([], [first, ..]) => Some(format!(
            "next: wait on with msb wait {first} --for ready, or run msb {command} again"
        )),
        (failed, _) => Some(format!("next: mend {}, then run msb {command} again", few(failed))),
    }
}

/// Returns the first of some names: `db, web and 4 more`.
fn few(names: &[String]) -> String {
    let first = names.iter().take(NAMED_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMED_MAX) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

/// Tells programs who is blocked on whom.
fn tell_blocked(call: &Call, blocker: &Blocker, outcome: &Outcome, now_ms: u64) {
    let row = outcome.results.iter().find(|row| row.address == blocker.address);
    let error = row.and_then(|row| row.trouble.as_ref()).map(|t| t.report.message.clone());
    let on = blocker.address.to_string();
    let facts = |address: &Address| {
        let last_error = blocker.probe.as_ref().or(error.as_ref());
        json!({ "address": address.to_string(), "on": on, "last_error": last_error })
    };
    for waiting in &blocker.waiting {
        let message = format!("{} waits for {}", waiting.name(), blocker.address.name());
        call.report.event(now_ms, ("blocked", &message), &facts(waiting));
    }
}

/// Returns the chain of those who wait, how its cause is and what that wrote last.
fn block(
    report: &Report,
    blocker: &Blocker,
    took: Duration,
    (last, now_ms): (&[Entry], u64),
) -> String {
    let name = blocker.address.name();
    let how = if blocker.how == Verb::Failed { "failed" } else { "not ready" };
    let chain: Vec<String> = blocker.chain.iter().map(Address::name).collect();
    let mut text =
        format!("{how} after {}: {}\n", human::duration(took), chain.join(" waits for "));
    if let Some(phase) = blocker.phase {
        let phase = shapes::phase(phase, blocker.reason.as_deref(), None);
        let _ = write!(text, "  {name}  {phase}");
        if let Some(since) = blocker.since_ms {
            let _ = write!(text, " {}", human::millis(now_ms.saturating_sub(since)));
        }
        if let Some(probe) = &blocker.probe {
            let _ = write!(text, ", probe {}", report.guest(probe));
        }
        text.push('\n');
    }
    for entry in last {
        let line = String::from_utf8_lossy(&entry.bytes);
        let _ = writeln!(text, "    | {}", report.guest(&line));
    }
    let others: Vec<String> = blocker
        .waiting
        .iter()
        .filter(|one| !blocker.chain.contains(one))
        .map(Address::name)
        .collect();
    if !others.is_empty() {
        let _ = writeln!(text, "  waiting for it too: {}", others.join(", "));
    }
    if blocker.address.sandbox().is_some() {
        let _ = writeln!(text, "  next: msb logs {name} --tail 200");
    }
    text
}

/// Returns where the machine of each sandbox of the project is: one look for all that failed.
fn folders(call: &Call, outcome: &Outcome) -> BTreeMap<InstanceName, Folder> {
    if outcome.blockers.is_empty() {
        return BTreeMap::new();
    }
    let views = call.engine.sandboxes(Some(&outcome.plan.head.name)).unwrap_or_default();
    views.into_iter().filter_map(|view| Some((view.name.clone(), view.folder()?))).collect()
}

/// Returns what a machine wrote last.
fn last_lines(folder: &Folder) -> Vec<Entry> {
    let sources: BTreeSet<Source> = [Source::Stdout, Source::Stderr, Source::Output].into();
    let mut entries = Logs::open(folder.path(), &sources, 0).read();
    entries.retain(|entry| sources.contains(&entry.source));
    entries.split_off(entries.len().saturating_sub(LAST_LINES))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_names_the_first_few() {
        let names = |count: usize| (0..count).map(|n| format!("s{n}")).collect::<Vec<_>>();
        assert_eq!(few(&names(1)), "s0");
        assert_eq!(few(&names(3)), "s0, s1, s2");
        assert_eq!(few(&names(7)), "s0, s1, s2 and 4 more");
    }
}
