//! How a command ends badly: kind, cause, hints → exit code, a block of text, a line of JSON.

use std::error::Error;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;

use schema::exit::Kind;
use schema::failure::Report;
use schema::sandboxfile::problem::{Row, Severity};
use schema::sandboxfile::resolve::Failed;
use serde_json::{Value, json};

use crate::context::{ContextError, HomeError};
use crate::engine::{Trouble, Troubles};
use crate::report::clean::clean;
use crate::report::{Form, problems};

/// A failure on its way to the person or program that asked.
#[derive(Debug, Clone)]
pub struct Failure(Box<Told>);

/// What a failure tells.
#[derive(Debug, Clone)]
pub struct Told {
    /// Decides the exit code.
    pub kind: Kind,
    /// The code of a signal, which no kind has.
    pub exit_code: Option<u8>,
    /// What was attempted, and why it did not work.
    pub report: Report,
    /// Whose it is.
    pub project: Option<String>,
    /// `sandbox.web`.
    pub address: Option<String>,
    /// Where to read more.
    pub log: Option<PathBuf>,
    /// The problems of a Sandboxfile.
    pub problems: Vec<Row>,
    /// The same for people; it prints instead of the block.
    pub page: Option<String>,
}

/// Returns what helps where the kernel had nothing left to give.
fn advice(errno: &str) -> Option<&'static str> {
    Some(match errno {
        "ENOSPC" | "EDQUOT" => {
            "Make room on its disk: `msb image list` and `msb volume list` show what takes it."
        }
        "EMFILE" => "Raise the limit of open files with `ulimit -n`.",
        "ENFILE" => "Raise the host's limit of open files, `fs.file-max`.",
        "ENOMEM" => "Stop something that takes memory, and try again.",
        "EROFS" => "Mount its file system for writing, or name a home on another one.",
        "EIO" => "Look at the disk: the kernel could not read or write it.",
        _ => return None,
    })
}

/// How many lines of a console are shown.
const CONSOLE_LINES_MAX: usize = 20;

impl Failure {
    /// Returns a failure without a cause; `code` is written without `msb::`.
    #[must_use]
    pub fn new(code: &str, stage: &str, message: impl Into<String>) -> Self {
        let code = format!("msb::{}", code.strip_prefix("msb::").unwrap_or(code));
        let report =
            Report { code, stage: stage.into(), message: message.into(), ..Report::default() };
        Self::of_report(report)
    }

    /// Returns the failure that another program, or another room, told.
    #[must_use]
    pub fn of_report(mut report: Report) -> Self {
        if let Some(advice) = report.errno.as_deref().and_then(advice)
            && (report.hints.is_empty() || report.errno.as_deref() == Some("ENOSPC"))
        {
            report.hints.insert(0, advice.to_owned());
        }
        Self(Box::new(Told {
            kind: Kind::of_code(&report.code),
            exit_code: None,
            report,
            project: None,
            address: None,
            log: None,
            problems: Vec::new(),
            page: None,
        }))
    }

    /// Returns a failure with its causes taken from the chain of `error`.
    #[must_use]
    pub fn of(code: &str, stage: &str, error: &(dyn Error + 'static)) -> Self {
        Self::of_report(Report::of(code, stage, error))
    }

    /// Returns a failure of usage, found before anything is read.
    #[must_use]
    pub fn usage(code: &str, message: impl Into<String>) -> Self {
        Self::new(code, "usage", message).kind(Kind::Usage)
    }

    /// Returns the refusal of something that this version does not do.
    #[must_use]
    pub fn not_yet(name: &str) -> Self {
        Self::new("usage::not-yet", "usage", format!("{name}: not supported yet"))
    }

    /// Returns a fault of ours.
    #[must_use]
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new("internal::bug", "state", message)
            .hint("Report this with the output of `msb doctor --output json`.")
    }

