//! How a changing command ended, as a table or as one document.

use std::fmt::Write as _;
use std::time::Duration;

use schema::change::Class;
use schema::name::ProjectName;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::following::Followed;
use super::{aftermath, shapes};
use crate::context::Clock as _;
use crate::engine::{Kept, Outcome, ResultRow, Verb};
use crate::plan::{Summary, json as plan_json};
use crate::report::human::{self, Table};
use crate::report::json::{self, rfc3339};
use crate::report::time;

/// Prints how a run of `command` ended and returns its code.
///
/// # Errors
/// What failed, each with its own block.
pub(crate) fn tell(call: &Call, command: &str, followed: &Followed) -> Ending {
    let (code, document) = said(call, command, followed);
    end(call, command, code, &document);
    Ok(code)
}

/// Prints for people how a run of `command` ended; returns its code, and what programs read.
pub(crate) fn said(call: &Call, command: &str, followed: &Followed) -> (u8, Value) {
    let outcome = &followed.outcome;
    let code = code(followed);
    if call.report.is_text() {
        call.report.out(&text(command, outcome, call.report.width()));
        if command == "down" {
            call.report.out(&volumes(call, outcome));
        }
    }
    aftermath::tell(call, command, outcome);
    (code, document(call, command, followed, code))
}

/// Returns the one code of several: 0 where all ended well, their common one, else 1.
pub(crate) fn common(codes: &[u8]) -> u8 {
    let mut bad = codes.iter().filter(|code| **code != 0);
    match bad.next() {
        None => 0,
        Some(first) if bad.all(|code| code == first) => *first,
        Some(_) => 1,
    }
}

/// Prints the result that programs read: the last event where there are events, else a document.
pub(crate) fn end(call: &Call, command: &str, code: u8, document: &Value) {
    let now_ms = call.context.clock.unix_ms();
    let (message, report) = (format!("{command} ended with {code}"), &call.report);
    report.hello(now_ms, command, None);
    let facts = json!({ "exit_code": code, "result": document });
    report.event(now_ms, ("result", &message), &facts);
    if !report.is_text() && !report.is_told_as_events() {
        report.document(document);
    }
}

/// Returns the document of a project's command that came to nothing.
pub(crate) fn nothing(command: &str, project: Option<&ProjectName>, code: u8) -> Value {
    json!({
        "format_version": json::FORMAT_VERSION,
        "command": command, "ok": code == 0, "exit_code": code, "interrupted": code == 130,
        "project": {"id": null, "name": project, "path": null}, "run": null,
        "plan_hash": null, "recovered": 0, "summary": Summary::default(),
        "results": [], "kept": [], "trashed": [], "blockers": [], "warnings": [],
        "duration_ms": 0,
    })
}

/// Returns the exit code; a signal brings its own.
pub(crate) fn code(followed: &Followed) -> u8 {
    match followed.signal {
        Some(signal) if followed.outcome.interrupted => u8::try_from(128 + signal).unwrap_or(1),
        Some(_) | None => followed.outcome.exit_code(),
    }
}

/// Returns the failure of one row.
pub(crate) fn failure(row: &ResultRow) -> Option<Failure> {
    let trouble = row.trouble.clone().filter(|_| row.verb != Verb::Skipped)?;
    let mut failure = Failure::from(trouble);
    failure.address.get_or_insert_with(|| row.address.to_string());
    Some(failure)
}

/// Returns the failures of all rows, where there are any.
///
/// # Errors
/// The failures.
pub(crate) fn failures(outcome: &Outcome) -> Result<(), Failures> {
    let failures: Vec<Failure> = outcome.results.iter().filter_map(failure).collect();
    if failures.is_empty() { Ok(()) } else { Err(Failures(failures)) }
}

fn text(command: &str, outcome: &Outcome, width: Option<usize>) -> String {
    let title = match command {
        "up" => "Up",
        "down" => "Down",
        other => other,
    };
    let unchanged = outcome.plan.unchanged.len();
    let shown: Vec<&ResultRow> =
        outcome.results.iter().filter(|row| row.verb != Verb::Unchanged).collect();
    let spent = human::duration(outcome.took);
    if shown.is_empty() {
        return match unchanged {
            0 => format!("{title}: nothing to do\n"),
            count => format!("{title}: nothing to do, {count} unchanged in {spent}\n"),
        };
    }
    let is_down = command == "down";
    let heads: &[&str] = if is_down {
        &["SANDBOX", "RESULT", "TIME", "DETAIL"]
    } else {
        &["SANDBOX", "RESULT", "PHASE", "TIME", "DETAIL"]
    };
    let mut table = Table::new(heads);
    for row in &shown {
        let mut cells = vec![row.address.name(), row.verb.as_str().to_owned()];
        if !is_down {
            let phase = row.phase;
            let phase =
                phase.map(|phase| shapes::phase(phase, row.reason.as_deref(), row.exit_code));
            cells.push(phase.unwrap_or_default());
        }
        cells.push(if row.took.is_zero() { String::new() } else { human::duration(row.took) });
        cells.push(detail(row));
        table.row(cells);
    }
    let done = if is_down { "destroyed" } else { "done" };
    format!("{}{title}: {} in {spent}\n", table.text(width), counts(&shown, unchanged, done))
}

