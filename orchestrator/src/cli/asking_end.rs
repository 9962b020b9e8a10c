//! Ask machines to end, and return: `stop --no-wait`, `kill --no-wait`

use super::call::Call;
use super::changing;
use super::ending::Ending;
use super::failure::Failures;
use super::outcome::ms;
use super::targets::Targets;
use crate::context::Clock as _;
use crate::engine::{AskedEnd, SandboxView};
use crate::report::json::{self, rfc3339};

/// Asks each of them; takes no lock, and what fails does not stop the rest.
pub(super) fn ask(targets: &Targets, call: &Call, how: AskedEnd) -> Ending {
    let found = targets.find(call)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    call.block_on(async {
        for view in &found {
            let started = call.context.clock.elapsed();
            let asked = match view.alive {
                true => call.engine.ask_to_end(view, how).await,
                false => Ok(()),
            };
            let took = ms(call.context.clock.elapsed().saturating_sub(started));
            let result = match (view.alive, asked.is_ok()) {
                (false, _) => "unchanged",
                (true, true) => "requested",
                (true, false) => "failed",
            };
            rows.push(row(view, result, took, rfc3339(call.context.clock.unix_ms())));
            if let Err(troubles) = asked {
                failures.extend(Failures::from(troubles).0);
            }
        }
    })?;
    changing::tell(call, &rows);
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

fn row(view: &SandboxView, result: &'static str, took: u64, now: String) -> json::Outcome {
    json::Outcome {
        address: format!("sandbox.{}", view.name),
        project: view.project.to_string(),
        result,
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
