//! Show what `up` would change; changes are no failure

use super::call::Call;
use super::diff::{self, View};
use super::ending::Ending;
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};

/// Show what `up` would change; changes are no failure
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    view: View,
    /// Exit with 2 when there are changes [default: 0]
    #[arg(long)]
    detailed_exitcode: bool,
}

/// Prints the plan.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wish = select::wish(call, &args.choice, &args.files)?;
    call.context.existing_home().map_err(super::failure::Failure::from)?;
    let plan = call.engine.diff(&wish)?;
    diff::print(call, &plan, &wish.project, args.view);
    let changes = !plan.is_empty() && args.detailed_exitcode;
    Ok(if changes { schema::exit::CHANGES } else { schema::exit::DONE })
}
