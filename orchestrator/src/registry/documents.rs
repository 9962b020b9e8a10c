//! Manifests and indexes: read strictly, chosen by platform, held against their digests.

use image::config::LAYERS_MAX;
use image::digest::Digest;
use image::json;
use image::media::{CONFIGS, INDEX_ENTRIES_MAX, INDEXES, LAYERS, MANIFESTS};
use oci_client::manifest::{ImageIndexEntry, OciDescriptor, OciImageIndex, OciImageManifest};
use serde_json::Value;

use super::client::{Descriptor, Manifest};
use super::error::RegistryError;
use super::transport::Asked;

/// A document of a registry, its bytes held against its digest.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The digest of its bytes.
    pub(super) digest: Digest,
    /// What it was said to be.
    pub(super) media_type: String,
    /// Its bytes as they came.
    pub(super) bytes: Vec<u8>,
}

/// What a document is.
#[derive(Debug)]
pub(super) enum Read {
    /// An image.
    Manifest(Manifest),
    /// Images, or further indexes.
    Index(Vec<Entry>),
}

/// An entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// The document.
    pub(super) digest: Digest,
    /// It is an index itself.
    pub(super) is_index: bool,
    /// `linux/arm64/v8`.
    pub(super) platform: Option<String>,
}

/// Returns what is asked for, as a header has it.
pub(super) fn accepted() -> String {
    [INDEXES, MANIFESTS].concat().join(", ")
}

/// Tells whether a media type is that of an image's manifest.
pub(super) fn is_manifest(media_type: &str) -> bool {
    MANIFESTS.contains(&media_type)
}

/// Reads a document.
///
/// # Errors
/// It is something else, or two readers could understand it differently.
pub(super) fn read(asked: Asked<'_>, document: &Document) -> Result<Read, RegistryError> {
    let refused = |why: String| asked.refused(why);
    let value = json::parse(&document.bytes).map_err(|error| refused(error.to_string()))?;
    if value.get("schemaVersion").and_then(Value::as_u64) != Some(2) {
        return Err(refused("it is not of schema version 2".to_owned()));
    }
    if value.get("manifests").is_some() && value.get("layers").is_some() {
        return Err(refused("it is an index and a manifest at once".to_owned()));
    }
    let own = value.get("mediaType").and_then(Value::as_str).map(str::to_owned);
    let kind = own.unwrap_or_else(|| document.media_type.clone());
    let both = kind == document.media_type || document.media_type.is_empty();
    let known = |kinds: &[&str], kind: &str| kinds.contains(&kind);
    if known(&INDEXES, &kind) && (both || !is_manifest(&document.media_type)) {
        let index = serde_json::from_value::<OciImageIndex>(value);
        return index
            .map_err(|error| refused(error.to_string()))
            .and_then(|index| entries(asked, index.manifests).map(Read::Index));
    }
    if is_manifest(&kind) && (both || !known(&INDEXES, &document.media_type)) {
        let parsed = serde_json::from_value::<OciImageManifest>(value);
        let parsed = parsed.map_err(|error| refused(error.to_string()))?;
        return manifest(asked, document, &kind, &parsed).map(Read::Manifest);
    }
    Err(refused(format!("`{}` is no image", shown(&kind))))
}

fn entries(asked: Asked<'_>, manifests: Vec<ImageIndexEntry>) -> Result<Vec<Entry>, RegistryError> {
    if manifests.len() > INDEX_ENTRIES_MAX {
        return Err(asked.refused("it lists more than 1,000 manifests"));
    }
    let mut found = Vec::new();
    for entry in manifests {
        let is_index = INDEXES.contains(&entry.media_type.as_str());
        if !is_index && !is_manifest(&entry.media_type) {
            continue;
        }
        let platform = entry.platform.map(|platform| {
            let variant = platform.variant.map(|variant| format!("/{variant}"));
            let (os, architecture) = (platform.os, platform.architecture);
            shown(&format!("{os}/{architecture}{}", variant.unwrap_or_default()))
        });
        found.push(Entry { digest: digest(asked, &entry.digest)?, is_index, platform });
    }
    Ok(found)
}

fn manifest(
    asked: Asked<'_>,
    document: &Document,
    kind: &str,
    parsed: &OciImageManifest,
) -> Result<Manifest, RegistryError> {
    if parsed.layers.is_empty() || parsed.layers.len() > LAYERS_MAX {
        let count = parsed.layers.len();
        return Err(asked.refused(format!("it has {count} layers, not 1 to {LAYERS_MAX}")));
    }
    let layers = parsed.layers.iter().map(|layer| part(asked, layer, &LAYERS, "layer"));
    Ok(Manifest {
        digest: document.digest,
        media_type: kind.to_owned(),
        bytes: document.bytes.clone(),
        config: part(asked, &parsed.config, &CONFIGS, "configuration of an image")?,
        layers: layers.collect::<Result<_, _>>()?,
    })
}

/// Checks a part; where else it could be fetched from is not looked at.
fn part(
    asked: Asked<'_>,
    one: &OciDescriptor,
    kinds: &[&str],
    what: &str,
) -> Result<Descriptor, RegistryError> {
    if !kinds.contains(&one.media_type.as_str()) {
        return Err(asked.refused(format!("`{}` is no {what}", shown(&one.media_type))));
    }
    let size = u64::try_from(one.size).map_err(|_| asked.refused("a size in it is negative"))?;
    Ok(Descriptor { media_type: one.media_type.clone(), digest: digest(asked, &one.digest)?, size })
}

