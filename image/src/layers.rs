//! Stored layers to one tree: each is read once, hashed, parsed and spooled;
//! the entries are merged from the bottom up.
//!
//! ```text
//! blob ─▶ Source ─▶ archive::Reader ─▶ entries ─(bounded channel)─▶ merge ─▶ Tree
//!           digests      └─▶ bytes ─▶ Spool
//! ```
//!
//! Layers are read by a few threads at once; merging waits for each in turn,
//! so the tree does not depend on who was faster.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead};
use std::os::unix::fs::FileExt as _;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use schema::archive::{Entry, Reader, TarError};
use thiserror::Error;

use super::digest::Digest;
use super::merge::{self, Dropped};
use super::recipe::{Rebuilt, Record, Recorded, Runs, SharedRecord};
use super::source::{Coding, Source, Wanted};
use super::spool::{Allowance, Holder, Spool};
use super::tree::{Data, Tree};

/// The most entries of all layers together.
pub const ENTRIES_MAX: u64 = 1_000_000;
/// The largest sum of apparent file sizes.
pub const IMAGE_BYTES_MAX: u64 = 128 << 30;
/// The most threads that read layers.
const THREADS_MAX: usize = 4;
/// How many entries travel together, and how many such groups may wait.
const BATCH: usize = 128;
const BATCHES_WAITING: usize = 16;

/// One layer as it is stored, and what it is to turn out to be.
#[derive(Debug)]
pub struct Layer {
    /// The stored bytes; of a layer that is rebuilt, the root that has its files.
    pub blob: File,
    /// An empty file for contents, used if the layer is compressed.
    pub spool: File,
    /// How it is put together: written if the layer is compressed, read if it is rebuilt.
    pub recipe: File,
    /// Whether it is put together from a root.
    pub is_rebuilt: bool,
    /// The digest of the stored bytes, if it is to be checked again.
    pub digest: Option<Digest>,
    /// The digest of the tar, if it is to be checked.
    pub diff_id: Option<Digest>,
}

impl Layer {
    /// Returns the file in which the merged tree's extents of this layer lie, those left out that lie
    /// in a root.
    pub fn contents(&self) -> io::Result<&File> {
        if self.is_rebuilt {
            return Ok(&self.spool);
        }
        let mut first = [0; 4];
        let count = self.blob.read_at(&mut first, 0)?;
        Ok(if Coding::of(&first[..count]) == Coding::Plain { &self.blob } else { &self.spool })
    }
}

/// Why layers did not become a tree. Layers are counted from 0 at the bottom.
#[derive(Debug, Error)]
pub enum LayersError {
    /// A blob could not be opened or decompressed.
    #[error("cannot read layer {layer}")]
    Read {
        /// Which layer.
        layer: usize,
        /// What was wrong with the stream.
        #[source]
        source: io::Error,
    },
    /// The archive of a layer is broken or not allowed.
    #[error("cannot read the archive of layer {layer}")]
    Tar {
        /// Which layer.
        layer: usize,
        /// What was wrong with the archive.
        #[source]
        source: TarError,
    },
    /// An entry breaks a rule of merging.
    #[error("layer {layer}: `{}` is refused: {why}", path.escape_ascii())]
    Merge {
        /// Which layer.
        layer: usize,
        /// The path of the entry.
        path: Vec<u8>,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The bytes are not what their digest says.
    #[error("layer {layer} is not {expected}: its bytes hash to {found}")]
    Digest {
        /// Which layer.
        layer: usize,
        /// What was promised.
        expected: Digest,
        /// What was read.
        found: Digest,
    },
    /// The image has more than one image may have.
    #[error("the image has more than {0}")]
    TooLarge(&'static str),
}

/// One entry and where its content lies.
type Placed = (Entry, Data);
/// What a reading thread says: some entries, or why there are no more.
type Said = Result<Vec<Placed>, LayersError>;

/// One layer to be read, and where its entries go.
struct Turn<'a> {
    index: usize,
    layer: &'a Layer,
    /// How many layers there are: the contents in their roots are numbered behind their spools.
    of: usize,
    sender: SyncSender<Said>,
    allowance: Allowance,
    recorded: &'a Mutex<BTreeMap<usize, Recorded>>,
}

/// What layers have become.
#[derive(Debug)]
pub struct Merged {
    /// The tree, whose contents lie in the files that [`contents`] lists.
    pub tree: Tree,
    /// What was left out.
    pub dropped: Dropped,
    /// The recipes that were written, by the number of their layer.
    pub recorded: BTreeMap<usize, Recorded>,
}

/// Returns the files of contents, as a tree's spools are numbered: of each layer its own, then of each
/// the root from which it may have been put together.
pub fn contents(layers: &[Layer]) -> io::Result<Vec<&File>> {
    let own = layers.iter().map(Layer::contents);
    own.chain(layers.iter().map(|layer| Ok(&layer.blob))).collect()
}

/// Returns the merged tree.
pub fn merge_layers(layers: &[Layer]) -> Result<Merged, LayersError> {
    let recorded = Mutex::default();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(THREADS_MAX).min(layers.len()).max(1);
    let mut turns: Vec<Vec<Turn<'_>>> = (0..threads).map(|_| Vec::new()).collect();
    let mut receivers = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let (sender, receiver) = sync_channel(BATCHES_WAITING);
        let allowance = Allowance::of_one_in(layers.len());
        let (of, recorded) = (layers.len(), &recorded);
        turns[index % threads].push(Turn { index, layer, of, sender, allowance, recorded });
        receivers.push(receiver);
    }
    let (tree, dropped) = thread::scope(|scope| {
        for turns in turns {
            scope.spawn(move || read_in_turn(turns));
        }
        merge_in_order(receivers)
    })?;
    let recorded = recorded.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(Merged { tree, dropped, recorded })
}

