//! Random trees through the writer, read back by our reader and by `fsck.erofs`.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::fd::AsRawFd as _;
use std::process::Command;

use schema::archive::Time;

use super::super::super::tree::{Attributes, Extent, Name, ROOT, Xattr};
use super::super::paths::{Found, paths};
use super::*;

/// Numbers that are the same in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

struct Made {
    tree: Tree,
    spool: File,
    bytes: Vec<u8>,
    expected: BTreeMap<Vec<u8>, Found>,
}

fn unnamed() -> File {
    let flags = rustix::fs::OFlags::TMPFILE | rustix::fs::OFlags::RDWR;
    File::from(rustix::fs::open("/tmp", flags, rustix::fs::Mode::RUSR).unwrap())
}

impl Made {
    fn attributes(chance: &mut Chance) -> Attributes {
        let mut xattrs: Vec<Xattr> = Vec::new();
        if chance.below(4) == 0 {
            let size = [0, 3, 700, 5000][usize::try_from(chance.below(4)).unwrap()];
            xattrs.push((b"security.capability".as_slice().into(), vec![9; size].into()));
            xattrs.push((b"user.some".as_slice().into(), b"text".as_slice().into()));
        }
        let mode = u16::try_from(chance.below(0o10000)).unwrap();
        let uid = u32::try_from(chance.below(1 << 31)).unwrap();
        let gid = u32::try_from(chance.below(70_000)).unwrap();
        let mtime = Time { seconds: chance.below(1 << 32), nanos: 5 };
        Attributes::new(mode, (uid, gid), mtime).with_xattrs(xattrs.into())
    }

    /// Keeps the bytes of a file in the spool, with holes where blocks are zero.
    fn keep(&mut self, content: &[u8]) -> Data {
        let mut extents: Vec<Extent> = Vec::new();
        for (i, block) in content.chunks(4096).enumerate() {
            if block.iter().any(|b| *b != 0) {
                let at = self.bytes.len() as u64;
                self.bytes.extend_from_slice(block);
                let offset = i as u64 * 4096;
                extents.push(Extent { offset, at, bytes: block.len() as u64 });
            }
        }
        Data::new(content.len() as u64, 0, extents)
    }

    fn content(&mut self, chance: &mut Chance) -> (Content, u16, Vec<u8>, u32) {
        match chance.below(10) {
            0 => {
                let text = vec![b't'; usize::try_from(1 + chance.below(4095)).unwrap()];
                (Content::Symlink(text.clone().into()), 10, text, 0)
            }
            1 => (Content::Character(1, 300), 2, Vec::new(), 0x0010_012c),
            2 => (Content::Fifo, 1, Vec::new(), 0),
            _ => {
                let size = [0, 1, 4031, 4032, 4033, 4095, 4096, 4097, 20_000, 300_000];
                let size = size[usize::try_from(chance.below(10)).unwrap()];
                let content: Vec<u8> = (0..size)
                    .map(|n| if n / 4096 % 3 == 1 { 0 } else { u8::try_from(n % 251).unwrap() })
                    .collect();
                (Content::File(self.keep(&content)), 8, content, 0)
            }
        }
    }

