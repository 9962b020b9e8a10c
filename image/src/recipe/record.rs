//! Writes down how a layer is put together, while it is read for the first time.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use super::{CONTENT, HIDDEN_BYTES_MAX, LITERAL, MAGIC, Place, ZEROS};

/// Fast, and small enough: headers are alike.
const LEVEL: i32 = 1;
/// Literal bytes are written in pieces of about this size.
const PIECE_BYTES: usize = 64 << 10;

/// A recipe that is shared by who sees the stream and who spools its content.
pub(crate) type SharedRecord = Rc<RefCell<Record>>;

/// A recipe being written. What fails in it fails no build: there is no recipe then.
pub(crate) struct Record {
    file: File,
    ops: Option<zstd::Encoder<'static, File>>,
    literal: Vec<u8>,
    /// What follows the literal bytes, not written yet.
    run: Option<(u8, u64)>,
    /// How many of the bytes that pass next are content, which is told apart.
    told: usize,
    spooled: u64,
}

impl Record {
    /// Begins a recipe in an empty file.
    pub(crate) fn begin(file: &File) -> io::Result<Self> {
        file.set_len(0)?;
        let mut own = file.try_clone()?;
        own.seek(SeekFrom::Start(0))?;
        own.write_all(&MAGIC)?;
        let ops = zstd::Encoder::new(own, LEVEL)?;
        let (literal, file) = (Vec::new(), file.try_clone()?);
        Ok(Self { file, ops: Some(ops), literal, run: None, told: 0, spooled: 0 })
    }

    /// Says that the next so many bytes of the stream are content.
    pub(crate) fn content_comes(&mut self, bytes: usize) {
        self.told = bytes;
    }

    /// Sees bytes of the stream pass.
    pub(crate) fn pass(&mut self, bytes: &[u8]) {
        if std::mem::take(&mut self.told) == bytes.len() {
            return;
        }
        self.flush_run();
        self.literal.extend_from_slice(bytes);
        if self.literal.len() >= PIECE_BYTES {
            self.flush_literal();
        }
    }

    /// Writes down content that went to the spool.
    pub(crate) fn spooled(&mut self, bytes: u64) {
        self.spooled += bytes;
        self.join(CONTENT, bytes);
    }

    /// Writes down zeros that went nowhere.
    pub(crate) fn zeros(&mut self, bytes: u64) {
        self.join(ZEROS, bytes);
    }

    fn join(&mut self, tag: u8, bytes: u64) {
        match &mut self.run {
            Some((last, length)) if *last == tag => *length += bytes,
            _ => {
                self.flush_literal();
                self.flush_run();
                self.run = Some((tag, bytes));
            }
        }
    }

    fn flush_literal(&mut self) {
        if !self.literal.is_empty() {
            let literal = std::mem::take(&mut self.literal);
            self.write(LITERAL, literal.len() as u64, &literal);
        }
    }

    fn flush_run(&mut self) {
        if let Some((tag, bytes)) = self.run.take() {
            self.write(tag, bytes, &[]);
        }
    }

    fn write(&mut self, tag: u8, length: u64, bytes: &[u8]) {
        let Some(ops) = &mut self.ops else { return };
        let mut head = [tag; 9];
        head[1..].copy_from_slice(&length.to_le_bytes());
        if ops.write_all(&head).and_then(|()| ops.write_all(bytes)).is_err() {
            self.ops = None;
        }
    }

    /// Ends the part that is known when the layer was read.
    pub(crate) fn end(&mut self) -> Option<Recorded> {
        self.flush_literal();
        self.flush_run();
        let ended = self.ops.take().and_then(|ops| ops.finish().ok());
        let (file, spooled) = (self.file.try_clone().ok()?, self.spooled);
        if ended.is_none() {
            drop(file.set_len(0));
        }
        ended.map(|_| Recorded { file, spooled })
    }
}

/// A recipe that lacks only where its content came to lie.
#[derive(Debug)]
pub struct Recorded {
    file: File,
    spooled: u64,
}

impl Recorded {
    /// Writes the rest: `places` of this layer in the root, sorted, and from `spool` what is hidden.
    ///
    /// Where that fails, or too much is hidden, the file is left empty.
    pub fn complete(self, places: &[Place], spool: &File) {
        let shown: u64 = places.iter().map(|place| place.bytes).sum();
        let is_little = self.spooled.saturating_sub(shown) <= HIDDEN_BYTES_MAX;
        if !is_little || self.write_rest(places, spool).is_err() {
            drop(self.file.set_len(0));
        }
    }

    /// Leaves the file empty.
    pub fn abandon(self) {
        drop(self.file.set_len(0));
    }

    fn write_rest(&self, places: &[Place], spool: &File) -> io::Result<()> {
        let mut file = self.file.try_clone()?;
        let places_at = file.seek(SeekFrom::End(0))?;
        let mut out = zstd::Encoder::new(file, LEVEL)?;
        for place in places {
            for number in [place.from, place.bytes, place.at] {
                out.write_all(&number.to_le_bytes())?;
            }
        }
        let mut file = out.finish()?;
        let hidden_at = file.stream_position()?;
        let mut out = zstd::Encoder::new(file, LEVEL)?;
        let mut done = 0;
        let end = Place { from: self.spooled, bytes: 0, at: 0 };
        for place in places.iter().chain([&end]) {
            let bytes = place.from.checked_sub(done).ok_or(io::ErrorKind::InvalidData)?;
            io::copy(&mut (At { file: spool, at: done }).take(bytes), &mut out)?;
            done = place.from + place.bytes;
        }
        let mut file = out.finish()?;
        for number in [MAGIC.len() as u64, places_at, hidden_at] {
            file.write_all(&number.to_le_bytes())?;
        }
        file.write_all(&MAGIC)
    }
}

/// A file read from some byte on, whatever others do with its position.
#[derive(Debug)]
pub(super) struct At<'f> {
    pub(super) file: &'f File,
    pub(super) at: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
