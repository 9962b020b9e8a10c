//! What nobody uses any more, and taking it away: names, manifests, and the files that only they
//! needed.
//!
//! Rows go before files, so a kill at any point leaves files that nobody names, and the next sweep
//! finds those.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use image::digest::Digest;
use image::draft::sync_folder;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use thiserror::Error;

use super::cache::ImagesHome;
use super::catalog::{Catalog, CatalogError, ManifestEntry};
use super::sharing::root_path_of;
use super::using::{Alone, LOCK};

/// How far a sweep goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// All that nobody uses, with its names, and what dead commands have left.
    Everything,
    /// These manifests, where no name means them any more.
    Nameless(&'a [String]),
}

/// What a sweep would take away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// The names, in full.
    pub references: Vec<String>,
    /// The digests of manifests.
    pub manifests: Vec<String>,
    /// Files of blobs.
    pub blobs: Vec<PathBuf>,
    /// Files of roots.
    pub roots: Vec<PathBuf>,
    /// Files that say how layers are taken from these roots.
    pub recipes: Vec<PathBuf>,
    /// What is in the temporary folder.
    pub leftovers: Vec<PathBuf>,
}

/// What a sweep took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// The names, in full.
    pub references: Vec<String>,
    /// How many manifests.
    pub manifests: usize,
    /// How many blobs.
    pub blobs: usize,
    /// How many roots.
    pub roots: usize,
    /// What all of it had occupied, files that somebody still links to left out.
    pub bytes: u64,
}

/// Why a sweep did not come to its end.
#[derive(Debug, Error)]
pub enum SweepError {
    /// The catalogue could not be read or written.
    #[error("cannot tell what is used of the images")]
    Catalog(#[source] CatalogError),
    /// A folder or a file could not be looked at or removed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

impl SweepError {
    /// Returns the code of this failure.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Catalog(_) => "msb::state::unusable",
            Self::File { .. } => "msb::image::store",
        }
    }
}

impl Sweep {
    /// Looks for what may go; `used` are the manifests that may not, by digest.
    ///
    /// # Errors
    /// The catalogue or a folder of the store cannot be read.
    pub fn find(
        home: &ImagesHome,
        catalog: &dyn Catalog,
        used: &BTreeSet<String>,
        reach: Reach<'_>,
    ) -> Result<Self, SweepError> {
        let all = catalog.manifests().map_err(SweepError::Catalog)?;
        let goes = |manifest: &ManifestEntry| {
            let is_reached = match reach {
                Reach::Everything => true,
                Reach::Nameless(digests) => {
                    manifest.references.is_empty() && digests.contains(&manifest.digest)
                }
            };
            is_reached && !used.contains(&manifest.digest)
        };
        let (gone, kept): (Vec<ManifestEntry>, Vec<ManifestEntry>) =
            all.into_iter().partition(goes);
        let (needed, theirs) = (Files::of(home, &kept), Files::of(home, &gone));
        let recipes = files(&home.recipes())?;
        let is_needed =
            |root: &Option<PathBuf>| root.as_ref().is_some_and(|root| needed.roots.contains(root));
        let (blobs, roots, recipes, leftovers) = match reach {
            Reach::Everything => {
                let (blobs, roots) = (files(&home.blobs())?, files(&home.roots())?);
                let of_none = |recipe: &PathBuf| !is_needed(&root_path_of(home, recipe));
                let recipes = recipes.into_iter().filter(of_none).collect();
                (blobs, roots, recipes, files(&home.tmp())?)
            }
            Reach::Nameless(_) => {
                let of_theirs = |recipe: &PathBuf| {
                    let root = root_path_of(home, recipe);
                    !is_needed(&root) && root.is_some_and(|root| theirs.roots.contains(&root))
                };
                let (blobs, roots) = (theirs.blobs.into_iter(), theirs.roots.iter().cloned());
                let recipes = recipes.into_iter().filter(of_theirs).collect();
                (blobs.collect(), roots.collect(), recipes, Vec::new())
            }
        };
        Ok(Self {
            references: gone.iter().flat_map(|manifest| manifest.references.clone()).collect(),
            manifests: gone.into_iter().map(|manifest| manifest.digest).collect(),
            blobs: blobs.into_iter().filter(|path| !needed.blobs.contains(path)).collect(),
            roots: roots.into_iter().filter(|path| !needed.roots.contains(path)).collect(),
            recipes,
            leftovers: leftovers.into_iter().filter(|path| !path.ends_with(LOCK)).collect(),
        })
    }