/// Reads layers one after the other until one fails or nobody listens.
fn read_in_turn(turns: Vec<Turn<'_>>) {
    for mut turn in turns {
        if let Err(error) = turn.read() {
            // Nobody listens any more when another layer has failed before.
            drop(turn.sender.send(Err(error)));
            return;
        }
    }
}

fn merge_in_order(receivers: Vec<Receiver<Said>>) -> Result<(Tree, Dropped), LayersError> {
    let mut tree = Tree::new();
    let mut dropped = Dropped::default();
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    for (layer, receiver) in receivers.into_iter().enumerate() {
        let number = u16::try_from(layer).map_err(|_| LayersError::TooLarge("65,535 layers"))?;
        while let Ok(said) = receiver.recv() {
            for (entry, data) in said? {
                entries += 1;
                bytes = bytes.saturating_add(data.size);
                if entries > ENTRIES_MAX {
                    return Err(LayersError::TooLarge("1,000,000 entries"));
                }
                if bytes > IMAGE_BYTES_MAX {
                    return Err(LayersError::TooLarge("128 GiB of files"));
                }
                let path = entry.path.clone();
                merge::apply(&mut tree, number, entry, data, &mut dropped)
                    .map_err(|why| LayersError::Merge { layer, path, why })?;
            }
        }
    }
    Ok((tree, dropped))
}

impl<'a> Turn<'a> {
    /// Reads the layer to its end and checks its digests.
    fn read(&mut self) -> Result<(), LayersError> {
        let (index, layer) = (self.index, self.layer);
        let failed = |source| LayersError::Read { layer: index, source };
        if layer.is_rebuilt {
            let runs = Runs::default();
            let rebuilt = Rebuilt::open(&layer.recipe, &layer.blob, Rc::clone(&runs));
            let source = Source::plain(rebuilt.map_err(failed)?);
            let spool = Spool::beside_root(layer.spool.try_clone().map_err(failed)?, runs);
            return self.read_from(source, spool, None);
        }
        let wanted = Wanted { stored: layer.digest.is_some(), content: layer.diff_id.is_some() };
        let source =
            Source::open(FromStart { file: &layer.blob, at: 0 }, wanted).map_err(failed)?;
        if source.coding() == Coding::Plain {
            return self.read_from(source, Spool::InPlace, None);
        }
        // Without one the next image with this layer takes longer.
        let record = Record::begin(&layer.recipe).ok();
        let record = record.map(|record| Rc::new(RefCell::new(record)));
        let file = layer.spool.try_clone().map_err(failed)?;
        self.read_from(source, Spool::appending_to(file, record.clone()), record)
    }

    fn read_from<R: io::Read>(
        &mut self,
        source: Source<R>,
        mut spool: Spool,
        record: Option<SharedRecord>,
    ) -> Result<(), LayersError> {
        let (index, layer) = (self.index, self.layer);
        let failed = |source| LayersError::Read { layer: index, source };
        let watched = Watched { source, record: record.clone() };
        let Some(watched) = self.send_entries(watched, &mut spool)? else {
            return Ok(());
        };
        spool.finish().map_err(failed)?;
        let ended = watched.source.finish().map_err(failed)?;
        let stored = layer.digest.zip(ended.stored);
        for (expected, found) in stored.into_iter().chain(layer.diff_id.zip(ended.content)) {
            if expected != found {
                return Err(LayersError::Digest { layer: index, expected, found });
            }
        }
        if let Some(recorded) = record.and_then(|record| record.borrow_mut().end()) {
            let mut all = self.recorded.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(index, recorded);
        }
        Ok(())
    }

    /// Spools the contents of an archive and sends its entries; returns the
    /// stream at its end, or `None` if nobody listens any more.
    fn send_entries<R: io::Read>(
        &mut self,
        stream: Watched<R>,
        spool: &mut Spool,
    ) -> Result<Option<Watched<R>>, LayersError> {
        let failed = |source| LayersError::Tar { layer: self.index, source };
        let number = |index| {
            u16::try_from(index).map_err(|_| LayersError::TooLarge("65,535 files of contents"))
        };
        let (own, root) = (number(self.index)?, number(self.of + self.index)?);
        let mut reader = Reader::new(stream);
        let mut batch = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(failed)? {
            let mut pieces = spool.start(&mut self.allowance);
            reader.take_data(|offset, at, bytes| pieces.keep(offset, at, bytes)).map_err(failed)?;
            let (extents, holder) = pieces.finish();
            let spool = if holder == Holder::Root { root } else { own };
            let data = Data::new(entry.size, spool, extents);
            batch.push((entry, data));
            if batch.len() == BATCH && self.sender.send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(None);
            }
        }
        let is_heard = self.sender.send(Ok(batch)).is_ok();
        Ok(is_heard.then(|| reader.into_inner()))
    }
}

/// A stream that is written down as it passes, where that is wanted.
struct Watched<R: io::Read> {
    source: Source<R>,
    record: Option<SharedRecord>,
}

impl<R: io::Read> io::Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let count = held.len().min(out.len());
        out[..count].copy_from_slice(&held[..count]);
        self.consume(count);
        Ok(count)
    }
}

impl<R: io::Read> BufRead for Watched<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.source.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        if let Some(record) = &self.record {
            let held = self.source.held();
            record.borrow_mut().pass(&held[..count.min(held.len())]);
        }
        self.source.consume(count);
    }
}

/// A file read from its first byte, whatever others do with its position.
struct FromStart<'a> {
    file: &'a File,
    at: u64,
}

impl io::Read for FromStart<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}
