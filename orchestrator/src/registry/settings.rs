//! What an installation and a command line say of registries.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schema::project::ImageRef;

use super::credentials::Sources;
use crate::context::Context;

/// Docker Hub, and who gives its tokens: `io` is a country's domain, so that its house has three
/// labels and this one has to be named.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_REALM: &str = "auth.docker.io";

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What `config.kdl` says of single registries.
    pub hosts: BTreeMap<String, HostSettings>,
    /// Where logins are looked up.
    pub credentials: Sources,
    /// Who carries requests to hosts outside.
    pub proxies: Proxies,
    /// Whom to trust besides the system's authorities: a file of PEM certificates.
    pub ca_certs: Option<PathBuf>,
    /// Speak plain HTTP.
    pub insecure: bool,
}

/// What `config.kdl` says of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostSettings {
    /// Speak plain HTTP.
    pub insecure: bool,
    /// Whom to trust besides the system's authorities: a file of PEM certificates.
    pub ca_certs: Option<PathBuf>,
    /// A host that may see this registry's logins, to give tokens for them.
    pub token_realm: Option<String>,
}

/// Returns the host of a registry as references write it, or `None` where a text is none.
#[must_use]
pub fn host(text: &str) -> Option<String> {
    match ImageRef::parse(&format!("{text}/x")) {
        Ok(ImageRef::Registry(image)) if image.path == "x" || text == "docker.io" => {
            Some(image.host)
        }
        Ok(ImageRef::Registry(image)) if text == "index.docker.io" => Some(image.host),
        _ => None,
    }
}

/// Who carries requests to hosts outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For TLS.
    pub https: Option<String>,
    /// For plain HTTP.
    pub http: Option<String>,
    /// Hosts that are reached without one.
    pub none: Option<String>,
}

impl Settings {
    /// Returns what this process was started with, and what `config.kdl` says of single hosts.
    #[must_use]
    pub fn of(context: &Context, hosts: &BTreeMap<String, HostSettings>) -> Self {
        let variable = |upper: &str, lower: &str| {
            let environment = &context.environment;
            environment.get(upper).or_else(|| environment.get(lower)).map(str::to_owned)
        };
        Self {
            hosts: hosts.clone(),
            credentials: Sources::of(context),
            proxies: Proxies {
                https: variable("HTTPS_PROXY", "https_proxy"),
                http: variable("HTTP_PROXY", "http_proxy"),
                none: variable("NO_PROXY", "no_proxy"),
            },
            ca_certs: None,
            insecure: false,
        }
    }

    /// Returns them with what a command line adds.
    #[must_use]
    pub fn with_flags(mut self, insecure: bool, ca_certs: Option<PathBuf>) -> Self {
        self.insecure |= insecure;
        self.ca_certs = ca_certs.or(self.ca_certs);
        self
    }

    /// Returns what holds for a registry; flags beat the file.
    #[must_use]
    pub(super) fn host(&self, host: &str) -> HostSettings {
        let mut found = self.hosts.get(host).cloned().unwrap_or_default();
        found.insecure |= self.insecure;
        if let Some(path) = &self.ca_certs {
            found.ca_certs = Some(path.clone());
        }
        if host == DOCKER_HUB && found.token_realm.is_none() {
            found.token_realm = Some(DOCKER_HUB_REALM.to_owned());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_one_that_references_can_name() {
        for (text, host_of) in [
            ("ghcr.io", Some("ghcr.io")),
            ("index.docker.io", Some("docker.io")),
            ("docker.io", Some("docker.io")),
            ("localhost:5000", Some("localhost:5000")),
            ("registry", None),
            ("https://ghcr.io", None),
            ("ghcr.io/acme", None),
            ("", None),
        ] {
            assert_eq!(host(text).as_deref(), host_of, "{text}");
        }
    }

    #[test]
    fn a_flag_beats_the_file_and_docker_hub_knows_its_house() {
        let entry = HostSettings { ca_certs: Some("/file.pem".into()), ..HostSettings::default() };
        let hosts = BTreeMap::from([("a.example".to_owned(), entry)]);
        let settings = Settings { hosts, ..Settings::default() };
        assert_eq!(settings.host("a.example").ca_certs, Some("/file.pem".into()));
        assert_eq!(settings.host("b.example"), HostSettings::default());
        let settings = settings.with_flags(true, Some("/flag.pem".into()));
        let found = settings.host("a.example");
        assert_eq!((found.insecure, found.ca_certs), (true, Some("/flag.pem".into())));
        assert_eq!(settings.host("docker.io").token_realm.as_deref(), Some("auth.docker.io"));
    }
}