    /// Returns what the files occupy that would go, those left out that somebody else links to.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let files =
            [&self.blobs, &self.roots, &self.recipes, &self.leftovers].into_iter().flatten();
        let occupied = files.filter_map(|path| fs::symlink_metadata(path).ok());
        occupied.filter(|found| found.nlink() == 1).map(|found| found.blocks() * 512).sum()
    }

    /// Takes away what was found, while nobody else works with the store.
    ///
    /// # Errors
    /// What was removed before the failure is gone; the rest is found again by the next sweep.
    pub fn carry_out(
        self,
        home: &ImagesHome,
        catalog: &mut dyn Catalog,
        _alone: &Alone,
    ) -> Result<Swept, SweepError> {
        if !self.manifests.is_empty() {
            catalog.forget(&self.manifests).map_err(SweepError::Catalog)?;
        }
        let mut swept = Swept {
            references: self.references,
            manifests: self.manifests.len(),
            ..Swept::default()
        };
        let mut bytes = 0;
        let mut remove = |paths: &[PathBuf]| -> Result<usize, SweepError> {
            let mut count = 0;
            for path in paths {
                if let Some(freed) = remove(path)? {
                    (count, bytes) = (count + 1, bytes + freed);
                }
            }
            Ok(count)
        };
        swept.blobs = remove(&self.blobs)?;
        swept.roots = remove(&self.roots)?;
        remove(&self.recipes)?;
        remove(&self.leftovers)?;
        swept.bytes = bytes;
        for folder in [home.blobs(), home.roots()] {
            if swept.blobs + swept.roots > 0 {
                sync_folder(&folder).map_err(failed("sync", &folder))?;
            }
        }
        Ok(swept)
    }
}

/// The files that manifests need.
struct Files {
    blobs: BTreeSet<PathBuf>,
    roots: BTreeSet<PathBuf>,
}

impl Files {
    fn of(home: &ImagesHome, manifests: &[ManifestEntry]) -> Self {
        let digests = manifests.iter().flat_map(|manifest| {
            manifest.layers.iter().chain([&manifest.digest, &manifest.config])
        });
        let blobs = digests.filter_map(|text| Some(home.blob(&Digest::parse(text)?)));
        let roots = manifests.iter().map(|manifest| home.root_path(&manifest.root));
        Self { blobs: blobs.collect(), roots: roots.collect() }
    }
}

/// Returns the files of a folder, by name; none where there is no folder.
fn files(folder: &Path) -> Result<Vec<PathBuf>, SweepError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed("look into", folder)(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed("look into", folder))?;
        if entry.file_type().is_ok_and(|kind| kind.is_file()) {
            paths.push(entry.path());
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

/// Removes a file unless a process holds it locked, as machines hold their roots; returns what it had
/// occupied, or `None` where it stays or was not there.
fn remove(path: &Path) -> Result<Option<u64>, SweepError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("open", path)(error)),
    };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(failed("lock", path)(errno.into())),
    }
    fs::remove_file(path).map_err(failed("remove", path))?;
    let left = file.metadata().map_err(failed("look at", path))?;
    Ok(Some(if left.nlink() == 0 { left.blocks() * 512 } else { 0 }))
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> SweepError + use<> {
    let path = path.to_owned();
    move |source| SweepError::File { what, path, source }
}
