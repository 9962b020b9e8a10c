//! One line of a log.

use std::fmt::Write as _;

use schema::encoding::from_base64;
use serde::Deserialize;

use crate::store::time::parse;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// Both, merged by a terminal.
    Output,
    /// msb's own marks.
    System,
    /// The guest's kernel.
    Console,
    /// The runtime's own log.
    Runtime,
}

impl Source {
    /// Every source.
    pub const ALL: [Self; 6] =
        [Self::Stdout, Self::Stderr, Self::Output, Self::System, Self::Console, Self::Runtime];

    /// Returns the word that flags and programs use.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Output => "output",
            Self::System => "system",
            Self::Console => "console",
            Self::Runtime => "runtime",
        }
    }

    /// Returns the source of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|source| source.as_str() == word)
    }
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The host's time, milliseconds since 1970.
    pub at_ms: u64,
    /// Where it came from.
    pub source: Source,
    /// The session that wrote it; `main` is the workload.
    pub session: String,
    /// The line, without its end.
    pub bytes: Vec<u8>,
    /// More of the same line follows.
    pub partial: bool,
    /// How many lines are missing here; such an entry is a mark and no line.
    pub dropped: Option<u64>,
    /// Where it stands.
    pub place: Place,
}

/// Where a line stands in the file that holds it; a file keeps its number when it is renamed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    /// The file's number.
    pub inode: u64,
    /// Where the line begins.
    pub offset: u64,
}

/// A line of `exec.log`, as the runtime writes it.
#[derive(Deserialize)]
struct Exec<'a> {
    t: &'a str,
    s: &'a str,
    id: String,
    d: String,
    #[serde(default)]
    e: Option<&'a str>,
    #[serde(default)]
    p: bool,
}

/// Returns the entry of a line of `exec.log`; `None` for one that was cut off by a crash.
pub(super) fn of_exec(line: &[u8], place: Place) -> Option<Entry> {
    let exec: Exec<'_> = serde_json::from_slice(line).ok()?;
    let bytes = match exec.e {
        Some("b64") => from_base64(&exec.d)?,
        Some(_) | None => exec.d.into_bytes(),
    };
    let (at_ms, source) = (parse(exec.t)?, Source::parse(exec.s)?);
    let dropped = dropped(source, &bytes);
    Some(Entry { at_ms, source, session: exec.id, bytes, partial: exec.p, dropped, place })
}

/// Returns the count of the runtime's mark `dropped 12 lines`.
fn dropped(source: Source, bytes: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(bytes).ok().filter(|_| source == Source::System)?;
    text.strip_prefix("dropped ")?.strip_suffix(" lines")?.parse().ok()
}

/// Returns the entry of a line of `runtime.log`: level, target, message and fields.
pub(super) fn of_runtime(line: &[u8], place: Place) -> Option<Entry> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let object = value.as_object()?;
    let text = |key: &str| object.get(key).and_then(|value| value.as_str()).unwrap_or_default();
    let at_ms = parse(text("ts"))?;
    let mut shown = format!("{} {}: {}", text("level"), text("target"), text("msg"));
    for (key, value) in object {
        if !matches!(key.as_str(), "ts" | "level" | "target" | "msg") {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = write!(shown, " {key}={value}");
        }
    }
    let (source, session) = (Source::Runtime, "runtime".to_owned());
    let bytes = shown.into_bytes();
    Some(Entry { at_ms, source, session, bytes, partial: false, dropped: None, place })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_workload_is_read_as_it_was_written() {
        let line = br#"{"t":"2026-11-22T09:02:11.482Z","s":"stderr","id":"main","d":"hi"}"#;
        let entry = of_exec(line, Place::default()).unwrap();
        assert_eq!((entry.source, entry.bytes.as_slice()), (Source::Stderr, &b"hi"[..]));
        assert_eq!(entry.at_ms, 1_795_338_131_482);
        let line = br#"{"t":"2026-11-22T09:02:11.482Z","s":"stdout","id":"7","d":"/wD+AQ==","e":"b64","p":true}"#;
        let entry = of_exec(line, Place::default()).unwrap();
        assert_eq!(entry.bytes, [0xff, 0, 0xfe, 1]);
        assert!(entry.partial && entry.session == "7");
        assert_eq!(of_exec(b"{\"t\":\"2026", Place::default()), None);
    }

    #[test]
    fn a_mark_of_dropped_lines_counts_them_and_a_guest_cannot_write_one() {
        let of = |source: &str, text: &str| {
            let line = format!(
                r#"{{"t":"2026-11-22T09:02:11.482Z","s":"{source}","id":"main","d":"{text}"}}"#
            );
            of_exec(line.as_bytes(), Place::default()).unwrap().dropped
        };
        assert_eq!(of("system", "dropped 1204 lines"), Some(1204));
        assert_eq!(of("system", "session 7 ended"), None);
        assert_eq!(of("stdout", "dropped 1204 lines"), None);
    }

    #[test]
    fn a_line_of_the_runtime_shows_its_fields() {
        let line = br#"{"ts":"2026-11-22T09:02:11.482Z","level":"WARN","target":"vmm","msg":"slow","ms":7}"#;
        let entry = of_runtime(line, Place::default()).unwrap();
        assert_eq!(String::from_utf8(entry.bytes).unwrap(), "WARN vmm: slow ms=7");
    }
}
