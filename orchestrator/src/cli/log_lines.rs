//! Lines of many sandboxes on one terminal: names before them, nothing of a guest that steers it.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::json;

use super::call::Call;
use super::command::base64;
use super::logs::Shape;
use crate::follow::{Entry, Source};
use crate::report::clean::clean;
use crate::report::human::cut;
use crate::report::json::rfc3339;
use crate::report::style::Colour;
use crate::report::time::local_ms;
use crate::report::{Annotations, Report};

/// Names are padded to the longest, and cut here.
const NAME_MAX: usize = 24;

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    project: String,
    name: String,
    colour: u8,
}

impl Named {
    /// Returns a name with its colour: the same in every run.
    pub(super) fn new(project: &str, name: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        (project, name).hash(&mut hasher);
        let colour = u8::try_from(hasher.finish() % 12).unwrap_or(0);
        Self { project: project.to_owned(), name: name.to_owned(), colour }
    }
}

/// Prints lines.
pub(super) struct Lines<'a> {
    report: &'a Report,
    shape: Shape,
    prefixed: bool,
    width: usize,
    /// Whose line has no end yet.
    open: Option<(Named, Source, String)>,
}

impl<'a> Lines<'a> {
    /// Returns a printer; names are shown where there are several.
    pub(super) fn new(call: &'a Call, shape: Shape, several: bool) -> Self {
        let prefixed = several && !shape.no_prefix;
        Self { report: &call.report, shape, prefixed, width: 0, open: None }
    }

    /// Tells whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.report.is_closed()
    }

    /// Prints one line.
    pub(super) fn print(&mut self, named: &Named, entry: &Entry) {
        if !self.report.is_text() {
            self.document(named, entry);
            return;
        }
        let key = (named.clone(), entry.source, entry.session.clone());
        let mut line: Vec<u8> = Vec::with_capacity(entry.bytes.len() + 40);
        match self.open.take() {
            Some(open) if open == key => {}
            Some(_) => {
                line.push(b'\n');
                self.head(&mut line, named, entry);
            }
            None => self.head(&mut line, named, entry),
        }
        if self.shape.raw {
            line.extend_from_slice(&entry.bytes);
        } else {
            let text = String::from_utf8_lossy(&entry.bytes);
            let text = clean(&text);
            match self.report.form.annotations {
                Annotations::Github => line.extend_from_slice(no_command(&text).as_bytes()),
                Annotations::Off => line.extend_from_slice(text.as_bytes()),
            }
        }
        if entry.partial {
            self.open = Some(key);
        } else {
            line.push(b'\n');
        }
        self.report.raw(&line);
    }

    /// Ends a line that has no end yet.
    pub(super) fn end(&mut self) {
        if self.open.take().is_some() {
            self.report.raw(b"\n");
        }
    }

    fn head(&mut self, line: &mut Vec<u8>, named: &Named, entry: &Entry) {
        let style = self.report.form.out;
        if self.prefixed {
            self.width = self.width.max(named.name.chars().count()).min(NAME_MAX);
            let name = format!("{:width$}", cut(&named.name, Some(NAME_MAX)), width = self.width);
            let mark = match entry.source {
                Source::Stderr => style.paint(Colour::Red, "!"),
                _ => "|".into(),
            };
            let head = format!("{} {mark} ", style.paint(Colour::Prefix(named.colour), &name));
            line.extend_from_slice(style.twins(&head).as_bytes());
        }
        if self.shape.timestamps {
            line.extend_from_slice(format!("{}  ", local_ms(entry.at_ms)).as_bytes());
        }
        if self.shape.show_session {
            line.extend_from_slice(format!("{}  ", clean(&entry.session)).as_bytes());
        }
    }

    fn document(&self, named: &Named, entry: &Entry) {
        let is_text = std::str::from_utf8(&entry.bytes).is_ok();
        let line = json!({
            "type": "line",
            "ts": rfc3339(entry.at_ms),
            "project": named.project,
            "address": format!("sandbox.{}", named.name),
            "source": entry.source.as_str(),
            "session": entry.session,
            "line": String::from_utf8_lossy(&entry.bytes),
            "partial": entry.partial,
            "bytes": (!is_text).then(|| base64(&entry.bytes)),
            "cursor": null,
        });
        self.report.line(&line.to_string());
    }
}

/// Returns a line that no runner takes for a command of its own.
fn no_command(line: &str) -> String {
    let line = line.replace("##[", "#\u{200b}#[");
    match line.strip_prefix("::") {
        Some(rest) => format!(":\u{200b}:{rest}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_s_line_is_no_command_of_a_runner() {
        assert_eq!(no_command("::error::x"), ":\u{200b}:error::x");
        assert_eq!(no_command("a ##[group]b"), "a #\u{200b}#[group]b");
        assert_eq!(no_command("plain"), "plain");
    }
}