fn digest(asked: Asked<'_>, text: &str) -> Result<Digest, RegistryError> {
    let refused = || asked.refused(format!("`{}` in it is no sha256 digest", shown(text)));
    Digest::parse(text).ok_or_else(refused)
}

fn shown(text: &str) -> String {
    text.chars().flat_map(char::escape_debug).take(100).collect()
}

/// Tells whether an entry's platform is the wanted one; a variant counts where it is asked for.
pub(super) fn fits(platform: &str, wanted: &str) -> bool {
    platform == wanted
        || (wanted.matches('/').count() == 1
            && platform.strip_prefix(wanted).is_some_and(|rest| rest.starts_with('/')))
}

/// Tells whether an entry is an image at all, and not what is said of one.
pub(super) fn is_real(platform: &str) -> bool {
    !platform.starts_with("unknown/")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: Asked<'static> = Asked { host: "h.example", what: "the manifest" };

    fn reading(text: &str, media_type: &str) -> Result<Read, String> {
        let bytes = text.as_bytes().to_vec();
        let digest = Digest::of(&bytes);
        let document = Document { digest, media_type: media_type.to_owned(), bytes };
        read(ASKED, &document).map_err(|error| error.to_string())
    }

    fn descriptor(kind: &str) -> String {
        let digest = Digest::of(b"x");
        format!("{{\"mediaType\":\"{kind}\",\"digest\":\"{digest}\",\"size\":1}}")
    }

    fn image(layer: &str) -> String {
        let (config, layer) = (descriptor(CONFIGS[0]), descriptor(layer));
        format!("{{\"schemaVersion\":2,\"config\":{config},\"layers\":[{layer}]}}")
    }

    #[test]
    fn a_manifest_is_read_by_what_it_says_it_is() {
        let Ok(Read::Manifest(found)) = reading(&image(LAYERS[1]), MANIFESTS[0]) else {
            panic!("a manifest");
        };
        assert_eq!((found.layers.len(), found.config.size), (1, 1));
        assert_eq!(found.media_type, MANIFESTS[0]);
    }

    #[test]
    fn an_index_keeps_what_are_images() {
        let entry = |kind: &str, platform: &str| {
            let one = descriptor(kind);
            format!("{},\"platform\":{platform}}}", &one[..one.len() - 1])
        };
        let arm = r#"{"os":"linux","architecture":"arm64","variant":"v8"}"#;
        let entries = [
            entry(MANIFESTS[0], arm),
            entry("application/x-chart", arm),
            descriptor(INDEXES[0]),
            entry(MANIFESTS[0], r#"{"os":"unknown","architecture":"unknown"}"#),
        ];
        let text = format!("{{\"schemaVersion\":2,\"manifests\":[{}]}}", entries.join(","));
        let Ok(Read::Index(found)) = reading(&text, INDEXES[0]) else { panic!("an index") };
        let platforms: Vec<_> = found.iter().map(|entry| entry.platform.as_deref()).collect();
        assert_eq!(platforms, [Some("linux/arm64/v8"), None, Some("unknown/unknown")]);
        assert!(found[1].is_index && !found[0].is_index);
        assert!(fits("linux/arm64/v8", "linux/arm64") && !fits("linux/arm64", "linux/arm64/v8"));
        assert!(!fits("linux/arm64", "linux/arm") && !is_real("unknown/unknown"));
    }

    #[test]
    fn what_is_no_image_is_refused_with_what_is_wrong() {
        let (good, index) = (image(LAYERS[1]), INDEXES[0]);
        let negative = good.replace("\"size\":1", "\"size\":-1");
        let both = good.replace("\"config\"", "\"manifests\":[],\"config\"");
        let claims = good.replace(
            "{\"schemaVersion\"",
            &format!("{{\"mediaType\":\"{index}\",\"schemaVersion\""),
        );
        let many = vec![descriptor(MANIFESTS[0]); 1001].join(",");
        let many = format!("{{\"schemaVersion\":2,\"manifests\":[{many}]}}");
        for (text, kind, said) in [
            (&image("text/x-evil\\u001b"), MANIFESTS[0], "is no layer"),
            (&negative, MANIFESTS[0], "negative"),
            (&both, MANIFESTS[0], "at once"),
            (&claims, MANIFESTS[0], "is no image"),
            (&many, index, "more than 1,000"),
            (&good.replace("sha256:", "sha512:"), MANIFESTS[0], "no sha256 digest"),
            (&good.replace(":2,", ":1,"), MANIFESTS[0], "schema version 2"),
            (&good, "application/vnd.docker.distribution.manifest.v1+prettyjws", "is no image"),
            (&"[]".to_owned(), MANIFESTS[0], "schema version"),
            (&"{".to_owned(), MANIFESTS[0], "EOF"),
        ] {
            let told = reading(text, kind).unwrap_err();
            assert!(told.contains(said) && !told.contains('\u{1b}'), "{told}");
        }
    }
}
