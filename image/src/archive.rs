//! An archive of images as it comes: every file spooled and hashed once, in
//! whatever order, before anything in it is believed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use schema::archive::{Kind, Reader, TarError, normal};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::digest::Digest;
use super::draft::Draft;
use super::json::JSON_BYTES_MAX;
use super::source::{Source, Wanted};

/// The most bytes of an archive.
const ARCHIVE_BYTES_MAX: u64 = 64 << 30;
/// The most entries of an archive.
const ENTRIES_MAX: usize = 16_384;
/// Files up to this size stay in memory, as long as all of them fit the sum.
const SMALL_BYTES_MAX: u64 = 64 << 10;
const SMALL_SUM_MAX: u64 = 32 << 20;
/// The most files that do not stay in memory: each is an open descriptor.
const LARGE_MAX: usize = 768;
/// How many links lead to one file at most.
const LINKS_MAX: usize = 8;

/// Why an archive was not read.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// The stream could not be read or decompressed.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The archive is broken or not allowed.
    #[error("{0}")]
    Tar(String),
    /// The host could not keep what came.
    #[error("cannot keep the archive in {folder}")]
    Keep {
        /// Where it was to be kept.
        folder: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// There is more than an archive may have.
    #[error("the archive has more than {0}")]
    TooLarge(&'static str),
}

/// The files of an archive by their paths.
#[derive(Debug, Default)]
pub struct Archive {
    files: BTreeMap<Vec<u8>, Stored>,
    links: BTreeMap<Vec<u8>, Vec<u8>>,
}

/// One file of an archive.
#[derive(Debug)]
pub struct Stored {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub bytes: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Memory(Vec<u8>),
    Draft(Draft),
}

impl Stored {
    /// Returns the whole content of a document.
    pub fn document(&self) -> Result<Vec<u8>, String> {
        if self.bytes > JSON_BYTES_MAX {
            return Err("it is larger than 4 MiB".to_owned());
        }
        match &self.body {
            Body::Memory(bytes) => Ok(bytes.clone()),
            Body::Draft(draft) => {
                let mut bytes = vec![0; usize::try_from(self.bytes).unwrap_or(0)];
                draft.file().read_exact_at(&mut bytes, 0).map_err(|error| error.to_string())?;
                Ok(bytes)
            }
        }
    }

    /// Returns the first bytes, by which a coding is recognised.
    pub fn first(&self) -> io::Result<[u8; 4]> {
        let mut first = [0; 4];
        match &self.body {
            Body::Memory(bytes) => {
                let count = bytes.len().min(4);
                first[..count].copy_from_slice(&bytes[..count]);
            }
            Body::Draft(draft) => drop(draft.file().read_at(&mut first, 0)?),
        }
        Ok(first)
    }

    /// Returns a file with the content, made in `folder` if there is none yet.
    pub fn into_draft(self, folder: &Path) -> io::Result<Draft> {
        match self.body {
            Body::Draft(draft) => Ok(draft),
            Body::Memory(bytes) => {
                let draft = Draft::create(folder)?;
                draft.file().write_all_at(&bytes, 0)?;
                Ok(draft)
            }
        }
    }

    /// Returns a file with the content for somebody else to read.
    pub fn open(&self, folder: &Path) -> io::Result<File> {
        match &self.body {
            Body::Draft(draft) => draft.file().try_clone(),
            Body::Memory(bytes) => {
                let draft = Draft::create(folder)?;
                draft.file().write_all_at(bytes, 0)?;
                draft.file().try_clone()
            }
        }
    }
}

impl Archive {
    /// Reads an archive, plain or compressed, and keeps its files in `folder`.
    ///
    /// `progress` hears how many bytes of content have come.
    pub fn read(
        input: impl Read,
        folder: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, ArchiveError> {
        let source = Source::open(input, Wanted::default()).map_err(ArchiveError::Read)?;
        let mut reader = Reader::new(source);
        let mut archive = Self::default();
        let (mut total, mut small, mut large) = (0, 0, 0);
        while let Some(entry) = reader.next_entry().map_err(broken)? {
            if archive.files.len() + archive.links.len() >= ENTRIES_MAX {
                return Err(ArchiveError::TooLarge("16,384 entries"));
            }
            if archive.files.contains_key(&entry.path) || archive.links.contains_key(&entry.path) {
                let path = entry.path.escape_ascii();
                return Err(ArchiveError::Tar(format!("`{path}` stands twice in the archive")));
            }
            let target = match entry.kind {
                Kind::Folder => continue,
                Kind::File => None,
                Kind::HardLink(target) => Some(target),
                Kind::Symlink(text) => Some(from_symlink(&entry.path, &text)?),
                Kind::Character(..) | Kind::Block(..) | Kind::Fifo => {
                    let path = entry.path.escape_ascii();
                    return Err(ArchiveError::Tar(format!("`{path}` is not a file")));
                }
            };
            if let Some(target) = target {
                archive.links.insert(entry.path, target);
                continue;
            }
            total += entry.size;
            if total > ARCHIVE_BYTES_MAX {
                return Err(ArchiveError::TooLarge("64 GiB"));
            }
            let is_small = entry.size <= SMALL_BYTES_MAX && small + entry.size <= SMALL_SUM_MAX;
            if is_small {
                small += entry.size;
            } else {
                large += 1;
            }
            if large > LARGE_MAX {
                return Err(ArchiveError::TooLarge("768 large files"));
            }
            let folder = (!is_small).then_some(folder);
            let stored = keep(&mut reader, entry.size, folder)?;
            archive.files.insert(entry.path, stored);
            progress(total);
        }
        reader.into_inner().finish().map_err(ArchiveError::Read)?;
        Ok(archive)
    }

    /// Returns the file at a path, through links of the archive.
    pub fn get(&self, path: &[u8]) -> Option<&Stored> {
        self.files.get(self.resolve(path)?)
    }

    /// Returns the path of the file that a path leads to, through links.
    pub fn resolve<'a>(&'a self, path: &'a [u8]) -> Option<&'a [u8]> {
        let mut path = path;
        for _ in 0..LINKS_MAX {
            match self.links.get(path) {
                Some(target) => path = target,
                None => return self.files.contains_key(path).then_some(path),
            }
        }
        None
    }

    /// Takes a file out, once nothing else needs it.
    pub fn take(&mut self, path: &[u8]) -> Option<Stored> {
        let path = self.resolve(path)?.to_vec();
        self.files.remove(&path)
    }

    /// Returns every file with its path.
    pub fn files(&self) -> impl Iterator<Item = (&[u8], &Stored)> {
        self.files.iter().map(|(path, stored)| (path.as_slice(), stored))
    }
}

fn broken(error: TarError) -> ArchiveError {
    match error {
        TarError::Read(source) => ArchiveError::Read(source),
        other => ArchiveError::Tar(other.to_string()),
    }
}

/// Keeps the data of the current entry, in memory or in a file of `folder`.
fn keep<R: io::BufRead>(
    reader: &mut Reader<R>,
    bytes: u64,
    folder: Option<&Path>,
) -> Result<Stored, ArchiveError> {
    let failed = |source| ArchiveError::Keep {
        folder: folder.map_or_else(|| "memory".into(), |folder| folder.display().to_string()),
        source,
    };
    let mut hash = Sha256::new();
    let mut at = 0;
    let mut body = match folder {
        Some(folder) => Body::Draft(Draft::create(folder).map_err(failed)?),
        None => Body::Memory(Vec::new()),
    };
    let mut is_sparse = false;
    reader
        .take_data(|offset, _, piece| {
            is_sparse |= offset != at;
            at += piece.len() as u64;
            hash.update(piece);
            match &mut body {
                Body::Memory(memory) => memory.write_all(piece),
                Body::Draft(draft) => draft.file().write_all(piece),
            }
        })
        .map_err(|error| match error {
            TarError::Keep { source, .. } => failed(source),
            other => broken(other),
        })?;
    if is_sparse || at != bytes {
        return Err(ArchiveError::Tar("a file of the archive is sparse".to_owned()));
    }
    Ok(Stored { digest: hash.into(), bytes, body })
}

/// Returns where a symbolic link leads inside the archive.
fn from_symlink(path: &[u8], text: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let refused = || {
        let path = path.escape_ascii();
        ArchiveError::Tar(format!("`{path}` is a link that leaves the archive"))
    };
    let mut parts: Vec<&[u8]> = path.split(|b| *b == b'/').collect();
    parts.pop();
    if text.starts_with(b"/") {
        return Err(refused());
    }
    for part in text.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or_else(refused)?),
            part => parts.push(part),
        }
    }
    normal(&parts.join(&b'/')).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use schema::archive::craft::Archive as Tar;

    use super::*;
    use crate::scratch::Scratch;

    fn read(bytes: &[u8]) -> Result<Archive, ArchiveError> {
        let folder = Scratch::new();
        Archive::read(bytes, folder.path(), &mut |_| ())
    }

    #[test]
    fn files_are_found_by_path_and_through_links() {
        let large = vec![7; 100_000];
        let tar = Tar::default()
            .folder("a/")
            .file("a/layer.tar", &large)
            .symlink("b/layer.tar", "../a/layer.tar")
            .file("./small", b"{}");
        let archive = read(&tar.end()).unwrap();
        let stored = archive.get(b"b/layer.tar").unwrap();
        assert_eq!((stored.bytes, stored.digest), (100_000, Digest::of(&large)));
        assert_eq!(stored.document().unwrap(), large);
        assert_eq!(archive.get(b"small").unwrap().document().unwrap(), b"{}");
        assert!(archive.get(b"none").is_none());
    }

    #[test]
    fn what_no_image_needs_is_refused() {
        let refused = |tar: Tar, why: &str| {
            let error = read(&tar.end()).expect_err(why).to_string();
            assert!(error.contains(why), "{error}: not {why}");
        };
        refused(Tar::default().file("a", b"").file("./a", b""), "stands twice");
        refused(Tar::default().symlink("a", "../../etc/passwd"), "leaves the archive");
        refused(Tar::default().symlink("a", "/etc/passwd"), "leaves the archive");
        refused(Tar::default().device(b'3', "a", (1, 3)), "is not a file");
    }
}
