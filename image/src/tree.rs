//! The file tree of an image, as it grows layer by layer in memory.
//!
//! Nothing here touches a host path: a link is followed inside the tree, and
//! file contents are only places in a spool.

use std::collections::BTreeMap;

use schema::archive::{DEPTH_MAX, Time};

/// An extended attribute: its name and its value.
pub type Xattr = (Box<[u8]>, Box<[u8]>);

/// What every inode has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content was last changed: two numbers, which lie closer than one time.
    seconds: u64,
    nanos: u32,
    /// Extended attributes; most have none, which needs no more than this.
    xattrs: Option<Box<Box<[Xattr]>>>,
}

impl Attributes {
    /// What a folder gets that no layer describes.
    pub fn of_missing_parent() -> Self {
        Self::new(0o755, (0, 0), Time::default())
    }

    /// Returns them with these extended attributes, sorted by name.
    pub fn with_xattrs(self, xattrs: Box<[Xattr]>) -> Self {
        Self { xattrs: (!xattrs.is_empty()).then(|| Box::new(xattrs)), ..self }
    }

    /// Returns them without extended attributes.
    pub fn new(mode: u16, (uid, gid): (u32, u32), mtime: Time) -> Self {
        let Time { seconds, nanos } = mtime;
        Self { mode, uid, gid, seconds, nanos, xattrs: None }
    }

    /// Returns when its content was last changed.
    pub const fn mtime(&self) -> Time {
        Time { seconds: self.seconds, nanos: self.nanos }
    }

    /// Returns the extended attributes, sorted by name.
    pub fn xattrs(&self) -> &[Xattr] {
        self.xattrs.as_deref().map_or(&[], |xattrs| xattrs)
    }
}

/// A piece of a file: where it belongs and where its bytes lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The first byte in the file.
    pub offset: u64,
    /// The first byte in the spool.
    pub at: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// The content of a file; what no extent covers reads as zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Data {
    /// The apparent size.
    pub size: u64,
    pieces: Pieces,
}

/// The pieces of a content, in order, without overlap, and the number of the spool that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Pieces {
    /// All of it lies together, from here: so do most files, and need no more than this.
    Together { spool: u16, at: u64 },
    /// As they are.
    Apart { spool: u16, extents: Box<Box<[Extent]>> },
}

impl Data {
    /// Returns a content of `size` bytes, whose pieces lie in the spool of this number.
    pub fn new(size: u64, spool: u16, extents: Vec<Extent>) -> Self {
        let pieces = match *extents {
            [] if size == 0 => Pieces::Together { spool, at: 0 },
            [Extent { offset: 0, at, bytes }] if bytes == size => Pieces::Together { spool, at },
            _ => Pieces::Apart { spool, extents: Box::new(extents.into()) },
        };
        Self { size, pieces }
    }

    /// Returns the number of the spool that holds the bytes.
    pub const fn spool(&self) -> u16 {
        match self.pieces {
            Pieces::Together { spool, .. } | Pieces::Apart { spool, .. } => spool,
        }
    }

    /// Returns the pieces, in order, without overlap.
    pub fn extents(&self) -> impl DoubleEndedIterator<Item = Extent> + '_ {
        let (whole, apart): (_, &[Extent]) = match &self.pieces {
            Pieces::Together { at, .. } => {
                (Some(Extent { offset: 0, at: *at, bytes: self.size }), &[])
            }
            Pieces::Apart { extents, .. } => (None, extents),
        };
        whole.filter(|whole| whole.bytes > 0).into_iter().chain(apart.iter().copied())
    }
}

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder; there are many more of the others.
    Folder(Box<Folder>),
    /// A regular file.
    File(Data),
    /// A symbolic link with this text.
    Symlink(Box<[u8]>),
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inode {
    /// Owner, permissions, times.
    pub attributes: Attributes,
    /// What it is.
    pub content: Content,
}

/// An inode's place in the tree.
pub type InodeId = u32;

/// A name in a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// What it names.
    pub inode: InodeId,
    /// The layer that said so last.
    pub layer: u16,
}