fn detail(row: &ResultRow) -> String {
    match (&row.trouble, &row.blocked_by) {
        (_, Some(cause)) => format!("{} failed", cause.name()),
        (Some(trouble), None) => format!("{}: {}", trouble.report.stage, trouble.report.message),
        (None, None) if row.detail.is_empty() && row.verb == Verb::Completed => String::new(),
        (None, None) => row.detail.clone(),
    }
}

fn counts(rows: &[&ResultRow], unchanged: usize, word: &str) -> String {
    let of = |verbs: &[Verb]| rows.iter().filter(|row| verbs.contains(&row.verb)).count();
    let trashed = of(&[Verb::Trashed]);
    let bad = [Verb::Failed, Verb::Skipped, Verb::Interrupted, Verb::NotReady];
    let named = [
        (rows.len() - of(&bad) - trashed, word),
        (trashed, "trashed"),
        (of(&[Verb::Failed]), "failed"),
        (of(&[Verb::NotReady]), "not ready"),
        (of(&[Verb::Skipped]), "skipped"),
        (of(&[Verb::Interrupted]), "interrupted"),
        (unchanged, "unchanged"),
    ];
    let named = named.iter().filter(|(count, _)| *count > 0);
    named.map(|(count, word)| format!("{count} {word}")).collect::<Vec<_>>().join(", ")
}

/// Says which volumes can be taken back, and which stay.
fn volumes(call: &Call, outcome: &Outcome) -> String {
    if outcome.results.is_empty() {
        return String::new();
    }
    let listed = |volumes: &[Kept]| {
        let bytes = volumes.iter().map(|volume| volume.bytes).sum();
        let names: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
        let count = human::count(names.len(), "volume");
        format!("{count} ({}): {}.", human::size(bytes), names.join(", "))
    };
    let mut text = String::new();
    if !outcome.trashed.is_empty() {
        let until = time::local(restorable_until_ms(call, outcome));
        let listed = listed(&outcome.trashed);
        let _ = writeln!(text, "Trashed: {listed} Restore until {until} with msb volume restore.");
    }
    if !outcome.kept.is_empty() {
        let _ = writeln!(text, "Kept: {}", listed(&outcome.kept));
    }
    text
}

/// Returns until when what was trashed can be restored for certain.
fn restorable_until_ms(call: &Call, outcome: &Outcome) -> u64 {
    let began = call.context.clock.unix_ms().saturating_sub(ms(outcome.took));
    began.saturating_add(ms(call.trash_kept()))
}

fn document(call: &Call, command: &str, followed: &Followed, code: u8) -> Value {
    let outcome = &followed.outcome;
    let head = &outcome.plan.head;
    let project = head.name.as_str();
    let now = rfc3339(call.context.clock.unix_ms());
    let results: Vec<Value> = outcome
        .results
        .iter()
        .map(|row| {
            let mut value = serde_json::to_value(shape(row, project, &now)).unwrap_or(Value::Null);
            value["ports"] = json!(row.ports);
            value
        })
        .collect();
    let blockers: Vec<Value> = outcome
        .blockers
        .iter()
        .map(|blocker| {
            json!({
                "address": blocker.address.to_string(),
                "phase": blocker.phase.map(|phase| phase.as_str().to_ascii_lowercase()),
                "reason": blocker.reason,
                "since": blocker.since_ms.map(rfc3339),
                "probe": blocker.probe,
                "waiting": blocker.waiting.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })
        })
        .collect();
    let kept: Vec<Value> = outcome
        .kept
        .iter()
        .map(|kept| json!({"address": format!("volume.{}", kept.name), "size_bytes": kept.bytes}))
        .collect();
    let until = rfc3339(restorable_until_ms(call, outcome));
    let trashed: Vec<Value> = outcome
        .trashed
        .iter()
        .map(|volume| {
            let address = format!("volume.{}", volume.name);
            json!({"address": address, "size_bytes": volume.bytes, "restore_until": until})
        })
        .collect();
    json!({
        "format_version": json::FORMAT_VERSION,
        "command": command,
        "ok": code == 0,
        "exit_code": code,
        "interrupted": outcome.interrupted,
        "project": {"id": head.id, "name": head.name, "path": head.path},
        "run": outcome.run,
        "plan_hash": plan_json::hash(&outcome.plan),
        "recovered": outcome.recovered,
        "summary": outcome.plan.summary(),
        "results": results,
        "kept": kept,
        "trashed": trashed,
        "blockers": blockers,
        "warnings": outcome.plan.warnings,
        "duration_ms": ms(outcome.took),
    })
}

/// Returns a row as programs read it.
pub(crate) fn shape(row: &ResultRow, project: &str, now: &str) -> json::Outcome {
    let result = match row.verb {
        Verb::Interrupted => "not-started",
        verb => verb.as_str(),
    };
    let class = (row.class != Class::None).then(|| {
        let word = serde_json::to_value(row.class).ok();
        word.and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
    });
    json::Outcome {
        address: row.address.to_string(),
        project: project.to_owned(),
        result,
        class,
        phase: row.phase.map(|phase| phase.as_str().to_ascii_lowercase()),
        reason: row.reason.clone(),
        forced: row.forced,
        exit_code: row.exit_code,
        signal: row.exit_code.and_then(|code| code.checked_sub(128)).filter(|_| row.forced),
        blocked_by: row.blocked_by.iter().map(ToString::to_string).collect(),
        duration_ms: Some(ms(row.took)),
        observed_at: now.to_owned(),
        error: failure(row).map(|failure| failure.object()),
    }
}

/// Returns a time in milliseconds.
pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
