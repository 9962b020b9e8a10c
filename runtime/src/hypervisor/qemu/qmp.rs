//! How to talk to QEMU: one JSON document a line, one command in flight.
//!
//! ```text
//! bytes ─ Lines ─▶ line ─ Incoming::parse ─▶ Greeting │ Returned │ Refused │ Event
//! ```
//!
//! A guest that took QEMU over may write here whatever it likes, so lines are
//! bounded, answers must carry the number of the question, and anything else
//! is the end of the conversation.

use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

/// The largest line that is read.
pub(super) const LINE_BYTES_MAX: usize = 1024 * 1024;

/// The oldest QEMU whose machine is the one we describe.
pub(super) const VERSION_MIN: (u64, u64) = (7, 2);

/// Why a conversation ended.
#[derive(Debug, Error)]
pub(super) enum QmpError {
    /// A line is longer than any answer.
    #[error("QEMU sent a line of more than {LINE_BYTES_MAX} bytes")]
    TooLong,
    /// A line is not of the protocol, or answers nothing that was asked.
    #[error("QEMU sent something that is no answer: {0}")]
    Strange(String),
}

/// Bytes that came, waiting to be whole lines.
#[derive(Debug, Default)]
pub(super) struct Lines(Vec<u8>);

impl Lines {
    /// Takes bytes as they came.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Returns the next whole line, or `None` until more bytes come.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>, QmpError> {
        let end = self.0.iter().position(|byte| *byte == b'\n');
        if end.unwrap_or(self.0.len()) > LINE_BYTES_MAX {
            return Err(QmpError::TooLong);
        }
        Ok(end.map(|end| self.0.drain(..=end).collect()))
    }
}

/// One line from QEMU.
#[derive(Debug, PartialEq)]
pub(super) enum Incoming {
    /// The first line of a conversation.
    Greeting,
    /// A command was carried out.
    Returned {
        /// The command's number.
        id: u64,
        /// What it answers.
        value: Value,
    },
    /// A command was refused.
    Refused {
        /// The command's number, if QEMU could read it.
        id: Option<u64>,
        /// QEMU's words.
        why: String,
    },
    /// Something happened.
    Event(Event),
}

/// What happened in a machine, as far as we act on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// The machine stops, for this reason.
    Shutdown(String),
    /// The guest reset itself.
    Reset,
    /// A disk could not be read or written.
    BlockIoError {
        /// The disk's serial.
        serial: String,
        /// Whether the host's disk is full.
        no_space: bool,
    },
    /// The guest told that its kernel panicked.
    GuestPanicked,
    /// Something else, which nobody waits for.
    Other(String),
}

#[derive(Deserialize)]
struct Raw {
    #[serde(rename = "QMP")]
    greeting: Option<Value>,
    #[serde(rename = "return")]
    returned: Option<Value>,
    error: Option<RawError>,
    event: Option<String>,
    #[serde(default)]
    data: Value,
    id: Option<u64>,
}

#[derive(Deserialize)]
struct RawError {
    class: String,
    desc: String,
}

impl Incoming {
    /// Returns what a line says.
    pub(super) fn parse(line: &[u8]) -> Result<Self, QmpError> {
        let strange = || QmpError::Strange(excerpt(line));
        let raw: Raw = serde_json::from_slice(line).map_err(|_| strange())?;
        match (raw.greeting, raw.returned, raw.error, raw.event) {
            (Some(_), None, None, None) => Ok(Self::Greeting),
            (None, Some(value), None, None) => {
                Ok(Self::Returned { id: raw.id.ok_or_else(strange)?, value })
            }
            (None, None, Some(error), None) => {
                let RawError { class, desc } = error;
                Ok(Self::Refused { id: raw.id, why: format!("{class}: {desc}") })
            }
            (None, None, None, Some(name)) => Ok(Self::Event(Event::parse(&name, &raw.data))),
            _ => Err(strange()),
        }
    }
}

