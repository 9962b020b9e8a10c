//! How names are looked up.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::units::Millis;

/// How names are looked up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// The servers that are asked, in this order; none are the host's.
    pub servers: Vec<SocketAddr>,
    /// Whether answers with other than public addresses are dropped.
    pub rebind_protection: bool,
    /// How long an answer may take, all servers together.
    pub timeout: Millis,
}

/// Why a text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It does not begin with an address.
    #[error("`{0}` is not the address of a server")]
    NotAnAddress(String),
    /// The address stands in brackets without a port.
    #[error("an address stands in brackets only with a port behind it")]
    Brackets(IpAddr),
    /// No port is 0.
    #[error("`{0}` is not a port; ports are 1 to 65535")]
    Port(String),
}

impl ServerError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::NotAnAddress(_) | Self::Port(_) => None,
            Self::Brackets(address) => Some(address.to_string()),
        }
    }
}

impl Dns {
    /// How long an answer may take where the file does not say.
    pub const TIMEOUT: Millis = Millis::seconds(5);
    /// The port of a server that is written without one.
    pub const PORT: u16 = 53;

    /// Reads `1.1.1.1`, `1.1.1.1:53` or `[2606:4700::1111]:53`.
    ///
    /// # Errors
    /// [`ServerError`] names the rule that the text broke.
    pub fn parse_server(text: &str) -> Result<SocketAddr, ServerError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(SocketAddr::new(address.to_canonical(), Self::PORT));
        }
        let inner = text.strip_prefix('[').and_then(|inner| inner.strip_suffix(']'));
        if let Some(address) = inner.and_then(|inner| inner.parse().ok()) {
            return Err(ServerError::Brackets(address));
        }
        match text.parse::<SocketAddr>() {
            Ok(server) if server.port() == 0 => Err(ServerError::Port("0".to_owned())),
            Ok(server) => Ok(SocketAddr::new(server.ip().to_canonical(), server.port())),
            Err(_) => Err(ServerError::NotAnAddress(text.to_owned())),
        }
    }
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), rebind_protection: true, timeout: Self::TIMEOUT }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_3_6_a_server_is_an_address_perhaps_with_a_port() {
        for (text, normal) in [
            ("1.1.1.1", "1.1.1.1:53"),
            ("1.1.1.1:5353", "1.1.1.1:5353"),
            ("2606:4700::1111", "[2606:4700::1111]:53"),
            ("[2606:4700::1111]:53", "[2606:4700::1111]:53"),
            ("::ffff:1.1.1.1", "1.1.1.1:53"),
        ] {
            assert_eq!(Dns::parse_server(text).unwrap().to_string(), normal);
        }
        for text in ["dns.example", "1.1.1.1:0", "1.1.1.1:dns", "", "1.1.1"] {
            assert_eq!(Dns::parse_server(text).unwrap_err().nearest(), None, "{text}");
        }
        assert_eq!(Dns::parse_server("[::1]").unwrap_err().nearest().as_deref(), Some("::1"));
    }
}
