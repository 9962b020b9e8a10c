//! What an image holds, path by path, as tests look at it.

use std::collections::BTreeMap;
use std::fs::File;

use super::read::{self, Image};

/// One path as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Kind and permissions.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970, and nanoseconds.
    pub mtime: (u64, u32),
    /// How many names it says it has.
    pub links: u32,
    /// The number of a device, as Linux packs it.
    pub device: u32,
    /// The number of its inode.
    pub number: u64,
    /// Extended attributes by their whole name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of a file or the text of a link.
    pub content: Vec<u8>,
}

/// Returns every path of the image with what is there; the root is the empty path.
pub fn paths(image: &File) -> BTreeMap<Vec<u8>, Found> {
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