/// The names of a folder, sorted by their bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Every entry but `.` and `..`.
    pub names: BTreeMap<Box<[u8]>, Name>,
    /// The layer above which nothing of lower layers is left here.
    cleared: Option<u16>,
}

/// All inodes; the first is the root.
#[derive(Clone, Debug)]
pub struct Tree {
    inodes: Vec<Inode>,
    /// How many components links have brought so far.
    followed: usize,
    /// How many bytes of names, links and attributes it has taken in.
    text_bytes: usize,
}

/// The root folder.
pub const ROOT: InodeId = 0;
/// The most inodes: an entry each, and some parents that no entry names.
const INODES_MAX: usize = 1 << 20;
/// The most bytes of text: what keeps a tree of that many inodes below 256 MiB.
const TEXT_BYTES_MAX: usize = 48 << 20;
/// How many links one path may go through.
const LINKS_MAX: usize = 40;
/// How many components links may bring while one image is merged.
const FOLLOWED_MAX: usize = 1 << 24;

/// What to do about a parent that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it, for this layer.
    Make(u16),
    /// Leave it.
    Leave,
}

impl Tree {
    /// Returns a tree with an empty root.
    pub(crate) fn new() -> Self {
        let content = Content::Folder(Box::default());
        Self {
            inodes: vec![Inode { attributes: Attributes::of_missing_parent(), content }],
            followed: 0,
            text_bytes: 0,
        }
    }

    /// Returns the inode `id`.
    pub fn inode(&self, id: InodeId) -> &Inode {
        &self.inodes[id as usize]
    }

    /// Returns the inode `id`, to be changed.
    pub(crate) fn inode_mut(&mut self, id: InodeId) -> &mut Inode {
        &mut self.inodes[id as usize]
    }

    /// Returns the number of inodes ever made, reachable or not.
    pub fn inode_count(&self) -> usize {
        self.inodes.len()
    }

    /// Returns the folder `id`, or `None` if it is something else.
    pub fn folder(&self, id: InodeId) -> Option<&Folder> {
        match &self.inode(id).content {
            Content::Folder(folder) => Some(folder),
            _ => None,
        }
    }

