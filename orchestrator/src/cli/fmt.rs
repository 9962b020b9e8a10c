//! Lay out Sandboxfiles in the canonical way

use std::path::{Path, PathBuf};

use schema::sandboxfile::source::{Format, SourceFile};
use serde_json::{Value, json};

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::globals::ProjectShorts;
use super::reading;
use crate::edit;
use crate::sources::{self, STDIN};
use crate::store::atomic;

/// Lay out Sandboxfiles in the canonical way
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) shorts: ProjectShorts,
    /// The files or their folders; `-` filters stdin to stdout [default: discovery]
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// List the files that would change and write none; exit 1 if any [default: off]
    #[arg(long)]
    check: bool,
}

/// The code of a check that found something to lay out.
const WOULD_CHANGE: u8 = 1;

/// Lays out each file; one that does not parse is left alone.
pub(crate) fn run(args: &Args, call: &Call) -> Ending {
    if !args.paths.is_empty() {
        reading::refuse_files(call, "Name each file once: `msb fmt PATH…`.")?;
    }
    let mut failures = Vec::new();
    let mut rows = Vec::new();
    let mut changed = 0;
    for file in files(args, call, &mut failures) {
        match lay_out(args, call, &file) {
            Err(failure) => failures.push(failure),
            Ok(row) => {
                changed += usize::from(row.changed);
                tell(args, call, &file, &row);
                rows.push(row.value(&file));
            }
        }
    }
    if !call.report.is_text() {
        call.report.document(&rows);
    }
    match failures.is_empty() {
        false => Err(Failures(failures)),
        true if args.check && changed > 0 => Ok(WOULD_CHANGE),
        true => Ok(0),
    }
}

/// Reads the files that are named, else those that are found.
fn files(args: &Args, call: &Call, failures: &mut Vec<Failure>) -> Vec<SourceFile> {
    let read = |named: &[PathBuf]| sources::read(&call.context, named, &call.limits());
    let groups = if args.paths.is_empty() {
        vec![read(&call.settings.files)]
    } else {
        args.paths.iter().map(|path| read(std::slice::from_ref(path))).collect()
    };
    let mut files = Vec::new();
    for group in groups {
        match group {
            Ok(group) => files.extend(group.files),
            Err(failure) => failures.push(failure),
        }
    }
    files
}

/// What became of one file.
struct Row {
    changed: bool,
    text: String,
}

impl Row {
    fn value(&self, file: &SourceFile) -> Value {
        let format = if file.format == Format::Kdl { "kdl" } else { "yaml" };
        let text = (file.path == Path::new(STDIN)).then_some(&self.text);
        json!({"path": file.path, "format": format, "changed": self.changed, "text": text})
    }
}

/// Lays out one file, and writes it unless it is only checked.
fn lay_out(args: &Args, call: &Call, file: &SourceFile) -> Result<Row, Failure> {
    let text = reading::text(call, file)?;
    reading::check_grammar(call, file, &text)?;
    if file.format == Format::Yaml {
        return Ok(Row { changed: false, text });
    }
    let laid = edit::format(&text).map_err(|error| reading::of_edit(call, file, &text, error))?;
    let changed = laid != text;
    if changed && !args.check && file.path != Path::new(STDIN) {
        let path = call.context.absolute(&file.path);
        atomic::write_owned(&path, laid.as_bytes())
            .map_err(|error| reading::cannot_write(&file.path, &error))?;
    }
    Ok(Row { changed, text: laid })
}

fn tell(args: &Args, call: &Call, file: &SourceFile, row: &Row) {
    if !call.report.is_text() {
        return;
    }
    if file.path == Path::new(STDIN) && !args.check {
        call.report.raw(row.text.as_bytes());
    } else if row.changed {
        call.report.line(&file.path.display().to_string());
    }
}
