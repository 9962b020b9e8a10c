//! Take a project away and keep its volumes

use std::time::Duration;

use schema::name::{InstanceName, ProjectName};
use schema::units::Millis;

use super::call::Call;
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::globals::ProjectShorts;
use super::{following, outcome, values};
use crate::plan::{Goal, Reach, Wish};

/// Take a project away and keep its volumes
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The sandboxes and jobs [default: all]
    #[arg(value_name = "NAME")]
    names: Vec<InstanceName>,
    /// How long they may take to end; 0 kills at once [default: each its own]
    #[arg(short, long, value_name = "DUR", value_parser = values::duration_or_zero)]
    timeout: Option<Duration>,
    /// Take along what depends on the chosen [default: off]
    #[arg(long)]
    with_dependents: bool,
    #[command(flatten)]
    dry: Dry,
    /// Agree to what would be asked
    #[arg(short = 'y', id = "after-yes")]
    pub(crate) yes_short: bool,
}

/// Removes what state knows of the project; no file is read but for its name.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let project = project(call)?;
    if !is_known(call, &project)? {
        return nothing(call, &project);
    }
    let mut wish = wish(call, &args.names)?;
    wish.selection.reach = if args.with_dependents { Reach::Dependents } else { Reach::Alone };
    if args.dry.dry_run {
        return dry::show(call, &wish);
    }
    let mut options = following::options(call, "down");
    options.grace = args.timeout.map(|time| Millis(outcome::ms(time)));
    let followed = following::apply(call, wish, options)?;
    outcome::tell(call, "down", &followed)
}

fn is_known(call: &Call, project: &ProjectName) -> Result<bool, Failures> {
    if call.context.existing_home().map_err(Failure::from)?.is_none() {
        return Ok(false);
    }
    Ok(call.engine.projects()?.iter().any(|row| row.name == *project))
}

/// Returns the wish for some of the current project to be gone, or all of it.
///
/// # Errors
/// The project is not known, or has no such sandbox.
pub(super) fn wish(call: &Call, names: &[InstanceName]) -> Result<Wish, Failures> {
    let project = project(call)?;
    let mut wish = call.engine.wish_of_state(&project, Goal::Down)?;
    let there = call.engine.sandboxes(Some(&project))?;
    for name in names {
        if !there.iter().any(|view| name.means(&view.name)) {
            let message = format!("project {project} has no sandbox `{name}`");
            return Err(Failure::new("sandbox::not-found", "state", message)
                .hint(format!("List what it has with `msb ps -p {project}`."))
                .into());
        }
    }
    wish.selection.names = names.iter().cloned().collect();
    wish.selection.reach = Reach::Alone;
    Ok(wish)
}

/// Returns the project that is meant; never `adhoc` by default.
fn project(call: &Call) -> Result<ProjectName, Failure> {
    match call.own_project()? {
        Some(project) => Ok(project),
        None => Err(Failure::usage("usage::value", "no project is meant")
            .hint("Name one with `-p NAME`, or change to its folder.")),
    }
}

/// A project that was named and is not there is a mistake; one that a file names is only not up.
fn nothing(call: &Call, project: &ProjectName) -> Ending {
    if call.settings.project.is_some() {
        let message = format!("there is no project `{project}`");
        return Err(Failure::new("project::not-found", "state", message)
            .hint("List what exists with `msb list`.")
            .into());
    }
    if call.report.is_text() {
        call.report.line("Down: nothing to do");
    }
    outcome::end(call, "down", 0, &outcome::nothing("down", Some(project), 0));
    Ok(0)
}
