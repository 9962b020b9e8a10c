//! From an archive to images in the store: all of them or none.
//!
//! Everything is read, checked and built while it has no name; then blobs,
//! roots and at last the catalogue are written, each after what it speaks of.

use std::fs::File;
use std::io::{self, Read};

use image::archive::{Archive, ArchiveError};
use image::digest::Digest;
use image::draft::sync_folder;
use image::layout::{self, Found, FoundLayer, LayoutError};
use image::source::Coding;
use schema::project::ImageRef;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::again;
use super::builder::BuildError;
use super::cache::{ImagesHome, RootError};
use super::catalog::{Catalog, CatalogError};
use super::prune::prune_leftovers;
use super::ready::{Part, Ready, Whole};
use super::sharing::Stored;
use super::using::Using;

/// What is asked of a load, beside the archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Names for the archive's single image; none: the archive's own.
    pub tags: Vec<ImageRef>,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// An image that is in the store now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its name, in full.
    pub reference: String,
    /// The digest of its manifest.
    pub digest: String,
    /// How many layers it has.
    pub layers: usize,
    /// The size of manifest, configuration and layers.
    pub size_bytes: u64,
    /// What was left out, as sentences.
    pub notes: Vec<String>,
}

/// How far a load is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// So many bytes of the archive's files were read.
    Reading(u64),
    /// The root of this image is being built.
    Building(String),
}

