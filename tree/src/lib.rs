//! A tree of files as one stream, and the stream as a tree: the same on both sides of a copy.
//!
//! ```text
//! path ─ pack ─▶ tar ─ … ─▶ tar ─ unpack ─▶ temporary name ─▶ name
//! ```
//!
//! Whoever sends is not believed: [`unpack`] writes below its target alone, and
//! follows no link there. What cannot be copied is told in a note and left out;
//! the note that ends a tree before its end is the error.
#![forbid(unsafe_code)]

mod beneath;
mod draft;
mod gauge;
mod links;
mod out;
mod owners;
mod pack;
#[cfg(test)]
mod scratch;
mod target;
mod unpack;

#[cfg(test)]
mod tests;

pub use gauge::Gauge;
pub use pack::{Source, pack};
pub use target::Target;
pub use unpack::{LinkRule, Rules, unpack};

use std::io;

use schema::wire::files::{FileNote, NoteKind};

/// Who is told what was left out.
pub type Tell<'a> = &'a mut dyn FnMut(FileNote);

/// What was copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files and links; folders do not count.
    pub files: u64,
    /// The bytes of the files.
    pub bytes: u64,
}

/// Returns a note with what the kernel answered.
fn noted(kind: NoteKind, path: &[u8], what: &str, error: &io::Error) -> FileNote {
    FileNote::new(kind, path, what).with_errno(error.raw_os_error())
}
