//! Wait until sandboxes have come that far

use std::time::Duration;

use clap::ValueEnum;
use schema::control::Milestone;
use schema::exit::Kind;
use schema::lifecycle::Phase;
use schema::record::Record;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::targets::Targets;
use super::{shapes, values};
use crate::context::Clock as _;
use crate::engine::SandboxView;
use crate::machines::Reached;
use crate::report::json::rfc3339;

/// Wait until sandboxes have come that far
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    /// How far [default: stopped]
    #[arg(
        long = "for",
        value_name = "STATE",
        default_value = "stopped",
        hide_default_value = true
    )]
    until: Until,
    /// How long to wait [default: without limit]
    #[arg(long, value_name = "DUR", value_parser = values::duration)]
    timeout: Option<Duration>,
    /// Return when one of them has [default: all]
    #[arg(long)]
    any: bool,
    /// Exit with the workload's code; for one sandbox
    #[arg(long)]
    exit_code: bool,
}

/// How far a sandbox may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    /// Its agent answers
    Running,
    /// Its gate has passed
    Ready,
    /// It rests
    Stopped,
    /// Its job ended well
    Completed,
    /// Its health probe passes, if it has one
    Healthy,
}

impl Until {
    const fn milestone(self) -> Milestone {
        match self {
            Self::Running => Milestone::Running,
            Self::Ready => Milestone::Ready,
            Self::Healthy => Milestone::Healthy,
            Self::Stopped => Milestone::Stopped,
            Self::Completed => Milestone::Completed,
        }
    }

    /// Tells whether a sandbox without a machine is there already.
    fn is_reached_at_rest(self, phase: Phase) -> bool {
        match self {
            Self::Running | Self::Ready | Self::Healthy => false,
            // A machine that is stalled and gone rests too.
            Self::Stopped => phase.is_resting() || phase == Phase::Stalled,
            Self::Completed => phase == Phase::Completed,
        }
    }
}

/// Where one of them is when the wait ends.
struct Seen {
    view: SandboxView,
    record: Option<Box<Record>>,
    reached: bool,
}

/// Waits.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let found = args.targets.find(call)?;
    if args.exit_code && found.len() != 1 {
        let message = "--exit-code wants one sandbox";
        return Err(Failure::usage("usage::conflict", message).into());
    }
    let names: Vec<String> = found.iter().map(|view| view.name.to_string()).collect();
    let waited = call.block_on(async {
        let all = wait_for(found, args);
        match args.timeout {
            Some(limit) => tokio::time::timeout(limit, all).await.ok(),
            None => Some(all.await),
        }
    })?;
    let Some(seen) = waited else {
        let message = format!("{}: not there in time", names.join(", "));
        return Err(Failure::new("wait::timeout", "ready", message)
            .hint("Look at them with `msb ps`.")
            .into());
    };
    let seen = seen?;
    print(call, &seen);
    let lost: Vec<&Seen> = seen.iter().filter(|one| !one.reached).collect();
    if let Some(one) = lost.first().filter(|_| !args.exit_code) {
        let message = format!("{} cannot come that far any more", one.view.name);
        let phase = shapes::phase(phase(one), reason(one).as_deref(), None);
        let failure = Failure::new("sandbox::not-running", "ready", message);
        return Err(failure.cause(format!("it is {phase}")).kind(Kind::Failed).into());
    }
    let code = seen.first().and_then(exit_code).unwrap_or(0);
    Ok(if args.exit_code { code } else { 0 })
}

async fn wait_for(found: Vec<SandboxView>, args: &Args) -> Result<Vec<Seen>, Failures> {
    let local = tokio::task::LocalSet::new();
    let until = args.until;
    let mut tasks = tokio::task::JoinSet::new();
    for view in found {
        tasks.spawn_local_on(async move { one(view, until).await }, &local);
    }
    let any = args.any;
    local
        .run_until(async move {
            let mut seen = Vec::new();
            while let Some(done) = tasks.join_next().await {
                let done = done.map_err(|error| Failure::internal(error.to_string()))??;
                let is_over = any && done.reached || !any && !done.reached;
                seen.push(done);
                if is_over {
                    break;
                }
            }
            seen.sort_by(|a, b| a.view.name.cmp(&b.view.name));
            Ok(seen)
        })
        .await
}

async fn one(view: SandboxView, until: Until) -> Result<Seen, Failures> {
    let Some(machine) = view.machine() else {
        let reached = until.is_reached_at_rest(view.phase);
        let record = view.record.clone();
        return Ok(Seen { view, record, reached });
    };
    match machine.wait(until.milestone()).await {
        Ok(Reached::Yes(record)) => Ok(Seen { view, record: Some(record), reached: true }),
        Ok(Reached::No(record)) => Ok(Seen { view, record: Some(record), reached: false }),
        Err(error) => Err(Failure::of("msb::agent::lost", "ready", &error).into()),
    }
}

fn phase(seen: &Seen) -> Phase {
    seen.record.as_ref().map_or(seen.view.phase, |record| record.phase)
}

fn reason(seen: &Seen) -> Option<String> {
    let record = seen.record.as_ref().and_then(|record| record.reason.clone());
    record.or_else(|| seen.view.reason.clone())
}

fn exit_code(seen: &Seen) -> Option<u8> {
    let exit = seen.record.as_ref().and_then(|record| record.exit);
    exit.map(schema::record::Exit::shell_code).or(seen.view.exit_code)
}

fn print(call: &Call, seen: &[Seen]) {
    if call.report.is_text() {
        for one in seen {
            let phase = shapes::phase(phase(one), reason(one).as_deref(), None);
            let code = exit_code(one).map(|code| format!("  code {code}")).unwrap_or_default();
            call.report.line(&format!("{}  {phase}{code}", one.view.name));
        }
        return;
    }
    let now = rfc3339(call.context.clock.unix_ms());
    let rows: Vec<Value> = seen
        .iter()
        .map(|one| {
            json!({
                "address": format!("sandbox.{}", one.view.name),
                "project": one.view.project,
                "result": if one.reached { "unchanged" } else { "failed" },
                "class": null,
                "phase": phase(one).as_str().to_ascii_lowercase(),
                "reason": reason(one),
                "forced": one.record.as_ref().is_some_and(|record| record.forced),
                "exit_code": exit_code(one),
                "signal": one.record.as_ref().and_then(|r| r.exit).and_then(|exit| exit.signal),
                "blocked_by": [],
                "duration_ms": null,
                "observed_at": now,
                "error": null,
            })
        })
        .collect();
    call.report.document(&rows);
}
