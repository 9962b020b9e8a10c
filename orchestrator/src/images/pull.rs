//! From a registry to an image in the store.
//!
//! ```text
//! reference ─▶ digest ─▶ manifest ─▶ blobs that are missing ─▶ root ─▶ catalogue
//! ```
//!
//! A name moves at last, to a manifest whose every blob was held against its digest.

use std::fs::{self, File};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use image::config::{self, Described};
use image::digest::Digest;
use image::draft::sync_folder;
use image::json::JSON_BYTES_MAX;
use schema::project::ImageRef;
use thiserror::Error;

use super::again;
use super::builder::BuildError;
use super::cache::{ImagesHome, RootError, lock};
use super::catalog::{Catalog, CatalogError, ImageEntry};
use super::fetch::{FetchError, Fetching, lock_name};
use super::prune::prune_leftovers;
use super::ready::{Part, Ready, Whole};
use super::sharing::Stored;
use super::using::Using;
use crate::registry::{Descriptor, Manifest, Registry, RegistryError};

/// The catalogue, for several who pull at once.
pub type Shared<'c> = Mutex<&'c mut (dyn Catalog + Send)>;

/// What is to be in the store.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The image, by its name.
    pub reference: ImageRef,
    /// The manifest that is meant, where the name alone does not say.
    pub digest: Option<Digest>,
    /// `os/architecture`.
    pub platform: String,
    /// Whether everything is fetched again.
    pub force: bool,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// An image that is in the store now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// Its name, in full.
    pub reference: String,
    /// The digest of its manifest.
    pub digest: String,
    /// Whether it was there already.
    pub present: bool,
    /// The size of manifest, configuration and layers.
    pub size_bytes: u64,
    /// What was fetched for it.
    pub downloaded_bytes: u64,
    /// How many layers it has.
    pub layers: usize,
    /// What a person should know, as sentences.
    pub notes: Vec<String>,
}

/// How far a pull is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many more bytes came, of so many that the image has.
    Fetched {
        /// What came now.
        more: u64,
        /// What all blobs have.
        of: u64,
    },
    /// Its root is being built.
    Building,
}

/// Why an image is not in the store.
#[derive(Debug, Error)]
pub enum PullError {
    /// The folder of images could not be used.
    #[error("cannot prepare the store of images")]
    Prepare(#[source] RootError),
    /// The registry does not say what it is.
    #[error("cannot resolve {reference}")]
    Resolve {
        /// The image.
        reference: String,
        /// Why not.
        #[source]
        source: Box<RegistryError>,
    },
    /// It is made for another machine.
    #[error("{reference} is for {found}, and {wanted} is wanted")]
    Platform {
        /// The image.
        reference: String,
        /// What is wanted.
        wanted: String,
        /// What it is for.
        found: String,
    },
    /// A part of it did not come.
    #[error("cannot pull {reference}")]
    Fetch {
        /// The image.
        reference: String,
        /// Why not.
        #[source]
        source: FetchError,
    },
    /// Its configuration is refused.
    #[error("the configuration of {reference} is refused: {why}")]
    Config {
        /// The image.
        reference: String,
        /// What is wrong with it.
        why: String,
    },
    /// A layer is damaged, broken or not allowed.
    #[error("cannot build the root of {reference}")]
    Build {
        /// The image.
        reference: String,
        /// What went wrong.
        #[source]
        source: BuildError,
    },
    /// What is in the store could not be read or written.
    #[error("cannot keep {what} in the store of images")]
    Keep {
        /// What was to be kept or read.
        what: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// The root could not be kept.
    #[error("cannot keep a root image")]
    Root(#[source] RootError),
    /// The catalogue could not be read or written.
    #[error("cannot write the image down")]
    Catalog(#[source] CatalogError),
}

impl PullError {
    /// Returns the code of this failure.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Resolve { source, .. }
            | Self::Fetch { source: FetchError::Registry { source, .. }, .. } => source.code(),
            Self::Platform { .. } => "msb::image::unresolved",
            Self::Config { .. } | Self::Build { source: BuildError::Refused(_), .. } => {
                "msb::image::refused"
            }
            Self::Build { .. } | Self::Fetch { source: FetchError::Damaged { .. }, .. } => {
                "msb::image::damaged"
            }
            Self::Catalog(_) => "msb::state::unusable",
            Self::Prepare(_) | Self::Fetch { .. } | Self::Keep { .. } | Self::Root(_) => {
                "msb::image::store"
            }
        }
    }

    /// Returns what a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        let text = match self {
            Self::Resolve { source, .. }
            | Self::Fetch { source: FetchError::Registry { source, .. }, .. } => {
                return source.hint();
            }
            Self::Platform { .. } => {
                "Name the platform with `--platform OS/ARCH`, or an image that is made for it."
            }
            Self::Fetch { source: FetchError::Damaged { .. }, .. } => {
                "Try again; if it stays so, the registry's copy is damaged."
            }
            Self::Config { .. } | Self::Build { source: BuildError::Refused(_), .. } => {
                "Have the image built anew by who publishes it."
            }
            Self::Build { reference, .. } => {
                return format!("Fetch all of it again with `msb pull --force {reference}`.");
            }
            Self::Catalog(_) => "Look at the state with `msb doctor`.",
            Self::Prepare(_) | Self::Fetch { .. } | Self::Keep { .. } | Self::Root(_) => {
                "Look at the disk and the permissions of the home folder."
            }
        };
        text.to_owned()
    }
}

