//! Lines of many sandboxes on one terminal: names before them, nothing of a guest that steers it.

use schema::encoding::base64;
use schema::name::{InstanceName, ProjectName};
use serde_json::{Value, json};

use super::call::Call;
use super::logs::Shape;
use crate::follow::{Cursor, Entry, Source};
use crate::report::Report;
use crate::report::clean::clean;
use crate::report::human::cut;
use crate::report::json::rfc3339;
use crate::report::style::Colour;
use crate::report::time::local_ms;

/// Names are padded to the longest, and cut here.
const NAME_MAX: usize = 24;

/// How many colours prefixes have.
const COLOURS: u8 = 12;

/// Whose line it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    project: String,
    name: String,
    machine: String,
    colour: u8,
}

impl Named {
    /// Returns a name with its colour: the same in every run, on every host, of every version.
    pub(super) fn new(project: &ProjectName, name: &InstanceName, machine: &str) -> Self {
        let (project, name) = (project.to_string(), name.to_string());
        let colour = blake3::hash(format!("{project}/{name}").as_bytes()).as_bytes()[0] % COLOURS;
        Self { project, name, machine: machine.to_owned(), colour }
    }
}

/// Prints lines.
pub(super) struct Lines<'a> {
    report: &'a Report,
    shape: Shape,
    /// Several are shown, so each line says whose it is.
    prefixed: bool,
    width: usize,
    /// Whose line has no end yet.
    open: Option<(Named, Source, String)>,
}

impl<'a> Lines<'a> {
    /// Returns a printer.
    pub(super) fn new(call: &'a Call, shape: Shape) -> Self {
        Self { report: &call.report, shape, prefixed: false, width: 0, open: None }
    }

    /// Makes room for the longest of these names; they are shown once there are several.
    pub(super) fn make_room<'b>(&mut self, names: impl ExactSizeIterator<Item = &'b Named>) {
        self.prefixed |= names.len() > 1 && !self.shape.no_prefix;
        let widths = names.map(|named| named.name.chars().count());
        self.width = self.width.max(widths.max().unwrap_or(0)).min(NAME_MAX);
    }

    /// Tells whether nobody reads any more.
    pub(super) fn is_closed(&self) -> bool {
        self.report.is_closed()
    }

    /// Prints one line.
    pub(super) fn print(&mut self, named: &Named, entry: &Entry) {
        if !self.report.is_text() {
            self.report.line(&document(named, entry).to_string());
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
        if let Some(count) = entry.dropped {
            let style = self.report.form.out;
            let text = style.paint(Colour::Grey, &gap(count)).into_owned();
            line.extend_from_slice(style.twins(&text).as_bytes());
        } else if self.shape.raw {
            line.extend_from_slice(&entry.bytes);
        } else {
            let text = String::from_utf8_lossy(&entry.bytes);
            line.extend_from_slice(self.report.guest(&text).as_bytes());
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
}

/// Returns an entry as programs read it.
fn document(named: &Named, entry: &Entry) -> Value {
    let (ts, address) = (rfc3339(entry.at_ms), format!("sandbox.{}", named.name));
    if let Some(count) = entry.dropped {
        return json!({
            "type": "dropped",
            "ts": ts,
            "project": named.project,
            "address": address,
            "count": count,
            "reason": "rate",
        });
    }
    let is_text = std::str::from_utf8(&entry.bytes).is_ok();
    json!({
        "type": "line",
        "ts": ts,
        "project": named.project,
        "address": address,
        "source": entry.source.as_str(),
        "session": entry.session,
        "line": String::from_utf8_lossy(&entry.bytes),
        "partial": entry.partial,
        "bytes": (!is_text).then(|| base64(&entry.bytes)),
        "cursor": Cursor::of(&named.machine, entry).to_string(),
    })
}

/// Returns what is said of lines that are missing: `… 1,204 lines dropped`.
fn gap(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    format!("… {text} {} dropped", if count == 1 { "line" } else { "lines" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_of_the_name_and_never_changes() {
        let colour = |name: &str| {
            let project = ProjectName::parse("shop").unwrap();
            Named::new(&project, &InstanceName::parse(name).unwrap(), "").colour
        };
        assert_eq!(["db", "web[0]", "web[1]", "cache"].map(colour), [6, 9, 6, 8]);
    }

    #[test]
    fn a_gap_says_how_much_is_missing() {
        assert_eq!(gap(1), "… 1 line dropped");
        assert_eq!(gap(1_204), "… 1,204 lines dropped");
        assert_eq!(gap(1_000_000), "… 1,000,000 lines dropped");
        assert_eq!(gap(120), "… 120 lines dropped");
    }
}
