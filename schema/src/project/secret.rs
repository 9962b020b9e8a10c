//! A value that the guest never sees, by where it comes from and where it may go.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::network::HostPattern;

/// A secret, as a reference: its value is in no file, plan or state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Where the value comes from.
    pub source: SecretSource,
    /// Where the value may go.
    pub hosts: Vec<HostPattern>,
    /// The places of a request where the placeholder is replaced.
    #[serde(rename = "in")]
    pub places: Vec<SecretPlace>,
    /// What the guest sees instead; `None` is random, anew at each start.
    pub placeholder: Option<Placeholder>,
    /// What happens when the placeholder is sent anywhere else.
    pub on_violation: OnViolation,
    /// Where the placeholder itself may go.
    pub passthrough_hosts: Vec<HostPattern>,
    /// Whether only TLS carries the value.
    pub require_tls: bool,
}

impl Secret {
    /// The places where the placeholder is replaced if the file does not say.
    pub const PLACES: [SecretPlace; 2] = [SecretPlace::Header, SecretPlace::BasicAuth];

    /// Returns the secret from `source` for `hosts`, with defaults everywhere else.
    #[must_use]
    pub fn new(source: SecretSource, hosts: Vec<HostPattern>) -> Self {
        Self {
            source,
            hosts,
            places: Self::PLACES.to_vec(),
            placeholder: None,
            on_violation: OnViolation::default(),
            passthrough_hosts: Vec::new(),
            require_tls: true,
        }
    }
}

/// Where the value of a secret comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretSource {
    /// This variable of the host.
    Env(String),
    /// This file of the host.
    File(PathBuf),
}

/// Prints the reference: `env:STRIPE_KEY`, `file:/home/ana/gh.token`.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
        }
    }
}

/// A place of a request where a placeholder is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SecretPlace {
    /// The value of a header.
    Header,
    /// User and password of basic authentication.
    BasicAuth,
    /// What stands behind the question mark.
    Query,
    /// The body.
    Body,
}

impl SecretPlace {
    /// Every place there is.
    pub const ALL: [Self; 4] = [Self::Header, Self::BasicAuth, Self::Query, Self::Body];

    /// Returns the place as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::BasicAuth => "basic-auth",
            Self::Query => "query",
            Self::Body => "body",
        }
    }
}

/// What happens when a placeholder is sent where its value may not go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnViolation {
    /// Nothing of the request leaves.
    Block,
    /// And it is told.
    #[default]
    BlockAndLog,
    /// And the machine is stopped.
    BlockAndTerminate,
}

impl OnViolation {
    /// Returns the reaction as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::BlockAndLog => "block-and-log",
            Self::BlockAndTerminate => "block-and-terminate",
        }
    }
}

/// Why a text is not a placeholder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceholderError {
    /// It is too short to be told from other text, or longer than what is searched for.
    #[error("a placeholder has {} to {} bytes", Placeholder::BYTES.0, Placeholder::BYTES.1)]
    Length,
    /// It holds something that does not survive a request.
    #[error("a placeholder is printable ASCII")]
    Character,
}

/// What a guest sees in place of a value: 8 to 1,024 printable characters of ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Placeholder(String);

impl Placeholder {
    /// The least and the most bytes of one.
    pub const BYTES: (usize, usize) = (8, 1024);

    /// Checks a placeholder.
    ///
    /// # Errors
    /// [`PlaceholderError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, PlaceholderError> {
        if !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return Err(PlaceholderError::Character);
        }
        if !(Self::BYTES.0..=Self::BYTES.1).contains(&text.len()) {
            return Err(PlaceholderError::Length);
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Placeholder {
    type Error = PlaceholderError;
    fn try_from(text: String) -> Result<Self, PlaceholderError> {
        Self::parse(&text)
    }
}

impl From<Placeholder> for String {
    fn from(placeholder: Placeholder) -> Self {
        placeholder.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_secret_is_its_reference_and_reads_back_the_same() {
        let hosts = vec![HostPattern::parse("api.stripe.example").unwrap()];
        let secret = Secret::new(SecretSource::Env("STRIPE_KEY".into()), hosts);
        let text = serde_json::to_string(&secret).unwrap();
        assert!(
            text.starts_with(r#"{"source":{"env":"STRIPE_KEY"},"hosts":["api.stripe"#),
            "{text}"
        );
        assert!(text.contains(r#""in":["header","basic-auth"],"placeholder":null"#), "{text}");
        assert_eq!(serde_json::from_str::<Secret>(&text).unwrap(), secret);
    }

    #[test]
    fn sf_3_2_a_placeholder_is_8_to_1024_printable_characters() {
        for good in ["sk-00000", &"x".repeat(1024), "with a blank"] {
            assert!(Placeholder::parse(good).is_ok(), "{good}");
        }
        for bad in ["sk-0000", &"x".repeat(1025), "sk-0000000\n", "sk-000000é", "\u{7f}0000000"] {
            assert!(Placeholder::parse(bad).is_err(), "{bad}");
        }
    }
}
