//! Stop sandboxes and wait until they have ended

use std::time::Duration;

use super::asking_end as asking;
use super::call::Call;
use super::changing::{self, Change};
use super::dry::Dry;
use super::ending::Ending;
use super::kill;
use super::targets::Targets;
use super::values;
use crate::engine::{AskedEnd, Wait};
use crate::plan::Goal;

/// Stop sandboxes and wait until they have ended
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    dry: Dry,
    /// How long to wait before ending them by force; 0 kills [default: each its own, 10s]
    #[arg(short, long, value_name = "DUR", value_parser = values::duration_or_zero)]
    timeout: Option<Duration>,
    /// End them at once, as `kill` does
    #[arg(short, long)]
    force: bool,
    /// Only ask, and return [default: wait until they have ended]
    #[arg(long)]
    no_wait: bool,
}

/// Stops them, dependents first.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if !args.dry.dry_run && (args.force || args.timeout.is_some_and(|time| time.is_zero())) {
        return kill::end(&args.targets, call, args.no_wait);
    }
    if args.no_wait && !args.dry.dry_run {
        return asking::ask(&args.targets, call, AskedEnd::Stop(args.timeout));
    }
    let wait = Wait::Settled(None);
    let change = Change { command: "stop", goal: Goal::Stopped, wait, grace: args.timeout };
    changing::run(call, &args.targets, change, args.dry)
}
