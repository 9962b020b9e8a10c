//! Check Sandboxfiles without doing anything

use std::path::PathBuf;

use schema::project::Kind;
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::Failure;
use super::file_flags::FileFlags;
use super::globals::ProjectShorts;
use super::select;
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
}

/// Checks each file, or the layers that `-f` names.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    let read = |named: &[PathBuf]| sources::read(&call.context, named, &call.limits());
    let groups: Vec<Result<Files, Failure>> = if args.paths.is_empty() {
        vec![read(&call.settings.files)]
    } else {
        args.paths.iter().map(|path| read(std::slice::from_ref(path))).collect()
    };
    let (mut failures, mut names, mut problems) = (Vec::new(), Vec::<String>::new(), Vec::new());
    for files in groups {
        match files.and_then(|files| check(call, args, &files, &mut names)) {
            Ok(rows) => problems.extend(rows),
            Err(failure) => failures.push(failure),
        }
    }
    if call.report.is_text() {
        return match failures.first() {
            None => Ok(0),
            Some(_) => Err(super::failure::Failures(failures)),
        };
    }
    let code = failures.first().map_or(0, Failure::exit_code);
    for failure in &failures {
        if failure.problems.is_empty() {
            call.report.failure(failure);
        }
        let rows = failure.problems.iter().map(|row| serde_json::to_value(row).unwrap_or_default());
        problems.extend(rows);
    }
    call.report.document(&json!({
        "ok": failures.is_empty(), "files": names, "problems": problems, "preflight": [],
    }));
    Ok(code)
}

/// Checks one set of layers; returns its warnings for programs.
fn check(
    call: &Call,
    args: &Args,
    files: &Files,
    names: &mut Vec<String>,
) -> Result<Vec<Value>, Failure> {
    names.extend(files.files.iter().map(|file| file.path.display().to_string()));
    let resolved = select::resolve(call, files, &args.flags)?;
    let project = &resolved.project;
    let of = |kind| project.sandboxes.values().filter(|sandbox| sandbox.kind == kind).count();
    if call.report.is_text() {
        select::say_warnings(call, &resolved);
        let services = match of(Kind::Service) {
            1 => "1 sandbox".to_owned(),
            count => format!("{count} sandboxes"),
        };
        let jobs = human::count(of(Kind::Job), "job");
        let volumes = human::count(project.volumes.len(), "volume");
        call.report.line(&format!("{}: valid, {services}, {jobs}, {volumes}", files.shown));
    }
    let rows = resolved.warnings.iter().map(|warning| warning.row(&resolved.sources));
    Ok(rows.map(|row| serde_json::to_value(row).unwrap_or_default()).collect())
}
