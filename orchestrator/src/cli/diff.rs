//! Show what `up` would change and why

use schema::exit::Kind;
use schema::project::Project;

use super::call::Call;
use super::ending::Ending;
use super::file_flags::FileFlags;
use super::following;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use crate::context::Clock as _;
use crate::plan::show::{Detail, show};
use crate::plan::{Plan, json};
use crate::report::Output;

/// Show what `up` would change and why
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    files: FileFlags,
    #[command(flatten)]
    pub(super) view: View,
    /// Exit with 0 also when there are changes [default: 2]
    #[arg(long)]
    exit_zero: bool,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct View {
    /// Show what is unchanged too, and every value in full [default: off]
    #[arg(long, conflicts_with = "summary")]
    full: bool,
    /// Show the counts only [default: off]
    #[arg(long)]
    summary: bool,
}

/// Prints the plan; 2 where there is one to carry out, 77 where it opens what nothing may.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let wish = select::wish(call, &args.choice, &args.files)?;
    call.context.existing_home().map_err(super::failure::Failure::from)?;
    let plan = call.engine.diff(&wish)?;
    print(call, &plan, &wish.project, args.view);
    if args.choice.deny_widening && !plan.widening.is_empty() {
        return Ok(Kind::Refused.code());
    }
    let changes = !plan.is_empty() && !args.exit_zero;
    Ok(if changes { schema::exit::CHANGES } else { schema::exit::DONE })
}

/// Prints a plan in the form that was asked for.
pub(super) fn print(call: &Call, plan: &Plan, project: &Project, view: View) {
    for warning in &plan.warnings {
        call.report.warn(warning);
    }
    match call.report.form.output {
        Output::Text => {
            let detail = match (view.full, view.summary) {
                (true, _) => Detail::Full,
                (false, true) => Detail::Summary,
                (false, false) => Detail::Normal,
            };
            let layout = following::layout(&call.report, detail, call.context.clock.unix_ms());
            call.report.out(&show(plan, project, layout));
        }
        Output::Json => call.report.document(&json::document(plan)),
        Output::Ndjson => call.report.document(&json::lines(plan)),
    }
}
