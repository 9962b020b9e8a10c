//! Why a registry did not give what was asked of it, and what a person can do.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;

use image::digest::Digest;
use thiserror::Error;

use super::credentials::CredentialsError;
use crate::report::clean::clean;

/// See the module.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The image comes with msb.
    #[error("{0} is no image of a registry")]
    NoRegistry(String),
    /// The registry does not have it.
    #[error("{what} is not in the registry {host}")]
    NotFound {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What the registry says of it.
        #[source]
        said: Option<Said>,
    },
    /// The registry does not give it to us.
    #[error("the registry {host} denies {what} to {who}")]
    Denied {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// As whom it was asked for: a user and where the login is from.
        who: String,
        /// What the registry says of it, or why no login was found.
        #[source]
        said: Option<Said>,
    },
    /// There is no connection.
    #[error("cannot reach the registry {host}")]
    Unreachable {
        /// The registry.
        host: String,
        /// Why not.
        #[source]
        source: Wire,
    },
    /// The certificate is of nobody we trust.
    #[error("the certificate of {host} cannot be trusted")]
    Untrusted {
        /// The registry.
        host: String,
        /// What is wrong with it.
        #[source]
        source: Wire,
    },
    /// TLS was spoken and plain HTTP answered.
    #[error("{host} does not speak TLS")]
    Plain {
        /// The registry.
        host: String,
    },
    /// The connection broke off, each time.
    #[error("the connection to {host} broke off while {what} was read")]
    Cut {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// How.
        #[source]
        source: Wire,
    },
    /// An answer that helps nobody.
    #[error("the registry {host} answers {status} to {what}")]
    Status {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// The status.
        status: u16,
        /// What the registry says of it.
        #[source]
        said: Option<Said>,
    },
    /// An answer that is not taken.
    #[error("{what} of {host} is refused: {why}")]
    Refused {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What is wrong with it.
        why: String,
    },
    /// No image for the platform.
    #[error("{reference} has no image for {wanted}, only for {}", list(found))]
    Unresolved {
        /// The image.
        reference: String,
        /// The platform that was looked for.
        wanted: String,
        /// Those there are.
        found: Vec<String>,
    },
    /// Bytes are not what their digest says.
    #[error("{what} of {host} is damaged: it is not {expected}, its bytes hash to {found}")]
    Damaged {
        /// The registry.
        host: String,
        /// What was asked for.
        what: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// A file of certificates cannot be used.
    #[error("cannot use the certificates of {}", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Wire,
    },
    /// A proxy cannot be used.
    #[error("{0} is no proxy that can be used")]
    Proxy(String),
    /// Logins cannot be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// What was read could not be kept.
    #[error("cannot keep what the registry sends")]
    Sink(#[source] io::Error),
    /// No connection can be made at all.
    #[error("cannot prepare connections")]
    Prepare(#[source] io::Error),
}

/// Something of a library below, as a cause.
pub type Wire = Box<dyn Error + Send + Sync>;

/// How much of what a registry says is shown.
const SAID_CHARS: usize = 300;

/// What a registry says, made safe and short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said(String);

impl Said {
    /// Returns what somebody else wrote; nothing of nothing.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text: String = text.trim().chars().take(SAID_CHARS).collect();
        let text = clean(&text).into_owned();
        (!text.is_empty()).then_some(Self(text))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

fn list(found: &[String]) -> String {
    if found.is_empty() { "no platform".to_owned() } else { found.join(", ") }
}

impl RegistryError {
    /// Returns the code that the command line gives it.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoRegistry(_) | Self::NotFound { .. } => "msb::image::not-found",
            Self::Unresolved { .. } => "msb::image::unresolved",
            Self::Damaged { .. } => "msb::image::damaged",
            Self::Denied { .. } => "msb::registry::denied",
            Self::Unreachable { .. } | Self::Cut { .. } | Self::Status { .. } => {
                "msb::registry::unreachable"
            }
            Self::Untrusted { .. } | Self::Plain { .. } => "msb::registry::untrusted",
            Self::Refused { .. } => "msb::registry::refused",
            Self::Certificates { .. } | Self::Proxy(_) => "msb::usage::value",
            Self::Credentials(error) => error.code(),
            Self::Sink(_) | Self::Prepare(_) => "msb::image::store",
        }
    }

    /// Returns what to do about it: one sentence.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::NoRegistry(_) => "Name an image of a registry.".to_owned(),
            Self::NotFound { .. } => {
                "Check the name and the tag; a private image may need `msb registry login`."
                    .to_owned()
            }
            Self::Denied { host, .. } => {
                format!("Log in with `msb registry login {host} -u USER`.")
            }
            Self::Unreachable { .. } => {
                "Check the host, the network, and HTTPS_PROXY where there is a proxy.".to_owned()
            }
            Self::Cut { .. } | Self::Status { .. } => {
                "Try again; what was read whole is kept.".to_owned()
            }
            Self::Untrusted { host, .. } => format!(
                "Name its authority with `--ca-certs PEM`, or with `registry \"{host}\" \
                 {{ ca-certs \"/PATH.pem\" }}` in config.kdl."
            ),
            Self::Plain { host } => format!(
                "Give `--insecure`, or write `registry \"{host}\" {{ insecure #true }}` in \
                 config.kdl, if this network may see and change what is sent."
            ),
            Self::Refused { .. } | Self::Damaged { .. } => {
                "Ask whoever keeps the image to push it again.".to_owned()
            }
            Self::Unresolved { .. } => "Choose one of them with `--platform OS/ARCH`.".to_owned(),
            Self::Certificates { .. } => {
                "Name a file of PEM certificates that can be read.".to_owned()
            }
            Self::Proxy(_) => "Write HTTPS_PROXY as `http://HOST:PORT`.".to_owned(),
            Self::Credentials(error) => error.hint(),
            Self::Sink(_) | Self::Prepare(_) => {
                "Look at the disk and the permissions of the home folder.".to_owned()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_registry_says_is_safe_and_short() {
        let said = Said::of(&format!("\u{1b}[31mno\u{1b}[0m {}", "x".repeat(9000))).unwrap();
        let text = said.to_string();
        assert!(text.starts_with("no x") && text.len() <= SAID_CHARS, "{text}");
        assert_eq!(Said::of(" \n"), None);
    }
}
