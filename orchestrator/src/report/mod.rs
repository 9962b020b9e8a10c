//! The only door to the terminal: the result on stdout, everything else on stderr.
//!
//! A closed stdout is remembered, not fatal: a reading command looks at
//! [`Report::is_closed`] and ends, a changing one goes on with its work.

pub mod clean;
mod excerpt;
pub mod human;
pub mod json;
pub mod log;
pub mod problems;
pub mod progress;
pub mod prompt;
pub mod style;
pub mod time;

use std::io::{self, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::{Value, json};

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
    bars: Mutex<Option<progress::Screen>>,
}

impl Report {
    /// Returns a report in that form.
    #[must_use]
    pub const fn new(form: Form) -> Self {
        Self { form, closed: AtomicBool::new(false), bars: Mutex::new(None) }
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
        if self.is_text() {
            let label = self.form.err.paint(Colour::Yellow, "warning");
            self.err(&format!("{label}: {}\n", clean::clean(message)));
        } else {
            let mut warning = Failure::new("warning", "state", message).object();
            warning["code"] = Value::Null;
            warning["exit_code"] = json!(0);
            self.err(&format!("{}\n", json!({ "warning": warning })));
        }
    }

    /// Writes a failure: a block for people, a line for programs.
    pub fn failure(&self, failure: &Failure) {
        if !self.is_text() {
            self.err(&format!("{}\n", json!({ "error": failure.object() })));
            return;
        }
        let text = failure.text();
        if failure.page.is_some() {
            self.err(&text);
            return;
        }
        let label = self.form.err.paint(Colour::Red, "error");
        self.err(&format!("{label}{}", text.strip_prefix("error").unwrap_or(&text)));
        if self.form.annotations == Annotations::Github {
            let message = problems::escape_command(&failure.report.message);
            self.err(&format!("::error title={}::{message}\n", failure.report.code));
        }
    }

    /// Takes over stderr for lines that are repainted, until they are given back.
    pub(crate) fn set_screen(&self, screen: Option<progress::Screen>) {
        if let Ok(mut bars) = self.bars.lock() {
            *bars = screen;
        }
    }
}
