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

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use schema::archive::{Entry, Reader, TarError};
use thiserror::Error;

use super::digest::Digest;
use super::merge::{self, Dropped};
use super::source::{Coding, Source, Wanted};
use super::spool::{Allowance, Spool};
use super::tree::{Data, Tree};

/// The most entries of all layers together.
pub(crate) const ENTRIES_MAX: u64 = 1_000_000;
/// The largest sum of apparent file sizes.
pub(crate) const IMAGE_BYTES_MAX: u64 = 128 << 30;
/// The most threads that read layers.
const THREADS_MAX: usize = 4;
/// How many entries travel together, and how many such groups may wait.
const BATCH: usize = 128;
const BATCHES_WAITING: usize = 16;

/// One layer as it is stored, and what it is to turn out to be.
#[derive(Debug)]
pub(crate) struct Layer {
    /// The stored bytes.
    pub(crate) blob: File,
    /// An empty file for contents, used if the layer is compressed.
    pub(crate) spool: File,
    /// The digest of the stored bytes, if it is to be checked again.
    pub(crate) digest: Option<Digest>,
    /// The digest of the tar, if it is to be checked.
    pub(crate) diff_id: Option<Digest>,
}

impl Layer {
    /// Returns the file in which the merged tree's extents of this layer lie.
    pub(crate) fn contents(&self) -> io::Result<&File> {
        let mut first = [0; 4];
        let count = self.blob.read_at(&mut first, 0)?;
        Ok(if Coding::of(&first[..count]) == Coding::Plain { &self.blob } else { &self.spool })
    }
}

/// Why layers did not become a tree. Layers are counted from 0 at the bottom.
#[derive(Debug, Error)]
pub(crate) enum LayersError {
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
    sender: SyncSender<Said>,
    allowance: Allowance,
}

/// Returns the merged tree, whose contents lie in `blob` or `spool` of each layer.
pub(crate) fn merge_layers(layers: &[Layer]) -> Result<(Tree, Dropped), LayersError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let threads = threads.min(THREADS_MAX).min(layers.len()).max(1);
    let mut turns: Vec<Vec<Turn<'_>>> = (0..threads).map(|_| Vec::new()).collect();
    let mut receivers = Vec::new();
    for (index, layer) in layers.iter().enumerate() {
        let (sender, receiver) = sync_channel(BATCHES_WAITING);
        let allowance = Allowance::of_one_in(layers.len());
        turns[index % threads].push(Turn { index, layer, sender, allowance });
        receivers.push(receiver);
    }
    thread::scope(|scope| {
        for turns in turns {
            scope.spawn(move || read_in_turn(turns));
        }
        merge_in_order(receivers)
    })
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
        let wanted = Wanted { stored: layer.digest.is_some(), content: layer.diff_id.is_some() };
        let source =
            Source::open(FromStart { file: &layer.blob, at: 0 }, wanted).map_err(failed)?;
        let mut spool = match source.coding() {
            Coding::Plain => Spool::InPlace,
            _ => Spool::appending_to(layer.spool.try_clone().map_err(failed)?),
        };
        let Some(source) = self.send_entries(source, &mut spool)? else {
            return Ok(());
        };
        spool.finish().map_err(failed)?;
        let ended = source.finish().map_err(failed)?;
        let stored = layer.digest.zip(ended.stored);
        for (expected, found) in stored.into_iter().chain(layer.diff_id.zip(ended.content)) {
            if expected != found {
                return Err(LayersError::Digest { layer: index, expected, found });
            }
        }
        Ok(())
    }

    /// Spools the contents of an archive and sends its entries; returns the
    /// stream at its end, or `None` if nobody listens any more.
    fn send_entries(
        &mut self,
        source: Source<FromStart<'a>>,
        spool: &mut Spool,
    ) -> Result<Option<Source<FromStart<'a>>>, LayersError> {
        let failed = |source| LayersError::Tar { layer: self.index, source };
        let number =
            u16::try_from(self.index).map_err(|_| LayersError::TooLarge("65,535 layers"))?;
        let mut reader = Reader::new(source);
        let mut batch = Vec::new();
        while let Some(entry) = reader.next_entry().map_err(failed)? {
            let mut pieces = spool.start(&mut self.allowance);
            reader.take_data(|offset, at, bytes| pieces.keep(offset, at, bytes)).map_err(failed)?;
            let data = Data { size: entry.size, spool: number, extents: pieces.finish() };
            batch.push((entry, data));
            if batch.len() == BATCH && self.sender.send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(None);
            }
        }
        let is_heard = self.sender.send(Ok(batch)).is_ok();
        Ok(is_heard.then(|| reader.into_inner()))
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
