//! What a reading ends with: a project and its places, or problems and the text they lie in.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::variables::ToldVariable;
use crate::project::{InputFile, Origins, Project};
use crate::sandboxfile::merge::Trace;
use crate::sandboxfile::problem::{Problem, Problems, Report, Severity};
use crate::sandboxfile::source::Sources;

/// A project, and what is known about where it came from.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What the files ask for.
    pub project: Project,
    /// Where each value was written.
    pub origins: Origins,
    /// The files, by digest; those that are included come last.
    pub files: Vec<InputFile>,
    /// The variables of the project, in the order of their names.
    pub variables: Vec<ToldVariable>,
    /// The host variables that variables take their values from.
    pub host_variables: BTreeSet<String>,
    /// What higher layers beat, where that was asked for.
    pub trace: Option<Trace>,
    /// What is worth a word, in order.
    pub warnings: Vec<Problem>,
    /// The text of the files, for showing the warnings.
    pub sources: Arc<Sources>,
}

/// Problems, and the text they lie in.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}", self.summary())]
pub struct Failed {
    /// Errors and warnings, by file, byte and code.
    pub problems: Vec<Problem>,
    /// How many more errors there are.
    pub more: usize,
    /// The text of the files.
    pub sources: Arc<Sources>,
}

impl Failed {
    pub(in crate::sandboxfile) fn boxed(problems: Problems, sources: Arc<Sources>) -> Box<Self> {
        let (problems, more) = problems.into_sorted();
        Box::new(Self { problems, more, sources })
    }

    /// Returns how many errors there are, those that are not listed included.
    #[must_use]
    pub fn errors(&self) -> usize {
        let listed = self.problems.iter().filter(|p| p.severity == Severity::Error).count();
        listed + self.more
    }

    /// Returns the last line: `Sandboxfile.kdl: 7 problems`.
    #[must_use]
    pub fn summary(&self) -> String {
        let names: Vec<&str> = self.sources.files().iter().map(|file| file.name.as_str()).collect();
        let count = self.errors();
        let noun = if count == 1 { "problem" } else { "problems" };
        format!("{}: {count} {noun}", names.join(" + "))
    }

    /// Returns the plain rendering of all problems, with the line that counts them.
    #[must_use]
    pub fn plain(&self) -> String {
        let mut text: String = self.problems.iter().map(|p| p.plain(&self.sources)).collect();
        if self.more > 0 {
            text.extend(["and ", &self.more.to_string(), " more\n"]);
        }
        text + "error: " + &self.summary() + "\n"
    }

    /// Returns the problems as rows for other programs.
    #[must_use]
    pub fn report(&self) -> Report {
        self.problems.iter().map(|problem| problem.row(&self.sources)).collect()
    }
}
