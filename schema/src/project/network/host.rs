//! A name of hosts, or all names below a suffix, in ASCII and lower case.

use std::fmt;
use std::net::IpAddr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Serialize};

/// Why a text is not a pattern of host names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// It has no dot.
    #[error("`{0}` is one label; the name of a host has two or more")]
    SingleLabel(String),
    /// The suffix of a wildcard has no dot.
    #[error("`{0}` is too wide; the suffix behind `*.` has two labels or more")]
    ShortSuffix(String),
    /// A star stands somewhere else than at the front.
    #[error("in `{0}` the star is not at the front; it stands for all names below a suffix")]
    Star(String),
    /// It is an address.
    #[error("`{0}` is an address, not the name of hosts")]
    Address(String),
    /// A port stands behind the name.
    #[error("`{text}` has a port behind it")]
    Port {
        /// What was written.
        text: String,
        /// What stands before the port.
        host: String,
        /// The port.
        port: String,
    },
    /// It has a scheme or a path.
    #[error("`{0}` is a URL, not the name of hosts")]
    Url(String),
    /// It ends with a dot.
    #[error("`{0}` ends with a dot")]
    TrailingDot(String),
    /// It is no name that the DNS could have.
    #[error("`{0}` is not the name of hosts")]
    NotAName(String),
}

impl HostError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        let near = match self {
            Self::SingleLabel(_) | Self::ShortSuffix(_) | Self::Star(_) | Self::Address(_) => None,
            Self::Port { host, .. } => Some(host.as_str()),
            Self::Url(text) => {
                let rest = text.split_once("://").map_or(text.as_str(), |(_, rest)| rest);
                rest.split(['/', '?', '#', ':']).next()
            }
            Self::TrailingDot(text) | Self::NotAName(text) => Some(text.trim().trim_matches('.')),
        };
        near.and_then(|near| HostPattern::parse(near).ok()).map(String::from)
    }
}

/// A DNS name of two labels or more, or `*.` and a suffix: the suffix and all names below it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPattern(String);

const WILDCARD: &str = "*.";

impl HostPattern {
    /// Reads a pattern, and brings it into ASCII and lower case.
    ///
    /// # Errors
    /// [`HostError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let refused = |error: fn(String) -> HostError| Err(error(text.to_owned()));
        if text.contains('/') {
            return refused(HostError::Url);
        }
        if text.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
            return refused(HostError::Address);
        }
        if let Some((host, port)) = port_behind(text) {
            let text = text.to_owned();
            return Err(HostError::Port { text, host: host.to_owned(), port: port.to_owned() });
        }
        if text.ends_with('.') {
            return refused(HostError::TrailingDot);
        }
        let (wildcard, name) = match text.strip_prefix(WILDCARD) {
            Some(suffix) => (WILDCARD, suffix),
            None => ("", text),
        };
        if name.contains('*') {
            return refused(HostError::Star);
        }
        let Some(name) = ascii(name) else { return refused(HostError::NotAName) };
        match name.rsplit_once('.') {
            None if wildcard.is_empty() => refused(HostError::SingleLabel),
            None => refused(HostError::ShortSuffix),
            // The DNS has no such top, and tools read it as an address.
            Some((_, top)) if top.bytes().all(|b| b.is_ascii_digit()) => {
                refused(HostError::Address)
            }
            Some(_) => Ok(Self(format!("{wildcard}{name}"))),
        }
    }

    /// Returns the pattern: `api.acme.example`, `*.acme.example`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name, or the suffix that a wildcard stands before.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.strip_prefix(WILDCARD).unwrap_or(&self.0)
    }

    /// Tells whether the names below are meant too.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.0.starts_with(WILDCARD)
    }

    /// Tells whether `name`, as the DNS writes it, is meant; case and a dot at its end do not count.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let (name, own) =
            (name.strip_suffix('.').unwrap_or(name).as_bytes(), self.name().as_bytes());
        let Some(skip) = name.len().checked_sub(own.len()) else { return false };
        let (below, tail) = name.split_at(skip);
        tail.eq_ignore_ascii_case(own)
            && (below.is_empty() || self.is_wildcard() && below.ends_with(b"."))
    }

    /// Tells whether every name that `other` means is meant by this one too.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.matches(other.name()) && (self.is_wildcard() || !other.is_wildcard())
    }

    /// Tells whether there is a name that both mean.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.matches(other.name()) || other.matches(self.name())
    }
}

