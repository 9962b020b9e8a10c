//! Where everything will stand, decided before a byte is written.

use super::super::tree::{Content, InodeId, ROOT, Tree};
use super::BLOCK;
use super::attributes;
use super::block::Places;
use super::directory;
use super::inode::{INODE_BYTES, Layout, SLOT_BYTES, device_number};

/// The place of one inode.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    /// Which inode of the tree.
    pub id: InodeId,
    /// The folder above, for folders.
    pub parent: InodeId,
    /// Where it stands, in slots from the start of the metadata: the number that folders know it by.
    slot: u32,
    /// How its content is laid out.
    pub layout: Layout,
    /// The size of its content.
    pub size: u64,
    /// The first data block, or a device's number.
    pub place: u32,
    /// How many names it has.
    pub links: u32,
}

impl Planned {
    /// Returns the number that folders know it by.
    pub const fn number(&self) -> u64 {
        self.slot as u64
    }

    /// Returns where it stands, in bytes from the start of the metadata.
    pub const fn at(&self) -> u64 {
        self.number() * SLOT_BYTES
    }

    /// Returns how much of its content lies in data blocks.
    pub const fn bytes_in_blocks(&self) -> u64 {
        match self.layout {
            Layout::Plain => self.size,
            Layout::Inline => self.size / BLOCK * BLOCK,
        }
    }
}

/// The places of all inodes.
#[derive(Debug)]
pub struct Plan {
    /// Reachable inodes in tree order; the root is the first.
    pub inodes: Vec<Planned>,
    /// For each inode of the tree its place in `inodes`.
    index: Vec<u32>,
    /// The first block of metadata.
    pub meta_block: u32,
    /// How many blocks the image has.
    pub blocks: u32,
}

impl Plan {
    /// Returns the places for a tree, or `None` if it has too many blocks.
    pub fn of(tree: &Tree) -> Option<Self> {
        let (mut inodes, index) = walk(tree);
        let mut places = Places::default();
        // Number 0 stays free: some readers take it for "none".
        places.take(SLOT_BYTES);
        for planned in &mut inodes {
            lay_out(tree, planned, &mut places);
        }
        let mut next_block = 1;
        let is_folder = |planned: &Planned| tree.folder(planned.id).is_some();
        let (folders, others): (Vec<_>, Vec<_>) =
            (0..inodes.len()).partition(|i| is_folder(&inodes[*i]));
        for i in folders.into_iter().chain(others) {
            let planned = &mut inodes[i];
            let blocks = u32::try_from(planned.bytes_in_blocks().div_ceil(BLOCK)).ok()?;
            if blocks > 0 {
                planned.place = next_block;
                next_block = next_block.checked_add(blocks)?;
            }
        }
        let meta_blocks = u32::try_from(places.blocks()).ok()?;
        let blocks = next_block.checked_add(meta_blocks)?;
        Some(Self { inodes, index, meta_block: next_block, blocks })
    }

    /// Returns the place of an inode of the tree.
    pub fn of_inode(&self, id: InodeId) -> &Planned {
        &self.inodes[self.index[id as usize] as usize]
    }
}

/// Returns every reachable inode once, in tree order, with its links counted.
fn walk(tree: &Tree) -> (Vec<Planned>, Vec<u32>) {
    let mut index = vec![u32::MAX; tree.inode_count()];
    let mut inodes: Vec<Planned> = Vec::with_capacity(tree.inode_count());
    let mut pending = vec![(ROOT, ROOT)];
    while let Some((id, parent)) = pending.pop() {
        let seen = &mut index[id as usize];
        if let Some(planned) = inodes.get_mut(*seen as usize) {
            planned.links += 1;
            continue;
        }
        *seen = u32::try_from(inodes.len()).unwrap_or(u32::MAX);
        let mut links = 1;
        if let Some(folder) = tree.folder(id) {
            let is_folder = |id| tree.folder(id).is_some();
            let below = folder.names.values().filter(|name| is_folder(name.inode)).count();
            links = u32::try_from(below + 2).unwrap_or(u32::MAX);
            pending.extend(folder.names.values().rev().map(|name| (name.inode, id)));
        }
        let layout = Layout::Plain;
        inodes.push(Planned { id, parent, slot: 0, layout, size: 0, place: 0, links });
    }
    (inodes, index)
}

/// Decides the layout of one inode and takes its place in the metadata.
fn lay_out(tree: &Tree, planned: &mut Planned, places: &mut Places) {
    let inode = tree.inode(planned.id);
    match &inode.content {
        Content::Folder(folder) => {
            let own: [&[u8]; 2] = [b".", b".."];
            let names = folder.names.keys().map(|name| &**name);
            planned.size = directory::size(sorted(own, names));
        }
        Content::File(data) => planned.size = data.size,
        Content::Symlink(text) => planned.size = text.len() as u64,
        Content::Character(major, minor) | Content::Block(major, minor) => {
            planned.place = device_number(*major, *minor);
        }
        Content::Fifo => {}
    }
    let head = INODE_BYTES + attributes::encode(inode.attributes.xattrs()).len() as u64;
    let tail = planned.size % BLOCK;
    let is_inline = tail > 0 && head + tail <= BLOCK;
    planned.layout = if is_inline { Layout::Inline } else { Layout::Plain };
    let at = places.take(if is_inline { head + tail } else { head });
    // More blocks than this would be refused.
    planned.slot = u32::try_from(at / SLOT_BYTES).unwrap_or(u32::MAX);
}

/// Returns the names of a folder with `.` and `..` where their bytes put them.
pub(super) fn sorted<'a, T: AsRef<[u8]> + 'a>(
    own: [T; 2],
    names: impl Iterator<Item = T> + 'a,
) -> impl Iterator<Item = T> + 'a {
    let mut own = own.into_iter().peekable();
    let mut names = names.peekable();
    std::iter::from_fn(move || match (own.peek(), names.peek()) {
        (Some(a), Some(b)) if b.as_ref() < a.as_ref() => names.next(),
        (Some(_), _) => own.next(),
        (None, _) => names.next(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_stand_among_the_names_by_their_bytes() {
        let names: [&[u8]; 3] = [b"!", b"-", b"a"];
        let all: Vec<_> = sorted([&b"."[..], b".."], names.into_iter()).collect();
        let expected: [&[u8]; 5] = [b"!", b"-", b".", b"..", b"a"];
        assert_eq!(all, expected);
    }
}
