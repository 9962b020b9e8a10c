//! What `start`, `stop`, `restart` and `rm` share: targets by project, one run each, one line each.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use schema::name::ProjectName;
use schema::units::Millis;

use super::call::Call;
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::outcome::ms;
use super::targets::Targets;
use super::{following, outcome, shapes};
use crate::context::Clock as _;
use crate::engine::{ResultRow, SandboxView, Verb, Wait};
use crate::plan::{Address, Goal};
use crate::report::human;
use crate::report::json::{self, rfc3339};

/// What is wanted of the targets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// The command.
    pub(crate) command: &'static str,
    /// What is wanted.
    pub(crate) goal: Goal,
    /// What is waited for.
    pub(crate) wait: Wait,
    /// The grace of every stop.
    pub(crate) grace: Option<Duration>,
}

/// Does it to everything that was chosen.
pub(crate) fn run(call: &Call, targets: &Targets, change: Change, dry: Dry) -> Ending {
    let found = targets.find(call)?;
    if dry.dry_run {
        dry::show_for(call, &found, change.goal)
    } else {
        run_on(call, &found, change)
    }
}

/// Does it to these and says what became of each.
pub(crate) fn run_on(call: &Call, found: &[SandboxView], change: Change) -> Ending {
    let (rows, failures, code) = quietly(call, found, change)?;
    if call.report.is_text() {
        tell(call, &rows);
    }
    failures.iter().for_each(|failure| call.report.failure(failure));
    outcome::end(call, change.command, code, &serde_json::json!(rows));
    Ok(code)
}

/// Does it to these; each target is handled, whatever becomes of the others.
pub(crate) fn quietly(
    call: &Call,
    found: &[SandboxView],
    change: Change,
) -> Result<Done, Failures> {
    let mut projects: BTreeMap<&ProjectName, Vec<&SandboxView>> = BTreeMap::new();
    for view in found {
        projects.entry(&view.project).or_default().push(view);
    }
    let mut rows: Vec<json::Outcome> = Vec::new();
    let (mut failures, mut codes) = (Vec::new(), Vec::new());
    for (project, views) in projects {
        match in_project(call, project, &views, change) {
            Ok((done, failed, code)) => {
                rows.extend(done);
                failures.extend(failed);
                codes.push(code);
            }
            Err(Failures(all)) => {
                codes.push(all.first().map_or(1, Failure::exit_code));
                failures.extend(all);
            }
        }
    }
    Ok((rows, failures, outcome::common(&codes)))
}

/// What became of the targets: a row each, what failed, and the code.
pub(crate) type Done = (Vec<json::Outcome>, Vec<Failure>, u8);

fn in_project(
    call: &Call,
    project: &ProjectName,
    views: &[&SandboxView],
    change: Change,
) -> Result<Done, Failures> {
    let wish = dry::wish(call, project, views, change.goal)?;
    let mut options = following::options(call, change.command);
    options.consents.yes = true;
    options.wait = change.wait;
    options.grace = change.grace.map(|time| Millis(ms(time)));
    let followed = following::apply(call, wish, options)?;
    let code = outcome::code(&followed);
    if followed.outcome.interrupted {
        let command = change.command;
        call.report.trouble(&format!("interrupted: run msb {command} again to go on\n"));
    }
    let now = rfc3339(call.context.clock.unix_ms());
    let results = &followed.outcome.results;
    let mut rows: Vec<json::Outcome> =
        results.iter().map(|row| outcome::shape(row, project.as_str(), &now)).collect();
    for view in views {
        let address = Address::Sandbox(view.name.clone());
        if !results.iter().any(|row| row.address == address) {
            rows.push(unchanged(view, &now));
        }
    }
    let failures: Vec<Failure> = results.iter().filter_map(outcome::failure).collect();
    let failures = failures.into_iter().map(|failure| not_twice(failure, results)).collect();
    Ok((rows, failures, code))
}

/// A failure that waits ended in says the phase it was left in.
fn not_twice(failure: Failure, rows: &[ResultRow]) -> Failure {
    let late = rows
        .iter()
        .any(|row| row.verb == Verb::NotReady && Some(row.address.to_string()) == failure.address);
    if late { failure.note("it goes on starting; see it with `msb ps`") } else { failure }
}

fn unchanged(view: &SandboxView, now: &str) -> json::Outcome {
    json::Outcome {
        address: format!("sandbox.{}", view.name),
        project: view.project.to_string(),
        result: "unchanged",
        class: None,
        phase: Some(view.phase.as_str().to_ascii_lowercase()),
        reason: view.reason.clone(),
        forced: false,
        exit_code: view.exit_code,
        signal: None,
        blocked_by: Vec::new(),
        duration_ms: None,
        observed_at: now.to_owned(),
        error: None,
    }
}

/// Prints a line for each target, or the array.
pub(crate) fn tell(call: &Call, rows: &[json::Outcome]) {
    if !call.report.is_text() {
        call.report.document(&rows);
        return;
    }
    for row in rows {
        let name = row.address.split_once('.').map_or(row.address.as_str(), |(_, name)| name);
        let time = row.duration_ms.map(human::millis).unwrap_or_else(|| "-".to_owned());
        let mut line = format!("{name}  {}  {time}", row.result);
        if row.forced && row.result != "killed" {
            line.push_str("  forced: it did not stop within its grace");
        } else if let Some(reason) = row.reason.as_deref().filter(|_| row.result == "unchanged") {
            let _ = write!(line, "  {}", phase_of(row, reason));
        }
        call.report.line(&line);
    }
}

fn phase_of(row: &json::Outcome, reason: &str) -> String {
    let phase = row.phase.as_deref().unwrap_or("absent");
    let known = schema::lifecycle::Phase::ALL.into_iter();
    let known = known.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(phase));
    known.map_or_else(String::new, |known| shapes::phase(known, Some(reason), row.exit_code))
}
