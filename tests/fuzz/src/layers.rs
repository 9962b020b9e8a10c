//! Target `layers`: layers of a stranger, merged, written as a root and read back by a reader that was made
//! from the format's description.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::os::unix::fs::FileExt as _;

use image::digest::Digest;
use image::erofs::read;
use image::layers::Layer;
use image::tree::{Content, Data, Extent, Inode, InodeId, ROOT};
use rustix::fs::{MemfdFlags, SeekFrom as Hole, memfd_create};
use rustix::io::Errno;

use crate::alone::{self, Merged};
use crate::pressed::{ended, gzip, mended, zstd};

/// Layers of one input at most.
const LAYERS_MAX: usize = 4;
/// An input that begins below this is layers in steps; all others are one layer as they stand.
const STEPS_BELOW: u8 = 8;
/// How much of a file is compared at once.
const PIECE_BYTES: usize = 64 << 10;

/// Holds that `bytes` are refused, or end in a root that says what its layers say.
pub(crate) fn check(bytes: &[u8]) {
    drop(rooted(&layers(bytes)));
}

/// Returns the root of what an input of the target `layers` says, where it makes one.
///
/// # Panics
/// When the root says something else.
#[must_use]
pub fn root(bytes: &[u8]) -> Option<File> {
    rooted(&layers(bytes))
}

/// Returns the layers that an input stands for.
fn layers(bytes: &[u8]) -> Vec<Vec<u8>> {
    if bytes.first().is_none_or(|first| *first >= STEPS_BELOW) {
        return vec![bytes.to_vec()];
    }
    let steps = crate::steps(bytes).take(LAYERS_MAX);
    steps.map(|(step, how, body)| layer(step, how, body)).collect()
}

/// Returns a layer: `step` says how it is stored, `how` whether it is ended for the fuzzer.
fn layer(step: u8, how: u8, body: &[u8]) -> Vec<u8> {
    // What is pressed stays shorter than 64 KiB with its end.
    let body = &body[..body.len().min(60 << 10)];
    let archive = if how.is_multiple_of(2) { mended(body) } else { ended(mended(body)) };
    match step % 4 {
        0 => body.to_vec(),
        1 => archive,
        2 => gzip(&archive),
        _ => zstd(&archive),
    }
}

/// Holds that layers are refused, or end in a root that says what they say; returns that root.
pub(crate) fn rooted(layers: &[Vec<u8>]) -> Option<File> {
    // Each is held against the digest of what is stored.
    let layers = layers.iter().map(|layer| Layer {
        blob: holding(layer),
        spool: holding(b""),
        recipe: holding(b""),
        is_rebuilt: false,
        digest: Some(Digest::of(layer)),
        diff_id: None,
    });
    let out = holding(b"");
    let merged = match alone::root(&layers.collect::<Vec<_>>(), &out) {
        Ok(merged) => merged,
        Err(why) => {
            let is_ours = why.contains("its bytes hash to") || why.starts_with("cannot copy");
            assert!(!is_ours, "{why}");
            return None;
        }
    };
    compare(&merged, &out);
    Some(out)
}

fn holding(bytes: &[u8]) -> File {
    let file = memfd_create("fuzz", MemfdFlags::CLOEXEC).expect("the host gives files of memory");
    let mut file = File::from(file);
    file.write_all(bytes).and_then(|()| file.rewind()).expect("memory takes them");
    file
}

/// Holds that an image says what the tree says, each name and each byte, and nothing else.
fn compare(merged: &Merged, out: &File) {
    let image = read::read(out);
    // Which inode of the image each node is, and how many names have led there.
    let mut seen: BTreeMap<InodeId, (u64, u32)> = BTreeMap::new();
    let mut pending = vec![(ROOT, image.root)];
    while let Some((id, number)) = pending.pop() {
        if let Some((before, names)) = seen.get_mut(&id) {
            assert_eq!(*before, number, "names of one node lead to two inodes");
            *names += 1;
            continue;
        }
        let (node, inode) = (merged.tree.inode(id), &image.inodes[&number]);
        alike(node, inode);
        let mut names = 1;
        match &node.content {
            Content::Folder(folder) => {
                let below = &folder.names;
                let said = below.keys().map(|name| &**name);
                assert!(said.eq(inode.names.iter().map(|(name, _)| &**name)), "other names");
                pending.extend(below.values().zip(&inode.names).map(|(to, at)| (to.inode, at.1)));
                let folders = below.values().filter(|to| merged.tree.folder(to.inode).is_some());
                names = u32::try_from(folders.count() + 2).expect("few");
            }
            Content::Symlink(text) => assert_eq!(inode.content(out), **text, "another text"),
            Content::File(data) => {
                assert_eq!(inode.lies[0].1 + inode.lies[1].1, data.size, "another size");
                same_bytes(data, &merged.contents[usize::from(data.spool())], inode, out);
            }
            Content::Character(..) | Content::Block(..) | Content::Fifo => {}
        }
        seen.insert(id, (number, names));
    }
    assert_eq!(seen.len(), image.inodes.len(), "inodes of nobody");
    for (number, names) in seen.values() {
        assert_eq!(image.inodes[number].links, *names, "names of inode {number}");
    }
}

