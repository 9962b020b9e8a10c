//! Target `image-json`: documents of images, read strictly, and the images that they describe.

use std::collections::{BTreeMap, BTreeSet};

use image::digest::Digest;
use schema::archive::write::{END, Owner, head, padding};
use schema::archive::{Entry, Kind, Time};

use crate::alone::{self, Held};

/// Entries that an index may have.
const ENTRIES_MAX: usize = 1000;
/// Documents of one input at most.
const DOCUMENTS_MAX: usize = 16;
const LAYOUT: (&[u8], &[u8]) = (b"oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// Files of an archive by their paths.
type Files = BTreeMap<Vec<u8>, Vec<u8>>;

/// Reads `bytes` as each document that an image has, and as lines that make a whole archive, and holds that
/// what is understood is understood again.
pub(crate) fn check(bytes: &[u8]) {
    alone_understood(bytes);
    let layout = (LAYOUT.0.to_vec(), LAYOUT.1.to_vec());
    let index = (b"index.json".to_vec(), bytes.to_vec());
    let list = (b"manifest.json".to_vec(), bytes.to_vec());
    let named = index_of([(MANIFEST, bytes, &BTreeSet::new())]);
    let manifest = (b"index.json".to_vec(), named.into_bytes());
    if bytes.starts_with(b"{") {
        same(&Files::from([layout.clone(), index]));
        same(&Files::from([layout, manifest, blob(bytes)]));
    } else if bytes.starts_with(b"[") {
        same(&Files::from([list]));
    } else {
        let files = written(bytes);
        files.values().for_each(|document| alone_understood(document));
        same(&files);
    }
}

/// Holds that what is understood of a document reads the same once it is written again.
fn alone_understood(bytes: &[u8]) {
    if let Ok(text) = alone::document(bytes) {
        let again = alone::document(text.as_bytes()).expect("what we write is understood");
        assert_eq!(but_numbers(&text), but_numbers(&again), "written again");
        assert_eq!(pairs(bytes), pairs(text.as_bytes()), "a key was dropped");
    }
    if let Ok(config) = alone::configuration(bytes) {
        let words = config.cmd.iter().chain(&config.entrypoint).chain(&config.env);
        let has_nul = words.chain([&config.workdir]).any(|word| word.contains('\0'));
        assert!(!has_nul, "{config:?}");
        assert_eq!(alone::configuration(bytes), Ok(config), "read twice");
    }
}

/// Returns how many keys have a value in a document: colons outside of texts.
fn pairs(json: &[u8]) -> usize {
    told_apart(json).filter(|(byte, in_text)| *byte == b':' && !in_text).count()
}

/// Returns a document without its numbers: fractions are read to the last digit but one, and no image has any.
fn but_numbers(json: &str) -> Vec<u8> {
    let of_number = |byte| matches!(byte, b'0'..=b'9' | b'.' | b'+' | b'-' | b'e');
    let kept = told_apart(json.as_bytes()).filter(|(byte, in_text)| *in_text || !of_number(*byte));
    kept.map(|(byte, _)| byte).collect()
}

/// Returns the bytes of a document, and whether each stands in a text.
fn told_apart(json: &[u8]) -> impl Iterator<Item = (u8, bool)> {
    let (mut in_text, mut is_escaped) = (false, false);
    json.iter().map(move |byte| {
        if *byte == b'"' && !is_escaped {
            in_text = !in_text;
        }
        is_escaped = *byte == b'\\' && in_text && !is_escaped;
        (*byte, in_text)
    })
}

/// Returns the archive that lines describe, `PATH DOCUMENT` each. A document whose path is `blob` stands below
/// its digest; in what follows, `@N` is the digest of blob N from 0, and `#N` its size.
fn written(bytes: &[u8]) -> Files {
    let mut files = Files::from([(LAYOUT.0.to_vec(), LAYOUT.1.to_vec())]);
    let mut blobs: Vec<(String, usize)> = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').take(DOCUMENTS_MAX) {
        let (path, rest) = line.split_at(line.iter().position(|b| *b == b' ').unwrap_or(0));
        let rest = rest.strip_prefix(b" ").unwrap_or(rest);
        let mut document = Vec::new();
        let mut left = rest;
        while let [byte, after @ ..] = left {
            let digit = after.first().filter(|digit| digit.is_ascii_digit());
            let meant = digit.and_then(|digit| blobs.get(usize::from(digit - b'0')));
            left = match (byte, meant) {
                (b'@', Some((hex, _))) => {
                    document.extend(b"sha256:");
                    document.extend(hex.as_bytes());
                    &after[1..]
                }
                (b'#', Some((_, size))) => {
                    document.extend(size.to_string().as_bytes());
                    &after[1..]
                }
                _ => {
                    document.push(*byte);
                    after
                }
            };
        }
        if path == b"blob" {
            blobs.push((Digest::of(&document).hex(), document.len()));
            files.extend([blob(&document)]);
        } else {
            files.insert(path.to_vec(), document);
        }
    }
    // What names no index is what `docker save` writes.
    if !files.contains_key(&b"index.json"[..]) {
        files.remove(LAYOUT.0);
    }
    files
}

