//! An OCI layout: `index.json` names manifests by digest, and every blob lies
//! under the name of its own.

use std::collections::BTreeMap;

use schema::project::ImageRef;
use serde::Deserialize;

use super::super::archive::Archive;
use super::super::config::LAYERS_MAX;
use super::super::digest::Digest;
use super::super::json;
use super::super::media::{
    CONFIGS, INDEX_DEPTH_MAX, INDEX_ENTRIES_MAX, INDEXES, LAYERS, MANIFESTS,
};
use super::{Found, FoundLayer, LayoutError, Tags, described, document, name, refused};

const INDEX: &str = "index.json";

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: String,
    size: u64,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
    platform: Option<Platform>,
}

#[derive(Clone, Deserialize)]
struct Platform {
    os: String,
    architecture: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    media_type: Option<String>,
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    media_type: Option<String>,
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// Returns the images of the layout; `tags` are names that stand elsewhere.
pub(super) fn images(
    archive: &Archive,
    platform: &str,
    tags: &Tags,
) -> Result<Vec<Found>, LayoutError> {
    check_blobs(archive)?;
    let index = read_index(archive, INDEX)?;
    let mut chosen: Vec<(Digest, Vec<ImageRef>, Found)> = Vec::new();
    for descriptor in choose(&index.manifests, platform) {
        let names = names(descriptor)?;
        let manifest = manifest_of(archive, descriptor, platform, 0)?;
        let digest = digest(INDEX, manifest.digest.as_str())?;
        if let Some((_, all, _)) = chosen.iter_mut().find(|(other, ..)| *other == digest) {
            all.extend(names);
        } else {
            let found = image(archive, &manifest)?;
            chosen.push((digest, names, found));
        }
    }
    if chosen.is_empty() {
        return Err(refused(INDEX, "it lists no image"));
    }
    let named = chosen.into_iter().map(|(_, mut names, found)| {
        names.extend(tags.get(&found.config.1).into_iter().flatten().cloned());
        names.sort();
        names.dedup();
        Found { names, ..found }
    });
    Ok(named.collect())
}

/// Checks every blob against its name, whether anything needs it or not.
fn check_blobs(archive: &Archive) -> Result<(), LayoutError> {
    for (path, stored) in archive.files() {
        let Some(hex) = path.strip_prefix(b"blobs/sha256/") else { continue };
        let path = String::from_utf8_lossy(path);
        let expected = std::str::from_utf8(hex).ok().and_then(Digest::parse_hex);
        let expected = expected.ok_or_else(|| refused(&path, "its name is no sha256 digest"))?;
        if expected != stored.digest {
            let path = path.into_owned();
            return Err(LayoutError::Damaged { path, expected, found: stored.digest });
        }
    }
    Ok(())
}

fn read_index(archive: &Archive, path: &str) -> Result<Index, LayoutError> {
    let bytes = document(archive, path)?;
    let index: Index = json::parse(&bytes)
        .and_then(serde_json::from_value)
        .map_err(|error| refused(path, error.to_string()))?;
    if index.manifests.len() > INDEX_ENTRIES_MAX {
        return Err(refused(path, "it lists more than 1,000 manifests"));
    }
    if index.media_type.as_deref().is_some_and(|kind| !INDEXES.contains(&kind)) {
        return Err(refused(path, "it says that it is no index"));
    }
    Ok(index)
}

/// Returns the entries that are images, each name once.
///
/// Entries without a real platform are attestations. Of several with the same
/// name, those for the wanted platform are meant.
fn choose<'a>(manifests: &'a [Descriptor], platform: &str) -> Vec<&'a Descriptor> {
    let is_image = |one: &&Descriptor| one.platform.as_ref().is_none_or(|p| p.os != "unknown");
    let label = |one: &Descriptor| names(one).unwrap_or_default();
    let fits = |one: &Descriptor| one.platform.as_ref().is_none_or(|p| p.is(platform));
    let images: Vec<_> = manifests.iter().filter(is_image).collect();
    let has_better = |one: &Descriptor| {
        images
            .iter()
            .any(|other| other.platform.is_some() && fits(other) && label(other) == label(one))
    };
    images.iter().filter(|one| fits(one) || !has_better(one)).copied().collect()
}

impl Platform {
    fn is(&self, platform: &str) -> bool {
        format!("{}/{}", self.os, self.architecture) == platform
    }
}