    /// Returns the failure that a reading ended with.
    #[must_use]
    pub fn of_reading(failed: &Failed, form: &Form) -> Self {
        let mut errors = failed.problems.iter().filter(|p| p.severity == Severity::Error);
        let code = errors.next().map_or("msb::syntax::kdl", |problem| problem.code.as_str());
        let mut page = problems::text(&failed.problems, &failed.sources, form);
        if failed.more > 0 {
            let _ = writeln!(page, "and {} more", failed.more);
        }
        let summary = failed.summary();
        let _ = writeln!(page, "error: {summary}");
        let rows = failed.problems.iter().map(|problem| problem.row(&failed.sources)).collect();
        let mut failure = Self::new(code, "file", summary).kind(Kind::InvalidFile);
        failure.problems = rows;
        failure.page = Some(page);
        failure
    }

    /// Returns the failure with another kind than its code's.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Returns the failure with one more cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Into<String>) -> Self {
        self.report.causes.push(cause.into());
        self
    }

    /// Returns the failure with one more note.
    #[must_use]
    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.report.notes.push(note.into());
        self
    }

    /// Returns the failure with one more hint: a sentence that starts with a verb.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.report.hints.push(hint.into());
        self
    }

    /// Returns the failure with whose it is.
    #[must_use]
    pub fn at(mut self, project: &str, address: impl Into<String>) -> Self {
        self.project = Some(project.to_owned());
        self.address = Some(address.into());
        self
    }

    /// Returns the failure with the place of its log.
    #[must_use]
    pub fn log(mut self, path: PathBuf) -> Self {
        self.log = Some(path);
        self
    }

    /// Returns the exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.exit_code.unwrap_or(self.kind.code())
    }

    /// Returns the block that people read, without colour and with a line end.
    #[must_use]
    pub fn text(&self) -> String {
        if let Some(page) = &self.page {
            return page.clone();
        }
        let report = &self.report;
        let mut text = String::new();
        let subject = self.address.as_deref().map(|at| at.split_once('.').map_or(at, |(_, n)| n));
        match subject.filter(|name| !report.message.starts_with(&format!("{name}:"))) {
            Some(name) => line(&mut text, "error", &format!("{name}: {}", report.message)),
            None => line(&mut text, "error", &report.message),
        }
        line(&mut text, "  stage", &report.stage);
        for cause in distinct(&report.message, &report.causes) {
            line(&mut text, "  cause", cause);
        }
        report.notes.iter().for_each(|note| line(&mut text, "  note", note));
        report.hints.iter().for_each(|hint| line(&mut text, "  hint", hint));
        let first = report.console.len().saturating_sub(CONSOLE_LINES_MAX);
        report.console[first..].iter().for_each(|last| line(&mut text, "  console", last));
        if let Some(path) = &self.log {
            line(&mut text, "  log", &path.display().to_string());
        }
        let short = report.code.strip_prefix("msb::").unwrap_or(&report.code);
        line(&mut text, "  code", &format!("{}  (msb explain {short})", report.code));
        text
    }

    /// Returns the error object that programs read.
    #[must_use]
    pub fn object(&self) -> Value {
        let report = &self.report;
        json!({
            "code": report.code,
            "exit_code": self.exit_code(),
            "origin": "msb",
            "stage": report.stage,
            "project": self.project,
            "address": self.address,
            "message": report.message,
            "causes": distinct(&report.message, &report.causes).collect::<Vec<_>>(),
            "errno": report.errno,
            "notes": report.notes,
            "hints": report.hints,
            "console": (!report.console.is_empty()).then_some(&report.console),
            "log": self.log,
            "problems": self.problems,
        })
    }
}

/// Appends `LABEL: VALUE`; nothing where there is nothing to say. Text of guests is made safe.
fn line(text: &mut String, label: &str, value: &str) {
    let mut lines = value.lines().filter(|line| !line.trim().is_empty());
    if let Some(first) = lines.next() {
        let _ = writeln!(text, "{label}: {}", clean(first));
    }
    for more in lines {
        let _ = writeln!(text, "    {}", clean(more));
    }
}

/// Returns the causes that do not repeat what stands before them.
fn distinct<'a>(message: &'a str, causes: &'a [String]) -> impl Iterator<Item = &'a str> {
    let before = std::iter::once(message).chain(causes.iter().map(String::as_str));
    let pairs = before.zip(causes.iter().map(String::as_str));
    pairs.filter(|(before, cause)| !before.contains(cause)).map(|(_, cause)| cause)
}

