//! Boot sandboxes that are at rest and wait until they are ready

use std::time::Duration;

use super::call::Call;
use super::changing::{self, Change};
use super::dry::Dry;
use super::ending::Ending;
use super::targets::Targets;
use super::values;
use crate::engine::Wait;
use crate::plan::Goal;

/// Boot sandboxes that are at rest and wait until they are ready
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    dry: Dry,
    /// Return once they are booted [default: wait until they are ready]
    #[arg(long)]
    no_wait: bool,
    /// How long they may take [default: 60s]
    #[arg(long, value_name = "DUR", default_value = "60s", hide_default_value = true,
          value_parser = values::duration)]
    wait_timeout: Duration,
}

/// Starts them, dependencies first.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wait = if args.no_wait {
        Wait::Booted(Some(args.wait_timeout))
    } else {
        Wait::Settled(Some(args.wait_timeout))
    };
    let change = Change { command: "start", goal: Goal::Up, wait, grace: None };
    changing::run(call, &args.targets, change, args.dry)
}
