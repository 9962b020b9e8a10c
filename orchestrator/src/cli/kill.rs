//! End machines at once, like pulling the plug

use std::time::Duration;

use super::asking_end as asking;
use super::call::Call;
use super::changing;
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::Failures;
use super::outcome::ms;
use super::targets::Targets;
use super::values;
use crate::context::Clock as _;
use crate::engine::{AskedEnd, SandboxView};
use crate::plan::Goal;
use crate::report::json::{self, rfc3339};

/// How long a machine may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(5);

/// End machines at once, like pulling the plug
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    dry: Dry,
    /// How long to wait until they are gone [default: 5s]
    #[arg(short, long, value_name = "DUR", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Only ask, and return [default: wait until they are gone]
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
}

/// Ends them without a flush; takes no lock.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.dry.dry_run {
        return dry::show_for(call, &args.targets.find(call)?, Goal::Stopped);
    }
    if args.no_wait {
        return asking::ask(&args.targets, call, AskedEnd::Kill);
    }
    kill(&args.targets, call, args.timeout.unwrap_or(GONE_WITHIN))
}

/// Does the same for `stop --force`.
pub(super) fn end(targets: &Targets, call: &Call, no_wait: bool) -> Ending {
    if no_wait {
        return asking::ask(targets, call, AskedEnd::Kill);
    }
    kill(targets, call, GONE_WITHIN)
}

fn kill(targets: &Targets, call: &Call, within: Duration) -> Ending {
    let found = targets.find(call)?;
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    call.block_on(async {
        for view in &found {
            let started = call.context.clock.elapsed();
            let done = if view.alive {
                tokio::time::timeout(within, call.engine.kill(view)).await.unwrap_or_else(|_| {
                    let message = format!("{} is still there", view.name);
                    Err(crate::engine::Troubles::plain("msb::stop::timeout", "stop", message))
                })
            } else {
                Ok(())
            };
            let took = ms(call.context.clock.elapsed().saturating_sub(started));
            let now = rfc3339(call.context.clock.unix_ms());
            rows.push(row(view, done.is_ok(), took, now));
            if let Err(troubles) = done {
                failures.extend(Failures::from(troubles).0);
            }
        }
    })?;
    changing::tell(call, &rows);
    if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) }
}

fn row(view: &SandboxView, is_gone: bool, took: u64, now: String) -> json::Outcome {
    json::Outcome {
        address: format!("sandbox.{}", view.name),
        project: view.project.to_string(),
        result: match (view.alive, is_gone) {
            (false, _) => "unchanged",
            (true, true) => "killed",
            (true, false) => "failed",
        },
        class: None,
        phase: Some(if is_gone {
            "stopped".to_owned()
        } else {
            view.phase.as_str().to_ascii_lowercase()
        }),
        reason: Some("killed".to_owned()).filter(|_| view.alive && is_gone),
        forced: view.alive && is_gone,
        exit_code: view.exit_code,
        signal: None,
        blocked_by: Vec::new(),
        duration_ms: Some(took),
        observed_at: now,
        error: None,
    }
}
