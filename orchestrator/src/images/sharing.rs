//! Layers that a root of the store has already: put together from there, and not inflated again.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use image::digest::Digest;
use image::draft::Draft;
use image::erofs::WRITER_VERSION;
use image::layers::Layer;
use image::source::Coding;

use super::builder::{BuildError, Built};
use super::cache::{ImagesHome, spool};

/// A layer as it is stored.
#[derive(Debug)]
pub(super) struct Stored {
    /// Its bytes.
    pub(super) blob: File,
    /// Their digest, if it is to be checked again.
    pub(super) digest: Option<Digest>,
    /// The digest of the tar, if it is to be checked.
    pub(super) diff_id: Option<Digest>,
}

/// A root that nobody can see yet, and how its layers can be taken from it.
pub(super) type Rooted = (Draft, Built, Recipes);

/// How layers can be taken from a root, once that has its name.
#[derive(Debug, Default)]
pub(super) struct Recipes(Vec<(Digest, Draft)>);

/// Builds the root of these layers; those that the store has in another root are taken from there.
pub(super) fn build(
    home: &ImagesHome,
    layers: &[Stored],
    root: &blake3::Hash,
) -> Result<Rooted, BuildError> {
    let shared: Vec<Option<(File, File)>> = layers.iter().map(|one| found(home, one)).collect();
    if shared.iter().any(Option::is_some)
        && let Ok(rooted) = build_of(home, layers, shared, root)
    {
        return Ok(rooted);
    }
    // A recipe or its root may be damaged: what is stored decides.
    build_anew(home, layers, root)
}

/// Builds the root of these layers from what is stored of them alone.
pub(super) fn build_anew(
    home: &ImagesHome,
    layers: &[Stored],
    root: &blake3::Hash,
) -> Result<Rooted, BuildError> {
    build_of(home, layers, layers.iter().map(|_| None).collect(), root)
}

fn build_of(
    home: &ImagesHome,
    layers: &[Stored],
    shared: Vec<Option<(File, File)>>,
    root: &blake3::Hash,
) -> Result<Rooted, BuildError> {
    let mut recipes = Recipes::default();
    let mut opened = Vec::new();
    for (stored, shared) in layers.iter().zip(shared) {
        let is_rebuilt = shared.is_some();
        let (blob, recipe) = match shared {
            Some((recipe, root)) => (root, recipe),
            None => {
                let draft = Draft::create(&home.tmp()).map_err(BuildError::Talk)?;
                let recipe = draft.file().try_clone().map_err(BuildError::Talk)?;
                recipes.0.extend(stored.diff_id.map(|diff_id| (diff_id, draft)));
                (stored.blob.try_clone().map_err(BuildError::Talk)?, recipe)
            }
        };
        let spool = spool(&home.tmp()).map_err(BuildError::Talk)?;
        let digest = stored.digest.filter(|_| !is_rebuilt);
        opened.push(Layer { blob, spool, recipe, is_rebuilt, digest, diff_id: stored.diff_id });
    }
    let (draft, built) = home.build(&opened, root)?;
    Ok((draft, built, recipes))
}

/// Returns the recipe of a compressed layer and the root it speaks of, where the store has both.
fn found(home: &ImagesHome, layer: &Stored) -> Option<(File, File)> {
    let diff_id = layer.diff_id?;
    let mut first = [0; 4];
    let count = layer.blob.read_at(&mut first, 0).ok()?;
    if Coding::of(&first[..count]) == Coding::Plain {
        return None;
    }
    let prefix = format!("{}-", diff_id.hex());
    let entries = fs::read_dir(home.recipes()).ok()?.flatten();
    let opened = entries.filter_map(|entry| {
        let name = entry.file_name().to_str().filter(|name| name.starts_with(&prefix))?.to_owned();
        let root = home.good_root(&root_of(&name)?)?;
        Some((File::open(entry.path()).ok()?, File::open(root.path).ok()?))
    });
    let found = { opened }.next()?;
    // What is stored is not read by who builds, and may have changed since it came.
    let holds = match layer.digest {
        Some(digest) => Digest::of_file(&layer.blob).is_ok_and(|found| found == digest),
        None => true,
    };
    holds.then_some(found)
}

/// Returns the root that a recipe of this version speaks of.
fn root_of(name: &str) -> Option<String> {
    let (rest, version) = name.rsplit_once('-')?;
    let (_, root) = rest.split_once('-')?;
    (version == WRITER_VERSION.to_string()).then(|| root.to_owned())
}

/// Returns the file of the root that a recipe speaks of; `None` for what is no recipe of today.
pub(super) fn root_path_of(home: &ImagesHome, recipe: &Path) -> Option<PathBuf> {
    Some(home.root_path(&root_of(recipe.file_name()?.to_str()?)?))
}

impl Recipes {
    /// Gives those their names that were written; one that cannot be kept is missed by nobody.
    pub(super) fn publish(self, home: &ImagesHome, root: &str) {
        for (diff_id, draft) in self.0 {
            if draft.file().metadata().is_ok_and(|found| found.len() > 0) {
                let name = format!("{}-{root}-{WRITER_VERSION}", diff_id.hex());
                if let Err(error) = draft.publish(&home.recipes().join(name)) {
                    tracing::debug!(%error, "a recipe of a layer was not kept");
                }
            }
        }
    }
}
