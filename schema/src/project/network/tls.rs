//! What is done with TLS on its way out of a machine.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::HostPattern;

/// What is done with TLS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a key that people write apart")]
pub struct Tls {
    /// Whether it is opened and judged.
    pub intercept: bool,
    /// Where it is expected.
    pub ports: Vec<u16>,
    /// Hosts that are left alone.
    pub bypass: Vec<HostPattern>,
    /// Files of further authorities to trust upstream.
    pub upstream_ca: Vec<PathBuf>,
    /// The authority that the guest trusts; `None` is the installation's.
    pub authority: Option<Authority>,
    /// Whether the guest trusts the host's authorities.
    pub trust_host_cas: bool,
    /// Whether QUIC is denied on these ports.
    pub block_quic: bool,
}

impl Tls {
    /// Where TLS is expected if the file does not say.
    pub const PORT: u16 = 443;
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            intercept: false,
            ports: vec![Self::PORT],
            bypass: Vec::new(),
            upstream_ca: Vec::new(),
            authority: None,
            trust_host_cas: false,
            block_quic: true,
        }
    }
}

/// A certificate authority of the user's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The file of its certificate.
    pub cert: PathBuf,
    /// The file of its key.
    pub key: PathBuf,
}
