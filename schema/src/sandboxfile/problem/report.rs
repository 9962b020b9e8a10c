//! Problems as other programs read them.

use serde::{Deserialize, Serialize};

use super::{Label, Problem, Severity};
use crate::sandboxfile::source::Sources;

/// The `problems` array, one row each.
pub type Report = Vec<Row>;

/// One problem; every key is always there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The stable code.
    pub code: String,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence.
    pub message: String,
    /// The file where to edit.
    pub file: String,
    /// Line of the first byte, from 1.
    pub line: u32,
    /// Column of the first byte in characters, from 1.
    pub column: u32,
    /// Line of the byte after the last.
    pub end_line: u32,
    /// Column of the byte after the last.
    pub end_column: u32,
    /// First byte.
    pub byte_start: u32,
    /// Byte after the last.
    pub byte_end: u32,
    /// What there is to say about the place.
    pub label: Option<String>,
    /// What to write.
    pub help: Option<String>,
    /// The word that was probably meant.
    pub nearest: Option<String>,
    /// Further places.
    pub related: Vec<Related>,
}

/// A further place of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Related {
    /// What there is to say about it.
    pub message: String,
    /// Its file.
    pub file: String,
    /// Its line, from 1.
    pub line: u32,
    /// Its column in characters, from 1.
    pub column: u32,
    /// First byte.
    pub byte_start: u32,
    /// Byte after the last.
    pub byte_end: u32,
}

impl Problem {
    /// Returns the problem as a row of the `problems` array.
    #[must_use]
    pub fn row(&self, sources: &Sources) -> Row {
        let first = &self.labels[0];
        let place = sources.place(first.span);
        let (end_line, end_column) = sources.position(first.span, first.span.end);
        Row {
            code: self.code.to_string(),
            severity: self.severity,
            message: self.message.clone(),
            file: place.file,
            line: place.line,
            column: place.column,
            end_line,
            end_column,
            byte_start: first.span.start,
            byte_end: first.span.end,
            label: (!first.text.is_empty()).then(|| first.text.clone()),
            help: self.help.clone(),
            nearest: self.nearest.clone(),
            related: self.labels[1..].iter().map(|label| related(label, sources)).collect(),
        }
    }
}

fn related(label: &Label, sources: &Sources) -> Related {
    let place = sources.place(label.span);
    Related {
        message: label.text.clone(),
        file: place.file,
        line: place.line,
        column: place.column,
        byte_start: label.span.start,
        byte_end: label.span.end,
    }
}
