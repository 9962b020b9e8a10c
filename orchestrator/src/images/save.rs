//! Images of the store as one archive, byte for byte as they came.
//!
//! The tree of an OCI layout, and for docker's readers `manifest.json` and `repositories` beside it,
//! so that one archive serves both. Entries are sorted and have no times: the same images are the
//! same archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};

use image::digest::Digest;
use image::draft::{Draft, sync_folder};
use image::json::{self as documents, JSON_BYTES_MAX};
use schema::archive::{Entry, Kind, Time, write};
use schema::project::ImageRef;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::cache::{ImagesHome, RootError};
use super::catalog::ImageEntry;
use super::using::Using;
use super::verify;

/// For whom an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `docker load`, and everybody who reads layouts.
    Docker,
    /// An OCI layout alone.
    Oci,
}

/// Why there is no archive.
#[derive(Debug, Error)]
pub enum SaveError {
    /// The folder of images could not be used.
    #[error("cannot use the store of images")]
    Store(#[source] RootError),
    /// A blob is not in the store, or cannot be read.
    #[error("cannot read {digest} of {reference}")]
    Blob {
        /// The image.
        reference: String,
        /// The blob.
        digest: String,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// A blob is no longer what it is called.
    #[error("{digest} of {reference} is damaged: its bytes hash to {found}")]
    Damaged {
        /// The image.
        reference: String,
        /// The blob.
        digest: String,
        /// What it is now.
        found: String,
    },
    /// What is remembered of an image is no text that it could be.
    #[error("what is remembered of {0} is not understood")]
    Catalog(String),
    /// A folder, a device or the like has the archive's name.
    #[error("{} is there already, and is no file", .0.display())]
    NoFile(PathBuf),
    /// The archive does not take its bytes.
    #[error("cannot write the archive")]
    Write(#[source] io::Error),
}

/// A file of the archive.
enum Content {
    Folder,
    Text(Vec<u8>),
    /// A blob, and an image that has it.
    Blob(Digest, String),
}

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const BUFFER_BYTES: usize = 256 << 10;

/// Writes these images to `out`; returns how many bytes the archive has.
///
/// What the readers of archives begin with stands behind the blobs, so half an archive is none.
///
/// # Errors
/// A blob is missing or damaged, or `out` takes no more: what was written is no whole archive.
/// A damaged blob is set aside, so that the next pull or load brings it anew.
pub fn save(
    home: &ImagesHome,
    images: &[ImageEntry],
    form: Form,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, SaveError> {
    home.prepare().map_err(SaveError::Store)?;
    let _using = Using::begin(home).map_err(SaveError::Store)?;
    let saved = write_all(home, images, form, &mut Counted { out, bytes: 0, progress });
    if let Err(SaveError::Damaged { digest, .. }) = &saved {
        // It is missed either way; what this comes to changes nothing.
        drop(verify::blob(home, digest));
    }
    saved
}

/// Writes these images to a file that nobody sees before it is whole.
///
/// # Errors
/// As those of [`save`]; what the path named before still stands.
pub fn save_file(
    home: &ImagesHome,
    images: &[ImageEntry],
    form: Form,
    path: &Path,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, SaveError> {
    // Behind a link lies the file that is meant.
    let to = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if fs::metadata(&to).is_ok_and(|found| !found.is_file()) {
        return Err(SaveError::NoFile(path.to_owned()));
    }
    let folder = to.parent().unwrap_or(Path::new("/"));
    let draft = Draft::create_as(folder, 0o666).map_err(SaveError::Write)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, draft.file());
    let bytes = save(home, images, form, &mut out, progress)?;
    out.flush().map_err(SaveError::Write)?;
    drop(out);
    let published = draft.publish_as_it_is(&to).and_then(|()| sync_folder(folder));
    published.map_err(SaveError::Write).map(|()| bytes)
}

/// Counts what passes.
struct Counted<'a> {
    out: &'a mut dyn Write,
    bytes: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.bytes += count as u64;
        (self.progress)(self.bytes);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn write_all(
    home: &ImagesHome,
    images: &[ImageEntry],
    form: Form,
    out: &mut Counted<'_>,
) -> Result<u64, SaveError> {
    let mut files: BTreeMap<String, Content> = BTreeMap::new();
    let mut listed = Vec::new();
    for image in images {
        let manifest = blobs_of(image, &mut files)?;
        listed.push(descriptor(home, image, manifest)?);
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": listed });
    let mut text = |name: &str, value: &Value| {
        files.insert(name.to_owned(), Content::Text(value.to_string().into_bytes()));
    };
    text("oci-layout", &json!({ "imageLayoutVersion": "1.0.0" }));
    text("index.json", &index);
    if form == Form::Docker {
        text("manifest.json", &docker_list(images));
        text("repositories", &repositories(images));
    }
    files.insert("blobs".to_owned(), Content::Folder);
    files.insert("blobs/sha256".to_owned(), Content::Folder);
    for (name, content) in files {
        append(home, &name, &content, out)?;
    }
    out.write_all(&write::END).map_err(SaveError::Write)?;
    Ok(out.bytes)
}

/// Puts every blob of an image on the list; returns the digest of its manifest.
fn blobs_of(
    image: &ImageEntry,
    files: &mut BTreeMap<String, Content>,
) -> Result<Digest, SaveError> {
    let parse =
        |text: &str| Digest::parse(text).ok_or_else(|| SaveError::Catalog(image.reference.clone()));
    let layers = image.layers.iter().map(|layer| layer.blob.as_str());
    for text in layers.chain([image.config_digest.as_str(), image.manifest_digest.as_str()]) {
        let digest = parse(text)?;
        let content = Content::Blob(digest, image.reference.clone());
        files.entry(path(&digest)).or_insert(content);
    }
    parse(&image.manifest_digest)
}

fn path(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// Returns the path of a digest that was remembered.
fn named(text: &str) -> String {
    Digest::parse(text).map_or_else(String::new, |digest| path(&digest))
}

/// Returns what an index says of an image.
fn descriptor(home: &ImagesHome, image: &ImageEntry, digest: Digest) -> Result<Value, SaveError> {
    let blob = |source| SaveError::Blob {
        reference: image.reference.clone(),
        digest: digest.to_string(),
        source,
    };
    let mut bytes = Vec::new();
    let file = File::open(home.blob(&digest)).map_err(blob)?;
    file.take(JSON_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(blob)?;
    check(image, &digest, Digest::of(&bytes))?;
    let said = documents::parse(&bytes).ok();
    let media_type = said.as_ref().and_then(|said| said["mediaType"].as_str()).unwrap_or(MANIFEST);
    let mut parts = image.platform.split('/');
    let (os, architecture) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let mut platform = json!({ "os": os, "architecture": architecture });
    if let Some(variant) = parts.next() {
        platform["variant"] = variant.into();
    }
    let mut described = json!({
        "mediaType": media_type, "digest": digest.to_string(), "size": bytes.len(),
        "platform": platform,
    });
    match ImageRef::parse(&image.reference) {
        // A name that msb keeps for itself: readers of layouts find it by a tag, and whoever loads
        // it has to give it a name.
        Ok(ImageRef::Builtin(name)) => described["annotations"] = json!({ REF_NAME: name }),
        _ if is_named(image) => {
            described["annotations"] =
                json!({ CONTAINERD_NAME: image.reference, REF_NAME: image.reference });
        }
        _ => {}
    }
    Ok(described)
}

/// Tells whether an image has a name that archives can give: not one of msb's own, nor a digest.
fn is_named(image: &ImageEntry) -> bool {
    let parsed = ImageRef::parse(&image.reference);
    matches!(parsed, Ok(ImageRef::Registry(name)) if name.digest.is_none())
}

fn check(image: &ImageEntry, digest: &Digest, found: Digest) -> Result<(), SaveError> {
    if found == *digest {
        return Ok(());
    }
    let (reference, digest) = (image.reference.clone(), digest.to_string());
    Err(SaveError::Damaged { reference, digest, found: found.to_string() })
}

/// Returns `manifest.json`: each image once, with all its names.
fn docker_list(images: &[ImageEntry]) -> Value {
    let mut seen = BTreeSet::new();
    let firsts = images.iter().filter(|image| seen.insert(&image.manifest_digest));
    let item = |image: &ImageEntry| {
        let same = images.iter().filter(|other| other.manifest_digest == image.manifest_digest);
        // In full: podman would take a short one for an image of its own making.
        let tags: Vec<&str> =
            same.filter(|one| is_named(one)).map(|one| one.reference.as_str()).collect();
        let layers: Vec<String> = image.layers.iter().map(|layer| named(&layer.blob)).collect();
        json!({ "Config": named(&image.config_digest), "RepoTags": tags, "Layers": layers })
    };
    firsts.map(item).collect()
}

/// Returns `repositories`: the top layer of each name.
fn repositories(images: &[ImageEntry]) -> Value {
    let mut found: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for image in images.iter().filter(|image| is_named(image)) {
        let name = &image.reference;
        let top = image.layers.last().and_then(|layer| Digest::parse(&layer.blob));
        if let (Some((name, tag)), Some(top)) = (name.rsplit_once(':'), top) {
            found.entry(name.to_owned()).or_default().insert(tag.to_owned(), top.hex());
        }
    }
    json!(found)
}

/// Appends one file, a blob held against its digest as it passes.
fn append(
    home: &ImagesHome,
    name: &str,
    content: &Content,
    out: &mut dyn Write,
) -> Result<(), SaveError> {
    let (kind, mode, size, blob) = match content {
        Content::Folder => (Kind::Folder, 0o755, 0, None),
        Content::Text(text) => (Kind::File, 0o644, text.len() as u64, None),
        Content::Blob(digest, reference) => {
            let failed = |source| SaveError::Blob {
                reference: reference.clone(),
                digest: digest.to_string(),
                source,
            };
            let file = File::open(home.blob(digest)).map_err(failed)?;
            let size = file.metadata().map_err(failed)?.len();
            (Kind::File, 0o644, size, Some((file, digest, reference)))
        }
    };
    let entry = Entry {
        path: name.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: Time::default(),
        xattrs: Vec::new(),
        size,
    };
    let mut head = Vec::new();
    write::head(&entry, write::Owner::default(), &mut head);
    out.write_all(&head).map_err(SaveError::Write)?;
    match (content, blob) {
        (Content::Text(text), _) => out.write_all(text).map_err(SaveError::Write)?,
        (_, Some((file, digest, reference))) => copy(file, size, (digest, reference), out)?,
        (_, None) => {}
    }
    out.write_all(&vec![0; write::padding(size)]).map_err(SaveError::Write)
}

fn copy(
    mut file: File,
    size: u64,
    (digest, reference): (&Digest, &str),
    out: &mut dyn Write,
) -> Result<(), SaveError> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut left = size;
    while left > 0 {
        let count = file.read(&mut buffer).and_then(|count| match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count.min(usize::try_from(left).unwrap_or(usize::MAX))),
        });
        let count = count.map_err(|source| SaveError::Blob {
            reference: reference.to_owned(),
            digest: digest.to_string(),
            source,
        })?;
        hasher.update(&buffer[..count]);
        out.write_all(&buffer[..count]).map_err(SaveError::Write)?;
        left -= count as u64;
    }
    let found = Digest::from(hasher);
    if found != *digest {
        let (reference, digest) = (reference.to_owned(), digest.to_string());
        return Err(SaveError::Damaged { reference, digest, found: found.to_string() });
    }
    Ok(())
}
