//! Where it is, what is wrong, what to write instead.

mod code;
mod nearest;
mod report;

pub use code::Code;
pub use nearest::nearest;
pub use report::{Related, Report, Row};

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::source::Sources;
use super::tree::Span;

/// One thing that is wrong in the files, or worth a word.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence without a full stop.
    pub message: String,
    /// The places it concerns; the first is where to edit.
    pub labels: Vec<Label>,
    /// What to write.
    pub help: Option<String>,
    /// The word that was probably meant.
    pub nearest: Option<String>,
}

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Nothing is done.
    Error,
    /// It is done, and probably not what was meant.
    Warning,
    /// It is good to know.
    Note,
}

impl Severity {
    /// Returns the word that is printed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// A place, and what there is to say about it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What there is to say; may be empty for the first.
    pub text: String,
}

impl Problem {
    /// Returns an error at `span`.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Error, code, message.into(), span)
    }

    /// Returns a warning at `span`.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>, span: Span) -> Self {
        Self::new(Severity::Warning, code, message.into(), span)
    }

    fn new(severity: Severity, code: Code, message: String, span: Span) -> Self {
        let labels = vec![Label { span, text: String::new() }];
        Self { code, severity, message, labels, help: None, nearest: None }
    }

    /// Says what to write.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Names the word that was probably meant, on the first label too.
    #[must_use]
    pub fn nearest(mut self, word: Option<&str>) -> Self {
        if let Some(word) = word {
            self.nearest = Some(word.to_owned());
            self = self.label(format!("did you mean `{word}`?"));
        }
        self
    }

    /// Says something about the first place.
    #[must_use]
    pub fn label(mut self, text: impl Into<String>) -> Self {
        self.labels[0].text = text.into();
        self
    }

    /// Adds a further place.
    #[must_use]
    pub fn related(mut self, span: Span, text: impl Into<String>) -> Self {
        self.labels.push(Label { span, text: text.into() });
        self
    }

    /// Returns where to edit.
    #[must_use]
    pub fn span(&self) -> Span {
        self.labels[0].span
    }

    /// Returns the plain rendering: a line that editors can follow, then labels and help.
    #[must_use]
    pub fn plain(&self, sources: &Sources) -> String {
        let place = sources.place(self.span());
        let mut text = format!(
            "{}:{}:{}: {}[{}]: {}\n",
            place.file,
            place.line,
            place.column,
            self.severity.as_str(),
            self.code,
            self.message,
        );
        for label in &self.labels[1..] {
            let there = sources.place(label.span);
            let file = if label.span.file == self.span().file {
                String::new()
            } else {
                format!("{}:", there.file)
            };
            let line = format!("  {file}{}:{}: {}\n", there.line, there.column, label.text);
            text.push_str(&line);
        }
        if let Some(help) = &self.help {
            text.extend(["  help: ", help, "\n"]);
        }
        text
    }
}

/// The problems of one run: at most so many errors and so many warnings, and a count of the rest.
#[derive(Clone, Debug)]
pub struct Problems {
    list: Vec<Problem>,
    /// Digests of all that were added, kept or not.
    known: HashSet<u64>,
    errors: usize,
    warnings: usize,
    /// Errors that were said, those that had been said before too.
    said: usize,
    most: usize,
}

impl Problems {
    /// Returns a list that keeps `most` errors and `most` warnings.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let known = HashSet::new();
        Self { list: Vec::new(), known, errors: 0, warnings: 0, said: 0, most }
    }

    /// Adds a problem, or counts it where there is no more room.
    pub fn push(&mut self, problem: Problem) {
        self.said += usize::from(problem.severity == Severity::Error);
        // A template's mistake is met once for each use.
        if !self.known.insert(digest(&problem)) {
            return;
        }
        let count = match problem.severity {
            Severity::Error => &mut self.errors,
            Severity::Warning | Severity::Note => &mut self.warnings,
        };
        *count += 1;
        if *count <= self.most {
            self.list.push(problem);
        }
    }

    /// Counts an error that nobody will read, if so; the caller then need not word it.
    pub fn is_full(&mut self) -> bool {
        let full = self.errors >= self.most;
        self.errors += usize::from(full);
        full
    }

    /// Returns how many errors there are.
    #[must_use]
    pub const fn errors(&self) -> usize {
        self.errors
    }

    /// Returns how many errors were said, however often each: what grew meanwhile had one.
    #[must_use]
    pub const fn said(&self) -> usize {
        self.said
    }

    /// Returns whether there is an error.
    #[must_use]
    pub const fn has_errors(&self) -> bool {
        self.errors > 0
    }

    /// Returns what was kept, in order, and how many errors were not.
    #[must_use]
    pub fn into_sorted(mut self) -> (Vec<Problem>, usize) {
        sort(&mut self.list);
        let more = self.errors.saturating_sub(self.most);
        (self.list, more)
    }
}

/// Two problems of one run that are not the same have different digests, as good as surely.
fn digest(problem: &Problem) -> u64 {
    let mut hasher = DefaultHasher::new();
    problem.hash(&mut hasher);
    hasher.finish()
}

/// Puts problems in order: by file, byte and code.
pub fn sort(problems: &mut [Problem]) {
    problems.sort_by_key(|problem| {
        let span = problem.span();
        (span.file, span.start, problem.code)
    });
}

/// Returns `text` as it may be shown: controls and direction marks escaped, cut at 200 characters.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for (count, c) in text.chars().enumerate() {
        if count == SHOWN_CHARACTERS_MAX {
            shown.push('…');
            break;
        }
        if steers(c) {
            shown.extend(c.escape_unicode());
        } else {
            shown.push(c);
        }
    }
    shown
}

const SHOWN_CHARACTERS_MAX: usize = 200;

/// Tells whether a character steers a terminal or is not seen on it.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Returns the words as a sentence lists them, each as it may be shown, at most thirty.
#[must_use]
pub fn listed<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<&str> = words.into_iter().collect();
    words.sort_unstable();
    words.dedup();
    let more = words.len().saturating_sub(LISTED_WORDS_MAX);
    words.truncate(LISTED_WORDS_MAX);
    let text = words.into_iter().map(shown).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{text} and {more} more") } else { text }
}

const LISTED_WORDS_MAX: usize = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_d4_the_plain_form_is_one_line_and_its_labels() {
        let mut sources = Sources::default();
        sources.add("Sandboxfile.kdl".into(), "a\nb é web\n".into());
        let span = |start, end| Span { file: 0, start, end };
        let problem = Problem::error(Code::SCHEMA_DUPLICATE_DEFINITION, "`web` twice", span(7, 10))
            .related(span(0, 1), "first here")
            .help("rename one");
        assert_eq!(
            problem.plain(&sources),
            "Sandboxfile.kdl:2:5: error[msb::schema::duplicate-definition]: `web` twice\n  \
             1:1: first here\n  help: rename one\n"
        );
    }

    #[test]
    fn sf_d6_text_from_files_is_shown_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[31m\u{202e}"), "a\\u{1b}[31m\\u{202e}");
        assert_eq!(shown(&"é".repeat(300)).chars().count(), 201);
    }
}