    /// Adds an inode and returns its id.
    pub(crate) fn add(&mut self, inode: Inode) -> Result<InodeId, &'static str> {
        if self.inodes.len() >= INODES_MAX {
            return Err("the image has more than 1,048,576 inodes");
        }
        let link = match &inode.content {
            Content::Symlink(text) => text.len(),
            _ => 0,
        };
        let xattrs = inode.attributes.xattrs().iter().map(|(name, value)| name.len() + value.len());
        self.remember(link + xattrs.sum::<usize>())?;
        let id = InodeId::try_from(self.inodes.len()).map_err(|_| "too many inodes")?;
        self.inodes.push(inode);
        Ok(id)
    }

    /// Returns what `name` in the folder names.
    pub(crate) fn lookup(&self, folder: InodeId, name: &[u8]) -> Option<Name> {
        self.folder(folder)?.names.get(name).copied()
    }

    /// Counts text that stays in memory.
    fn remember(&mut self, bytes: usize) -> Result<(), &'static str> {
        self.text_bytes += bytes;
        if self.text_bytes > TEXT_BYTES_MAX {
            return Err("the names, links and attributes of the image are larger than 48 MiB");
        }
        Ok(())
    }

    /// Gives a name in a folder to an inode, whatever had it before.
    pub(crate) fn link(
        &mut self,
        folder: InodeId,
        name: &[u8],
        to: Name,
    ) -> Result<(), &'static str> {
        self.remember(name.len())?;
        if let Content::Folder(folder) = &mut self.inode_mut(folder).content {
            folder.names.insert(name.into(), to);
        }
        Ok(())
    }

    /// Takes a name away from a folder.
    pub(crate) fn unlink(&mut self, folder: InodeId, name: &[u8]) {
        if let Content::Folder(folder) = &mut self.inode_mut(folder).content {
            folder.names.remove(name);
        }
    }

    /// Returns the folder that `path` names, links followed inside the tree.
    ///
    /// `None` is a folder that is not there, when it is not to be made.
    pub(crate) fn folder_at(
        &mut self,
        path: &[u8],
        missing: Missing,
    ) -> Result<Option<InodeId>, &'static str> {
        let mut walk = Walk::new(path);
        while let Some((name, from_link)) = walk.next_component() {
            let here = walk.here();
            let Some(found) = self.lookup(here, &name) else {
                if from_link {
                    return Err("a parent is a link to nothing");
                }
                let Missing::Make(layer) = missing else {
                    return Ok(None);
                };
                let inode = self.add(Inode {
                    attributes: Attributes::of_missing_parent(),
                    content: Content::Folder(Box::default()),
                })?;
                self.link(here, &name, Name { inode, layer })?;
                walk.enter(inode)?;
                continue;
            };
            self.followed += match &self.inode(found.inode).content {
                Content::Folder(_) => walk.enter(found.inode).map(|()| 0)?,
                Content::Symlink(text) => walk.follow(text)?,
                _ => return Err("a parent is not a folder"),
            };
            if self.followed > FOLLOWED_MAX {
                return Err("its parents go through too many links");
            }
        }
        Ok(Some(walk.here()))
    }

    /// Removes what lower layers than `layer` put below a folder, and says
    /// whether anything is left.
    ///
    /// A folder that stays only for what `layer` put into it loses the
    /// attributes that a lower layer gave it.
    pub(crate) fn clear_lower(&mut self, id: InodeId, layer: u16) -> bool {
        let Content::Folder(folder) = &mut self.inode_mut(id).content else {
            return false;
        };
        if folder.cleared == Some(layer) {
            return !folder.names.is_empty();
        }
        folder.cleared = Some(layer);
        let mut names = std::mem::take(&mut folder.names);
        names.retain(|_, name| self.keeps_after_clearing(name, layer));
        let is_left = !names.is_empty();
        if let Content::Folder(folder) = &mut self.inode_mut(id).content {
            folder.names = names;
        }
        is_left
    }

    /// Hides what lower layers put under one name, and says whether the name stays.
    pub(crate) fn keeps_after_clearing(&mut self, name: &mut Name, layer: u16) -> bool {
        let is_left = self.clear_lower(name.inode, layer);
        if name.layer == layer {
            return true;
        }
        if is_left {
            name.layer = layer;
            self.inode_mut(name.inode).attributes = Attributes::of_missing_parent();
        }
        is_left
    }
}

/// A path on its way through the tree.
struct Walk {
    /// The folders from the root to here.
    stack: Vec<InodeId>,
    /// Components still to come, last first, and whether a link brought them.
    pending: Vec<(Box<[u8]>, bool)>,
    links: usize,
}

impl Walk {
    fn new(path: &[u8]) -> Self {
        let mut walk = Self { stack: vec![ROOT], pending: Vec::new(), links: 0 };
        walk.push(path, false);
        walk
    }

    fn push(&mut self, path: &[u8], from_link: bool) {
        let parts = path.rsplit(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
        self.pending.extend(parts.map(|part| (part.into(), from_link)));
    }

    fn here(&self) -> InodeId {
        self.stack.last().copied().unwrap_or(ROOT)
    }

    fn next_component(&mut self) -> Option<(Box<[u8]>, bool)> {
        while let Some((name, from_link)) = self.pending.pop() {
            if &*name != b".." {
                return Some((name, from_link));
            }
            // The root is above itself.
            if self.stack.len() > 1 {
                self.stack.pop();
            }
        }
        None
    }

    fn enter(&mut self, folder: InodeId) -> Result<(), &'static str> {
        self.stack.push(folder);
        if self.stack.len() > DEPTH_MAX { Err("the tree is too deep") } else { Ok(()) }
    }

    /// Goes on along a link, and returns how many components it brought.
    fn follow(&mut self, text: &[u8]) -> Result<usize, &'static str> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err("a parent goes through more than 40 links");
        }
        if text.starts_with(b"/") {
            self.stack.truncate(1);
        }
        let before = self.pending.len();
        self.push(text, true);
        Ok(self.pending.len() - before)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_of_a_million_is_small() {
        assert!(size_of::<Inode>() <= 64, "{}", size_of::<Inode>());
    }
}
