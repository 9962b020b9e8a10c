//! A reader of what the writer writes, made from the format's description and
//! not from the writer, so that the two can disagree.
//!
//! For tests alone: what is wrong with an image ends it by a panic.

#![expect(clippy::panic, reason = "a test that finds it wants to fail")]

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// An image as it was read: every inode once, by its number.
#[derive(Clone, Debug)]
pub struct Image {
    /// The number of the root.
    pub root: u64,
    /// What each number is.
    pub inodes: BTreeMap<u64, Inode>,
}

/// One inode as it was read.
#[derive(Clone, Debug)]
pub struct Inode {
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
    /// Extended attributes by their whole name.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Where the bytes of a file, the text of a link or the names of a folder lie: first and count,
    /// of whole blocks and of what is behind them.
    pub lies: [(u64, u64); 2],
    /// The names of a folder, and the numbers that they lead to.
    pub names: Vec<(Vec<u8>, u64)>,
}

impl Inode {
    /// Returns all that lies where the inode says.
    pub fn content(&self, image: &File) -> Vec<u8> {
        self.lies.map(|(at, count)| bytes(image, at, count)).concat()
    }
}

/// Reads a whole image but for the contents of files.
pub fn read(image: &File) -> Image {
    let sb = bytes(image, 1024, 128);
    assert_eq!(u32_at(&sb, 0), 0xe0f5_e1e2);
    let reader = Reader { image, meta: u64::from(u32_at(&sb, 40)) * 4096 };
    let root = u64::from(u16::from_le_bytes([sb[14], sb[15]]));
    let mut inodes: BTreeMap<u64, Inode> = BTreeMap::new();
    let mut pending = vec![(root, root, 2)];
    while let Some((number, above, kind)) = pending.pop() {
        let inode = match inodes.get(&number) {
            Some(inode) => inode,
            None => {
                let inode = reader.inode(number, above, &mut pending);
                inodes.entry(number).or_insert(inode)
            }
        };
        let bits = inode.mode >> 12;
        let expected = [(8, 1), (4, 2), (2, 3), (6, 4), (1, 5), (10, 7)];
        assert!(expected.contains(&(bits, kind)), "{bits} {kind}");
    }
    assert_eq!(inodes.len() as u64, u64_at(&sb, 16), "the superblock counts inodes");
    let length = image.metadata().expect("an open file").len();
    assert_eq!(length, u64::from(u32_at(&sb, 36)) * 4096);
    Image { root, inodes }
}

struct Reader<'a> {
    image: &'a File,
    meta: u64,
}

impl Reader<'_> {
    /// Reads an inode; what a folder names is `pending` then, with the number of the folder and the
    /// kind that it tells of.
    fn inode(&self, number: u64, above: u64, pending: &mut Vec<(u64, u64, u8)>) -> Inode {
        let mut inode = self.inode_alone(number);
        if inode.mode >> 12 != 4 {
            return inode;
        }
        let mut before: Option<Vec<u8>> = None;
        for block in inode.content(self.image).chunks(4096) {
            for (name, to, kind) in names(block) {
                assert!(before.as_ref().is_none_or(|before| *before < name), "names are sorted");
                before = Some(name.clone());
                match name.as_slice() {
                    b"." => assert_eq!(to, number),
                    b".." => assert_eq!(to, above),
                    _ => {
                        pending.push((to, number, kind));
                        inode.names.push((name, to));
                    }
                }
            }
        }
        inode
    }

    fn inode_alone(&self, number: u64) -> Inode {
        let at = self.meta + number * 32;
        let raw = bytes(self.image, at, 64);
        let format = u16::from_le_bytes([raw[0], raw[1]]);
        assert_eq!(format & 1, 1, "inodes are extended");
        let count = u64::from(u16::from_le_bytes([raw[2], raw[3]]));
        let xattr_bytes = if count == 0 { 0 } else { 12 + (count - 1) * 4 };
        let mode = u16::from_le_bytes([raw[4], raw[5]]);
        let (size, place) = (u64_at(&raw, 8), u32_at(&raw, 16));
        let has_content = matches!(mode >> 12, 8 | 4 | 10);
        let blocks_at = u64::from(place) * 4096;
        let lies = match (has_content, format >> 1) {
            (false, _) => [(0, 0); 2],
            (true, 0) => [(blocks_at, size), (0, 0)],
            (true, 2) => {
                let tail_at = at + 64 + xattr_bytes;
                let last = tail_at + size % 4096 - 1;
                assert_eq!(tail_at / 4096, last / 4096, "tails cross no block");
                [(blocks_at, size / 4096 * 4096), (tail_at, size % 4096)]
            }
            (true, other) => panic!("layout {other}"),
        };
        Inode {
            mode,
            uid: u32_at(&raw, 24),
            gid: u32_at(&raw, 28),
            mtime: (u64_at(&raw, 32), u32_at(&raw, 40)),
            links: u32_at(&raw, 44),
            device: if has_content { 0 } else { place },
            xattrs: xattrs(&bytes(self.image, at + 64, xattr_bytes)),
            lies,
            names: Vec::new(),
        }
    }
}

fn names(block: &[u8]) -> Vec<(Vec<u8>, u64, u8)> {
    let offset = |i: usize| usize::from(u16::from_le_bytes([block[i * 12 + 8], block[i * 12 + 9]]));
    let count = offset(0) / 12;
    (0..count)
        .map(|i| {
            let end = if i + 1 < count { offset(i + 1) } else { block.len() };
            let name = &block[offset(i)..end];
            let name = name.split(|b| *b == 0).next().unwrap_or_default().to_vec();
            (name, u64_at(block, i * 12), block[i * 12 + 10])
        })
        .collect()
}

fn xattrs(raw: &[u8]) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut at = 12;
    while at < raw.len() {
        let (rest, prefix) = (usize::from(raw[at]), raw[at + 1]);
        let value = usize::from(u16::from_le_bytes([raw[at + 2], raw[at + 3]]));
        let prefix: &[u8] = match prefix {
            1 => b"user.",
            2 => b"system.posix_acl_access",
            3 => b"system.posix_acl_default",
            6 => b"security.",
            other => panic!("prefix {other}"),
        };
        let name = [prefix, &raw[at + 4..at + 4 + rest]].concat();
        found.insert(name, raw[at + 4 + rest..at + 4 + rest + value].to_vec());
        at = (at + 4 + rest + value).next_multiple_of(4);
    }
    found
}

fn bytes(image: &File, at: u64, count: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(count).expect("a count that fits memory")];
    image.read_exact_at(&mut bytes, at).expect("the image reaches there");
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}
