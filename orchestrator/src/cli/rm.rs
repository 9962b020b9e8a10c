//! Remove sandboxes that `run` and `create` made; volumes stay

use std::time::Duration;

use schema::name::ProjectName;

use super::asking;
use super::call::Call;
use super::changing::{self, Change};
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::Failure;
use super::targets::Targets;
use super::values;
use crate::engine::Wait;
use crate::plan::Goal;
use crate::report::human;

/// Remove sandboxes that `run` and `create` made; volumes stay
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    targets: Targets,
    #[command(flatten)]
    dry: Dry,
    /// Stop those that run first [default: refuse]
    #[arg(short, long)]
    force: bool,
    /// How long they may take to end; 0 kills at once [default: each its own]
    #[arg(short, long, value_name = "DUR", value_parser = values::duration_or_zero)]
    timeout: Option<Duration>,
    /// Agree to what would be asked
    #[arg(short = 'y', id = "after-yes")]
    pub(crate) yes_short: bool,
}

/// Removes them.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let found = args.targets.find(call)?;
    for view in &found {
        if view.project.as_str() != ProjectName::ADHOC {
            let message = format!("{} belongs to project {}", view.name, view.project);
            let hint = format!("Use `msb down -p {} {}`.", view.project, view.name);
            return Err(Failure::new("sandbox::managed", "plan", message).hint(hint).into());
        }
        if view.alive && !args.force {
            let message = format!("{} is running", view.name);
            return Err(Failure::new("sandbox::running", "state", message)
                .hint(format!("Stop it first, or use `msb rm -f {}`.", view.name))
                .into());
        }
    }
    if args.dry.dry_run {
        return dry::show_for(call, &found, Goal::Down);
    }
    if args.targets.is_by_rule() && !call.settings.yes {
        agree(call, found.len())?;
    }
    let wait = Wait::Settled(None);
    let change = Change { command: "rm", goal: Goal::Down, wait, grace: args.timeout };
    changing::run_on(call, &found, change)
}

/// Asks before everything that a rule chose is removed.
fn agree(call: &Call, count: usize) -> Result<(), Failure> {
    let question = format!("Remove {}?", human::count(count, "thing"));
    let message = "removing by label or `--all` needs consent";
    let refused = Failure::new("consent::needed", "consent", message).hint("Give `-y`.");
    asking::agree(call, &question, refused)
}
