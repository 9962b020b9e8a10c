//! The only door to the terminal: the result on stdout, everything else on stderr.
//!
//! A closed stdout is remembered, not fatal: a reading command looks at
//! [`Report::is_closed`] and ends, a changing one goes on with its work.

pub mod clean;
mod excerpt;
pub mod github;
pub mod human;
pub mod json;
pub mod log;
pub mod moving;
pub mod problems;
pub mod progress;
pub mod prompt;
mod screen;
pub mod style;
pub mod time;

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::cli::failure::Failure;
use crate::context::{Stream, Terminal};
use style::{Colour, Style};

/// The form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// One document.
    Json,
    /// A line for each element.
    Ndjson,
}

/// The form of progress on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Lines that are repainted.
    Tty,
    /// A line for each change.
    Plain,
    /// A JSON line for each event.
    Json,
    /// Warnings and errors only.
    Quiet,
}

/// Whether problems are annotated for the pages of a continuous integration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotations {
    /// As GitHub's runner reads them.
    Github,
    /// None.
    Off,
}

/// How a command was asked to report.
#[derive(Debug, Clone, Copy)]
pub struct Form {
    /// The form of the result.
    pub output: Output,
    /// The form of progress.
    pub progress: Progress,
    /// Colours of stdout.
    pub out: Style,
    /// Colours of stderr.
    pub err: Style,
    /// Annotations of problems.
    pub annotations: Annotations,
    /// The terminal.
    pub terminal: Terminal,
}

/// See the module.
#[derive(Debug)]
pub struct Report {
    /// How it was asked for.
    pub form: Form,
    closed: AtomicBool,
    /// Whether lines of the result are events.
    as_events: AtomicBool,
    /// The number of the last event.
    events: AtomicU64,
    bars: Mutex<Option<screen::Screen>>,
    /// How many lines of the result are painted anew the next time.
    painted: AtomicUsize,
}

