//! Who may see a registry's login: the registry, and those of its house.

use std::net::IpAddr;

/// Tells whether a token server at `realm` may see the login of `registry`; both may have ports.
///
/// It has to be the same host, or share its last two labels (three under a two-letter country
/// domain), or be named by the host's entry of `config.kdl`.
pub(super) fn may_see(registry: &str, realm: &str, named: Option<&str>) -> bool {
    let (registry, realm) = (name(registry), name(realm));
    if registry == realm || named.is_some_and(|named| name(named) == realm) {
        return true;
    }
    if [&registry, &realm].into_iter().any(|host| host.parse::<IpAddr>().is_ok()) {
        return false;
    }
    match (house(&registry), house(&realm)) {
        (Some(one), Some(other)) => one == other,
        _ => false,
    }
}

/// Tells whether a host is this one.
pub(super) fn is_loopback(host: &str) -> bool {
    let host = name(host);
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Returns a host without its port, in one spelling.
fn name(host: &str) -> String {
    let bare = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.rsplit_once(':').map_or(host, |(name, port)| {
            let is_port = port.bytes().all(|b| b.is_ascii_digit()) && !name.contains(':');
            if is_port { name } else { host }
        }),
    };
    bare.trim_end_matches('.').to_ascii_lowercase()
}

/// Returns the labels that one owner has registered.
fn house(host: &str) -> Option<Vec<&str>> {
    let labels: Vec<&str> = host.rsplit('.').collect();
    let count = if labels.first()?.len() == 2 { 3 } else { 2 };
    labels.get(..count).map(<[&str]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_seen_by_the_registry_and_its_house_alone() {
        let seen = [
            ("registry-1.docker.io", "auth.docker.io"),
            ("ghcr.io", "ghcr.io"),
            ("reg.acme.example:5000", "AUTH.acme.example."),
            ("reg.acme.co.uk", "auth.acme.co.uk"),
            ("127.0.0.1:5000", "127.0.0.1:5001"),
            ("localhost:5000", "localhost"),
        ];
        for (registry, realm) in seen {
            let under_country = registry.ends_with("docker.io");
            // `.io` has two letters: its houses have three labels, and Docker Hub is named.
            let named = under_country.then_some("auth.docker.io");
            assert!(may_see(registry, realm, named), "{registry} {realm}");
        }
        let unseen = [
            ("reg.acme.example", "auth.evil.example"),
            ("reg.acme.co.uk", "auth.evil.co.uk"),
            ("acme.uk", "evil.uk"),
            ("127.0.0.1:5000", "localhost:5000"),
            ("10.0.0.1", "11.0.0.1"),
            ("10.1.0.1", "20.2.0.1"),
            ("localhost", "evil"),
            ("[::1]:5000", "::2"),
            ("acme.example", "example"),
            ("reg.acme.example", "notacme.example"),
        ];
        for (registry, realm) in unseen {
            assert!(!may_see(registry, realm, None), "{registry} {realm}");
            assert!(may_see(registry, realm, Some(realm)), "{registry} {realm}");
        }
    }

    #[test]
    fn this_host_is_known_by_all_its_names() {
        for host in
            ["localhost", "localhost:5000", "127.0.0.1:1", "127.8.9.1", "[::1]:5", "a.localhost"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example", "128.0.0.1", "127.0.0.1.example:5000", "alocalhost"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