/// Follows indexes down to the manifest for the platform.
fn manifest_of(
    archive: &Archive,
    descriptor: &Descriptor,
    platform: &str,
    depth: usize,
) -> Result<Descriptor, LayoutError> {
    let kind = descriptor.media_type.as_deref().unwrap_or_default();
    if MANIFESTS.contains(&kind) {
        return Ok(descriptor.clone());
    }
    let path = blob_path(&descriptor.digest)?;
    if !INDEXES.contains(&kind) {
        return Err(refused(&path, format!("`{}` is no image", kind.escape_debug())));
    }
    if depth == INDEX_DEPTH_MAX {
        return Err(refused(&path, "indexes lie more than two deep in each other"));
    }
    check_blob(archive, &path, descriptor)?;
    let index = read_index(archive, &path)?;
    let platforms = index.manifests.iter().filter_map(|one| one.platform.as_ref());
    let found: Vec<_> = platforms
        .filter(|p| p.os != "unknown")
        .map(|p| format!("{}/{}", p.os, p.architecture))
        .collect();
    let wanted = choose(&index.manifests, platform)
        .into_iter()
        .find(|one| one.platform.as_ref().is_none_or(|p| p.is(platform)))
        .ok_or_else(|| LayoutError::Platform { wanted: platform.to_owned(), found })?;
    manifest_of(archive, wanted, platform, depth + 1)
}

fn image(archive: &Archive, descriptor: &Descriptor) -> Result<Found, LayoutError> {
    let path = blob_path(&descriptor.digest)?;
    check_blob(archive, &path, descriptor)?;
    let bytes = document(archive, &path)?;
    let manifest: Manifest = json::parse(&bytes)
        .and_then(serde_json::from_value)
        .map_err(|error| refused(&path, error.to_string()))?;
    if manifest.media_type.is_some() && manifest.media_type != descriptor.media_type {
        return Err(refused(&path, "it says another media type than its index"));
    }
    check_kind(&path, &manifest.config, &CONFIGS)?;
    if manifest.layers.len() > LAYERS_MAX {
        return Err(refused(&path, format!("it has more than {LAYERS_MAX} layers")));
    }
    let config_path = blob_path(&manifest.config.digest)?;
    check_blob(archive, &config_path, &manifest.config)?;
    let config = document(archive, &config_path)?;
    let described = described(&config_path, &config, manifest.layers.len())?;
    let mut layers = Vec::new();
    for layer in &manifest.layers {
        let media_type = check_kind(&path, layer, &LAYERS)?.to_owned();
        let layer_path = blob_path(&layer.digest)?;
        check_blob(archive, &layer_path, layer)?;
        let digest = digest(&path, &layer.digest)?;
        layers.push(FoundLayer {
            path: layer_path.into_bytes(),
            digest,
            bytes: layer.size,
            media_type,
        });
    }
    let config = (config_path.into_bytes(), digest(&path, &manifest.config.digest)?);
    let config_bytes = manifest.config.size;
    Ok(Found { names: Vec::new(), manifest: bytes, config, config_bytes, layers, described })
}

fn check_kind<'a>(
    path: &str,
    descriptor: &'a Descriptor,
    kinds: &[&str],
) -> Result<&'a str, LayoutError> {
    let kind = descriptor.media_type.as_deref().unwrap_or_default();
    if !kinds.contains(&kind) {
        let kind = kind.escape_debug();
        return Err(refused(path, format!("the media type `{kind}` is not supported")));
    }
    Ok(kind)
}

/// Checks that what a descriptor speaks of is there, of that size and digest.
fn check_blob(archive: &Archive, path: &str, descriptor: &Descriptor) -> Result<(), LayoutError> {
    let stored =
        archive.get(path.as_bytes()).ok_or_else(|| LayoutError::Missing(path.to_owned()))?;
    if stored.bytes != descriptor.size {
        let (found, said) = (stored.bytes, descriptor.size);
        return Err(refused(path, format!("it has {found} bytes, {said} were announced")));
    }
    let expected = digest(path, &descriptor.digest)?;
    if expected != stored.digest {
        let path = path.to_owned();
        return Err(LayoutError::Damaged { path, expected, found: stored.digest });
    }
    Ok(())
}

fn digest(path: &str, text: &str) -> Result<Digest, LayoutError> {
    Digest::parse(text)
        .ok_or_else(|| refused(path, format!("`{}` is no sha256 digest", text.escape_debug())))
}

fn blob_path(text: &str) -> Result<String, LayoutError> {
    digest(INDEX, text).map(|digest| format!("blobs/sha256/{}", digest.hex()))
}

/// Returns the names that an entry of the index carries.
///
/// A bare word is the tag of a name that is not told, and names nothing.
fn names(descriptor: &Descriptor) -> Result<Vec<ImageRef>, LayoutError> {
    let annotation = |key| descriptor.annotations.as_ref().and_then(|all| all.get(key));
    let text = annotation("io.containerd.image.name").or_else(|| {
        annotation("org.opencontainers.image.ref.name").filter(|text| text.contains([':', '/']))
    });
    text.map(|text| name(INDEX, text)).into_iter().collect()
}