/// Holds that the images of an archive are the same once they are packed as a layout of ours.
fn same(files: &Files) {
    let Ok(images) = alone::images(packed(files).as_slice(), &std::env::temp_dir()) else { return };
    let said = understood(&images);
    if said.values().map(|one| one.names.len() + 1).sum::<usize>() > ENTRIES_MAX {
        return;
    }
    let mut wrapped = Files::from([(LAYOUT.0.to_vec(), LAYOUT.1.to_vec())]);
    for image in &images {
        wrapped.extend([blob(&image.manifest), blob(&image.config)]);
        wrapped.extend(image.layers.iter().flatten().map(|layer| blob(layer)));
    }
    let listed = said.iter().map(|(manifest, one)| {
        let kind = one.media_type.as_deref().unwrap_or(MANIFEST);
        (kind, manifest.as_slice(), &one.names)
    });
    wrapped.insert(b"index.json".to_vec(), index_of(listed).into_bytes());
    let again = alone::images(packed(&wrapped).as_slice(), &std::env::temp_dir());
    let again = understood(&again.expect("what was understood is understood again"));
    assert_eq!(again, said, "packed again, the images are others");
}

/// What is understood of an image.
#[derive(Debug, PartialEq, Eq)]
struct Understood {
    names: BTreeSet<String>,
    media_type: Option<String>,
    layers: usize,
    described: String,
}

/// Returns what is understood of images, by their manifests.
fn understood(images: &[Held]) -> BTreeMap<Vec<u8>, Understood> {
    let mut all = BTreeMap::new();
    for image in images {
        let one = all.entry(image.manifest.clone()).or_insert_with(|| Understood {
            names: BTreeSet::new(),
            media_type: image.media_type.clone(),
            layers: image.layers.len(),
            described: image.described.clone(),
        });
        one.names.extend(image.names.iter().cloned());
    }
    all
}

/// Returns an index of manifests, each with its media type and names.
fn index_of<'a>(
    manifests: impl IntoIterator<Item = (&'a str, &'a [u8], &'a BTreeSet<String>)>,
) -> String {
    let mut listed = Vec::new();
    for (kind, manifest, names) in manifests {
        let (digest, size) = (Digest::of(manifest), manifest.len());
        let head = format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}"#);
        listed.push(format!("{head}}}"));
        listed.extend(names.iter().map(|name| {
            format!(r#"{head},"annotations":{{"io.containerd.image.name":"{name}"}}}}"#)
        }));
    }
    format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, listed.join(","))
}

fn blob(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    (format!("blobs/sha256/{}", Digest::of(bytes).hex()).into_bytes(), bytes.to_vec())
}

/// Returns an archive of files.
fn packed(files: &Files) -> Vec<u8> {
    let mut archive = Vec::new();
    for (path, bytes) in files {
        let entry = Entry {
            path: path.clone(),
            kind: Kind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            mtime: Time::default(),
            xattrs: Vec::new(),
            size: bytes.len() as u64,
        };
        head(&entry, Owner::default(), &mut archive);
        archive.extend(bytes);
        archive.resize(archive.len() + padding(bytes.len() as u64), 0);
    }
    archive.extend(END);
    archive
}
