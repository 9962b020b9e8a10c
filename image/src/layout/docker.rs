//! What `docker save` writes: `manifest.json` names configurations, tags and
//! layers by their paths in the archive.

use serde::{Deserialize, Serialize};

use super::super::archive::{Archive, Stored};
use super::super::digest::Digest;
use super::super::json;
use super::super::source::Coding;
use super::{Found, FoundLayer, LayoutError, Tags, described, document, name, refused};

const LIST: &str = "manifest.json";
/// Media types of what we make of it.
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// A manifest as we make it, fields in this order.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u32,
    media_type: &'a str,
    config: Descriptor<'a>,
    layers: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: String,
    size: u64,
}

/// Returns the images that `manifest.json` lists.
pub(super) fn images(archive: &Archive) -> Result<Vec<Found>, LayoutError> {
    let items = items(archive)?;
    if items.is_empty() {
        return Err(refused(LIST, "it lists no image"));
    }
    items.iter().map(|item| image(archive, item)).collect()
}

/// Returns the tags that a `manifest.json` beside an OCI layout gives.
pub(super) fn tags_by_config(archive: &Archive) -> Result<Tags, LayoutError> {
    let mut tags = Tags::new();
    if archive.get(LIST.as_bytes()).is_some() {
        for item in items(archive)? {
            if let Some(stored) = archive.get(item.config.as_bytes()) {
                tags.entry(stored.digest).or_default().extend(names(&item)?);
            }
        }
    }
    Ok(tags)
}

fn items(archive: &Archive) -> Result<Vec<Item>, LayoutError> {
    let bytes = document(archive, LIST)?;
    json::parse(&bytes)
        .and_then(serde_json::from_value)
        .map_err(|error| refused(LIST, error.to_string()))
}

fn names(item: &Item) -> Result<Vec<schema::project::ImageRef>, LayoutError> {
    let tags = item.repo_tags.iter().flatten();
    tags.map(|tag| name(LIST, tag)).collect()
}

fn image(archive: &Archive, item: &Item) -> Result<Found, LayoutError> {
    let paths = item.layers.as_deref().unwrap_or_default();
    let bytes = document(archive, &item.config)?;
    let described = described(&item.config, &bytes, paths.len())?;
    let digest = Digest::of(&bytes);
    check_name(&item.config, digest)?;
    let mut layers = Vec::new();
    for path in paths {
        let stored =
            archive.get(path.as_bytes()).ok_or_else(|| LayoutError::Missing(path.clone()))?;
        layers.push(layer(path, stored)?);
    }
    let describe = |layer: &FoundLayer| (layer.digest.to_string(), layer.bytes);
    let manifest = Manifest {
        schema_version: 2,
        media_type: MANIFEST,
        config: Descriptor {
            media_type: CONFIG,
            digest: digest.to_string(),
            size: bytes.len() as u64,
        },
        layers: layers
            .iter()
            .map(|layer| {
                let (digest, size) = describe(layer);
                Descriptor { media_type: &layer.media_type, digest, size }
            })
            .collect(),
    };
    let manifest =
        serde_json::to_vec(&manifest).map_err(|error| refused(LIST, error.to_string()))?;
    let config = (item.config.clone().into_bytes(), digest);
    let config_bytes = bytes.len() as u64;
    Ok(Found { names: names(item)?, manifest, config, config_bytes, layers, described })
}

fn layer(path: &str, stored: &Stored) -> Result<FoundLayer, LayoutError> {
    let first = stored.first().map_err(|error| refused(path, error.to_string()))?;
    let media_type = match Coding::of(&first) {
        Coding::Plain => LAYER.to_owned(),
        Coding::Gzip => format!("{LAYER}+gzip"),
        Coding::Zstd => format!("{LAYER}+zstd"),
    };
    let path = path.as_bytes().to_vec();
    Ok(FoundLayer { path, digest: stored.digest, bytes: stored.bytes, media_type })
}

/// A configuration that is named by its digest must have it.
fn check_name(path: &str, found: Digest) -> Result<(), LayoutError> {
    let stem = path.rsplit('/').next().unwrap_or(path);
    let stem = stem.strip_suffix(".json").unwrap_or(stem);
    match Digest::parse_hex(stem) {
        Some(expected) if expected != found => {
            Err(LayoutError::Damaged { path: path.to_owned(), expected, found })
        }
        _ => Ok(()),
    }
}
