//! Where a receiver is: a URL, taken apart.

use hyper::Uri;
use thiserror::Error;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Whether the connection is TLS.
    pub is_tls: bool,
    /// The host, without the brackets of an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Host and port as they were written.
    pub authority: String,
    /// The path, which begins with `/`, and a query that was written with it.
    pub path: String,
}

/// Why a text is no place that figures can be sent to.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum EndpointError {
    /// It is no URL.
    #[error("`{0}` is no URL")]
    NotAUrl(String),
    /// Its scheme is neither `http` nor `https`.
    #[error("`{0}` does not begin with http:// or https://")]
    Scheme(String),
    /// It names a user, and perhaps a password, which is not shown.
    #[error("the URL of {0} holds a user name")]
    User(String),
}

impl Endpoint {
    /// Reads a URL.
    ///
    /// # Errors
    /// It is none, or none that figures can be sent to.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        let text = text.trim();
        let not_a_url = || EndpointError::NotAUrl(text.to_owned());
        let (scheme, _) = text.split_once("://").ok_or_else(|| match text.contains('@') {
            true => EndpointError::NotAUrl("…".to_owned()),
            false => EndpointError::Scheme(text.to_owned()),
        })?;
        if let Some((_, host)) = text.rsplit_once('@') {
            return Err(EndpointError::User(host.to_owned()));
        }
        let is_tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(EndpointError::Scheme(text.to_owned())),
        };
        let url: Uri = text.parse().map_err(|_| not_a_url())?;
        let authority = url.authority().ok_or_else(not_a_url)?;
        let host = authority.host();
        // A port that cannot be read is left out of the URL's own reading of it.
        let has_odd_port = authority.as_str() != host && authority.port_u16().is_none();
        if host.is_empty() || has_odd_port {
            return Err(not_a_url());
        }
        Ok(Self {
            is_tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: url.path_and_query().map_or("/", |path| path.as_str()).to_owned(),
        })
    }

    /// Returns the endpoint of a signal below one that stands for all of them.
    #[must_use]
    pub fn join(mut self, path: &str) -> Self {
        self.path = format!("{}{path}", self.path.trim_end_matches('/'));
        self
    }

    /// Returns the URL of a path of this host.
    pub(super) fn url(&self, path: &str) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_used_as_it_is_written() {
        for (text, want) in [
            ("http://localhost:4318", (false, "localhost", 4318, "/")),
            ("http://localhost:4318/", (false, "localhost", 4318, "/")),
            ("https://otlp.example/v1/metrics", (true, "otlp.example", 443, "/v1/metrics")),
            ("HTTP://10.0.0.1", (false, "10.0.0.1", 80, "/")),
            ("https://[::1]:4317/a?b=c", (true, "::1", 4317, "/a?b=c")),
        ] {
            let found = Endpoint::parse(text).unwrap();
            let found = (found.is_tls, found.host.as_str(), found.port, found.path.as_str());
            assert_eq!(found, want, "{text}");
        }
    }

    #[test]
    fn the_path_of_a_signal_is_added_to_that_of_all() {
        for (text, want) in [
            ("http://h:4318", "/v1/metrics"),
            ("http://h:4318/", "/v1/metrics"),
            ("http://h:4318/otlp", "/otlp/v1/metrics"),
            ("http://h:4318/otlp/", "/otlp/v1/metrics"),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().join("/v1/metrics").path, want, "{text}");
        }
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_no_password_shown() {
        for text in ["localhost:4317", "", "grpc://h:1", "unix:///run/otlp"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::Scheme(_))), "{text}");
        }
        for text in ["http://", "http://h:99999", "http://h:x", "http://a b", "https://[::1"] {
            assert!(matches!(Endpoint::parse(text), Err(EndpointError::NotAUrl(_))), "{text}");
        }
        for text in ["https://me:geheim@h/", "me:geheim@h"] {
            let said = Endpoint::parse(text).unwrap_err().to_string();
            assert!(!said.contains("geheim"), "{said}");
        }
    }
}
