//! Why what is remembered could not be read or written, and what to do then.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use schema::failure::Report;
use thiserror::Error;

use crate::machines::process::LookError;

/// Why what is remembered could not be read or written.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A folder or file of the home could not be made.
    #[error("cannot prepare {}", path.display())]
    Prepare {
        /// What was to be made.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The database could not be opened.
    #[error("cannot open the state at {}", path.display())]
    Open {
        /// The database's file.
        path: PathBuf,
        /// What SQLite answered.
        #[source]
        source: rusqlite::Error,
    },
    /// A read or a write failed.
    #[error("cannot {0} in the state")]
    Query(&'static str, #[source] rusqlite::Error),
    /// A read or a write of this database failed.
    #[error("cannot {what} in the state at {}", path.display())]
    At {
        /// What was attempted.
        what: &'static str,
        /// The database's file.
        path: PathBuf,
        /// What SQLite answered.
        #[source]
        source: rusqlite::Error,
    },
    /// The disk of this database is full.
    #[error("cannot {what} in the state at {}", path.display())]
    Full {
        /// What was attempted.
        what: &'static str,
        /// The database's file.
        path: PathBuf,
        /// What the kernel answered to SQLite.
        #[source]
        source: io::Error,
    },
    /// The database could be opened for reading alone.
    #[error("the state at {} can be read and not written", path.display())]
    ReadOnly {
        /// The database's file.
        path: PathBuf,
    },
    /// A stored value is not what this program writes.
    #[error("the state holds {what} that cannot be read: {value}")]
    Value {
        /// What it should have been.
        what: &'static str,
        /// What it was.
        value: String,
    },
    /// The database is not ours or is broken.
    #[error("the state at {} is damaged: {why}", path.display())]
    Damaged {
        /// The database's file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// What a row tells of could not be looked at.
    #[error(transparent)]
    Look(#[from] LookError),
    /// Rows do not fit their indexes, or what they refer to.
    #[error("the state contradicts itself: {0}")]
    Unsound(String),
    /// There is no database, and the home shows that there was one.
    #[error(
        "the state at {} is not there, and the home holds {machines} machines and {volumes} volumes",
        path.display()
    )]
    Missing {
        /// The database's file.
        path: PathBuf,
        /// How many machine folders there are.
        machines: usize,
        /// How many volumes there are.
        volumes: usize,
    },
    /// The database does not know a machine that runs.
    #[error("the state at {} has lost machine {machine}, which runs", path.display())]
    Lost {
        /// The database's file.
        path: PathBuf,
        /// The machine's id.
        machine: String,
    },
    /// Somebody else owns what the state lies in.
    #[error("{} belongs to user {owner}, not to user {us}", path.display())]
    Foreign {
        /// The file or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user this process runs as.
        us: u32,
    },
    /// Others may write what the state lies in.
    #[error("{} may be written by others (mode {mode:04o})", path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A later msb has written the database.
    #[error("the state was written by a newer msb (schema {found}, this one knows {known})")]
    Newer {
        /// The schema's version.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// Somebody else changed the row first.
    #[error("{0} was changed by somebody else in between")]
    Raced(String),
}

impl StoreError {
    /// Tells whether somebody else was writing for longer than it is waited for.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Self::At { source: error, .. } | Self::Query(_, error) => {
                error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
            }
            _ => false,
        }
    }

    /// Returns the code under which the failure is explained.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Newer { .. } => "msb::state::newer",
            Self::Prepare { .. }
            | Self::Open { .. }
            | Self::Query(..)
            | Self::At { .. }
            | Self::Full { .. }
            | Self::Look(_)
            | Self::ReadOnly { .. } => "msb::state::unusable",
            Self::Damaged { .. } | Self::Value { .. } | Self::Unsound(_) | Self::Lost { .. } => {
                "msb::state::damaged"
            }
            Self::Missing { .. } => "msb::state::missing",
            Self::Foreign { .. } | Self::Writable { .. } => "msb::home::foreign",
            Self::Raced(_) => "msb::state::raced",
        }
    }
}