impl Deref for Failure {
    type Target = Told;

    fn deref(&self) -> &Told {
        &self.0
    }
}

impl DerefMut for Failure {
    fn deref_mut(&mut self) -> &mut Told {
        &mut self.0
    }
}

/// At least one failure; the first decides how the command ends.
#[derive(Debug, Clone)]
pub struct Failures(pub Vec<Failure>);

impl Failures {
    /// Returns the exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.first().map_or(1, Failure::exit_code)
    }
}

impl From<Failure> for Failures {
    fn from(failure: Failure) -> Self {
        Self(vec![failure])
    }
}

impl From<Troubles> for Failures {
    fn from(troubles: Troubles) -> Self {
        Self(troubles.0.into_iter().map(Failure::from).collect())
    }
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        let mut failure = Self::of_report(trouble.report);
        failure.address = trouble.address.map(|address| address.to_string());
        failure.log = trouble.log;
        failure
    }
}

/// Returns the first of several failures, where one is enough.
pub(crate) fn first(troubles: Troubles) -> Failure {
    let first = troubles.0.into_iter().next().map(Failure::from);
    first.unwrap_or_else(|| Failure::internal("a failure without a reason"))
}

impl From<HomeError> for Failure {
    fn from(error: HomeError) -> Self {
        Self::of(error.code(), "state", &error).hint(error.hint())
    }
}

impl From<ContextError> for Failure {
    fn from(error: ContextError) -> Self {
        let hint = match error {
            ContextError::NoHome => "Set HOME, or name a folder with --home.",
            ContextError::Folder(_) => "Change to a folder that exists.",
            ContextError::Program(_) => "Start msb by its path.",
        };
        Self::of("msb::state::home", "state", &error).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_block_without_blank_lines() {
        let failure = Failure::new("ports::in-use", "ports", "cannot publish 127.0.0.1:8080")
            .at("shop", "sandbox.web[0]")
            .cause("bind 127.0.0.1:8080")
            .cause("address already in use (EADDRINUSE)")
            .note("held by pid 4121 (nginx)")
            .hint("Choose another host port in Sandboxfile.kdl:17, or write host=\"auto\".")
            .log("/home/ana/runtime.log".into());
        assert_eq!(
            failure.text(),
            "error: web[0]: cannot publish 127.0.0.1:8080\n  \
             stage: ports\n  \
             cause: bind 127.0.0.1:8080\n  \
             cause: address already in use (EADDRINUSE)\n  \
             note: held by pid 4121 (nginx)\n  \
             hint: Choose another host port in Sandboxfile.kdl:17, or write host=\"auto\".\n  \
             log: /home/ana/runtime.log\n  \
             code: msb::ports::in-use  (msb explain ports::in-use)\n"
        );
        assert_eq!(failure.exit_code(), 1);
    }

    #[test]
    fn a_cause_is_never_repeated_in_its_parent() {
        let failure = Failure::new("image::unresolved", "image", "no image app:1: not loaded")
            .cause("not loaded")
            .cause("it was removed");
        assert_eq!(failure.object()["causes"], json!(["it was removed"]));
    }

    #[test]
    fn every_key_of_the_error_object_is_always_there() {
        let object = Failure::not_yet("snapshot").object();
        for key in [
            "code",
            "exit_code",
            "origin",
            "stage",
            "project",
            "address",
            "message",
            "causes",
            "errno",
            "notes",
            "hints",
            "console",
            "log",
            "problems",
        ] {
            assert!(object.get(key).is_some(), "{key}");
        }
        assert_eq!(object["exit_code"], 1);
        assert_eq!(object["message"], "snapshot: not supported yet");
    }

    #[test]
    fn a_console_is_cut_to_its_end_and_made_safe() {
        let mut failure = Failure::new("boot::failed", "boot", "cannot boot");
        failure.report.console = (0..30).map(|n| format!("line {n}\u{1b}[2J")).collect();
        let text = failure.text();
        assert!(!text.contains('\u{1b}') && !text.contains("line 9\n"));
        assert!(text.contains("  console: line 10\n") && text.contains("  console: line 29\n"));
    }
}
