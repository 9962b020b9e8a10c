//! Start the idle clock of sandboxes anew

use super::call::Call;
use super::changing;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::outcome::ms;
use super::targets::Targets;
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::machines::ControlError;
use crate::report::json::{self, rfc3339};

/// Start the idle clock of sandboxes anew
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
}

/// Says to each that somebody is there; takes no lock.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let found = args.targets.find(call)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    call.block_on(async {
        for view in &found {
            let started = call.context.clock.elapsed();
            let done = touch(view).await;
            let took = ms(call.context.clock.elapsed().saturating_sub(started));
            let now = rfc3339(call.context.clock.unix_ms());
            rows.push(row(view, done.is_ok(), took, now));
            failures.extend(done.err());
        }
    })?;
    changing::tell(call, &rows);
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

async fn touch(view: &SandboxView) -> Result<(), Failure> {
    let Some(machine) = view.machine() else {
        let message = format!("{} does not run, so it cannot be idle", view.name);
        return Err(Failure::new("sandbox::not-running", "state", message)
            .at(view.project.as_str(), format!("sandbox.{}", view.name))
            .hint(format!("Start it with `msb start {}`.", view.name)));
    };
    machine.touch().await.map_err(|error: ControlError| {
        Failure::of("msb::agent::lost", "state", &error)
            .at(view.project.as_str(), format!("sandbox.{}", view.name))
    })
}

fn row(view: &SandboxView, is_done: bool, took: u64, now: String) -> json::Outcome {
    json::Outcome {
        address: format!("sandbox.{}", view.name),
        project: view.project.to_string(),
        result: if is_done { "touched" } else { "failed" },
        class: None,
        phase: Some(view.phase.as_str().to_ascii_lowercase()),
        reason: view.reason.clone(),
        forced: false,
        exit_code: view.exit_code,
        signal: None,
        blocked_by: Vec::new(),
        duration_ms: Some(took),
        observed_at: now,
        error: None,
    }
}