/// Brings an image into the store; what is there already is not fetched.
///
/// # Errors
/// The store holds what it held before; blobs that came whole stay for the next time.
pub fn pull(
    home: &ImagesHome,
    registry: &Registry,
    wanted: &Wanted,
    catalog: &Shared<'_>,
    progress: &(dyn Fn(Step) + Sync),
) -> Result<Pulled, PullError> {
    home.prepare().map_err(PullError::Prepare)?;
    let _using = Using::begin(home).map_err(PullError::Prepare)?;
    prune_leftovers(home, wanted.now_ms);
    let reference = wanted.reference.short();
    let resolve =
        |source| PullError::Resolve { reference: reference.clone(), source: Box::new(source) };
    let pinned = wanted.digest.or_else(|| digest_of(&wanted.reference));
    // Who names the bytes need not ask what the name means.
    if let Some(digest) = pinned.filter(|_| !wanted.force)
        && let Some(here) = present(home, wanted, &digest, catalog)?
    {
        return Ok(here);
    }
    let digest = match pinned {
        Some(digest) => digest,
        None => registry.resolve(&wanted.reference, &wanted.platform).map_err(resolve)?.digest,
    };
    if !wanted.force
        && pinned.is_none()
        && let Some(here) = present(home, wanted, &digest, catalog)?
    {
        return Ok(here);
    }
    let manifest =
        registry.manifest(&wanted.reference, Some(&digest), &wanted.platform).map_err(resolve)?;
    let work = Work { home, registry, wanted, catalog, progress, reference };
    work.bring(&manifest)
}

/// Returns the digest that a reference ends in.
fn digest_of(reference: &ImageRef) -> Option<Digest> {
    match reference {
        ImageRef::Registry(image) => Digest::parse(image.digest.as_deref()?),
        ImageRef::Builtin(_) => None,
    }
}

