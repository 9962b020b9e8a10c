//! Writes a tree and its contents as one image.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use rustix::fs::copy_file_range;
use rustix::io::Errno;
use thiserror::Error;

use super::super::tree::{Content, Data, Inode, Tree};
use super::directory::{self, Entry};
use super::inode::{self, Layout, Shape};
use super::plan::{Plan, Planned, sorted};
use super::superblock::Superblock;
use super::{BLOCK, BLOCK_BYTES, attributes};

/// Metadata is written in pieces of about this size.
const PIECE_BYTES: usize = 1 << 20;
/// Shorter pieces of files are copied through memory: two calls cost more than the bytes.
const COPY_BYTES: usize = 128 << 10;

/// Why an image was not written.
#[derive(Debug, Error)]
pub enum WriteError {
    /// The tree does not fit the format.
    #[error("the image has too many blocks")]
    TooManyBlocks,
    /// The output could not be written.
    #[error("cannot write the root image")]
    Write(#[source] io::Error),
    /// The content of a file could not be read back.
    #[error("cannot copy the content of a file into the root image")]
    Copy(#[source] io::Error),
}

/// Writes the image of `tree` to the empty file `out`, and returns its size and its plan.
///
/// `spools` holds the contents that the tree's extents speak of. The same
/// tree and contents give the same bytes.
pub fn write(
    tree: &Tree,
    spools: &[&File],
    out: &File,
    uuid: [u8; 16],
) -> Result<(u64, Plan), WriteError> {
    let plan = Plan::of(tree).ok_or(WriteError::TooManyBlocks)?;
    let bytes = u64::from(plan.blocks) * BLOCK;
    out.set_len(bytes).map_err(WriteError::Write)?;
    let writer = Writer { tree, spools, out, plan: &plan };
    writer.copy_files().map_err(WriteError::Copy)?;
    writer.write_metadata()?;
    let superblock = Superblock {
        root: u16::try_from(plan.inodes[0].number()).unwrap_or(u16::MAX),
        inodes: plan.inodes.len() as u64,
        blocks: plan.blocks,
        meta_block: plan.meta_block,
        uuid,
    };
    out.write_all_at(&superblock.encode(), 0).map_err(WriteError::Write)?;
    Ok((bytes, plan))
}

/// Bytes on their way from a spool into the image.
struct Stretch {
    spool: u16,
    from: u64,
    to: u64,
    bytes: u64,
}

impl Stretch {
    fn goes_on_as(&self, next: &Self) -> bool {
        let ends = (self.spool, self.from + self.bytes, self.to + self.bytes);
        ends == (next.spool, next.from, next.to)
    }
}

struct Writer<'a> {
    tree: &'a Tree,
    spools: &'a [&'a File],
    out: &'a File,
    plan: &'a Plan,
}

