//! Trees of files into the guest and out of it: one session each.
//!
//! ```text
//! host  ─ TreeGet ─▶ guest ─ Started ─▶ tar on stream 0, notes on stream 1 ─ Exited ─▶ Done
//! host  ─ TreePut ─▶ guest ─ Started ◀─ tar on stream 0;  notes on stream 1 ─ Exited ─▶ Done
//! ```
//!
//! What was left out may be as long as the tree, so it is data with credit like
//! the tree itself: a row of [`FileNote`]s in CBOR, one after the other. A note
//! of the kind [`NoteKind::Copied`] is the last one of a tree that came to its
//! end, one of the kind [`NoteKind::Failed`] that of any other.

use minicbor::bytes::ByteVec;
use minicbor::{Decode, Encode};
use thiserror::Error;

/// The longest note; a path and a sentence fit several times.
const NOTE_BYTES_MAX: usize = 32 * 1024;

/// What becomes of symbolic links at the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Links {
    /// They are copied as links.
    #[n(0)]
    Kept,
    /// What they lead to is copied in their place.
    #[n(1)]
    Followed,
}

/// What a destination is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Destination {
    /// A folder if there is one, else the new name of what comes.
    #[n(0)]
    Either,
    /// A folder that is there.
    #[n(1)]
    Folder,
    /// A folder that is made where it is missing.
    #[n(2)]
    NewFolder,
}

/// Whose the copies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Owners {
    /// Theirs who make them.
    #[n(0)]
    Own,
    /// Theirs who own the originals, by number; modes are kept to the last bit.
    #[n(1)]
    Kept,
}

/// See [`Message::TreeGet`](super::Message::TreeGet).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TreeGet {
    /// What is copied, absolute or relative to the sandbox's working folder.
    #[n(0)]
    pub path: ByteVec,
    /// What it is called in the archive; empty for a folder whose content alone is wanted.
    #[n(1)]
    pub name: ByteVec,
    /// What becomes of links.
    #[n(2)]
    pub links: Links,
    /// `NAME|UID[:GROUP|GID]` who reads, the sandbox's where absent.
    #[n(3)]
    pub user: Option<String>,
}

/// See [`Message::TreePut`](super::Message::TreePut).
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct TreePut {
    /// Where the tree goes, absolute or relative to the sandbox's working folder.
    #[n(0)]
    pub path: ByteVec,
    /// What all entries of the archive stand below, as in [`TreeGet::name`]; absent: anything.
    #[n(1)]
    pub name: Option<ByteVec>,
    /// What the destination is.
    #[n(2)]
    pub into: Destination,
    /// Whose the copies are.
    #[n(3)]
    pub owners: Owners,
    /// `NAME|UID[:GROUP|GID]` who writes, the sandbox's where absent.
    #[n(4)]
    pub user: Option<String>,
}

/// What a note says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum NoteKind {
    /// The tree has come to its end.
    #[n(0)]
    Copied,
    /// The tree cannot go on.
    #[n(1)]
    Failed,
    /// Something was left out because it may not be copied: a name, a link, a device.
    #[n(2)]
    Unsafe,
    /// Something was left out because it cannot be read or written.
    #[n(3)]
    Skipped,
    /// Something was copied that changed meanwhile, or is not as it was in some respect.
    #[n(4)]
    Changed,
    /// What was to be copied is not there.
    #[n(5)]
    Missing,
    /// The destination cannot be one.
    #[n(6)]
    Target,
}

/// One thing to say about a tree.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct FileNote {
    /// What kind of thing.
    #[n(0)]
    pub kind: NoteKind,
    /// Which file, empty for the whole.
    #[n(1)]
    pub path: ByteVec,
    /// Why, in words.
    #[n(2)]
    pub why: String,
    /// What the kernel said.
    #[n(3)]
    pub errno: Option<i32>,
    /// With [`NoteKind::Copied`]: how many files, folders not counted.
    #[n(4)]
    pub files: Option<u64>,
    /// With [`NoteKind::Copied`]: how many bytes they have.
    #[n(5)]
    pub bytes: Option<u64>,
}

impl FileNote {
    /// Returns a note about a path.
    #[must_use]
    pub fn new(kind: NoteKind, path: &[u8], why: impl Into<String>) -> Self {
        let path = path.to_vec().into();
        Self { kind, path, why: why.into(), errno: None, files: None, bytes: None }
    }

    /// Returns the last note of a tree that came to its end.
    #[must_use]
    pub fn copied(files: u64, bytes: u64) -> Self {
        let (files, bytes) = (Some(files), Some(bytes));
        Self { files, bytes, ..Self::new(NoteKind::Copied, b"", "") }
    }

    /// Returns the note with what the kernel said.
    #[must_use]
    pub fn with_errno(self, errno: Option<i32>) -> Self {
        Self { errno, ..self }
    }

    /// Returns the note in CBOR.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        minicbor::encode(self, &mut out).expect("a vector takes every byte");
        out
    }
}

/// What came is no row of notes.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("what was said about the tree cannot be read")]
pub struct BadNote;

/// Bytes of notes that came, waiting to be whole.
#[derive(Debug, Default)]
pub struct Notes {
    pending: Vec<u8>,
    start: usize,
}

impl Notes {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pending.drain(..self.start);
        self.start = 0;
        self.pending.extend_from_slice(bytes);
    }

    /// Returns the next whole note, or `None` until more bytes come.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn next_note(&mut self) -> Result<Option<FileNote>, BadNote> {
        let waiting = &self.pending[self.start..];
        let mut decoder = minicbor::Decoder::new(waiting);
        match decoder.decode::<FileNote>() {
            Ok(note) => {
                self.start += decoder.position();
                Ok(Some(note))
            }
            Err(error) if error.is_end_of_input() && waiting.len() < NOTE_BYTES_MAX => Ok(None),
            Err(_) => Err(BadNote),
        }
    }

    /// Tells whether part of a note is waiting.
    #[must_use]
    pub fn is_inside_a_note(&self) -> bool {
        self.start < self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_notes() -> Vec<FileNote> {
        vec![
            FileNote::new(NoteKind::Unsafe, b"dev/\xffnull", "a device is not copied"),
            FileNote::new(NoteKind::Skipped, b"etc/shadow", "it cannot be read")
                .with_errno(Some(13)),
            FileNote::copied(12, 1 << 40),
        ]
    }

    #[test]
    fn notes_survive_any_cut() {
        let bytes: Vec<u8> = some_notes().iter().flat_map(FileNote::to_bytes).collect();
        for step in 1..=bytes.len() {
            let (mut notes, mut seen) = (Notes::default(), Vec::new());
            for chunk in bytes.chunks(step) {
                notes.push(chunk);
                while let Some(note) = notes.next_note().unwrap() {
                    seen.push(note);
                }
            }
            assert_eq!(seen, some_notes(), "cut every {step} bytes");
            assert!(!notes.is_inside_a_note());
        }
    }

    #[test]
    fn what_is_no_note_is_refused_and_so_is_one_without_end() {
        let mut notes = Notes::default();
        notes.push(b"error: no such file\n");
        assert_eq!(notes.next_note(), Err(BadNote));
        let mut notes = Notes::default();
        // A map of one field whose path claims to be endless.
        notes.push(&[0xa1, 0x01, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        assert_eq!(notes.next_note(), Ok(None));
        notes.push(&[0; NOTE_BYTES_MAX]);
        assert_eq!(notes.next_note(), Err(BadNote));
    }
}
