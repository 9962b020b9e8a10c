//! Where file contents wait between reading a layer and writing the image.
//!
//! Zero blocks of files are not kept: they come back as holes.

use std::fs::File;
use std::io::{self, BufWriter, Write};

use super::recipe::{Run, Runs, SharedRecord};
use super::tree::Extent;

/// The unit in which zeros are found.
const BLOCK: usize = 4096;
/// What is written to a spool at once.
const BUFFER_BYTES: usize = 256 << 10;
/// How many pieces all layers may have beyond one a file, so that memory stays bounded.
const EXTRA_EXTENTS_MAX: usize = 1 << 18;

/// Where the content of a layer can be read again.
pub(crate) enum Spool {
    /// The layer is plain: the bytes stay where they are.
    InPlace,
    /// The layer is compressed: its bytes are appended to a file.
    Appended {
        /// The file, written in order.
        file: BufWriter<File>,
        /// How many bytes it has.
        bytes: u64,
        /// Where it is written down how the layer is put together.
        record: Option<SharedRecord>,
    },
    /// The layer is put together from a root: what shows there stays there, the rest is appended.
    Rebuilt {
        /// The file, written in order.
        file: BufWriter<File>,
        /// How many bytes it has.
        bytes: u64,
        /// What of the stream lies in the root.
        runs: Runs,
    },
}

/// Which of the files of a layer holds a content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    /// The spool, or the blob itself.
    Spool,
    /// The root from which the layer was put together.
    Root,
}

/// How many pieces beyond one a file may still be made.
#[derive(Debug)]
pub(crate) struct Allowance {
    /// Zero blocks are left out while this lasts.
    holes: usize,
    /// Sparse files may go this far beyond.
    pieces: usize,
}

impl Allowance {
    /// Returns the part of one layer among `layers`.
    pub(crate) const fn of_one_in(layers: usize) -> Self {
        let part = EXTRA_EXTENTS_MAX / if layers == 0 { 1 } else { layers };
        Self { holes: part, pieces: 2 * part }
    }
}

/// The content of one file as it passes.
pub(crate) struct Pieces<'a> {
    spool: &'a mut Spool,
    extents: Vec<Extent>,
    holder: Option<Holder>,
    allowance: &'a mut Allowance,
}

impl Spool {
    /// Returns a spool that appends to `file`.
    pub(crate) fn appending_to(file: File, record: Option<SharedRecord>) -> Self {
        Self::Appended { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0, record }
    }

    /// Returns a spool that appends to `file` what `runs` do not find in a root.
    pub(crate) fn beside_root(file: File, runs: Runs) -> Self {
        Self::Rebuilt { file: BufWriter::with_capacity(BUFFER_BYTES, file), bytes: 0, runs }
    }

    fn record(&self) -> Option<&SharedRecord> {
        match self {
            Self::Appended { record, .. } => record.as_ref(),
            Self::InPlace | Self::Rebuilt { .. } => None,
        }
    }

    /// Starts the content of one file.
    pub(crate) fn start<'a>(&'a mut self, allowance: &'a mut Allowance) -> Pieces<'a> {
        Pieces { spool: self, extents: Vec::new(), holder: None, allowance }
    }

    /// Hands what is buffered to the host.
    pub(crate) fn finish(self) -> io::Result<()> {
        match self {
            Self::InPlace => Ok(()),
            Self::Appended { mut file, .. } | Self::Rebuilt { mut file, .. } => file.flush(),
        }
    }
}