impl StoreError {
    /// Returns the error with the database that it is about; one that only damage explains says so.
    pub(super) fn at(self, path: &Path) -> Self {
        let path = path.to_owned();
        match self {
            Self::Query(_, source) if is_damage(&source) => {
                Self::Damaged { path, why: source.to_string() }
            }
            Self::Query(what, source) => match source.sqlite_error_code() {
                Some(ErrorCode::DiskFull) => {
                    let source = io::Error::from_raw_os_error(NO_SPACE);
                    Self::Full { what, path, source }
                }
                _ => Self::At { what, path, source },
            },
            Self::Value { what, value } => {
                let value: String = value.chars().take(VALUE_CHARS_MAX).collect();
                Self::Damaged { path, why: format!("it holds {what} that cannot be read: {value}") }
            }
            Self::Unsound(why) => Self::Damaged { path, why },
            other => other,
        }
    }

    /// Returns the failure as it is told, with what to do.
    #[must_use]
    pub fn report(&self) -> Report {
        let mut report = Report::of(self.code(), "state", self);
        match self {
            Self::Newer { .. } => report.hints.push("Install a newer msb.".to_owned()),
            Self::Damaged { path, .. } | Self::Lost { path, .. } => report.hints.push(remedy(path)),
            Self::Missing { .. } => report.hints.push(
                "Put it back, or run `msb setup`, which makes it anew from what the machines record."
                    .to_owned(),
            ),
            Self::ReadOnly { path } => {
                report.hints.push(format!("Make {} writable for you.", path.display()));
            }
            Self::At { source, .. } | Self::Open { source, .. } | Self::Query(_, source) => {
                report.errno = report.errno.or_else(|| errno(source));
            }
            Self::Foreign { .. } => {
                let hint = "Name a home of your own with MSB_HOME or --home.";
                report.hints.push(hint.to_owned());
            }
            Self::Writable { path, .. } => {
                report.hints.push(format!("Run `chmod go-w {}`.", path.display()));
            }
            Self::Prepare { .. }
            | Self::Full { .. }
            | Self::Look(_)
            | Self::Value { .. }
            | Self::Unsound(_)
            | Self::Raced(_) => {}
        }
        report
    }
}

/// The kernel's `ENOSPC`, which SQLite tells in its own words.
const NO_SPACE: i32 = 28;

/// How much of a value that cannot be read is shown.
const VALUE_CHARS_MAX: usize = 80;

/// What our own words to SQLite can be answered with only where the file is not what we wrote.
fn is_damage(error: &rusqlite::Error) -> bool {
    let damaged = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase, ErrorCode::TypeMismatch];
    match error {
        rusqlite::Error::SqliteFailure(failure, _) => {
            // An unknown table, column or word of SQL: the schema is not ours any more.
            damaged.contains(&failure.code) || failure.extended_code == rusqlite::ffi::SQLITE_ERROR
        }
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::Utf8Error(..) => true,
        _ => false,
    }
}

/// Returns the kernel's answer behind one of SQLite's, where there can be only one.
fn errno(error: &rusqlite::Error) -> Option<String> {
    let name = match error.sqlite_error_code()? {
        ErrorCode::SystemIoFailure => "EIO",
        ErrorCode::ReadOnly => "EROFS",
        ErrorCode::OutOfMemory => "ENOMEM",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Says how a damaged database is replaced, naming the copies that there are.
fn remedy(path: &Path) -> String {
    let folder = path.parent().unwrap_or_else(|| Path::new("."));
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut copies: Vec<String> = names.filter(|name| name.ends_with(".bak")).collect();
    copies.sort();
    let anew = format!(
        "move {} away and run `msb setup`, which makes it anew from what the machines record",
        path.display()
    );
    if copies.is_empty() {
        return format!("{}{}.", anew[..1].to_uppercase(), &anew[1..]);
    }
    format!("Put a copy in its place ({}), or {anew}.", copies.join(", "))
}
