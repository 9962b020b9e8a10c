//! Show what `up` would change and why

use schema::exit::Kind;
use schema::project::Project;

use super::call::Call;
use super::ending::{Ending, left_to_the_end};
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Choice};
use super::watcher;
use crate::context::Clock as _;
use crate::plan::show::{Detail, markdown, show};
use crate::plan::{Goal, Plan, Reach, Wish, json};
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
    /// Compare what was applied with what is; reads no file [default: off]
    #[arg(long, conflicts_with_all = ["recreate", "no_deps", "deny_widening", "exclude"])]
    drift: bool,
    /// Exit with 0 also when there are changes [default: 2]
    #[arg(long)]
    exit_zero: bool,
}

/// How much of a plan is shown.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
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
    let wish = match args.drift {
        true => drifted(call, &args.choice)?,
        false => select::wish(call, &args.choice, &args.files)?,
    };
    call.context.existing_home().map_err(Failure::from)?;
    let plan = call.engine.diff(&wish)?;
    print(call, &plan, &wish.project, args.view);
    if args.choice.deny_widening && !plan.widening.is_empty() {
        return Ok(Kind::Refused.code());
    }
    let changes = !plan.is_empty() && !args.exit_zero;
    left_to_the_end((wish, plan));
    Ok(if changes { schema::exit::CHANGES } else { schema::exit::DONE })
}

/// Returns the wish for everything to be as it was last applied.
fn drifted(call: &Call, choice: &Choice) -> Result<Wish, Failures> {
    let project = match &call.settings.project {
        Some(project) => Some(project.clone()),
        None => call.project_of_this_folder()?,
    };
    let project = project.ok_or_else(|| {
        Failure::new("project::not-found", "state", "nothing was brought up from this folder")
            .hint("Name a project with `-p NAME`.")
    })?;
    let mut wish = call.engine.wish_of_state(&project, Goal::Undrifted)?;
    for name in &choice.names {
        select::check_known(name, &wish.project, &wish.path)?;
    }
    wish.selection.names = choice.names.iter().cloned().collect();
    wish.selection.reach = Reach::Alone;
    Ok(wish)
}

/// Prints a plan in the form that was asked for.
pub(super) fn print(call: &Call, plan: &Plan, project: &Project, view: View) {
    for warning in &plan.warnings {
        call.report.warn(warning);
    }
    let detail = match (view.full, view.summary) {
        (true, _) => Detail::Full,
        (false, true) => Detail::Summary,
        (false, false) => Detail::Normal,
    };
    match call.report.form.output {
        Output::Text if call.settings.markdown => {
            call.report.out(&markdown(plan, project, detail));
        }
        Output::Text => {
            let layout = watcher::layout(&call.report, detail, call.context.clock.unix_ms());
            call.report.out(&show(plan, project, layout));
        }
        Output::Json => call.report.document(&json::document(plan)),
        Output::Ndjson => call.report.document(&json::lines(plan)),
    }
}