impl Event {
    fn parse(name: &str, data: &Value) -> Self {
        let text = |key: &str| data.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match name {
            "SHUTDOWN" => Self::Shutdown(text("reason")),
            "RESET" => Self::Reset,
            "BLOCK_IO_ERROR" => Self::BlockIoError {
                serial: text("node-name"),
                no_space: data.get("nospace").and_then(Value::as_bool).unwrap_or(false),
            },
            "GUEST_PANICKED" => Self::GuestPanicked,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// Returns the line that asks QEMU to carry out `command`.
pub(super) fn command_line(id: u64, command: &str, arguments: &Value) -> Vec<u8> {
    let mut question = json!({ "execute": command, "id": id });
    if !arguments.is_null() {
        question["arguments"] = arguments.clone();
    }
    let mut line = question.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Returns the version that `query-version` answered.
pub(super) fn version(answer: &Value) -> Option<(u64, u64)> {
    let part = |name: &str| answer.get("qemu")?.get(name)?.as_u64();
    Some((part("major")?, part("minor")?))
}

/// Returns the beginning of a line, fit to be shown.
fn excerpt(line: &[u8]) -> String {
    const SHOWN_BYTES_MAX: usize = 80;
    let shown = &line[..line.len().min(SHOWN_BYTES_MAX)];
    String::from_utf8_lossy(shown).escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Incoming {
        Incoming::parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_survive_any_cut() {
        let text = b"{\"a\":1}\r\n{}\n";
        for step in 1..=text.len() {
            let mut lines = Lines::default();
            let mut seen = Vec::new();
            for chunk in text.chunks(step) {
                lines.push(chunk);
                while let Some(line) = lines.next_line().unwrap() {
                    seen.push(line);
                }
            }
            assert_eq!(seen, [b"{\"a\":1}\r\n".to_vec(), b"{}\n".to_vec()], "cut every {step}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_in_time() {
        let mut lines = Lines::default();
        lines.push(&vec![b' '; LINE_BYTES_MAX]);
        assert!(matches!(lines.next_line(), Ok(None)));
        lines.push(b" ");
        assert!(matches!(lines.next_line(), Err(QmpError::TooLong)));
    }

    #[test]
    fn rt_2_14_what_qemu_says_is_told_apart() {
        assert_eq!(
            parse(r#"{"QMP": {"version": {}, "capabilities": ["oob"]}}"#),
            Incoming::Greeting
        );
        assert_eq!(
            parse(r#"{"return": {}, "id": 7}"#),
            Incoming::Returned { id: 7, value: json!({}) }
        );
        assert_eq!(
            parse(r#"{"id": 2, "error": {"class": "GenericError", "desc": "no such node"}}"#),
            Incoming::Refused { id: Some(2), why: "GenericError: no such node".into() }
        );
    }

    #[test]
    fn rt_2_14_events_are_kept_or_ignored_by_name() {
        let event = |line: &str| match parse(line) {
            Incoming::Event(event) => event,
            other => panic!("{other:?} is no event"),
        };
        assert_eq!(
            event(r#"{"event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-reset"}}"#),
            Event::Shutdown("guest-reset".into())
        );
        assert_eq!(
            event(
                r#"{"event": "BLOCK_IO_ERROR", "data": {"node-name": "data", "nospace": true,
                    "device": "", "operation": "write", "action": "report", "reason": "x"}}"#
            ),
            Event::BlockIoError { serial: "data".into(), no_space: true }
        );
        assert_eq!(event(r#"{"event": "GUEST_PANICKED"}"#), Event::GuestPanicked);
        assert_eq!(event(r#"{"event": "TOMORROW"}"#), Event::Other("TOMORROW".into()));
    }

    #[test]
    fn whatever_else_comes_ends_the_conversation() {
        for line in ["", "[]", "null", "{}", r#"{"return": {}}"#, r#"{"return": 1, "event": "x"}"#]
        {
            assert!(Incoming::parse(line.as_bytes()).is_err(), "{line:?} was taken");
        }
        let shown = Incoming::parse(&[0x1b; 500]).unwrap_err().to_string();
        assert!(shown.len() < 600 && !shown.contains('\x1b'), "{shown}");
    }

    #[test]
    fn a_command_is_one_line() {
        let line = command_line(3, "quit", &Value::Null);
        assert_eq!(line, b"{\"execute\":\"quit\",\"id\":3}\n");
    }

    #[test]
    fn the_version_is_read_from_the_answer() {
        let answer = json!({ "qemu": { "micro": 22, "minor": 2, "major": 7 }, "package": "" });
        assert_eq!(version(&answer), Some((7, 2)));
        assert_eq!(version(&json!({ "qemu": {} })), None);
    }
}