impl Pieces<'_> {
    /// Keeps bytes that belong at `offset` in the file and stood at `stream_at`.
    pub(crate) fn keep(&mut self, offset: u64, stream_at: u64, bytes: &[u8]) -> io::Result<()> {
        if let Some(record) = self.spool.record() {
            record.borrow_mut().content_comes(bytes.len());
        }
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let rest = &bytes[done..];
            let is_data = self.is_data(at, rest);
            let mut length = Self::block_end(at, rest);
            // A run of like blocks is kept at once.
            while length < rest.len() {
                let next = &rest[length..];
                if self.is_data(at + length as u64, next) != is_data {
                    break;
                }
                length += Self::block_end(at + length as u64, next);
            }
            if is_data {
                self.keep_data(at, stream_at + done as u64, &rest[..length])?;
            } else if let Some(record) = self.spool.record() {
                record.borrow_mut().zeros(length as u64);
            }
            done += length;
        }
        Ok(())
    }

    /// Returns the pieces, in order, and which file holds them.
    pub(crate) fn finish(self) -> (Vec<Extent>, Holder) {
        (self.extents, self.holder.unwrap_or(Holder::Spool))
    }

    /// Says whether the next block holds anything but zeros.
    ///
    /// A block that came in two parts, or one too many, is data.
    fn is_data(&self, at: u64, rest: &[u8]) -> bool {
        let is_whole = at.is_multiple_of(BLOCK as u64) && rest.len() >= BLOCK;
        !is_whole || self.allowance.holes == 0 || rest[..BLOCK].iter().any(|b| *b != 0)
    }

    fn block_end(at: u64, rest: &[u8]) -> usize {
        let within = usize::try_from(at % BLOCK as u64).unwrap_or(0);
        (BLOCK - within).min(rest.len())
    }

    fn keep_data(&mut self, offset: u64, stream_at: u64, bytes: &[u8]) -> io::Result<()> {
        let length = bytes.len() as u64;
        match self.spool {
            Spool::InPlace => {
                self.push(Holder::Spool, Extent { offset, at: stream_at, bytes: length })
            }
            Spool::Appended { file, bytes: written, record } => {
                file.write_all(bytes)?;
                let at = *written;
                *written += length;
                if let Some(record) = record {
                    record.borrow_mut().spooled(length);
                }
                self.push(Holder::Spool, Extent { offset, at, bytes: length })
            }
            Spool::Rebuilt { .. } => self.keep_rebuilt(offset, stream_at, bytes),
        }
    }

    /// Leaves in the root what lies there, and appends the rest.
    fn keep_rebuilt(&mut self, offset: u64, stream_at: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let (at, rest) = (stream_at + done as u64, &bytes[done..]);
            let Spool::Rebuilt { file, bytes: written, runs } = &mut *self.spool else {
                return Ok(());
            };
            let next = next_run(runs, at);
            let offset = offset + done as u64;
            let room =
                |bytes: u64| usize::try_from(bytes).map_or(rest.len(), |b| b.min(rest.len()));
            let (count, holder, from) = match next {
                Some(run) if run.stream_at <= at => {
                    let into = at - run.stream_at;
                    (room(run.bytes - into), Holder::Root, run.root_at + into)
                }
                next => {
                    let count = next.map_or(rest.len(), |run| room(run.stream_at - at));
                    file.write_all(&rest[..count])?;
                    let from = *written;
                    *written += count as u64;
                    (count, Holder::Spool, from)
                }
            };
            self.push(holder, Extent { offset, at: from, bytes: count as u64 })?;
            done += count;
        }
        Ok(())
    }

    /// Adds a piece, joined to the one before where both sides go on.
    fn push(&mut self, holder: Holder, piece: Extent) -> io::Result<()> {
        if *self.holder.get_or_insert(holder) != holder {
            return Err(io::Error::other("a root holds half a file"));
        }
        match self.extents.last_mut() {
            Some(last)
                if last.offset + last.bytes == piece.offset && last.at + last.bytes == piece.at =>
            {
                last.bytes += piece.bytes;
            }
            last => {
                // In a root the last part of a file stands behind its inode.
                let is_sparse =
                    last.as_ref().is_some_and(|last| last.offset + last.bytes != piece.offset);
                if is_sparse || last.is_some() && holder == Holder::Spool {
                    let left = self.allowance.pieces.checked_sub(1);
                    self.allowance.pieces =
                        left.ok_or_else(|| io::Error::other("sparse files have too many pieces"))?;
                    self.allowance.holes = self.allowance.holes.saturating_sub(1);
                }
                self.extents.push(piece);
            }
        }
        Ok(())
    }
}

/// Returns the first piece that ends behind this byte of the stream; what lies before is done with.
fn next_run(runs: &Runs, at: u64) -> Option<Run> {
    let mut runs = runs.borrow_mut();
    while runs.front().is_some_and(|run| run.stream_at + run.bytes <= at) {
        runs.pop_front();
    }
    runs.front().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_blocks_are_left_out_and_neighbours_join() {
        let mut content = vec![1; BLOCK * 2];
        content.extend(vec![0; BLOCK * 2]);
        content.extend(vec![2; 100]);
        let mut spool = Spool::InPlace;
        let mut allowance = Allowance::of_one_in(1);
        let mut pieces = spool.start(&mut allowance);
        pieces.keep(0, 512, &content[..BLOCK + 7]).unwrap();
        pieces.keep(BLOCK as u64 + 7, 512 + BLOCK as u64 + 7, &content[BLOCK + 7..]).unwrap();
        let expected = [
            Extent { offset: 0, at: 512, bytes: 8192 },
            Extent { offset: 16384, at: 512 + 16384, bytes: 100 },
        ];
        assert_eq!(pieces.finish().0, expected);
        assert_eq!(allowance.holes, EXTRA_EXTENTS_MAX - 1);
    }

    #[test]
    fn pieces_come_to_an_end_but_zeros_do_not() {
        let mut spool = Spool::InPlace;
        let mut allowance = Allowance { holes: 0, pieces: 1 };
        let mut pieces = spool.start(&mut allowance);
        pieces.keep(0, 0, &[[1; BLOCK], [0; BLOCK], [1; BLOCK]].concat()).unwrap();
        assert_eq!(pieces.extents.len(), 1, "zeros are kept as data");
        pieces.keep(1 << 20, 9 << 20, &[1]).unwrap();
        pieces.keep(2 << 20, 9 << 20, &[1]).unwrap_err();
    }

    #[test]
    fn a_file_of_zeros_keeps_nothing() {
        let mut spool = Spool::InPlace;
        let mut allowance = Allowance::of_one_in(1);
        let mut pieces = spool.start(&mut allowance);
        pieces.keep(0, 0, &[0; BLOCK * 3]).unwrap();
        assert!(pieces.finish().0.is_empty());
    }
}
