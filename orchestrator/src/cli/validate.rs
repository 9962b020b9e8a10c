//! Check Sandboxfiles without doing anything

use std::path::PathBuf;

use schema::project::{Kind, Project};
use serde_json::{Value, json};

use super::call::Call;
use super::ending::{Ending, left_to_the_end};
use super::failure::{Failure, Failures};
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select::{self, Keeping, Pinned};
use crate::report::human;
use crate::sources::{self, Files};

/// Check Sandboxfiles without doing anything
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The files, each on its own [default: discovery]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    flags: FileFlags,
    /// Check what this host lacks to run it all, too [default: off]
    #[arg(long, conflicts_with = "untrusted")]
    preflight: bool,
}

/// What was found, of all files.
#[derive(Default)]
struct Found {
    /// What the files are called.
    names: Vec<String>,
    /// Warnings, for programs.
    problems: Vec<Value>,
    /// What is wrong with files.
    failures: Vec<Failure>,
    /// What the host lacks.
    preflight: Vec<Failure>,
}

/// Checks each file, or the layers that `-f` names; then the host, for those that are valid.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let read = |named: &[PathBuf]| sources::read(&call.context, named, &call.limits());
    let groups: Vec<Result<Files, Failure>> = if args.paths.is_empty() {
        vec![read(&call.settings.files)]
    } else {
        args.paths.iter().map(|path| read(std::slice::from_ref(path))).collect()
    };
    let mut found = Found::default();
    for files in groups {
        let checked = files.map_err(Failures::from);
        let checked = checked.and_then(|files| check(call, args, files, &mut found));
        if let Err(Failures(failures)) = checked {
            found.failures.extend(failures);
        }
    }
    if call.report.is_text() {
        // What is wrong with a file comes first, and decides the code.
        let failures: Vec<Failure> = found.failures.into_iter().chain(found.preflight).collect();
        return if failures.is_empty() { Ok(0) } else { Err(Failures(failures)) };
    }
    tell(call, found)
}

/// Tells programs all that was found; the first failure decides the code.
fn tell(call: &Call, found: Found) -> Ending {
    let Found { names, mut problems, failures, preflight } = found;
    let code = failures.iter().chain(&preflight).next().map_or(0, Failure::exit_code);
    for failure in &failures {
        if failure.problems.is_empty() {
            call.report.failure(failure);
        }
        let rows = failure.problems.iter().map(|row| serde_json::to_value(row).unwrap_or_default());
        problems.extend(rows);
    }
    let preflight: Vec<Value> = preflight.iter().map(|failure| failure.object()).collect();
    call.report.document(&json!({
        "ok": code == 0, "files": names, "problems": problems, "preflight": preflight,
    }));
    Ok(code)
}

/// Checks one set of layers.
fn check(call: &Call, args: &Args, files: Files, found: &mut Found) -> Result<(), Failures> {
    found.names.extend(files.files.iter().map(|file| file.path.display().to_string()));
    let shown = files.shown.clone();
    let read = select::pinned_as_before(call, &args.flags, (&[], Keeping::Dropped), files)?;
    let resolved = &read.resolved;
    if call.report.is_text() {
        select::say_warnings(call, resolved);
        call.report.line(&format!("{shown}: valid, {}", counted(&resolved.project)));
    }
    let rows = resolved.warnings.iter().map(|warning| warning.row(&resolved.sources));
    found.problems.extend(rows.map(|row| serde_json::to_value(row).unwrap_or_default()));
    match args.preflight {
        true => found.preflight.extend(preflight(call, args, read)?),
        false => left_to_the_end(read),
    }
    Ok(())
}

fn counted(project: &Project) -> String {
    let of = |kind| project.sandboxes.values().filter(|sandbox| sandbox.kind == kind).count();
    let services = match of(Kind::Service) {
        1 => "1 sandbox".to_owned(),
        count => format!("{count} sandboxes"),
    };
    let jobs = human::count(of(Kind::Job), "job");
    let volumes = human::count(project.volumes.len(), "volume");
    format!("{services}, {jobs}, {volumes}")
}

/// Returns what the host lacks to run one project.
fn preflight(call: &Call, args: &Args, read: Pinned) -> Result<Vec<Failure>, Failures> {
    call.context.existing_home().map_err(Failure::from)?;
    let wish = select::wish_quietly(call, &args.flags, read)?;
    let troubles = call.block_on(call.engine.preflight(&wish))??;
    let of = |mut failure: Failure| {
        failure.project = Some(wish.project.name.to_string());
        failure
    };
    Ok(troubles.into_iter().map(Failure::from).map(of).collect())
}