/// Returns what stands before and after a colon, where only digits follow the last one.
pub(super) fn port_behind(text: &str) -> Option<(&str, &str)> {
    let (head, port) = text.rsplit_once(':')?;
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (digits && !head.is_empty()).then_some((head, port))
}

/// Brings a name into its ASCII form; `None` where it has none.
fn ascii(name: &str) -> Option<String> {
    let name = Uts46::new()
        .to_ascii(name.as_bytes(), AsciiDenyList::URL, Hyphens::CheckFirstLast, DnsLength::Verify)
        .ok()?;
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
    let label = |label: &str| !label.is_empty() && label.bytes().all(letter);
    name.split('.').all(label).then(|| name.into_owned())
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostPattern {
    type Error = HostError;
    fn try_from(text: String) -> Result<Self, HostError> {
        Self::parse(&text)
    }
}

impl From<HostPattern> for String {
    fn from(pattern: HostPattern) -> Self {
        pattern.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap()
    }

    #[test]
    fn sf_3_1_a_pattern_is_lower_case_ascii() {
        for (text, normal) in [
            ("api.acme.example", "api.acme.example"),
            ("*.Acme.Example", "*.acme.example"),
            ("Bücher.example", "xn--bcher-kva.example"),
            ("*.bücher.example", "*.xn--bcher-kva.example"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("straße.example", "xn--strae-oqa.example"),
            ("my_bucket.s3.example", "my_bucket.s3.example"),
            ("r3---sn-x.video.example", "r3---sn-x.video.example"),
            ("a。example", "a.example"),
            ("4.acme.example", "4.acme.example"),
        ] {
            assert_eq!(pattern(text).as_str(), normal, "{text}");
            assert_eq!(pattern(normal), pattern(text));
        }
    }

    #[test]
    fn what_is_no_pattern_has_a_near_one_where_there_is_one() {
        for (text, near) in [
            ("localhost", None),
            ("*", None),
            ("*.com", None),
            ("a.*.example", None),
            ("*a.example", None),
            ("10.0.0.1", None),
            ("10.0.0.256", None),
            ("[::1]", None),
            ("a..example", None),
            ("-a.example", None),
            ("a b.example", None),
            ("xn--a.example", None),
            ("", None),
            ("a.example:443", Some("a.example")),
            ("https://a.example/x", Some("a.example")),
            ("https://a.example:8443/x", Some("a.example")),
            ("a.example/x", Some("a.example")),
            ("a.example.", Some("a.example")),
            (".a.example", Some("a.example")),
        ] {
            let error = HostPattern::parse(text).unwrap_err();
            assert_eq!(error.nearest().as_deref(), near, "{text}: {error}");
        }
        HostPattern::parse(&format!("{}.example", "a".repeat(64))).unwrap_err();
        HostPattern::parse(&format!("{}a.example", "a.".repeat(125))).unwrap_err();
    }

    #[test]
    fn sf_3_1_a_wildcard_means_its_suffix_and_all_below_it() {
        let (one, all) = (pattern("acme.example"), pattern("*.acme.example"));
        for (name, by_one, by_all) in [
            ("acme.example", true, true),
            ("ACME.example.", true, true),
            ("a.acme.example", false, true),
            ("b.a.acme.example", false, true),
            ("xacme.example", false, false),
            ("example", false, false),
            ("", false, false),
        ] {
            assert_eq!((one.matches(name), all.matches(name)), (by_one, by_all), "{name}");
        }
        assert!(all.covers(&one) && !one.covers(&all));
        let (deep, other) = (pattern("*.a.acme.example"), pattern("other.example"));
        assert!(all.covers(&deep) && !deep.covers(&all));
        assert!(all.overlaps(&deep) && deep.overlaps(&all) && !deep.overlaps(&one));
        assert!(!all.overlaps(&other));
    }
}
