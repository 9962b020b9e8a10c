//! The one list of what the language can say and no machine does yet.
//!
//! Such a key is read, resolved and planned like any other; a plan that would
//! boot it refuses to be carried out. A default that is not honoured yet is
//! nobody's wish: what counts is what was written, or differs from the default.

use schema::project::{EnvValue, Root, Sandbox};

/// Returns the fields of a sandbox that no machine honours yet, by path.
///
/// `is_written` tells whether a field stands in a file, for those whose default
/// is not built either.
#[must_use]
pub fn unbuilt(sandbox: &Sandbox, is_written: impl Fn(&str) -> bool) -> Vec<String> {
    let mut fields = Vec::new();
    let mut add = |field: &str| fields.push(field.to_owned());
    match sandbox.root {
        Root::Image(_) => {}
        Root::Disk(_) => add("root-disk"),
        Root::Dir(_) => add("root-dir"),
    }
    for (key, value) in &sandbox.env {
        if matches!(value, EnvValue::Secret(_)) {
            add(&format!("env.{key}"));
        }
    }
    tls(sandbox, &is_written).into_iter().for_each(&mut add);
    fields
}

/// Returns what is asked for about TLS that takes its being opened.
///
/// That it is not is the default, and may be written.
fn tls(sandbox: &Sandbox, is_written: impl Fn(&str) -> bool) -> Vec<&'static str> {
    let tls = &sandbox.network.tls;
    // A secret turns it on, and is named itself.
    let by_secret = sandbox.env.values().any(|value| matches!(value, EnvValue::Secret(_)));
    let fields = [
        (
            tls.intercept && (!by_secret || is_written("network.tls.intercept")),
            "network.tls.intercept",
        ),
        (!tls.bypass.is_empty(), "network.tls.bypass"),
        (!tls.upstream_ca.is_empty(), "network.tls.upstream-ca"),
        (tls.authority.is_some(), "network.tls.ca-cert"),
        (tls.trust_host_cas, "network.tls.trust-host-cas"),
    ];
    fields.into_iter().filter(|(asked, _)| *asked).map(|(_, field)| field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::name::{EnvKey, SecretName};
    use schema::project::network::{Authority, HostPattern};
    use schema::project::{ImageRef, Kind, Probe};
    use schema::units::Millis;

    #[test]
    fn a_default_is_nobodys_wish() {
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        assert!(unbuilt(&web, |_| false).is_empty());
        web.ready.probe = Probe::Tcp(80);
        assert!(unbuilt(&web, |_| true).is_empty());
        web.metrics.interval = Millis::seconds(9);
        web.restart.max = 9;
        web.idle_timeout = Some(Millis::seconds(1));
        assert!(unbuilt(&web, |_| true).is_empty());
    }

    #[test]
    fn what_takes_tls_to_be_opened_is_not_built_and_its_ports_are() {
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        web.network.tls.ports = vec![8443];
        web.network.tls.block_quic = false;
        let all = |_: &str| true;
        assert!(!unbuilt(&web, all).iter().any(|field| field.starts_with("network")));
        web.network.tls.intercept = true;
        web.network.tls.bypass.push(HostPattern::parse("a.example").unwrap());
        web.network.tls.upstream_ca.push("/ca.pem".into());
        web.network.tls.authority = Some(Authority { cert: "/c".into(), key: "/k".into() });
        web.network.tls.trust_host_cas = true;
        let fields = unbuilt(&web, |_| false);
        let expected = ["intercept", "bypass", "upstream-ca", "ca-cert", "trust-host-cas"];
        assert_eq!(fields, expected.map(|field| format!("network.tls.{field}")));
    }

    #[test]
    fn a_secret_is_named_and_not_the_tls_that_it_turns_on() {
        let mut web = Sandbox::new(Kind::Service, ImageRef::parse("x:1").unwrap());
        let (key, name) = (EnvKey::parse("KEY").unwrap(), SecretName::parse("s").unwrap());
        web.env.insert(key, EnvValue::Secret(name));
        web.network.tls.intercept = true;
        assert_eq!(unbuilt(&web, |_| false), ["env.KEY"]);
        let written = |field: &str| field == "network.tls.intercept";
        assert_eq!(unbuilt(&web, written), ["env.KEY", "network.tls.intercept"]);
    }
}
