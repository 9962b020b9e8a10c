//! The fields of what a sandbox may reach, of who may reach it, and of its secrets.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::{Fields, Gather};
use crate::project::network::{Authority, Dns, Limits, Network, Preset, Tls};
use crate::project::{
    Connect, OnViolation, Placeholder, PublishedPort, Secret, SecretPlace, SecretSource,
};

pub(super) fn ports(fields: &mut Fields, before: &[PublishedPort], after: &[PublishedPort]) {
    let by_key = |ports: &[PublishedPort]| -> BTreeMap<String, PublishedPort> {
        ports.iter().map(|port| (port.key(), *port)).collect()
    };
    if fields.takes(before, after) {
        let guest = |port: Option<&PublishedPort>| port.map(|port| port.guest.to_string());
        fields.map("ports", (&by_key(before), &by_key(after)), |fields, path, before, after| {
            fields.push(path, guest(before), guest(after));
        });
    }
}

pub(super) fn connect(
    fields: &mut Fields,
    path: String,
    before: Option<&Connect>,
    after: Option<&Connect>,
) {
    let (Some(before), Some(after)) = (before, after) else {
        let whole = |connect: &Connect| format!("{} as {}", connect.ports, connect.alias);
        fields.push(path, before.map(whole), after.map(whole));
        return;
    };
    let Connect { ports, alias } = before;
    fields.value(&format!("{path}.ports"), ports, &after.ports);
    fields.value(&format!("{path}.as"), alias, &after.alias);
}

pub(super) fn network(fields: &mut Fields, before: &Network, after: &Network) {
    if !fields.takes(before, after) {
        return;
    }
    let Network { preset, rules, dns, limits, tls } = before;
    fields.told("network.preset", preset, &after.preset, Preset::to_string);
    let numbered = |network: &Network| -> BTreeMap<usize, String> {
        network.rules.iter().map(ToString::to_string).enumerate().collect()
    };
    if fields.takes(rules, &after.rules) {
        let (before, after) = (numbered(before), numbered(after));
        fields.map("network.rules", (&before, &after), |fields, path, before, after| {
            fields.push(path, before.cloned(), after.cloned());
        });
    }
    let Dns { servers, rebind_protection, timeout } = dns;
    list(fields, "network.dns.servers", servers, &after.dns.servers);
    let rebind = &after.dns.rebind_protection;
    fields.value("network.dns.rebind-protection", rebind_protection, rebind);
    fields.value("network.dns.timeout", timeout, &after.dns.timeout);
    let Limits { egress, ingress, max_connections } = limits;
    fields.amount_option("network.limits.egress", egress.as_ref(), after.limits.egress.as_ref());
    let most = after.limits.ingress.as_ref();
    fields.amount_option("network.limits.ingress", ingress.as_ref(), most);
    let most = &after.limits.max_connections;
    fields.amount("network.limits.max-connections", max_connections, most);
    walk_tls(fields, tls, &after.tls);
}

fn walk_tls(fields: &mut Fields, before: &Tls, after: &Tls) {
    let Tls { intercept, ports, bypass, upstream_ca, authority, trust_host_cas, block_quic } =
        before;
    fields.value("network.tls.intercept", intercept, &after.intercept);
    list(fields, "network.tls.ports", ports, &after.ports);
    list(fields, "network.tls.bypass", bypass, &after.bypass);
    let paths = |tls: &[std::path::PathBuf]| -> Vec<String> {
        tls.iter().map(|path| path.display().to_string()).collect()
    };
    list(fields, "network.tls.upstream-ca", &paths(upstream_ca), &paths(&after.upstream_ca));
    if fields.takes(authority, &after.authority) {
        let cert = |authority: &Authority| authority.cert.display().to_string();
        let key = |authority: &Authority| authority.key.display().to_string();
        let both = |tell: &dyn Fn(&Authority) -> String| {
            (authority.as_ref().map(tell), after.authority.as_ref().map(tell))
        };
        let (before, after) = both(&cert);
        fields.option("network.tls.ca-cert", before.as_ref(), after.as_ref(), Clone::clone);
        let (before, after) = both(&key);
        fields.option("network.tls.ca-key", before.as_ref(), after.as_ref(), Clone::clone);
    }
    fields.value("network.tls.trust-host-cas", trust_host_cas, &after.trust_host_cas);
    fields.value("network.tls.block-quic", block_quic, &after.block_quic);
}

pub(super) fn secret(
    fields: &mut Fields,
    path: String,
    before: Option<&Secret>,
    after: Option<&Secret>,
) {
    let (Some(before), Some(after)) = (before, after) else {
        let whole = |secret: &Secret| format!("{} for {}", secret.source, words(&secret.hosts));
        fields.push(path, before.map(whole), after.map(whole));
        fields.last().sensitive = true;
        return;
    };
    let Secret { source, hosts, places, placeholder, on_violation, passthrough_hosts, require_tls } =
        before;
    let at = |field: &str| format!("{path}.{field}");
    if fields.takes(source, &after.source) {
        fields.told(&at("source"), source, &after.source, SecretSource::to_string);
        fields.last().sensitive = true;
    }
    list(fields, &at("hosts"), hosts, &after.hosts);
    let names = |places: &[SecretPlace]| -> Vec<&str> {
        places.iter().copied().map(SecretPlace::as_str).collect()
    };
    list(fields, &at("in"), &names(places), &names(&after.places));
    let text = |placeholder: &Placeholder| format!("{:?}", placeholder.as_str());
    let other = after.placeholder.as_ref();
    fields.option(&at("placeholder"), placeholder.as_ref(), other, text);
    let word = |on_violation: &OnViolation| on_violation.as_str().to_owned();
    fields.told(&at("on-violation"), on_violation, &after.on_violation, word);
    list(fields, &at("passthrough-hosts"), passthrough_hosts, &after.passthrough_hosts);
    fields.value(&at("require-tls"), require_tls, &after.require_tls);
}

impl Secret {
    /// Returns every field with its value, sorted by path; of the value itself the reference.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        const STEM: &str = "secret";
        let mut fields = Fields::new(Gather::All);
        secret(&mut fields, STEM.to_owned(), Some(self), Some(self));
        let found = fields.sorted().into_iter();
        let short = |path: &str| path.get(STEM.len() + 1..).unwrap_or_default().to_owned();
        found.filter_map(|field| Some((short(&field.path), field.after?))).collect()
    }
}

/// A list; nothing where it is empty.
fn list<T: Display>(fields: &mut Fields, path: &str, before: &[T], after: &[T]) {
    let told = |items: &[T]| (!items.is_empty()).then(|| words(items));
    let (before, after) = (told(before), told(after));
    fields.option(path, before.as_ref(), after.as_ref(), Clone::clone);
}

fn words(items: &[impl Display]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