fn locked<'a, 'c>(catalog: &'a Shared<'c>) -> MutexGuard<'a, &'c mut (dyn Catalog + Send)> {
    catalog.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns an image that is whole in the store, under its name from now on.
fn present(
    home: &ImagesHome,
    wanted: &Wanted,
    digest: &Digest,
    catalog: &Shared<'_>,
) -> Result<Option<Pulled>, PullError> {
    let name = wanted.reference.to_string();
    let mut catalog = locked(catalog);
    let by_digest = catalog.find(&format!("{}@{digest}", plain(&name)));
    let Some(mut found) = by_digest.map_err(PullError::Catalog)? else { return Ok(None) };
    if !again::is_whole(home, &found) || !fits(&found.platform, &wanted.platform) {
        return Ok(None);
    }
    let is_named = catalog.find(&name).map_err(PullError::Catalog)?;
    if is_named.is_none_or(|named| named.manifest_digest != found.manifest_digest) {
        found.reference = name.clone();
        found.pulled_at_ms = wanted.now_ms;
        catalog.put_images(std::slice::from_ref(&found), &[]).map_err(PullError::Catalog)?;
    }
    Ok(Some(pulled(&found, name, true)))
}

/// Returns a name without a digest.
fn plain(name: &str) -> &str {
    name.split_once('@').map_or(name, |(name, _)| name)
}

fn pulled(entry: &ImageEntry, reference: String, present: bool) -> Pulled {
    Pulled {
        reference,
        digest: entry.manifest_digest.clone(),
        present,
        size_bytes: entry.bytes,
        downloaded_bytes: 0,
        layers: entry.layers.len(),
        notes: Vec::new(),
    }
}

/// One image on its way.
struct Work<'a, 'c> {
    home: &'a ImagesHome,
    registry: &'a Registry,
    wanted: &'a Wanted,
    catalog: &'a Shared<'c>,
    progress: &'a (dyn Fn(Step) + Sync),
    reference: String,
}

impl Work<'_, '_> {
    fn bring(&self, manifest: &Manifest) -> Result<Pulled, PullError> {
        if manifest.config.size > JSON_BYTES_MAX {
            let why = format!("it has more than {JSON_BYTES_MAX} bytes");
            return Err(PullError::Config { reference: self.reference.clone(), why });
        }
        let parts = distinct(manifest);
        let size = |part: &Descriptor| Some(fs::metadata(self.home.blob(&part.digest)).ok()?.len());
        let is_here = |part: &&Descriptor| size(part).is_some();
        let (before, cut): (Vec<_>, Vec<_>) =
            parts.iter().filter(is_here).cloned().partition(|part| size(part) == Some(part.size));
        let mut bad = self.set_aside(&cut)?;
        let mut downloaded = self.fetch(&parts, self.wanted.force)?;
        let (ready, _held) = match self.build(manifest) {
            Err(error) if is_damage(&error) && !self.wanted.force && !before.is_empty() => {
                // What came now was hashed on its way; what was there before may have changed since,
                // and somebody else may be mending it at this moment.
                bad.extend(self.set_aside(&before)?);
                downloaded += self.fetch(&before, false)?;
                self.build(manifest)?
            }
            built => built?,
        };
        let names: Vec<_> = bad.iter().map(Digest::to_string).collect();
        let note = format!("damaged in the store and fetched again: {}", names.join(", "));
        self.publish(ready, downloaded, (!bad.is_empty()).then_some(note))
    }

    fn fetch(&self, parts: &[Descriptor], force: bool) -> Result<u64, PullError> {
        let of = parts.iter().map(|part| part.size).sum();
        let came = |more| (self.progress)(Step::Fetched { more, of });
        let (home, registry, reference) = (self.home, self.registry, &self.wanted.reference);
        let fetching = Fetching { home, registry, reference, force, came: &came };
        fetching
            .all(parts)
            .map_err(|source| PullError::Fetch { reference: self.reference.clone(), source })
    }

    /// Renames those of the blobs that are no longer what they are called.
    fn set_aside(&self, parts: &[Descriptor]) -> Result<Vec<Digest>, PullError> {
        let mut bad = Vec::new();
        for part in parts {
            let path = self.home.blob(&part.digest);
            let keep = |source| keep(&part.digest.to_string(), source);
            // Under this lock a good one gets its name.
            let _held = lock(self.home, &lock_name(&part.digest)).map_err(PullError::Root)?;
            match File::open(&path).and_then(|file| Digest::of_file(&file)) {
                Ok(found) if found == part.digest => {}
                Ok(_) => {
                    fs::rename(&path, path.with_extension("bad")).map_err(keep)?;
                    bad.push(part.digest);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(keep(error)),
            }
        }
        Ok(bad)
    }

    /// Builds the root, where it is not known that the layers make the one that is there; nobody
    /// else builds it while the file that comes with it is open.
    fn build(&self, manifest: &Manifest) -> Result<(Ready, File), PullError> {
        let described = self.described(manifest)?;
        let held = Ready::hold(self.home, &described).map_err(PullError::Root)?;
        let part = |layer: &Descriptor| Part {
            digest: layer.digest,
            bytes: layer.size,
            media_type: layer.media_type.clone(),
        };
        let image = Whole {
            names: vec![self.wanted.reference.clone()],
            manifest: manifest.bytes.clone(),
            config: (manifest.config.digest, manifest.config.size),
            described,
            layers: manifest.layers.iter().map(part).collect(),
        };
        let known = Ready::known(self.home, &image, &**locked(self.catalog));
        if let Some(ready) = known.map_err(PullError::Catalog)? {
            return Ok((ready, held));
        }
        (self.progress)(Step::Building);
        let open = |(layer, diff_id): (&Part, &Digest)| -> io::Result<Stored> {
            Ok(Stored {
                blob: File::open(self.home.blob(&layer.digest))?,
                digest: Some(layer.digest),
                diff_id: Some(*diff_id),
            })
        };
        let layers = image.layers.iter().zip(&image.described.diff_ids).map(open);
        let layers: Vec<Stored> =
            layers.collect::<io::Result<_>>().map_err(|source| keep("a layer", source))?;
        let ready = Ready::build(self.home, image, &layers)
            .map_err(|source| PullError::Build { reference: self.reference.clone(), source })?;
        Ok((ready, held))
    }

    fn described(&self, manifest: &Manifest) -> Result<Described, PullError> {
        let reference = || self.reference.clone();
        let refused = |why: String| PullError::Config { reference: reference(), why };
        let bytes = fs::read(self.home.blob(&manifest.config.digest));
        let bytes = bytes.map_err(|source| keep("the configuration", source))?;
        if Digest::of(&bytes) != manifest.config.digest {
            let why = format!("it is not {}", manifest.config.digest);
            let source = BuildError::Damaged(why);
            return Err(PullError::Build { reference: reference(), source });
        }
        let described = config::read(&bytes).map_err(refused)?;
        let (listed, layers) = (described.diff_ids.len(), manifest.layers.len());
        if listed != layers {
            return Err(refused(format!("it lists {listed} layers, the manifest {layers}")));
        }
        if !fits(&described.platform, &self.wanted.platform) {
            let (wanted, found) = (self.wanted.platform.clone(), described.platform);
            return Err(PullError::Platform { reference: reference(), wanted, found });
        }
        Ok(described)
    }

    fn publish(
        &self,
        mut ready: Ready,
        downloaded: u64,
        note: Option<String>,
    ) -> Result<Pulled, PullError> {
        let digest = ready.digest.to_string();
        ready.publish_manifest(self.home).map_err(|source| keep(&digest, source))?;
        sync_folder(&self.home.blobs()).map_err(|source| keep("blobs", source))?;
        let root = ready.publish_root(self.home, self.wanted.now_ms).map_err(PullError::Root)?;
        let entries = ready.entries(self.wanted.now_ms);
        locked(self.catalog).put_images(&entries, &[root]).map_err(PullError::Catalog)?;
        Ok(Pulled {
            reference: self.wanted.reference.to_string(),
            digest,
            present: false,
            size_bytes: ready.bytes(),
            downloaded_bytes: downloaded,
            layers: ready.image.layers.len(),
            notes: ready.notes.into_iter().chain(note).collect(),
        })
    }
}

/// Tells whether an image of one platform is one for another: a variant is of no account.
fn fits(platform: &str, wanted: &str) -> bool {
    let rest = platform.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns configuration and layers, each once.
fn distinct(manifest: &Manifest) -> Vec<Descriptor> {
    let mut parts: Vec<Descriptor> = Vec::new();
    for part in std::iter::once(&manifest.config).chain(&manifest.layers) {
        if !parts.iter().any(|other| other.digest == part.digest) {
            parts.push(part.clone());
        }
    }
    parts
}

/// Tells whether a damaged blob may be the reason: it may also be found broken before its end, where
/// its digest is known, or be set aside by somebody else.
fn is_damage(error: &PullError) -> bool {
    match error {
        PullError::Build { source, .. } => {
            matches!(source, BuildError::Damaged(_) | BuildError::Refused(_))
        }
        PullError::Keep { source, .. } => source.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

fn keep(what: &str, source: io::Error) -> PullError {
    PullError::Keep { what: what.to_owned(), source }
}
