//! The readers of images alone with bytes, for whoever tries any bytes on them: no store, no catalogue and no
//! confined child. The command asks for nothing here.

use std::fs::File;
use std::io;
use std::path::Path;

use super::archive::Archive;
use super::builder::chain;
use super::config;
use super::digest::Digest;
use super::erofs;
use super::json;
use super::layers::{Layer, contents, merge_layers};
use super::layout::{self, Found};
use super::tree::{Content, Inode, ROOT, Tree};

/// A layer as it is stored, and an empty file for what comes out of it.
#[derive(Debug)]
pub struct Pressed {
    /// The stored bytes.
    pub blob: File,
    /// An empty file.
    pub spool: File,
    /// Another one.
    pub recipe: File,
}

/// What layers make together.
#[derive(Debug)]
pub struct Merged {
    /// Every inode; the first is the root, and some may have no name any more.
    pub nodes: Vec<Node>,
    /// For each layer the file in which contents lie.
    pub contents: Vec<File>,
}

/// What the tree says of one inode.
#[derive(Clone, Debug)]
pub struct Node {
    /// Permissions with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// Seconds since 1970, and what comes after them.
    pub mtime: (u64, u32),
    /// Attributes by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// What it is.
    pub holds: Holds,
}

/// What an inode of the tree holds.
#[derive(Clone, Debug)]
pub enum Holds {
    /// A folder: names in order, and which nodes they lead to.
    Names(Vec<(Vec<u8>, usize)>),
    /// A file.
    Bytes {
        /// The apparent size.
        size: u64,
        /// The layer that brought it.
        layer: usize,
        /// Offset in the file, place in the layer's contents, count; all else is zeros.
        pieces: Vec<(u64, u64, u64)>,
    },
    /// A symbolic link.
    Text(Vec<u8>),
    /// A character device.
    Character(u32, u32),
    /// A block device.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// Merges layers, each held against the digest of what is stored, and writes their root to the empty file `out`.
///
/// # Errors
/// What the builder would say.
pub fn root(layers: Vec<Pressed>, out: &File) -> Result<Merged, String> {
    let layers = layers.into_iter().map(|Pressed { blob, spool, recipe }| {
        let digest = Some(Digest::of_file(&blob)?);
        Ok(Layer { blob, spool, recipe, is_rebuilt: false, digest, diff_id: None })
    });
    let layers = layers.collect::<io::Result<Vec<_>>>().map_err(|error| chain(&error))?;
    let tree = merge_layers(&layers).map_err(|error| chain(&error))?.tree;
    let contents = contents(&layers).map_err(|error| chain(&error))?;
    erofs::write(&tree, &contents, out, [0; 16]).map_err(|error| chain(&error))?;
    let contents: io::Result<_> = contents.into_iter().map(File::try_clone).collect();
    Ok(Merged { nodes: nodes(&tree), contents: contents.map_err(|error| chain(&error))? })
}

fn nodes(tree: &Tree) -> Vec<Node> {
    (ROOT..).take(tree.len()).map(|id| node(tree.inode(id))).collect()
}

fn node(Inode { attributes, content }: &Inode) -> Node {
    let holds = match content {
        Content::Folder(folder) => {
            let names = folder.names.iter();
            Holds::Names(names.map(|(name, to)| (name.to_vec(), to.inode as usize)).collect())
        }
        Content::File(data) => {
            let pieces = data.extents().map(|piece| (piece.offset, piece.at, piece.bytes));
            let (size, layer) = (data.size, usize::from(data.spool()));
            Holds::Bytes { size, layer, pieces: pieces.collect() }
        }
        Content::Symlink(text) => Holds::Text(text.to_vec()),
        Content::Character(major, minor) => Holds::Character(*major, *minor),
        Content::Block(major, minor) => Holds::Block(*major, *minor),
        Content::Fifo => Holds::Fifo,
    };
    let xattrs = attributes.xattrs().iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
    Node {
        mode: attributes.mode,
        uid: attributes.uid,
        gid: attributes.gid,
        mtime: (attributes.mtime().seconds, attributes.mtime().nanos),
        xattrs: xattrs.collect(),
        holds,
    }
}

/// An image that an archive holds.
#[derive(Debug)]
pub struct Held {
    /// Its names.
    pub names: Vec<String>,
    /// The media type that its manifest says itself.
    pub media_type: Option<String>,
    /// Its manifest.
    pub manifest: Vec<u8>,
    /// Its configuration.
    pub config: Vec<u8>,
    /// Its layers from the bottom up, as they are stored; none of one beyond 4 MiB.
    pub layers: Vec<Option<Vec<u8>>>,
    /// All that was understood of its configuration.
    pub described: String,
}

/// Reads a whole archive of images as `msb load` does; what does not stay in memory is kept in
/// `folder` without a name.
///
/// # Errors
/// What `msb load` would say.
pub fn images(input: impl io::Read, folder: &Path) -> Result<Vec<Held>, String> {
    let archive = Archive::read(input, folder, &mut |_| ()).map_err(|error| chain(&error))?;
    let found = layout::images(&archive, "linux/amd64").map_err(|error| chain(&error))?;
    found.into_iter().map(|found| held(&archive, found)).collect()
}

fn held(archive: &Archive, found: Found) -> Result<Held, String> {
    let stored = |path: &[u8]| archive.get(path).ok_or("what was found is not there");
    let layers = found.layers.iter().map(|layer| Ok(stored(&layer.path)?.document().ok()));
    let own = json::parse(&found.manifest).map_err(|error| chain(&error))?;
    Ok(Held {
        names: found.names.iter().map(ToString::to_string).collect(),
        media_type: own.get("mediaType").and_then(|kind| kind.as_str()).map(str::to_owned),
        layers: layers.collect::<Result<_, String>>()?,
        config: stored(&found.config.0)?.document()?,
        described: format!("{:?}", found.described),
        manifest: found.manifest,
    })
}

/// Returns what was understood of a document, written again.
///
/// # Errors
/// Two readers could understand it differently.
pub fn document(bytes: &[u8]) -> Result<String, String> {
    json::parse(bytes).map(|value| value.to_string()).map_err(|error| error.to_string())
}

/// Returns what was understood of an image's configuration.
///
/// # Errors
/// What is wrong with it.
pub fn configuration(bytes: &[u8]) -> Result<config::ImageConfig, String> {
    config::read(bytes).map(|described| described.config)
}
