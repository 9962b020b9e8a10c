//! One file read by itself, as far as its grammar or its shapes, for what works on its text.

use std::io;
use std::path::Path;

use schema::sandboxfile::document::Group;
use schema::sandboxfile::problem::{Problem, Problems};
use schema::sandboxfile::resolve::Failed;
use schema::sandboxfile::source::{Format, SourceFile, Sources, check_text};
use schema::sandboxfile::syntax::{build, yaml};

use super::call::Call;
use super::failure::Failure;
use crate::edit::{self, EditError};

/// Refuses `-f` for a command that is told its files otherwise.
///
/// # Errors
/// It was given.
pub(super) fn refuse_files(call: &Call, instead: &str) -> Result<(), Failure> {
    if call.settings.files.is_empty() {
        return Ok(());
    }
    let message = "-f names files that this command would not look at";
    Err(Failure::usage("usage::conflict", message).hint(instead))
}

/// Returns the text of a file.
///
/// # Errors
/// The bytes are no text that is read.
pub(super) fn text(call: &Call, file: &SourceFile) -> Result<String, Failure> {
    check_text(&file.bytes, file.format, 0, &call.limits()).map_err(|failed| {
        let (text, problem) = *failed;
        of_problems(call, file, &text, vec![problem])
    })
}

/// Checks that a text is of its format, whatever its keys are.
///
/// # Errors
/// Everything that is wrong with its grammar.
pub(super) fn check_grammar(call: &Call, file: &SourceFile, text: &str) -> Result<(), Failure> {
    let limits = call.limits();
    let mut problems = Problems::new(limits.problems);
    let tree = match file.format {
        Format::Kdl => build::kdl(text, 0, &limits, &mut problems),
        Format::Yaml => yaml::yaml(text, 0, &limits, &mut problems),
    };
    if tree.is_some() && !problems.has_errors() {
        return Ok(());
    }
    Err(of_problems(call, file, text, problems.into_sorted().0))
}

/// Returns what a text says, by the shapes of its keys.
///
/// # Errors
/// Everything that is wrong with its grammar and its shapes.
pub(super) fn document<'t>(
    call: &Call,
    file: &SourceFile,
    text: &'t str,
) -> Result<Group<'t>, Failure> {
    Group::read(text, file.format, &call.limits())
        .map_err(|problems| of_problems(call, file, text, problems))
}

/// Returns the failure of an edit.
pub(super) fn of_edit(call: &Call, file: &SourceFile, text: &str, error: EditError) -> Failure {
    let name = file.path.display();
    match error {
        EditError::Broken(problems) => of_problems(call, file, text, problems),
        EditError::TooMuch(why) => {
            Failure::new("limit::edit", "file", format!("{name}: too much for an edit"))
                .cause(why)
                .hint("Split the file into layers, or edit it by hand; it is left as it is.")
        }
        EditError::Layout(why) => {
            Failure::not_yet(&format!("{name}: an edit of a file that is laid out so"))
                .cause(why)
                .hint("Put in by hand what `--print` prints, then run this again.")
        }
        EditError::Fault(why) => {
            Failure::internal(format!("{name}: the edit went wrong, and nothing was written"))
                .cause(why)
        }
    }
}

/// Returns the failure of writing a file of the user's.
pub(super) fn cannot_write(path: &Path, error: &io::Error) -> Failure {
    Failure::new("host::file", "file", format!("{}: cannot be written", path.display()))
        .cause(error.to_string())
        .hint("Check the mode and the owner of the file and of its folder.")
}

/// Returns the failure that lists these problems.
pub(super) fn of_problems(
    call: &Call,
    file: &SourceFile,
    text: &str,
    problems: Vec<Problem>,
) -> Failure {
    let mut sources = Sources::default();
    sources.add(file.path.display().to_string(), text.to_owned());
    let mut failed = Failed { problems, more: 0, sources: sources.into() };
    let most = call.limits().problems;
    edit::errors::add_all(&mut failed, std::slice::from_ref(file), most);
    Failure::of_reading(&failed, &call.report.form)
}
