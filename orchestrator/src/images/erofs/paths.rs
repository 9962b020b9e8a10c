//! What an image holds, path by path, as tests look at it.

use std::collections::BTreeMap;
use std::fs::File;

use super::read::{self, Image};

/// One path as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: (u64, u32),
    pub(crate) links: u32,
    pub(crate) device: u32,
    pub(crate) number: u64,
    pub(crate) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of a file or the text of a link.
    pub(crate) content: Vec<u8>,
}

/// Returns every path of the image with what is there; the root is the empty path.
pub(crate) fn paths(image: &File) -> BTreeMap<Vec<u8>, Found> {
    let whole = read::read(image);
    let mut found = BTreeMap::new();
    let mut pending = vec![(Vec::new(), whole.root)];
    while let Some((path, number)) = pending.pop() {
        for (name, to) in &whole.inodes[&number].names {
            let slash = if path.is_empty() { &b""[..] } else { b"/" };
            pending.push(([&path[..], slash, name].concat(), *to));
        }
        found.insert(path, one(image, &whole, number));
    }
    found
}

fn one(image: &File, whole: &Image, number: u64) -> Found {
    let inode = whole.inodes[&number].clone();
    let is_folder = inode.mode >> 12 == 4;
    Found {
        mode: inode.mode,
        uid: inode.uid,
        gid: inode.gid,
        mtime: inode.mtime,
        links: inode.links,
        device: inode.device,
        number,
        content: if is_folder { Vec::new() } else { inode.content(image) },
        xattrs: inode.xattrs,
    }
}
