//! Take a project away and keep its volumes

use std::time::Duration;

use schema::name::{InstanceName, ProjectName};
use schema::units::Millis;
use serde_json::{Value, json};

use super::asking;
use super::call::Call;
use super::dry::{self, Dry};
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::globals::ProjectShorts;
use super::{following, outcome, values};
use crate::consent::{self, Need};
use crate::engine::Options;
use crate::plan::{Goal, Plan, Reach, Volumes, Wish};
use crate::report::human;

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
    #[command(flatten)]
    scope: Scope,
    #[command(flatten)]
    volumes: VolumeFlags,
    #[command(flatten)]
    dry: Dry,
    /// Agree to what would be asked
    #[arg(short = 'y', id = "after-yes")]
    pub(crate) yes_short: bool,
}

/// What goes along.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Scope {
    /// Take along what depends on the chosen [default: off]
    #[arg(long)]
    with_dependents: bool,
    /// Take every project away, `adhoc` included [default: the current one]
    #[arg(long, conflicts_with = "names")]
    all_projects: bool,
}

/// What becomes of volumes.
#[derive(Debug, Clone, Copy, clap::Args)]
struct VolumeFlags {
    /// Put its volumes into the trash too, but for protected ones and those in use elsewhere
    #[arg(long, conflicts_with = "names")]
    volumes: bool,
    /// Agree to the loss of data
    #[arg(long)]
    yes_delete_data: bool,
}

/// Removes what state knows of the project; no file is read but for its name.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if args.scope.all_projects {
        return all_projects(args, call);
    }
    let project = project(call)?;
    if !is_known(call, &project)? {
        return nothing(call, &project);
    }
    let wish = chosen(args, wish(call, &args.names)?);
    if args.dry.dry_run {
        return dry::show(call, &wish);
    }
    let followed = following::apply(call, wish, options(args, call))?;
    outcome::tell(call, "down", &followed)
}

fn chosen(args: &Args, mut wish: Wish) -> Wish {
    wish.selection.reach =
        if args.scope.with_dependents { Reach::Dependents } else { Reach::Alone };
    wish.selection.volumes = if args.volumes.volumes { Volumes::Trash } else { Volumes::Stay };
    wish
}

fn options(args: &Args, call: &Call) -> Options {
    let mut options = following::options(call, "down");
    options.grace = args.timeout.map(|time| Millis(outcome::ms(time)));
    options.consents.delete_data = args.volumes.yes_delete_data;
    options
}

/// Takes every project away that has anything left; each is a run of its own.
fn all_projects(args: &Args, call: &Call) -> Ending {
    if call.settings.project.is_some() {
        let message = "--all-projects and --project exclude each other";
        return Err(Failure::usage("usage::conflict", message).hint("Give one of them.").into());
    }
    let mut wishes = Vec::new();
    if call.context.existing_home().map_err(Failure::from)?.is_some() {
        for project in call.engine.projects()? {
            let wish = chosen(args, call.engine.wish_of_state(&project.name, Goal::Down)?);
            let plan = call.engine.diff(&wish)?;
            if !plan.changes.is_empty() {
                wishes.push((wish, plan));
            }
        }
    }
    if args.dry.dry_run {
        wishes.iter().try_for_each(|(wish, _)| dry::show(call, wish).map(|_| ()))?;
        return Ok(0);
    }
    if wishes.is_empty() {
        if call.report.is_text() {
            call.report.line("Down: nothing to do");
        }
        outcome::end(call, "down", 0, &json!([]));
        return Ok(0);
    }
    agree(args, call, &wishes)?;
    let (mut codes, mut documents) = (Vec::new(), Vec::new());
    for (wish, _) in wishes {
        let project = wish.project.name.clone();
        if call.report.is_text() {
            call.report.note(&format!("project {project}"));
        }
        match following::apply(call, wish, options(args, call)) {
            Ok(followed) => {
                let (code, document) = outcome::said(call, "down", &followed);
                codes.push(code);
                documents.push(document);
                if followed.outcome.interrupted {
                    break;
                }
            }
            Err(failures) => {
                failures.0.iter().for_each(|failure| call.report.failure(failure));
                let code = failures.exit_code();
                codes.push(code);
                documents.push(outcome::nothing("down", Some(&project), code));
                if code == 130 {
                    break;
                }
            }
        }
    }
    let code = outcome::common(&codes);
    outcome::end(call, "down", code, &Value::Array(documents));
    Ok(code)
}

/// Asks before the first project goes; what would lose data is asked project by project.
fn agree(args: &Args, call: &Call, wishes: &[(Wish, Plan)]) -> Result<(), Failure> {
    let consents = options(args, call).consents;
    let loses_data = |(wish, plan): &(Wish, Plan)| {
        let needs = consent::needed(wish, plan, consents);
        needs.iter().any(|need| matches!(need, Need::DataLoss(_)))
    };
    if !asking::may_ask(call) && wishes.iter().any(loses_data) {
        let message = "putting volumes into the trash needs your consent";
        return Err(Failure::new("consent::data-loss", "consent", message)
            .hint("Give `--yes-delete-data`."));
    }
    if call.settings.yes {
        return Ok(());
    }
    let names: Vec<&str> = wishes.iter().map(|(wish, _)| wish.project.name.as_str()).collect();
    let count = human::count(names.len(), "project");
    let question = format!("Take away {count} ({})?", names.join(", "));
    let refused = Failure::new("consent::needed", "consent", "`--all-projects` needs consent");
    asking::agree(call, &question, refused.hint("Give `-y`."))
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
