//! Whether what is stored of an image is still what it is called.
//!
//! Blobs are held against their digests. A root is built once more from them and compared byte for
//! byte: the writer makes the same bytes of the same layers. What is damaged is set aside as `.bad`
//! and missed by whoever needs it next, who brings or builds it anew.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;

use image::digest::Digest;
use thiserror::Error;

use super::builder::BuildError;
use super::cache::{ImagesHome, RootError, lock, open_layers};
use super::catalog::ImageEntry;
use super::sharing;
use super::using::Using;

/// What is wrong with a part of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// `blob sha256:…` or `root …`.
    pub what: String,
    /// What was found.
    pub why: String,
}

/// Why nobody can tell how an image is.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The folder of images could not be used.
    #[error("cannot use the store of images")]
    Store(#[source] RootError),
    /// A part could not be read.
    #[error("cannot read {what}")]
    Read {
        /// Which.
        what: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The root could not be built to compare it.
    #[error("cannot build the root once more")]
    Build(#[source] BuildError),
}

const BUFFER_BYTES: usize = 256 << 10;

/// Reads all of an image, and returns what is wrong with it.
///
/// # Errors
/// The host does not let it be read, or built once more.
pub fn verify(home: &ImagesHome, image: &ImageEntry) -> Result<Vec<Fault>, VerifyError> {
    home.prepare().map_err(VerifyError::Store)?;
    let _using = Using::begin(home).map_err(VerifyError::Store)?;
    let mut faults = Vec::new();
    let mut seen = Vec::new();
    let layers = image.layers.iter().map(|layer| layer.blob.as_str());
    for text in [&*image.manifest_digest, &*image.config_digest].into_iter().chain(layers) {
        if !seen.contains(&text) {
            seen.push(text);
            faults.extend(blob(home, text)?);
        }
    }
    faults.extend(root(home, image, faults.is_empty())?);
    Ok(faults)
}

/// Holds a blob against its digest; one that is damaged is set aside.
pub(super) fn blob(home: &ImagesHome, text: &str) -> Result<Option<Fault>, VerifyError> {
    let what = format!("blob {text}");
    let fault = |why: String| Ok(Some(Fault { what: what.clone(), why }));
    let Some(digest) = Digest::parse(text) else { return fault("its name is no digest".into()) };
    // Whoever fetches it anew at this moment is not taken for what was there.
    let _held = lock(home, &format!("blob-{}", digest.hex())).map_err(VerifyError::Store)?;
    let path = home.blob(&digest);
    let read = |source| VerifyError::Read { what: what.clone(), source };
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return fault("it is not there".into());
        }
        Err(error) => return Err(read(error)),
    };
    let found = Digest::of_file(&file).map_err(read)?;
    if found == digest {
        return Ok(None);
    }
    fs::rename(&path, path.with_extension("bad")).map_err(read)?;
    fault(format!("its bytes hash to {found}"))
}

/// Compares a root with what its layers make.
fn root(
    home: &ImagesHome,
    image: &ImageEntry,
    has_layers: bool,
) -> Result<Option<Fault>, VerifyError> {
    let what = format!("root {}", image.root_digest);
    let fault = |why: &str| Ok(Some(Fault { what: what.clone(), why: why.to_owned() }));
    let path = home.root_path(&image.root_digest);
    if !path.exists() {
        // It is built when it is needed, of layers that are there.
        return if has_layers { Ok(None) } else { fault("it is not there") };
    }
    if home.good_root(&image.root_digest).is_none() {
        return fault("its head or its size is not what it was");
    }
    if !has_layers {
        return Ok(None);
    }
    let read = |source| VerifyError::Read { what: what.clone(), source };
    let digest = blake3::Hash::from_hex(&image.root_digest).map_err(io::Error::other);
    let layers = open_layers(home, image).map_err(VerifyError::Store)?;
    let built = sharing::build_anew(home, &layers, &digest.map_err(read)?);
    let (draft, ..) = built.map_err(VerifyError::Build)?;
    let file = File::open(&path).map_err(read)?;
    if is_same(&file, draft.file()).map_err(read)? {
        return Ok(None);
    }
    fs::rename(&path, path.with_extension("bad")).map_err(read)?;
    fault("it is not what its layers make")
}

fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let size = one.metadata()?.len();
    if other.metadata()?.len() != size {
        return Ok(false);
    }
    let (mut left, mut right) = (vec![0; BUFFER_BYTES], vec![0; BUFFER_BYTES]);
    let mut at = 0;
    while at < size {
        let count = usize::try_from(size - at).unwrap_or(usize::MAX).min(BUFFER_BYTES);
        one.read_exact_at(&mut left[..count], at)?;
        other.read_exact_at(&mut right[..count], at)?;
        if left[..count] != right[..count] {
            return Ok(false);
        }
        at += count as u64;
    }
    Ok(true)
}
