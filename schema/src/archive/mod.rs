//! The one strict reader of tar archives, bytes to entries, limits first; and
//! the one writer of what it reads.
//!
//! It knows ustar, PAX (`x` and `g`), GNU long names and links, and the sparse
//! files of both. Whatever two readers could understand differently is
//! refused. It reads a stream once and holds no more than one header. The
//! stream is the caller's: nothing here opens anything.

pub mod craft;
mod entry;
mod header;
mod pax;
mod sparse;
pub mod write;

use std::io::{self, BufRead};

use thiserror::Error;

pub use entry::{DEPTH_MAX, Entry, Kind, NAME_BYTES_MAX, PATH_BYTES_MAX, Segment, Time, normal};
use header::{BLOCK, Header};
use pax::Records;
use sparse::MapLines;

/// The largest extended header; an inode's attributes fit several times.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// The longest GNU name, its final NUL included.
const LONG_NAME_BYTES_MAX: u64 = 4097;
/// The largest apparent size of one file.
pub const FILE_BYTES_MAX: u64 = 64 << 30;
/// The most bytes of attributes of one entry.
const XATTR_BYTES_MAX: usize = 64 << 10;

/// Why an archive was not read to its end.
#[derive(Debug, Error)]
pub enum TarError {
    /// The stream below gave no bytes.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The stream ended too early.
    #[error("the archive ends in the middle, at byte {at}")]
    Truncated {
        /// Where it ended.
        at: u64,
    },
    /// The archive holds something that is not allowed or has two meanings.
    #[error("the entry {}at byte {at} is refused: {why}", named(path))]
    Refused {
        /// The path of the entry, as far as it is known.
        path: Vec<u8>,
        /// Where its header begins.
        at: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The bytes of an entry could not be put where they belong.
    #[error("cannot keep the data of `{}`", path.escape_ascii())]
    Keep {
        /// The path of the entry.
        path: Vec<u8>,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

/// What an archive holds next, for a reader that leaves out what it may not take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// An entry.
    Entry(Entry),
    /// Something that is not allowed; its data is skipped.
    Refused {
        /// Its path as it was written.
        path: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
}

fn named(path: &[u8]) -> String {
    if path.is_empty() { String::new() } else { format!("`{}` ", path.escape_ascii()) }
}

/// Reads one archive.
#[derive(Debug)]
pub struct Reader<R> {
    stream: R,
    /// How many bytes were taken from the stream.
    at: u64,
    /// Where the header of the current entry began, and its path.
    entry_at: u64,
    entry_path: Vec<u8>,
    global: Records,
    /// The data of the current entry that was not taken yet.
    segments: Vec<Segment>,
    /// Padding behind that data.
    padding: u64,
    file_bytes_max: u64,
    done: bool,
}

impl<R: BufRead> Reader<R> {
    /// Returns a reader of `stream` from its first byte.
    pub fn new(stream: R) -> Self {
        Self {
            stream,
            at: 0,
            entry_at: 0,
            entry_path: Vec::new(),
            global: Records::default(),
            segments: Vec::new(),
            padding: 0,
            file_bytes_max: FILE_BYTES_MAX,
            done: false,
        }
    }

    /// Returns the reader with another limit for the apparent size of a file.
    #[must_use]
    pub fn with_file_bytes_max(self, file_bytes_max: u64) -> Self {
        Self { file_bytes_max, ..self }
    }

    /// Returns the stream, which is at its end once `next_entry` gave `None`.
    pub fn into_inner(self) -> R {
        self.stream
    }

    /// Returns the next entry, or `None` at the end of the archive.
    ///
    /// Data of the entry before that was not taken is skipped.
    ///
    /// # Errors
    /// The stream breaks off, or holds something that is not allowed.
    pub fn next_entry(&mut self) -> Result<Option<Entry>, TarError> {
        match self.next_or_refused()? {
            None => Ok(None),
            Some(Next::Entry(entry)) => Ok(Some(entry)),
            Some(Next::Refused { why, .. }) => Err(self.refused(why)),
        }
    }

    /// Returns what comes next; an entry whose name or kind is not allowed is told, not an error.
    ///
    /// # Errors
    /// The stream breaks off, or cannot be understood any further.
    pub fn next_or_refused(&mut self) -> Result<Option<Next>, TarError> {
        self.take_data(|_, _, _| Ok(()))?;
        if self.done {
            return Ok(None);
        }
        let mut said = Said::default();
        self.entry_at = self.at;
        self.entry_path.clear();
        loop {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            if block == [0; BLOCK] {
                if said.is_begun {
                    return Err(self.refused("an extended header stands before nothing"));
                }
                return self.finish().map(|()| None);
            }
            let header = Header::parse(&block).map_err(|why| self.refused(why))?;
            if !self.extend(&header, &mut said)? {
                return self.entry(&header, &said).map(Some);
            }
        }
    }

    /// Gives every byte of the current entry's data to `keep`, with where it
    /// belongs in the file and where it stood in the stream.
    ///
    /// # Errors
    /// The stream breaks off, or `keep` fails.
    pub fn take_data(
        &mut self,
        mut keep: impl FnMut(u64, u64, &[u8]) -> io::Result<()>,
    ) -> Result<(), TarError> {
        for segment in std::mem::take(&mut self.segments) {
            let mut offset = segment.offset;
            let end = segment.offset + segment.bytes;
            while offset < end {
                let buffer = self.stream.fill_buf().map_err(TarError::Read)?;
                if buffer.is_empty() {
                    return Err(TarError::Truncated { at: self.at });
                }
                let wanted = usize::try_from(end - offset).unwrap_or(usize::MAX);
                let piece = &buffer[..buffer.len().min(wanted)];
                let taken = piece.len();
                keep(offset, self.at, piece)
                    .map_err(|source| TarError::Keep { path: self.entry_path.clone(), source })?;
                self.stream.consume(taken);
                offset += taken as u64;
                self.at += taken as u64;
            }
        }
        let padding = usize::try_from(std::mem::take(&mut self.padding)).unwrap_or(0);
        self.fill(&mut [0; BLOCK][..padding])
    }

    /// Takes a header that only says something of the next one, if it is such.
    fn extend(&mut self, header: &Header<'_>, said: &mut Said) -> Result<bool, TarError> {
        let limit = match header.kind() {
            b'x' | b'g' => EXTENSION_BYTES_MAX,
            b'L' | b'K' => LONG_NAME_BYTES_MAX,
            _ => return Ok(false),
        };
        let bytes = header.size().map_err(|why| self.refused(why))?;
        if bytes > limit {
            return Err(self.refused("an extended header is too large"));
        }
        let body = self.body(bytes)?;
        let taken = match header.kind() {
            b'x' if said.has_records => Err("two PAX headers stand before one entry"),
            b'x' => {
                said.has_records = true;
                said.own.add(&body)
            }
            b'g' => match self.global.add(&body) {
                Ok(()) if !self.global.may_be_global() => Err("a global header names one entry"),
                result => result,
            },
            b'L' => long_name(&mut said.long_name, &body),
            _ => long_name(&mut said.long_link, &body),
        };
        taken.map_err(|why| self.refused(why))?;
        said.is_begun = said.is_begun || header.kind() != b'g';
        Ok(true)
    }

    /// Returns the entry of `header`, and makes its data ready to be taken, or to be skipped.
    fn entry(&mut self, header: &Header<'_>, said: &Said) -> Result<Next, TarError> {
        let name = said.own.sparse.name.clone().or_else(|| said.own.path.clone());
        let name = name.or_else(|| said.long_name.clone()).unwrap_or_else(|| header.name());
        self.entry_path.clone_from(&name);
        let stored = stored_size(header, &said.own).map_err(|why| self.refused(why))?;
        let padded = stored.checked_next_multiple_of(BLOCK as u64);
        let padded = padded.ok_or_else(|| self.refused("its size is too large"))?;
        let described = describe(header, said, &self.global, &name);
        if let (Err(why), b'S') = (&described, header.kind()) {
            // Where its data begins is said in blocks that were not read.
            return Err(self.refused(why));
        }
        let is_file = described.as_ref().map_or(true, |entry| entry.kind == Kind::File);
        if !is_file && stored != 0 {
            return Err(self.refused("only a file may have data"));
        }
        if !is_file && (header.kind() == b'S' || said.own.sparse.is_present()) {
            return Err(self.refused("only a file may be sparse"));
        }
        let size = if described.is_ok() && is_file {
            self.lay_out(header, &said.own, stored)?
        } else {
            // Of what is not taken it only matters where it ends.
            self.segments = vec![Segment { offset: 0, bytes: stored }];
            stored
        };
        self.padding = padded - stored;
        match described {
            Ok(_) if size > self.file_bytes_max => {
                Ok(Next::Refused { path: name, why: "the file is larger than is allowed" })
            }
            Ok(entry) => Ok(Next::Entry(Entry { size, ..entry })),
            Err(why) => Ok(Next::Refused { path: name, why }),
        }
    }

    /// Finds out where the data of a file belongs, and returns the file's size.
    fn lay_out(
        &mut self,
        header: &Header<'_>,
        own: &Records,
        stored: u64,
    ) -> Result<u64, TarError> {
        // The map itself may stand in front of the data and count as stored.
        let mut data = stored;
        let (segments, size) = if header.kind() == b'S' {
            (self.old_sparse_map(header)?, number_at(header.sparse(), 97))
        } else if !own.sparse.is_present() {
            self.segments = vec![Segment { offset: 0, bytes: stored }];
            return Ok(stored);
        } else if own.sparse.major == Some(1) && own.sparse.minor == Some(0) {
            (self.sparse_map_lines(&mut data)?, own.sparse.real_size.ok_or(NO_SIZE))
        } else {
            if own.sparse.major.unwrap_or(0) != 0 {
                return Err(self.refused("the sparse format is unknown"));
            }
            let segments = sparse::pairs(&own.sparse.map).map_err(|why| self.refused(why))?;
            (segments, own.sparse.real_size.ok_or(NO_SIZE))
        };
        let size = size.map_err(|why| self.refused(why))?;
        sparse::check(&segments, data, size).map_err(|why| self.refused(why))?;
        self.segments = segments;
        Ok(size)
    }

    fn old_sparse_map(&mut self, header: &Header<'_>) -> Result<Vec<Segment>, TarError> {
        let mut segments = Vec::new();
        let field = header.sparse();
        sparse::old_gnu(&field[..96], &mut segments).map_err(|why| self.refused(why))?;
        let mut more = field[96] != 0;
        while more {
            let mut block = [0; BLOCK];
            self.fill(&mut block)?;
            sparse::old_gnu(&block[..504], &mut segments).map_err(|why| self.refused(why))?;
            more = block[504] != 0;
        }
        Ok(segments)
    }

    fn sparse_map_lines(&mut self, stored: &mut u64) -> Result<Vec<Segment>, TarError> {
        let mut lines = MapLines::default();
        loop {
            let mut block = [0; BLOCK];
            *stored = stored
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| self.refused("a sparse map does not end"))?;
            self.fill(&mut block)?;
            if lines.take(&block).map_err(|why| self.refused(why))? {
                return lines.segments().map_err(|why| self.refused(why));
            }
        }
    }

    /// Reads what follows the first block of zeros: another, and zeros to the end.
    fn finish(&mut self) -> Result<(), TarError> {
        let mut block = [0; BLOCK];
        self.fill(&mut block)?;
        if block != [0; BLOCK] {
            return Err(self.refused("a block of zeros stands before it"));
        }
        loop {
            let buffer = self.stream.fill_buf().map_err(TarError::Read)?;
            if buffer.is_empty() {
                self.done = true;
                return Ok(());
            }
            if buffer.iter().any(|b| *b != 0) {
                self.entry_at = self.at;
                return Err(self.refused("bytes follow the end of the archive"));
            }
            let taken = buffer.len();
            self.stream.consume(taken);
            self.at += taken as u64;
        }
    }

    fn body(&mut self, bytes: u64) -> Result<Vec<u8>, TarError> {
        let bytes = usize::try_from(bytes).unwrap_or(0);
        let mut body = vec![0; bytes.next_multiple_of(BLOCK)];
        self.fill(&mut body)?;
        body.truncate(bytes);
        Ok(body)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), TarError> {
        self.stream.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => TarError::Truncated { at: self.at },
            _ => TarError::Read(error),
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn refused(&self, why: &'static str) -> TarError {
        TarError::Refused { path: self.entry_path.clone(), at: self.entry_at, why }
    }
}

const NO_SIZE: &str = "a sparse file does not say its size";

/// What extended headers said of the entry to come.
#[derive(Debug, Default)]
struct Said {
    own: Records,
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    has_records: bool,
    is_begun: bool,
}

fn long_name(place: &mut Option<Vec<u8>>, body: &[u8]) -> Result<(), &'static str> {
    let name = body.strip_suffix(&[0]).unwrap_or(body);
    if place.is_some() || name.is_empty() || name.contains(&0) {
        return Err("a long name is malformed");
    }
    *place = Some(name.to_vec());
    Ok(())
}

fn number_at(field: &[u8], at: usize) -> Result<u64, &'static str> {
    header::number(&field[at..at + 12])
}

/// Returns the bytes that follow, as header and PAX record say in agreement.
fn stored_size(header: &Header<'_>, own: &Records) -> Result<u64, &'static str> {
    let written = header.size()?;
    match own.size {
        Some(size) if written != 0 && written != size && size < 1 << 33 => {
            Err("the sizes in the header and its PAX record differ")
        }
        Some(size) => Ok(size),
        None => Ok(written),
    }
}

/// Returns what a header and its records say, but for the data.
fn describe(
    header: &Header<'_>,
    said: &Said,
    global: &Records,
    name: &[u8],
) -> Result<Entry, &'static str> {
    let path = normal(name)?;
    if name.is_empty() {
        return Err("the name is empty");
    }
    let own = &said.own;
    let link =
        || own.link.clone().or_else(|| said.long_link.clone()).unwrap_or_else(|| header.link());
    let device = || -> Result<(u32, u32), &'static str> {
        let (major, minor) = header.device()?;
        let within = major < 1 << 12 && minor < 1 << 20;
        let numbers = u32::try_from(major).ok().zip(u32::try_from(minor).ok());
        numbers.filter(|_| within).ok_or("a device number is out of range")
    };
    let kind = match header.kind() {
        b'0' | 0 if name.ends_with(b"/") => Kind::Folder,
        b'0' | 0 | b'7' | b'S' => Kind::File,
        b'1' => Kind::HardLink(normal(&link())?),
        b'2' => Kind::Symlink(symlink_text(link())?),
        b'3' => device().map(|(major, minor)| Kind::Character(major, minor))?,
        b'4' => device().map(|(major, minor)| Kind::Block(major, minor))?,
        b'5' => Kind::Folder,
        b'6' => Kind::Fifo,
        _ => return Err("its kind is unknown"),
    };
    let id = |own: Option<u64>, global: Option<u64>, written| -> Result<u32, &'static str> {
        let id = own.or(global).map_or(written, Ok)?;
        u32::try_from(id).ok().filter(|id| *id != u32::MAX).ok_or("an owner is out of range")
    };
    let mode = u16::try_from(header.mode()? & 0o7777).unwrap_or(0);
    let xattrs: Vec<_> = own.xattrs.clone().into_iter().collect();
    if xattrs.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > XATTR_BYTES_MAX
    {
        return Err("its attributes are larger than 64 KiB");
    }
    Ok(Entry {
        path,
        kind,
        mode,
        uid: id(own.uid, global.uid, header.uid())?,
        gid: id(own.gid, global.gid, header.gid())?,
        mtime: own.mtime.or(global.mtime).map_or_else(|| header.mtime(), Ok)?,
        xattrs,
        size: 0,
    })
}

fn symlink_text(text: Vec<u8>) -> Result<Vec<u8>, &'static str> {
    if text.is_empty() || text.len() > PATH_BYTES_MAX || text.contains(&0) {
        return Err("the text of a link is empty, too long or holds a NUL");
    }
    Ok(text)
}

#[cfg(test)]
mod tests;
