//! Which image a sandbox starts from.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The image of a sandbox and how it is come by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Image {
    /// What is asked for.
    pub reference: ImageRef,
    /// Whether a missing image is fetched.
    pub pull: Pull,
    /// The platform; `None` is the host's own.
    pub platform: Option<Platform>,
}

/// Whether a missing image is fetched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pull {
    /// Fetched when the store does not have it.
    #[default]
    Missing,
    /// Never fetched.
    Never,
}

impl Pull {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Never => "never",
        }
    }
}

/// A platform that images are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Platform {
    /// 64-bit x86.
    #[serde(rename = "linux/amd64")]
    LinuxAmd64,
    /// 64-bit ARM.
    #[serde(rename = "linux/arm64")]
    LinuxArm64,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 2] = [Self::LinuxAmd64, Self::LinuxArm64];

    /// Returns the platform of this host.
    #[must_use]
    pub const fn host() -> Self {
        if cfg!(target_arch = "aarch64") { Self::LinuxArm64 } else { Self::LinuxAmd64 }
    }

    /// Returns the platform as images write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "linux/amd64",
            Self::LinuxArm64 => "linux/arm64",
        }
    }
}

/// A reference to an image, in full: host, path, and tag or digest.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ImageRef {
    /// A root that is shipped with msb: `builtin:base`.
    Builtin(String),
    /// An image of a registry, or one loaded under such a name.
    Registry(RegistryRef),
}

/// An image by its registry name, with what was left out filled in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryRef {
    /// Host, with a port where one was written: `docker.io`.
    pub host: String,
    /// Path below the host: `library/postgres`.
    pub path: String,
    /// Tag; `latest` where neither tag nor digest was written.
    pub tag: Option<String>,
    /// Manifest digest: `sha256:` and 64 hexadecimal digits.
    pub digest: Option<String>,
}

/// Why a text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageRefError {
    /// There is no image behind this `builtin:` name.
    #[error("there is no builtin image `{0}`; the one there is is `builtin:base`")]
    UnknownBuiltin(String),
    /// The host is not a host name with an optional port.
    #[error("`{0}` is not a registry host")]
    Host(String),
    /// A part of the path does not follow the rule.
    #[error("`{0}` is not an image path; paths are lower-case words joined by `/`")]
    Path(String),
    /// The tag does not follow the rule.
    #[error("`{0}` is not a tag; tags are letters, digits, `_`, `.` and `-`, at most 128")]
    Tag(String),
    /// The digest does not follow the rule.
    #[error("`{0}` is not a digest; digests are `sha256:` and 64 lower-case hexadecimal digits")]
    Digest(String),
}

const DEFAULT_HOST: &str = "docker.io";
const BUILTIN: &str = "builtin:";

impl ImageRef {
    /// Reads `[HOST[:PORT]/]PATH[:TAG][@sha256:…]` or `builtin:base`.
    ///
    /// # Errors
    /// [`ImageRefError`] names the part that is not in order.
    pub fn parse(text: &str) -> Result<Self, ImageRefError> {
        if let Some(name) = text.strip_prefix(BUILTIN) {
            return match name {
                "base" => Ok(Self::Builtin(name.to_owned())),
                _ => Err(ImageRefError::UnknownBuiltin(name.to_owned())),
            };
        }
        RegistryRef::parse(text).map(Self::Registry)
    }

    /// Returns the reference as people write it: without the default host, and without `library/`.
    #[must_use]
    pub fn short(&self) -> String {
        let full = self.to_string();
        let Some(rest) = full.strip_prefix("docker.io/") else { return full };
        rest.strip_prefix("library/").unwrap_or(rest).to_owned()
    }

    /// Returns whether the reference names neither tag nor digest in `text`.
    #[must_use]
    pub fn is_unpinned(text: &str) -> bool {
        let tail = text.rsplit('/').next().unwrap_or(text);
        !tail.contains([':', '@'])
    }
}

impl RegistryRef {
    fn parse(text: &str) -> Result<Self, ImageRefError> {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(checked_digest(digest)?)),
            None => (text, None),
        };
        let (host, rest) = split_host(name)?;
        let tail = rest.rfind('/').map_or(0, |at| at + 1);
        let (path, tag) = match rest[tail..].find(':') {
            Some(at) => (&rest[..tail + at], Some(checked_tag(&rest[tail + at + 1..])?)),
            None => (rest, None),
        };
        if path.len() > 255 || !path.split('/').all(is_path_part) {
            return Err(ImageRefError::Path(path.to_owned()));
        }
        let path = if host == DEFAULT_HOST && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let unpinned = tag.is_none() && digest.is_none();
        let tag = if unpinned { Some("latest".to_owned()) } else { tag };
        Ok(Self { host: host.to_owned(), path, tag, digest })
    }
}

