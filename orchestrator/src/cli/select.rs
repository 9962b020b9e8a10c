//! From files to a wish: read, resolve, choose.

use std::path::{Path, PathBuf};

use clap::Args;
use schema::launch::DriverName;
use schema::name::InstanceName;
use schema::project::Project;
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::{Severity, listed, nearest};
use schema::sandboxfile::resolve::{
    ResolveInputs, Resolved, VariableSource, resolve as resolve_files,
};

use super::call::Call;
use super::failure::Failure;
use super::globals::Driver;
use crate::edit;
use crate::plan::{Goal, Inputs, Reach, Selection, Variable, Wish};
use crate::report::problems;
use crate::sources::Files;

/// Which part of a project a command is about.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Choice {
    /// The sandboxes and jobs [default: all]
    #[arg(value_name = "NAME")]
    pub(crate) names: Vec<InstanceName>,
    /// Leave this one out (can be repeated)
    #[arg(long, value_name = "NAME")]
    pub(crate) exclude: Vec<InstanceName>,
    /// Take only the chosen, not what they need [default: off]
    #[arg(long)]
    pub(crate) no_deps: bool,
    /// Make the chosen anew even if they are equal [default: off]
    #[arg(long)]
    pub(crate) recreate: bool,
}

/// Resolves files into a project; warnings are said at once.
///
/// # Errors
/// Every problem of the files.
pub(crate) fn resolve(call: &Call, files: &Files) -> Result<Resolved, Failure> {
    let home = call.context.environment.get("HOME").unwrap_or_default();
    let inputs = ResolveInputs {
        folder: files.folder.clone(),
        folders: files.folders.clone(),
        name: call.settings.project.clone(),
        home: PathBuf::from(home),
        environment: call.context.environment.as_map().clone(),
        limits: Limits::default(),
        ..ResolveInputs::default()
    };
    resolve_files(&files.files, &inputs).map_err(|mut failed| {
        edit::errors::add_all(&mut failed, &files.files, inputs.limits.problems);
        Failure::of_reading(&failed, &call.report.form)
    })
}

/// Says what a reading found worth a word.
pub(crate) fn say_warnings(call: &Call, resolved: &Resolved) {
    let warned = resolved.warnings.iter().any(|problem| problem.severity != Severity::Note);
    if !warned {
        return;
    }
    if call.report.is_text() {
        call.report.err(&problems::text(&resolved.warnings, &resolved.sources, &call.report.form));
    } else {
        resolved.warnings.iter().for_each(|warning| call.report.warn(&warning.message));
    }
}

/// Returns what the files and the choice ask for.
///
/// # Errors
/// A file is invalid, or a name is not in it.
pub(crate) fn wish(call: &Call, choice: &Choice) -> Result<Wish, Failure> {
    let files = call.files()?;
    let resolved = resolve(call, &files)?;
    call.report.note(&format!("{}: {}", resolved.project.name, files.shown));
    say_warnings(call, &resolved);
    for name in choice.names.iter().chain(&choice.exclude) {
        check_known(name, &resolved.project, &files.path)?;
    }
    let variables = resolved.variables.iter().map(|told| Variable {
        name: told.name.clone(),
        source: told.source.map_or("none", VariableSource::as_str),
        secret: told.secret,
    });
    let inputs = Inputs { files: resolved.files, lock: None, variables: variables.collect() };
    let mut wish = Wish::new(resolved.project, resolved.origins, inputs, files.path);
    wish.selection = Selection {
        names: choice.names.iter().cloned().collect(),
        exclude: choice.exclude.iter().cloned().collect(),
        reach: if choice.no_deps { Reach::Alone } else { Reach::Dependencies },
        recreate: choice.recreate,
        ..Selection::default()
    };
    check_exclusions(&wish)?;
    wish.driver = driver(call);
    wish.goal = Goal::Up;
    Ok(wish)
}

/// Returns the driver that a flag forces.
pub(crate) fn driver(call: &Call) -> Option<DriverName> {
    match call.settings.driver {
        Driver::Auto => None,
        Driver::Krun => Some(DriverName::Krun),
        Driver::Qemu => Some(DriverName::Qemu),
        Driver::Process => Some(DriverName::Process),
    }
}

/// Refuses a name that the file does not have.
fn check_known(name: &InstanceName, project: &Project, path: &Path) -> Result<(), Failure> {
    if project.meant(name).next().is_some() {
        return Ok(());
    }
    let message = format!("{} has no sandbox or job `{name}`", path.display());
    let failure = Failure::new("sandbox::not-found", "resolve", message);
    let mut known: Vec<&str> = project.sandboxes.keys().map(|n| n.sandbox.as_str()).collect();
    known.dedup();
    Err(match nearest(name.sandbox.as_str(), known.iter().copied()) {
        Some(near) => failure.hint(format!("Name `{near}`, if that was meant.")),
        None => failure.note(format!("it has {}", listed(known))),
    })
}

/// Refuses to leave out what a chosen sandbox cannot do without.
fn check_exclusions(wish: &Wish) -> Result<(), Failure> {
    for name in wish.selected() {
        let needs = wish.project.sandboxes.get(&name).into_iter().flat_map(|s| &s.depends_on);
        for (target, dependency) in needs {
            if wish.selection.exclude.contains(target) && !dependency.optional {
                let message = format!("{target} cannot be left out: {name} needs it");
                return Err(Failure::usage("usage::conflict", message)
                    .hint(format!("Leave {name} out too, with `--exclude {name}`.")));
            }
        }
    }
    Ok(())
}
