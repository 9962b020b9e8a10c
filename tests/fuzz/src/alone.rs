//! The readers of images alone with bytes: no store, no catalogue and no confined child.

use std::error::Error;
use std::fs::File;
use std::io;
use std::path::Path;

use image::archive::Archive;
use image::config;
use image::erofs;
use image::json;
use image::layers::{Layer, contents, merge_layers};
use image::layout::{self, Found};
use image::tree::Tree;

/// What layers make together.
#[derive(Debug)]
pub(crate) struct Merged {
    /// Every inode; some may have no name any more.
    pub(crate) tree: Tree,
    /// The files of contents, as the tree numbers them.
    pub(crate) contents: Vec<File>,
}

/// Merges layers and writes their root to the empty file `out`.
///
/// # Errors
/// What the builder would say.
pub(crate) fn root(layers: &[Layer], out: &File) -> Result<Merged, String> {
    let tree = merge_layers(layers).map_err(|error| chain(&error))?.tree;
    let contents = contents(layers).map_err(|error| chain(&error))?;
    erofs::write(&tree, &contents, out, [0; 16]).map_err(|error| chain(&error))?;
    let contents: io::Result<_> = contents.into_iter().map(File::try_clone).collect();
    Ok(Merged { tree, contents: contents.map_err(|error| chain(&error))? })
}

/// An image that an archive holds.
#[derive(Debug)]
pub(crate) struct Held {
    /// Its names.
    pub(crate) names: Vec<String>,
    /// The media type that its manifest says itself.
    pub(crate) media_type: Option<String>,
    /// Its manifest.
    pub(crate) manifest: Vec<u8>,
    /// Its configuration.
    pub(crate) config: Vec<u8>,
    /// Its layers from the bottom up, as they are stored; none of one beyond 4 MiB.
    pub(crate) layers: Vec<Option<Vec<u8>>>,
    /// All that was understood of its configuration.
    pub(crate) described: String,
}

/// Reads a whole archive of images as `msb load` does; what does not stay in memory is kept in
/// `folder` without a name.
///
/// # Errors
/// What `msb load` would say.
pub(crate) fn images(input: impl io::Read, folder: &Path) -> Result<Vec<Held>, String> {
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
pub(crate) fn document(bytes: &[u8]) -> Result<String, String> {
    json::parse(bytes).map(|value| value.to_string()).map_err(|error| error.to_string())
}

/// Returns what was understood of an image's configuration.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn configuration(bytes: &[u8]) -> Result<config::ImageConfig, String> {
    config::read(bytes).map(|described| described.config)
}

/// Returns an error and its causes in a line.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