/// Why nothing was loaded.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The folder of images could not be used.
    #[error("cannot prepare the store of images")]
    Prepare(#[source] RootError),
    /// The archive could not be read.
    #[error("cannot read the archive of images")]
    Archive(#[source] ArchiveError),
    /// The archive holds no usable image.
    #[error("cannot find the images of the archive")]
    Layout(#[source] LayoutError),
    /// One name was given for several images.
    #[error("the archive holds {} images, and a tag names one", names.len())]
    ManyImages {
        /// What they are called in the archive.
        names: Vec<String>,
    },
    /// Neither the archive nor the command names the image.
    #[error("the image {digest} has no name")]
    Unnamed {
        /// The digest of its manifest.
        digest: String,
    },
    /// Two images of the archive have the same name.
    #[error("two images of the archive are called {0}")]
    SameName(String),
    /// A layer is damaged, broken or not allowed.
    #[error("cannot build the root of {reference}")]
    Build {
        /// The image.
        reference: String,
        /// What went wrong.
        #[source]
        source: BuildError,
    },
    /// What was read could not be kept.
    #[error("cannot keep {what} in the store of images")]
    Keep {
        /// What was to be kept.
        what: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The root could not be kept.
    #[error("cannot keep a root image")]
    Root(#[source] RootError),
    /// The catalogue could not be written.
    #[error("cannot write the images down")]
    Catalog(#[source] CatalogError),
}

/// Loads the images of an archive, in the form of `docker save` or of an OCI
/// layout, plain or compressed.
///
/// # Errors
/// Nothing was loaded; what the store held before still stands.
pub fn load(
    home: &ImagesHome,
    input: impl Read,
    options: &LoadOptions,
    catalog: &mut dyn Catalog,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>, LoadError> {
    home.prepare().map_err(LoadError::Prepare)?;
    let _using = Using::begin(home).map_err(LoadError::Prepare)?;
    prune_leftovers(home, options.now_ms);
    let mut archive =
        Archive::read(input, &home.tmp(), &mut |bytes| progress(Progress::Reading(bytes)))
            .map_err(LoadError::Archive)?;
    let found = layout::images(&archive, &host_platform()).map_err(LoadError::Layout)?;
    let named = names(&found, &options.tags)?;
    let mut images = Vec::new();
    for (found, names) in found.into_iter().zip(named) {
        progress(Progress::Building(names[0].short()));
        images.push((build(home, &archive, &found, names, catalog)?, found));
    }
    for (image, found) in &images {
        publish_blobs(home, &mut archive, found)?;
        image.publish_manifest(home).map_err(|source| keep(&image.digest.to_string(), source))?;
    }
    sync_folder(&home.blobs()).map_err(|source| keep("blobs", source))?;
    let (mut entries, mut roots, mut loaded) = (Vec::new(), Vec::new(), Vec::new());
    for (mut image, _) in images {
        loaded.extend(image.loaded());
        entries.extend(image.entries(options.now_ms));
        roots.push(image.publish_root(home, options.now_ms).map_err(LoadError::Root)?);
    }
    catalog.put_images(&entries, &roots).map_err(LoadError::Catalog)?;
    Ok(loaded)
}

/// Loads an archive that is a file; one that was loaded before and has not
/// been touched since is not read again.
///
/// # Errors
/// As those of [`load`].
pub fn load_file(
    home: &ImagesHome,
    file: &File,
    options: &LoadOptions,
    catalog: &mut dyn Catalog,
    progress: &mut dyn FnMut(Progress),
) -> Result<Vec<Loaded>, LoadError> {
    let before = again::identity(file, options);
    let known = before.as_deref().and_then(|identity| again::recall(home, catalog, identity));
    if let Some(loaded) = known {
        return Ok(loaded);
    }
    let loaded = load(home, file, options, catalog, progress)?;
    if let Some(identity) =
        before.filter(|before| again::identity(file, options).as_ref() == Some(before))
    {
        again::remember(catalog, &identity, &loaded);
    }
    Ok(loaded)
}

/// Returns the platform of this host, as images write it.
#[must_use]
pub fn host_platform() -> String {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("linux/{architecture}")
}

/// Returns the names of each image, at least one.
fn names(found: &[Found], tags: &[ImageRef]) -> Result<Vec<Vec<ImageRef>>, LoadError> {
    let digest = |image: &Found| Digest::of(&image.manifest).to_string();
    if !tags.is_empty() {
        if found.len() > 1 {
            let label = |image: &Found| image.names.first().map_or(digest(image), ImageRef::short);
            return Err(LoadError::ManyImages { names: found.iter().map(label).collect() });
        }
        return Ok(vec![tags.to_vec()]);
    }
    let mut seen = Vec::new();
    for image in found {
        if image.names.is_empty() {
            return Err(LoadError::Unnamed { digest: digest(image) });
        }
        for name in &image.names {
            if seen.contains(&name) {
                return Err(LoadError::SameName(name.short()));
            }
            seen.push(name);
        }
    }
    Ok(found.iter().map(|image| image.names.clone()).collect())
}

/// Builds the root of an image of the archive.
fn build(
    home: &ImagesHome,
    archive: &Archive,
    found: &Found,
    names: Vec<ImageRef>,
    catalog: &dyn Catalog,
) -> Result<Ready, LoadError> {
    let reference = names[0].short();
    let failed = |source| LoadError::Build { reference: reference.clone(), source };
    let part = |layer: &FoundLayer| Part {
        digest: layer.digest,
        bytes: layer.bytes,
        media_type: layer.media_type.clone(),
    };
    let image = Whole {
        names,
        manifest: found.manifest.clone(),
        config: (found.config.1, found.config_bytes),
        described: found.described.clone(),
        layers: found.layers.iter().map(part).collect(),
    };
    // Every byte of the archive was hashed when it was read.
    if let Some(ready) = Ready::known(home, &image, catalog).map_err(LoadError::Catalog)? {
        return Ok(ready);
    }
    let layers = layers(home, archive, found)?;
    check_plain(found, &layers).map_err(failed)?;
    Ready::build(home, image, &layers).map_err(failed)
}

/// Moves an image's blobs into the store, under their digests.
fn publish_blobs(home: &ImagesHome, archive: &mut Archive, found: &Found) -> Result<(), LoadError> {
    let (config, config_digest) = &found.config;
    let layers = found.layers.iter().map(|layer| (&layer.path, &layer.digest));
    for (path, digest) in layers.chain([(config, config_digest)]) {
        // Images of one archive share blobs; the first one has moved it.
        if let Some(stored) = archive.take(path) {
            stored
                .into_draft(&home.tmp())
                .and_then(|draft| draft.publish(&home.blob(digest)))
                .map_err(|source| keep(&digest.to_string(), source))?;
        }
    }
    Ok(())
}

fn keep(what: &str, source: io::Error) -> LoadError {
    LoadError::Keep { what: what.to_owned(), source }
}

/// Returns the layers as the builder takes them. Their stored bytes were
/// hashed by this process and are not hashed again.
fn layers(home: &ImagesHome, archive: &Archive, found: &Found) -> Result<Vec<Stored>, LoadError> {
    let open = |index: usize| -> io::Result<Stored> {
        let layer = &found.layers[index];
        let stored = archive.get(&layer.path).ok_or(io::ErrorKind::NotFound)?;
        let is_plain = Coding::of(&stored.first()?) == Coding::Plain;
        // A plain layer is its own tar: its digest is compared right here.
        let diff_id = (!is_plain).then(|| found.described.diff_ids[index]);
        Ok(Stored { blob: stored.open(&home.tmp())?, digest: None, diff_id })
    };
    let opened = (0..found.layers.len()).map(open).collect::<io::Result<_>>();
    opened.map_err(|source| keep("a layer", source))
}

/// Checks the diff ids of plain layers, which are the digests they have already.
fn check_plain(found: &Found, layers: &[Stored]) -> Result<(), BuildError> {
    let pairs = found.layers.iter().zip(&found.described.diff_ids).zip(layers).enumerate();
    for (index, ((layer, expected), opened)) in pairs {
        if opened.diff_id.is_none() && layer.digest != *expected {
            let found = layer.digest;
            let why = format!("layer {index} is not {expected}: its bytes hash to {found}");
            return Err(BuildError::Damaged(why));
        }
    }
    Ok(())
}