/// Holds that an inode has the attributes of its node.
fn alike(node: &Inode, inode: &read::Inode) {
    let (bits, device) = match node.content {
        Content::Folder(_) => (4, None),
        Content::File(_) => (8, None),
        Content::Symlink(_) => (10, None),
        Content::Character(major, minor) => (2, Some((major, minor))),
        Content::Block(major, minor) => (6, Some((major, minor))),
        Content::Fifo => (1, None),
    };
    let said = &node.attributes;
    assert_eq!(inode.mode, said.mode | bits << 12);
    let mtime = (said.mtime().seconds, said.mtime().nanos);
    assert_eq!((inode.uid, inode.gid, inode.mtime), (said.uid, said.gid, mtime));
    // As Linux takes the number of a device apart.
    let number = inode.device;
    let found = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
    assert_eq!(found, device.unwrap_or_default(), "another device");
    let xattrs = inode.xattrs.iter().map(|(name, value)| (&**name, &**value));
    let theirs = said.xattrs().iter().map(|(name, value)| (&**name, &**value));
    assert!(xattrs.eq(theirs), "other attributes");
}

/// Holds that a file has the bytes of its pieces, and zeros between them.
fn same_bytes(data: &Data, contents: &File, inode: &read::Inode, out: &File) {
    let mut end = 0;
    for Extent { offset, at, bytes: count } in data.extents() {
        zeros(inode, out, end..offset);
        for part in (0..count).step_by(PIECE_BYTES) {
            let count = usize::try_from((count - part).min(PIECE_BYTES as u64)).expect("small");
            let (mut one, mut other) = (vec![0; count], vec![0; count]);
            contents.read_exact_at(&mut one, at + part).expect("the layer has it");
            let mut rest = &mut other[..];
            for (first, bytes) in lying(inode, offset + part..offset + part + count as u64) {
                let (now, later) = rest.split_at_mut(usize::try_from(bytes).expect("small"));
                out.read_exact_at(now, first).expect("the image has it");
                rest = later;
            }
            assert!(rest.is_empty() && one == other, "other bytes from {}", offset + part);
        }
        end = offset + count;
    }
    zeros(inode, out, end..inode.lies[0].1 + inode.lies[1].1);
}

/// Returns where a part of a file lies in the image: first and count, one or two times.
fn lying(inode: &read::Inode, part: std::ops::Range<u64>) -> impl Iterator<Item = (u64, u64)> {
    let [(blocks_at, blocks), (tail_at, tail)] = inode.lies;
    [(blocks_at, 0, blocks), (tail_at, blocks, tail)].into_iter().filter_map(
        move |(at, start, count)| {
            let (from, to) = (part.start.max(start), part.end.min(start + count));
            (from < to).then(|| (at + (from - start), to - from))
        },
    )
}

/// Holds that a part of a file is zeros; holes of the image are passed over.
fn zeros(inode: &read::Inode, out: &File, part: std::ops::Range<u64>) {
    for (first, count) in lying(inode, part) {
        let mut at = first;
        while at < first + count {
            at = match rustix::fs::seek(out, Hole::Data(at)) {
                Ok(data) => data,
                Err(Errno::NXIO) => break,
                Err(error) => panic!("{error}"),
            };
            let left = (first + count).saturating_sub(at).min(PIECE_BYTES as u64);
            let mut bytes = vec![0; usize::try_from(left).expect("small")];
            out.read_exact_at(&mut bytes, at).expect("the image has it");
            assert!(bytes.iter().all(|byte| *byte == 0), "bytes where there are none");
            at += left.max(1);
        }
    }
}