    fn random(seed: u64, entries: u64) -> Self {
        let chance = &mut Chance(seed);
        let mut made = Self {
            tree: Tree::new(),
            spool: unnamed(),
            bytes: Vec::new(),
            expected: BTreeMap::new(),
        };
        let mut folders = vec![(ROOT, Vec::new())];
        for n in 0..entries {
            let (folder, path) =
                folders[usize::try_from(chance.below(folders.len() as u64)).unwrap()].clone();
            let length = usize::try_from(chance.below(200)).unwrap();
            let name = [
                format!("{}{n}", ["!", "-", "a", "z"][length % 4]).as_bytes(),
                &vec![b'n'; length],
            ]
            .concat();
            let path = if path == b"" { name.clone() } else { [&path[..], b"/", &name].concat() };
            let attributes = Self::attributes(chance);
            let (content, bits, bytes, device) = match chance.below(4) {
                0 => (Content::Folder(Box::default()), 4, Vec::new(), 0),
                _ => made.content(chance),
            };
            let mut found = described(&attributes, bits, device);
            found.content = bytes;
            let is_folder = bits == 4;
            let inode = made.tree.add(Inode { attributes, content }).unwrap();
            made.tree.link(folder, &name, Name { inode, layer: 0 }).unwrap();
            if is_folder {
                folders.push((inode, path.clone()));
            } else if chance.below(5) == 0 {
                found.links = 2;
                made.tree
                    .link(ROOT, format!("link{n}").as_bytes(), Name { inode, layer: 0 })
                    .unwrap();
                made.expected.insert(format!("link{n}").into_bytes(), found.clone());
            }
            made.expected.insert(path, found);
        }
        made.expected.insert(Vec::new(), described(&Attributes::of_missing_parent(), 4, 0));
        made.spool.write_all_at(&made.bytes, 0).unwrap();
        made
    }

    fn write(&self) -> File {
        let out = unnamed();
        write(&self.tree, &[&self.spool], &out, [3; 16]).unwrap();
        out
    }
}

fn described(attributes: &Attributes, bits: u16, device: u32) -> Found {
    Found {
        mode: attributes.mode | bits << 12,
        uid: attributes.uid,
        gid: attributes.gid,
        mtime: (attributes.mtime().seconds, attributes.mtime().nanos),
        links: 1,
        device,
        number: 0,
        xattrs: attributes.xattrs().iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect(),
        content: Vec::new(),
    }
}

/// Runs `fsck.erofs` where it is installed, reading every file too.
fn check_by_fsck(image: &File) {
    let path = format!("/proc/{}/fd/{}", std::process::id(), image.as_raw_fd());
    if let Ok(output) = Command::new("fsck.erofs").args(["--extract", &path]).output() {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        // It tells of a wrong checksum, and ends as if there were none.
        assert!(output.status.success() && !errors.contains("<E>"), "{text}{errors}");
    }
}

#[test]
fn a_random_tree_comes_back_as_it_was() {
    for (seed, entries) in [(1, 0), (2, 10), (3, 100), (4, 700), (5, 700)] {
        let made = Made::random(seed, entries);
        let image = made.write();
        check_by_fsck(&image);
        let mut found = paths(&image);
        let all: Vec<_> = found.keys().cloned().collect();
        for path in all {
            let is_folder = found[&path].mode >> 12 == 4;
            let below = |other: &&Vec<u8>| match path.as_slice() {
                b"" => !other.is_empty() && !other.contains(&b'/'),
                path => other
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.first() == Some(&b'/') && !rest[1..].contains(&b'/')),
            };
            let folders = found.keys().filter(below).filter(|p| found[*p].mode >> 12 == 4).count();
            let one = found.get_mut(&path).unwrap();
            one.number = 0;
            if is_folder {
                assert_eq!(one.links as usize, folders + 2, "{}", path.escape_ascii());
                one.links = 1;
            }
        }
        assert!(found == made.expected, "seed {seed}: the image differs from the tree");
    }
}

#[test]
fn the_same_tree_gives_the_same_bytes() {
    let digest = |image: File| {
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut &image, &mut bytes).unwrap();
        blake3::hash(&bytes)
    };
    assert_eq!(digest(Made::random(9, 300).write()), digest(Made::random(9, 300).write()));
}

#[test]
fn holes_stay_holes() {
    let mut made = Made::random(1, 0);
    let data = Data::new(1 << 30, 0, Vec::new());
    let attributes = Attributes::of_missing_parent();
    let inode = made.tree.add(Inode { attributes, content: Content::File(data) }).unwrap();
    made.tree.link(ROOT, b"sparse", Name { inode, layer: 0 }).unwrap();
    let metadata = made.write().metadata().unwrap();
    assert!(metadata.len() > 1 << 30);
    assert!(std::os::unix::fs::MetadataExt::blocks(&metadata) < 64, "it occupies little");
}