impl Report {
    /// Returns a report in that form.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        let (closed, as_events) = (AtomicBool::new(false), AtomicBool::new(false));
        let (events, painted) = (AtomicU64::new(0), AtomicUsize::new(0));
        Self { form, closed, as_events, events, bars: Mutex::new(None), painted }
    }

    /// Tells whether the reader of stdout has gone away.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Tells whether the result is for people.
    #[must_use]
    pub fn is_text(&self) -> bool {
        self.form.output == Output::Text
    }

    /// Returns the width that tables are cut to: that of a terminal, none in a pipe.
    #[must_use]
    pub fn width(&self) -> Option<usize> {
        let is_tty = self.form.terminal.is_tty(Stream::Out);
        is_tty.then_some(usize::from(self.form.terminal.columns))
    }

    /// Returns how many lines a terminal shows.
    #[must_use]
    pub fn rows(&self) -> usize {
        usize::from(self.form.terminal.rows)
    }

    /// Tells whether the result may be painted over.
    #[must_use]
    pub const fn may_repaint(&self) -> bool {
        self.form.terminal.is_tty(Stream::Out) && self.form.terminal.is_capable
    }

    /// Writes text of the result in the place of what was written so before.
    pub fn repaint(&self, text: &str) {
        let lines = self.painted.swap(text.lines().count(), Ordering::Relaxed);
        let back = if lines > 0 { format!("\x1b[{lines}A\r\x1b[J") } else { String::new() };
        self.out(&format!("{back}{text}"));
    }

    /// Writes bytes of the result as they are.
    pub fn raw(&self, bytes: &[u8]) {
        let mut out = io::stdout().lock();
        if out.write_all(bytes).and_then(|()| out.flush()).is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }

    /// Writes text of the result.
    pub fn out(&self, text: &str) {
        self.raw(self.form.out.twins(text).as_bytes());
    }

    /// Writes a line of the result.
    pub fn line(&self, text: &str) {
        self.out(&format!("{text}\n"));
    }

    /// Writes the result as one document, or each of its elements on a line.
    pub fn document(&self, value: &impl Serialize) {
        let value = serde_json::to_value(value).unwrap_or(Value::Null);
        match (self.form.output, value) {
            (Output::Ndjson, Value::Array(rows)) => {
                let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
                self.raw(lines.as_bytes());
            }
            (Output::Text | Output::Json | Output::Ndjson, value) => {
                self.raw(format!("{value}\n").as_bytes());
            }
        }
    }

    /// Writes text to stderr; a line that is being repainted steps aside.
    pub fn err(&self, text: &str) {
        let text = self.form.err.twins(text);
        let write = || {
            // There is nobody left to tell when stderr itself fails.
            drop(io::stderr().lock().write_all(text.as_bytes()));
        };
        match self.bars.lock().ok().as_deref() {
            Some(Some(screen)) => screen.suspend(write),
            Some(None) | None => write(),
        }
    }

    /// Says something beside the result; silent where only warnings are wanted.
    pub fn note(&self, text: &str) {
        match self.form.progress {
            Progress::Tty | Progress::Plain => self.err(&format!("{text}\n")),
            Progress::Json | Progress::Quiet => {}
        }
    }

    /// Writes a warning.
    pub fn warn(&self, message: &str) {
        if self.are_errors_text() {
            let label = self.form.err.paint(Colour::Yellow, "warning");
            self.err(&format!("{label}: {}\n", self.guest(message)));
            if self.form.annotations == Annotations::Github {
                self.err(&github::annotation("warning", "msb", message));
            }
        } else {
            let mut warning = Failure::new("warning", "state", message).object();
            warning["code"] = Value::Null;
            warning["exit_code"] = json!(0);
            self.err(&format!("{}\n", json!({ "warning": warning })));
        }
    }

    /// Writes a failure: a block for people, a line for programs.
    pub fn failure(&self, failure: &Failure) {
        if !self.are_errors_text() {
            self.err(&format!("{}\n", json!({ "error": failure.object() })));
            return;
        }
        let text = failure.text();
        if failure.page.is_some() {
            self.err(&text);
            return;
        }
        let label = self.form.err.paint(Colour::Red, "error");
        let text = text.strip_prefix("error").unwrap_or(&text);
        if self.form.annotations == Annotations::Github {
            let lines: String = text.lines().map(|line| github::no_command(line) + "\n").collect();
            self.err(&format!("{label}{lines}"));
            let (code, message) = (&failure.report.code, &failure.report.message);
            self.err(&github::annotation("error", code, message));
        } else {
            self.err(&format!("{label}{text}"));
        }
    }

    /// Writes what belongs to failures, for people.
    pub fn trouble(&self, text: &str) {
        if self.are_errors_text() {
            self.err(text);
        }
    }

    /// Tells whether failures and warnings are for people.
    fn are_errors_text(&self) -> bool {
        self.is_text() && self.form.progress != Progress::Json
    }

    /// Returns one line that a guest may have written, safe for terminals and runners.
    #[must_use]
    pub fn guest<'a>(&self, line: &'a str) -> Cow<'a, str> {
        match self.form.annotations {
            Annotations::Github => github::no_command(&clean::clean(line)).into(),
            Annotations::Off => clean::clean(line),
        }
    }

    /// Makes the lines of the result events, where lines were asked for.
    pub fn tell_as_events(&self) {
        self.as_events.store(true, Ordering::Relaxed);
    }

    /// Tells whether the result of this command is its last event.
    #[must_use]
    pub fn is_told_as_events(&self) -> bool {
        self.form.output == Output::Ndjson && self.as_events.load(Ordering::Relaxed)
    }

    /// Writes what every row of events begins with; once.
    pub fn hello(&self, unix_ms: u64, command: &str, project: Option<&str>) {
        if self.events.load(Ordering::Relaxed) > 0 {
            return;
        }
        let message = project.map_or_else(|| command.to_owned(), |of| format!("{command} {of}"));
        let more = json!({
            "format_version": json::FORMAT_VERSION,
            "msb_version": env!("CARGO_PKG_VERSION"),
            "command": command,
            "project": project,
            "run": null,
        });
        self.event(unix_ms, ("hello", &message), &more);
    }

    /// Writes one event: to stdout where the result is lines, to stderr where progress is.
    pub fn event(&self, unix_ms: u64, (kind, message): (&str, &str), more: &Value) {
        let to_stdout = self.is_told_as_events();
        if !to_stdout && self.form.progress != Progress::Json {
            return;
        }
        let mut line = Map::new();
        let seq = self.events.fetch_add(1, Ordering::Relaxed) + 1;
        line.insert("seq".into(), json!(seq));
        line.insert("ts".into(), json!(json::rfc3339(unix_ms)));
        line.insert("type".into(), json!(kind));
        line.insert("message".into(), json!(message));
        if let Value::Object(more) = more {
            line.extend(more.clone());
        }
        let line = format!("{}\n", Value::Object(line));
        if to_stdout { self.raw(line.as_bytes()) } else { self.err(&line) }
    }
}
