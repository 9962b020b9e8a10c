//! A reader of what the writer writes, made from the format's description and
//! not from the writer, so that the two can disagree.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;

/// One inode as it was read.
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
pub(crate) fn read(image: &File) -> BTreeMap<Vec<u8>, Found> {
    let sb = bytes(image, 1024, 128);
    assert_eq!(u32_at(&sb, 0), 0xe0f5_e1e2);
    let reader = Reader { image, meta: u64::from(u32_at(&sb, 40)) * 4096 };
    let root = u64::from(u16::from_le_bytes([sb[14], sb[15]]));
    let mut found = BTreeMap::new();
    reader.visit(Vec::new(), root, root, &mut found);
    let distinct: std::collections::BTreeSet<_> = found.values().map(|f| f.number).collect();
    assert_eq!(distinct.len() as u64, u64_at(&sb, 16), "the superblock counts inodes");
    assert_eq!(image.metadata().unwrap().len(), u64::from(u32_at(&sb, 36)) * 4096);
    found
}

struct Reader<'a> {
    image: &'a File,
    meta: u64,
}

impl Reader<'_> {
    fn visit(&self, path: Vec<u8>, number: u64, above: u64, found: &mut BTreeMap<Vec<u8>, Found>) {
        let mut inode = self.inode(number);
        if inode.mode & 0o170_000 == 0o040_000 {
            let data = std::mem::take(&mut inode.content);
            let mut before: Option<Vec<u8>> = None;
            for block in data.chunks(4096) {
                for (name, to, kind) in names(block) {
                    assert!(
                        before.as_ref().is_none_or(|before| *before < name),
                        "names are sorted"
                    );
                    before = Some(name.clone());
                    match name.as_slice() {
                        b"." => assert_eq!(to, number),
                        b".." => assert_eq!(to, above),
                        _ => {
                            let slash = if path.is_empty() { &b""[..] } else { b"/" };
                            let below = [&path[..], slash, &name].concat();
                            self.visit(below.clone(), to, number, found);
                            let bits = found[&below].mode >> 12;
                            let expected = [(8, 1), (4, 2), (2, 3), (6, 4), (1, 5), (10, 7)];
                            assert!(expected.contains(&(bits, kind)), "{bits} {kind}");
                        }
                    }
                }
            }
        }
        found.insert(path, inode);
    }

    fn inode(&self, number: u64) -> Found {
        let at = self.meta + number * 32;
        let raw = bytes(self.image, at, 64);
        let format = u16::from_le_bytes([raw[0], raw[1]]);
        assert_eq!(format & 1, 1, "inodes are extended");
        let count = u64::from(u16::from_le_bytes([raw[2], raw[3]]));
        let xattr_bytes = if count == 0 { 0 } else { 12 + (count - 1) * 4 };
        let mode = u16::from_le_bytes([raw[4], raw[5]]);
        let (size, place) = (u64_at(&raw, 8), u32_at(&raw, 16));
        let has_content = matches!(mode >> 12, 8 | 4 | 10);
        let content = match (has_content, format >> 1) {
            (false, _) => Vec::new(),
            (true, 0) => bytes(self.image, u64::from(place) * 4096, size),
            (true, 2) => {
                let whole = size / 4096 * 4096;
                let tail_at = at + 64 + xattr_bytes;
                assert_eq!(
                    tail_at / 4096,
                    (tail_at + size % 4096 - 1) / 4096,
                    "tails cross no block"
                );
                let blocks = bytes(self.image, u64::from(place) * 4096, whole);
                [blocks, bytes(self.image, tail_at, size % 4096)].concat()
            }
            (true, other) => panic!("layout {other}"),
        };
        Found {
            mode,
            uid: u32_at(&raw, 24),
            gid: u32_at(&raw, 28),
            mtime: (u64_at(&raw, 32), u32_at(&raw, 40)),
            links: u32_at(&raw, 44),
            device: if has_content { 0 } else { place },
            number,
            xattrs: xattrs(&bytes(self.image, at + 64, xattr_bytes)),
            content,
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
            let name = name.split(|b| *b == 0).next().unwrap().to_vec();
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
    let mut bytes = vec![0; usize::try_from(count).unwrap()];
    image.read_exact_at(&mut bytes, at).unwrap();
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}