/// Splits off the host: a first part with a dot or a port, or `localhost`.
fn split_host(name: &str) -> Result<(&str, &str), ImageRefError> {
    let Some((first, rest)) = name.split_once('/') else { return Ok((DEFAULT_HOST, name)) };
    if !(first.contains(['.', ':']) || first == "localhost") {
        return Ok((DEFAULT_HOST, name));
    }
    let (host, port) = first.split_once(':').unwrap_or((first, "1"));
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_port = port.bytes().all(|b| b.is_ascii_digit())
        && port.parse::<u16>().is_ok_and(|number| number > 0);
    if host.len() > 253 || !host.split('.').all(is_label) || !is_port {
        return Err(ImageRefError::Host(first.to_owned()));
    }
    Ok((if first == "index.docker.io" { DEFAULT_HOST } else { first }, rest))
}

/// Checks `[a-z0-9]+([._-]+[a-z0-9]+)*`, loosely as to how separators repeat.
fn is_path_part(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().copied().is_some_and(plain)
        && bytes.last().copied().is_some_and(plain)
        && bytes.iter().all(|b| plain(*b) || matches!(b, b'.' | b'_' | b'-'))
        && !part.contains("..")
}

fn checked_tag(tag: &str) -> Result<String, ImageRefError> {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let good = tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'));
    if good { Ok(tag.to_owned()) } else { Err(ImageRefError::Tag(tag.to_owned())) }
}

fn checked_digest(digest: &str) -> Result<String, ImageRefError> {
    let hex = digest.strip_prefix("sha256:").unwrap_or("");
    let good = hex.len() == 64 && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if good { Ok(digest.to_owned()) } else { Err(ImageRefError::Digest(digest.to_owned())) }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builtin(name) => write!(f, "{BUILTIN}{name}"),
            Self::Registry(image) => {
                write!(f, "{}/{}", image.host, image.path)?;
                if let Some(tag) = &image.tag {
                    write!(f, ":{tag}")?;
                }
                image.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
            }
        }
    }
}

impl TryFrom<String> for ImageRef {
    type Error = ImageRefError;
    fn try_from(text: String) -> Result<Self, ImageRefError> {
        Self::parse(&text)
    }
}

impl From<ImageRef> for String {
    fn from(reference: ImageRef) -> Self {
        reference.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        ImageRef::parse(text).unwrap().to_string()
    }

    #[test]
    fn what_is_left_out_is_filled_in() {
        assert_eq!(full("redis"), "docker.io/library/redis:latest");
        assert_eq!(full("acme/web:1.4"), "docker.io/acme/web:1.4");
        assert_eq!(full("ghcr.io/acme/web:1.4"), "ghcr.io/acme/web:1.4");
        assert_eq!(full("localhost/x:1"), "localhost/x:1");
        assert_eq!(full("reg.example:5000/a/b"), "reg.example:5000/a/b:latest");
        assert_eq!(full("builtin:base"), "builtin:base");
        let digest = format!("redis@sha256:{}", "0".repeat(64));
        assert_eq!(full(&digest), format!("docker.io/library/{digest}"));
    }

    #[test]
    fn the_short_form_reads_back_to_the_same() {
        for text in ["redis:7", "acme/web:1", "ghcr.io/acme/web:1", "builtin:base"] {
            let reference = ImageRef::parse(text).unwrap();
            assert_eq!(reference.short(), text);
            assert_eq!(ImageRef::parse(&reference.short()), Ok(reference));
        }
    }

    #[test]
    fn what_is_out_of_order_is_named() {
        assert!(matches!(ImageRef::parse("Redis"), Err(ImageRefError::Path(_))));
        assert!(matches!(ImageRef::parse(""), Err(ImageRefError::Path(_))));
        assert!(matches!(ImageRef::parse("a//b"), Err(ImageRefError::Path(_))));
        assert!(matches!(ImageRef::parse("a:"), Err(ImageRefError::Tag(_))));
        assert!(matches!(ImageRef::parse("a@sha256:12"), Err(ImageRefError::Digest(_))));
        assert!(matches!(ImageRef::parse("h.example:0/a"), Err(ImageRefError::Host(_))));
        assert!(matches!(ImageRef::parse("builtin:x"), Err(ImageRefError::UnknownBuiltin(_))));
    }
}
