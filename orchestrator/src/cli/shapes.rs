//! A sandbox as tables and programs show it.

use schema::launch::Isolation;
use schema::lifecycle::Phase;
use schema::name::ProjectName;
use schema::project::{ArgumentList, Kind, Sandbox};
use schema::record::Bound;
use serde::Deserialize;

use crate::engine::SandboxView;
use crate::report::json::{self, rfc3339};

/// Returns the shape that programs read.
pub(crate) fn sandbox(view: &SandboxView, now_ms: u64, is_changed: bool) -> json::Sandbox {
    let record = view.record.as_ref();
    let definition = view.definition.as_ref();
    let started = record.and_then(|record| record.started_at_ms);
    let launch = launch(view);
    json::Sandbox {
        address: format!("sandbox.{}", view.name),
        project: view.project.to_string(),
        name: view.name.sandbox.to_string(),
        instance: view.name.index.map(|index| index.to_string()),
        id: view.machine_id.clone(),
        kind: kind(view.kind),
        image: definition.map(|sandbox| sandbox.root.short()).unwrap_or_default(),
        image_digest: view.image_digest.clone(),
        command: match &launch {
            Some(launch) => launch.workload.argv.clone(),
            None => definition.and_then(|sandbox| command(sandbox)),
        },
        phase: view.phase.as_str().to_ascii_lowercase(),
        reason: view.reason.clone(),
        stopping: view.stopping,
        health: record.filter(|_| view.alive).map_or("none", |record| record.health.as_str()),
        exit_code: view.exit_code,
        restarts: record.map_or(0, |record| record.restarts),
        generation: view.generation,
        observed: view.observed,
        pid: record.filter(|_| view.alive).map(|record| record.runtime.pid),
        created_at: view.created_at.clone(),
        started_at: started.map(rfc3339),
        ended_at: record.and_then(|record| record.ended_at_ms).map(rfc3339),
        uptime_ms: started.filter(|_| view.alive).map(|at| now_ms.saturating_sub(at)),
        ports: ports(view).to_vec(),
        labels: definition.map(|sandbox| sandbox.labels.clone()).unwrap_or_default(),
        security: definition.map_or("default", |sandbox| sandbox.security.as_str()),
        driver: view.driver.map(|(driver, _)| driver.as_str()),
        isolation: view.driver.map(|(_, isolation)| isolation_word(isolation)),
        protected: view.protected,
        ephemeral: launch.as_ref().is_some_and(|launch| launch.machine.ephemeral),
        attached: view.alive && launch.as_ref().is_some_and(|launch| launch.attached),
        definition: definition_word(view, is_changed),
    }
}

/// Returns what a sandbox publishes on the host: nothing while it rests.
pub(crate) fn ports(view: &SandboxView) -> &[Bound] {
    let record = view.record.as_ref().filter(|_| view.alive);
    record.map_or(&[], |record| &record.ports)
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Service => "service",
        Kind::Job => "job",
    }
}

/// Returns the word for what stands between a guest and the host.
pub(crate) const fn isolation_word(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::Hardware => "hardware",
        Isolation::Emulated => "emulated",
        Isolation::None => "none",
    }
}

fn definition_word(view: &SandboxView, is_changed: bool) -> &'static str {
    if view.project.as_str() == ProjectName::ADHOC {
        "imperative"
    } else if view.desired.is_none() {
        "removed"
    } else if is_changed {
        "changed"
    } else {
        "current"
    }
}

/// What is shown of a launch record; the rest of a thousand of them is not read.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Launched {
    attached: bool,
    machine: LaunchedMachine,
    workload: LaunchedWorkload,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct LaunchedMachine {
    ephemeral: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize)]
struct LaunchedWorkload {
    argv: Option<Vec<String>>,
}

/// Returns what the machine was launched with, where it was.
fn launch(view: &SandboxView) -> Option<Launched> {
    let bytes = std::fs::read(view.folder()?.file("launch")).ok()?;
    serde_json::from_slice(&bytes).ok()
}

fn command(definition: &Sandbox) -> Option<Vec<String>> {
    match &definition.command {
        ArgumentList::Words(words) => Some(words.clone()),
        ArgumentList::Image | ArgumentList::Nothing => None,
    }
}

/// Returns the phase as tables write it: `Stopped(requested)`, `Completed(0)`.
pub(crate) fn phase(phase: Phase, reason: Option<&str>, exit_code: Option<u8>) -> String {
    let why = match (phase, reason, exit_code) {
        (Phase::Completed, _, Some(code)) => Some(code.to_string()),
        (Phase::Completed | Phase::Ready, _, _) => None,
        (Phase::Failed, None, Some(code)) => Some(format!("exit {code}")),
        (_, reason, _) => reason.map(str::to_owned),
    };
    match why {
        Some(why) => format!("{}({why})", phase.as_str()),
        None => phase.as_str().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_says_why_where_that_matters() {
        for (given, expected) in [
            ((Phase::Ready, None, None), "Ready"),
            ((Phase::Stopped, Some("requested"), Some(137)), "Stopped(requested)"),
            ((Phase::Failed, Some("exit 3"), Some(3)), "Failed(exit 3)"),
            ((Phase::Failed, None, Some(3)), "Failed(exit 3)"),
            ((Phase::Completed, None, Some(0)), "Completed(0)"),
        ] {
            assert_eq!(phase(given.0, given.1, given.2), expected);
        }
    }
}