impl Writer<'_> {
    /// Copies what of files lies in data blocks; holes stay holes. Files that lie behind one another
    /// on both sides, as those of a layer that another root has, are copied at once.
    fn copy_files(&self) -> io::Result<()> {
        let mut waiting: Option<Stretch> = None;
        for planned in &self.plan.inodes {
            let Content::File(data) = &self.tree.inode(planned.id).content else { continue };
            let end = planned.bytes_in_blocks();
            let start = u64::from(planned.place) * BLOCK;
            for extent in data.extents() {
                let bytes = extent.bytes.min(end.saturating_sub(extent.offset));
                if bytes == 0 {
                    continue;
                }
                let to = start + extent.offset;
                let next = Stretch { spool: data.spool(), from: extent.at, to, bytes };
                match &mut waiting {
                    Some(last) if last.goes_on_as(&next) => last.bytes += bytes,
                    _ => {
                        if let Some(last) = waiting.replace(next) {
                            self.copy(&last)?;
                        }
                    }
                }
            }
        }
        waiting.map_or(Ok(()), |last| self.copy(&last))
    }

    fn copy(&self, stretch: &Stretch) -> io::Result<()> {
        let source = self.spool(stretch.spool)?;
        let (mut from, mut to) = (stretch.from, stretch.to);
        let mut left = usize::try_from(stretch.bytes).map_err(io::Error::other)?;
        while left >= COPY_BYTES {
            match copy_file_range(source, Some(&mut from), self.out, Some(&mut to), left) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => left -= count,
                Err(Errno::INTR) => {}
                // Some file systems cannot; the bytes then go through memory.
                Err(Errno::XDEV | Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut buffer = vec![0; left.min(COPY_BYTES)];
        while left > 0 {
            let piece = &mut buffer[..left.min(COPY_BYTES)];
            source.read_exact_at(piece, from)?;
            self.out.write_all_at(piece, to)?;
            from += piece.len() as u64;
            to += piece.len() as u64;
            left -= piece.len();
        }
        Ok(())
    }

    /// Writes inodes in the order of their places, and the blocks of folders.
    fn write_metadata(&self) -> Result<(), WriteError> {
        let mut order: Vec<u32> =
            (0..u32::try_from(self.plan.inodes.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by_key(|i| self.plan.inodes[*i as usize].number());
        let start = u64::from(self.plan.meta_block) * BLOCK;
        let mut piece = Vec::with_capacity(PIECE_BYTES + BLOCK_BYTES * 32);
        let mut piece_at = 0;
        for serial in order {
            let planned = &self.plan.inodes[serial as usize];
            if piece.len() >= PIECE_BYTES {
                self.out.write_all_at(&piece, start + piece_at).map_err(WriteError::Write)?;
                piece.clear();
                piece_at = planned.at();
            }
            piece.resize(usize::try_from(planned.at() - piece_at).unwrap_or(0), 0);
            self.push_inode(planned, serial + 1, &mut piece)?;
        }
        self.out.write_all_at(&piece, start + piece_at).map_err(WriteError::Write)
    }

    /// Appends one inode with everything that stands behind it.
    fn push_inode(
        &self,
        planned: &Planned,
        serial: u32,
        piece: &mut Vec<u8>,
    ) -> Result<(), WriteError> {
        let Inode { attributes, content } = self.tree.inode(planned.id);
        let xattrs = attributes::encode(attributes.xattrs());
        let shape = Shape {
            layout: planned.layout,
            xattr_count: attributes::count(xattrs.len()),
            size: planned.size,
            place: planned.place,
            serial,
            links: planned.links,
        };
        piece.extend_from_slice(&inode::encode(attributes, content, &shape));
        piece.extend_from_slice(&xattrs);
        let inline_at = usize::try_from(planned.bytes_in_blocks()).unwrap_or(usize::MAX);
        let whole = match content {
            Content::Folder(_) => self.encode_folder(planned),
            Content::Symlink(text) => text.to_vec(),
            Content::File(data) => {
                if planned.layout == Layout::Inline {
                    self.push_tail(planned, data, piece).map_err(WriteError::Copy)?;
                }
                return Ok(());
            }
            Content::Character(..) | Content::Block(..) | Content::Fifo => return Ok(()),
        };
        let (in_blocks, inline) = whole.split_at(inline_at.min(whole.len()));
        piece.extend_from_slice(inline);
        self.out
            .write_all_at(in_blocks, u64::from(planned.place) * BLOCK)
            .map_err(WriteError::Write)
    }

    /// Appends the last partial block of a file.
    fn push_tail(&self, planned: &Planned, data: &Data, piece: &mut Vec<u8>) -> io::Result<()> {
        let start = planned.bytes_in_blocks();
        let begin = piece.len();
        piece.resize(begin + usize::try_from(planned.size - start).unwrap_or(0), 0);
        for extent in data.extents().rev() {
            let end = extent.offset + extent.bytes;
            if end <= start {
                break;
            }
            let from = extent.offset.max(start);
            let within = |at: u64| begin + usize::try_from(at - start).unwrap_or(0);
            let target = &mut piece[within(from)..within(end)];
            self.spool(data.spool())?.read_exact_at(target, extent.at + (from - extent.offset))?;
        }
        Ok(())
    }

    fn encode_folder(&self, planned: &Planned) -> Vec<u8> {
        let Some(folder) = self.tree.folder(planned.id) else {
            return Vec::new();
        };
        let entry = |name, id| {
            let kind = inode::file_type(&self.tree.inode(id).content);
            Named(Entry { name, inode: self.plan.of_inode(id).number(), kind })
        };
        let own = [entry(b".", planned.id), entry(b"..", planned.parent)];
        let names = folder.names.iter().map(|(name, to)| entry(&**name, to.inode));
        let entries: Vec<_> = sorted(own, names).map(|named| named.0).collect();
        directory::encode(&entries)
    }

    fn spool(&self, number: u16) -> io::Result<&File> {
        self.spools.get(usize::from(number)).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

/// An entry that sorts by its name.
struct Named<'a>(Entry<'a>);

impl AsRef<[u8]> for Named<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.name
    }
}

#[cfg(test)]
mod tests;
