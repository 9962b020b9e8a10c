//! Where a reader of logs left off: a machine, one of its logs, and a line of it.

use std::fmt;
use std::str::FromStr;

use super::entry::{Entry, Place, Source};

/// See the module.
///
/// A file's number may be given to a later file, so the line's time is compared too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    /// The machine's id.
    pub machine: String,
    /// When the line was written.
    pub at_ms: u64,
    log: Log,
    place: Place,
}

/// What is no cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is not the `cursor` of a JSON line")]
pub struct NoCursor;

/// One file of a machine, with those it was renamed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    Exec,
    Console,
    Runtime,
}

impl Log {
    const ALL: [Self; 3] = [Self::Exec, Self::Console, Self::Runtime];

    const fn of(source: Source) -> Self {
        match source {
            Source::Stdout | Source::Stderr | Source::Output | Source::System => Self::Exec,
            Source::Console => Self::Console,
            Source::Runtime => Self::Runtime,
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Console => "console",
            Self::Runtime => "runtime",
        }
    }
}

impl Cursor {
    /// Returns the cursor of a line of a machine.
    #[must_use]
    pub fn of(machine: &str, entry: &Entry) -> Self {
        let (log, place) = (Log::of(entry.source), entry.place);
        Self { machine: machine.to_owned(), at_ms: entry.at_ms, log, place }
    }

    /// Returns a source that its log holds.
    #[must_use]
    pub const fn source(&self) -> Source {
        match self.log {
            Log::Exec => Source::Stdout,
            Log::Console => Source::Console,
            Log::Runtime => Source::Runtime,
        }
    }

    /// Tells whether an entry of its machine is the line it was taken from.
    #[must_use]
    pub fn is(&self, entry: &Entry) -> bool {
        Log::of(entry.source) == self.log && entry.place == self.place && entry.at_ms == self.at_ms
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (log, Place { inode, offset }) = (self.log.as_str(), self.place);
        write!(f, "{}.{log}.{inode:x}.{offset:x}.{:x}", self.machine, self.at_ms)
    }
}

impl FromStr for Cursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(NoCursor);
        let machine = next()?.to_owned();
        let log = next()?;
        let log = Log::ALL.into_iter().find(|one| one.as_str() == log).ok_or(NoCursor)?;
        let mut number = || u64::from_str_radix(next()?, 16).map_err(|_| NoCursor);
        let (inode, offset, at_ms) = (number()?, number()?, number()?);
        let is_id = machine.len() == 16 && machine.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !is_id || parts.next().is_some() {
            return Err(NoCursor);
        }
        Ok(Self { machine, at_ms, log, place: Place { inode, offset } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_written_and_read_and_means_one_line() {
        let place = Place { inode: 77, offset: 512 };
        let entry = Entry {
            at_ms: 1_795_338_131_482,
            source: Source::Stderr,
            session: "main".to_owned(),
            bytes: Vec::new(),
            partial: false,
            dropped: None,
            place,
        };
        let cursor = Cursor::of("4f2a9c017be3d85a", &entry);
        let read: Cursor = cursor.to_string().parse().unwrap();
        assert_eq!(read, cursor);
        assert!(read.is(&entry));
        assert!(read.is(&Entry { source: Source::Stdout, ..entry.clone() }), "one file holds both");
        assert!(!read.is(&Entry { source: Source::Console, ..entry.clone() }));
        assert!(!read.is(&Entry { at_ms: 7, ..entry.clone() }), "the number of an older file");
        assert!(!read.is(&Entry { place: Place { offset: 0, ..place }, ..entry }));
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for bad in [
            "",
            "yesterday",
            "4f2a.exec.1.2.3",
            "4f2a9c017be3d85a.exec.1.2",
            "4f2a9c017be3d85a.exec.1.2.3.4",
        ] {
            assert_eq!(bad.parse::<Cursor>(), Err(NoCursor), "{bad}");
        }
    }
}
