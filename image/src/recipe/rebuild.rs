//! Puts a layer's archive together again.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;

use super::record::At;
use super::{CONTENT, LITERAL, MAGIC, Place, TAIL_BYTES, ZEROS};

/// Recipes are little: of each part so much is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// A piece of the stream that lies in the root as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    /// Its first byte in the stream.
    pub stream_at: u64,
    /// How many bytes.
    pub bytes: u64,
    /// Its first byte in the root.
    pub root_at: u64,
}

/// The pieces that have passed and were not asked for yet, in order.
pub(crate) type Runs = Rc<RefCell<VecDeque<Run>>>;

type Part<'f> = zstd::Decoder<'static, BufReader<io::Take<At<'f>>>>;

/// The archive of a layer, as it was, if the recipe and the root are.
pub(crate) struct Rebuilt<'f> {
    root: &'f File,
    ops: Part<'f>,
    places: Part<'f>,
    hidden: Part<'f>,
    /// The piece of the stream that is being given out: what it is, and how much is left.
    op: (u8, u64),
    /// The next place that content may come from.
    place: Option<Place>,
    /// How much content was given out.
    content: u64,
    stream: u64,
    runs: Runs,
}

impl<'f> Rebuilt<'f> {
    /// Opens a recipe and the root that it speaks of.
    ///
    /// # Errors
    /// The file is no whole recipe.
    pub(crate) fn open(recipe: &'f File, root: &'f File, runs: Runs) -> io::Result<Self> {
        let end = recipe.metadata()?.len();
        let tail_at = end.checked_sub(TAIL_BYTES as u64).ok_or_else(unclear)?;
        let (mut head, mut tail) = ([0; MAGIC.len()], [0; TAIL_BYTES]);
        recipe.read_exact_at(&mut head, 0)?;
        recipe.read_exact_at(&mut tail, tail_at)?;
        if head != MAGIC || tail[24..] != MAGIC {
            return Err(unclear());
        }
        let starts = [number(&tail, 0), number(&tail, 8), number(&tail, 16), tail_at];
        let part = |index: usize| -> io::Result<Part<'f>> {
            let bytes = starts[index + 1].checked_sub(starts[index]).ok_or_else(unclear)?;
            let stored = At { file: recipe, at: starts[index] }.take(bytes);
            zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES, stored))
        };
        let (ops, places, hidden) = (part(0)?, part(1)?, part(2)?);
        let (op, content, stream) = ((LITERAL, 0), 0, 0);
        let mut opened = Self { root, ops, places, hidden, op, place: None, content, stream, runs };
        opened.next_place()?;
        Ok(opened)
    }

    fn next_place(&mut self) -> io::Result<()> {
        let mut numbers = [0; 24];
        let is_there = read_all_or_nothing(&mut self.places, &mut numbers)?;
        self.place = is_there.then(|| Place {
            from: number(&numbers, 0),
            bytes: number(&numbers, 8),
            at: number(&numbers, 16),
        });
        Ok(())
    }

    /// Goes on to the next operation; says whether there is one.
    fn next_op(&mut self) -> io::Result<bool> {
        let mut head = [0; 9];
        if !read_all_or_nothing(&mut self.ops, &mut head)? {
            return Ok(false);
        }
        self.op = (head[0], number(&head, 1));
        Ok(true)
    }

    /// Gives out content: from the root where it shows there, else from what is hidden.
    fn give_content(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.place.is_some_and(|place| place.from.saturating_add(place.bytes) <= self.content)
        {
            self.next_place()?;
        }
        match self.place {
            Some(place) if place.from <= self.content => {
                let into = self.content - place.from;
                let count = at_most(out.len(), place.bytes - into);
                let root_at = place.at.checked_add(into).ok_or_else(unclear)?;
                self.root.read_exact_at(&mut out[..count], root_at)?;
                let run = Run { stream_at: self.stream, bytes: count as u64, root_at };
                self.runs.borrow_mut().push_back(run);
                Ok(count)
            }
            next => {
                let until = next.map_or(u64::MAX, |place| place.from);
                let count = at_most(out.len(), until - self.content);
                self.hidden.read_exact(&mut out[..count])?;
                Ok(count)
            }
        }
    }
}

impl Read for Rebuilt<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.op.1 == 0 {
            if !self.next_op()? {
                return Ok(0);
            }
        }
        let wanted = at_most(out.len(), self.op.1);
        let out = &mut out[..wanted];
        let count = match self.op.0 {
            LITERAL => {
                self.ops.read_exact(out)?;
                wanted
            }
            CONTENT => {
                let count = self.give_content(out)?;
                self.content += count as u64;
                count
            }
            ZEROS => {
                out.fill(0);
                wanted
            }
            _ => return Err(unclear()),
        };
        self.op.1 -= count as u64;
        self.stream += count as u64;
        Ok(count)
    }
}

fn at_most(room: usize, bytes: u64) -> usize {
    usize::try_from(bytes).map_or(room, |bytes| room.min(bytes))
}

fn number(bytes: &[u8], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(number)
}

/// Fills `out`, or says that the stream was at its end.
fn read_all_or_nothing(from: &mut impl Read, out: &mut [u8]) -> io::Result<bool> {
    let mut done = 0;
    while done < out.len() {
        match from.read(&mut out[done..])? {
            0 if done == 0 => return Ok(false),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => done += count,
        }
    }
    Ok(true)
}

fn unclear() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a recipe is not understood")
}
