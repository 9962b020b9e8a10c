//! Stop sandboxes and boot them again, with the same disks

use std::time::Duration;

use super::call::Call;
use super::changing::{self, Change};
use super::dry::Dry;
use super::ending::Ending;
use super::targets::Targets;
use super::values;
use crate::engine::Wait;
use crate::plan::Goal;

/// Stop sandboxes and boot them again, with the same disks
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    dry: Dry,
    /// How long they may take to end; 0 kills at once [default: each its own]
    #[arg(short, long, value_name = "DUR", value_parser = values::duration_or_zero)]
    timeout: Option<Duration>,
    /// Return once they are booted [default: wait until they are ready]
    #[arg(long)]
    no_wait: bool,
    /// How long they may take to become ready [default: 60s]
    #[arg(long, value_name = "DUR", default_value = "60s", hide_default_value = true,
          value_parser = values::duration)]
    wait_timeout: Duration,
}

/// Restarts them.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wait = if args.no_wait {
        Wait::Booted(Some(args.wait_timeout))
    } else {
        Wait::Settled(Some(args.wait_timeout))
    };
    let change = Change { command: "restart", goal: Goal::Restarted, wait, grace: args.timeout };
    changing::run(call, &args.targets, change, args.dry)
}
