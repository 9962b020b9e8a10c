//! What a change lets a sandbox do, or others do to it, that was not so before.
//!
//! It is computed on what is in force, after all layers, so a grant cannot hide
//! in a template, an include or the order of rules. Each is one line for people,
//! with the field that opens it.
//!
//! A new sandbox is compared with one that says nothing: see [`grants`].

mod cells;
mod decide;
mod host;
mod names;
mod network;
mod ports;
mod spans;
mod traffic;

use serde::{Deserialize, Serialize};

use crate::project::network::{HostPattern, PortSet, Tls};
use crate::project::{ImageRef, Sandbox, Secret, Security};

/// One grant that was not there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Widening {
    /// The field that opens it: `network.rules.1`.
    pub path: String,
    /// What is open now: `egress + *.acme.example tcp/443`.
    pub text: String,
}

impl Widening {
    fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        Self { path: path.into(), text: text.into() }
    }
}

/// Returns what `after` may do, or may be done to it, beyond `before`, in the order of the fields.
#[must_use]
pub fn widening(before: &Sandbox, after: &Sandbox) -> Vec<Widening> {
    let mut found = Vec::new();
    if before.security == Security::Restricted && after.security == Security::Default {
        found.push(Widening::new("security", "security restricted → default"));
    }
    found.extend(host::opened(before, after));
    found.extend(ports::opened(&before.ports, &after.ports));
    found.extend(siblings(before, after));
    found.extend(network::opened(&before.network, &after.network));
    found.extend(tls(&before.network.tls, &after.network.tls));
    found.extend(secrets(before, after));
    found
}

/// Returns what a new sandbox may do, or may be done to it, beyond one that says nothing.
///
/// What everybody has who writes an image and no more is no grant: public addresses, the usual
/// profile, TLS that is opened once a secret is used. All else is told: host sources, ports off
/// loopback, siblings, egress past the public preset, secrets with each of their hosts, hosts that
/// are left out of interception.
#[must_use]
pub fn grants(after: &Sandbox) -> Vec<Widening> {
    let mut nothing = Sandbox::new(after.kind, ImageRef::Builtin("base".to_owned()));
    nothing.network.tls.intercept = !after.secrets.is_empty();
    widening(&nothing, after)
}

fn siblings(before: &Sandbox, after: &Sandbox) -> Vec<Widening> {
    let mut found = Vec::new();
    for (target, connect) in &after.connect {
        let had = before.connect.get(target).map(|connect| &connect.ports);
        if let Some(ports) = beyond(had, &connect.ports) {
            let ports = if ports.is_any() { String::new() } else { format!(" {ports}") };
            let text = format!("connect + {target}{ports}");
            found.push(Widening::new(format!("connect.{target}.ports"), text));
        }
    }
    found
}

/// Returns the ports that are not among those before.
fn beyond(before: Option<&PortSet>, after: &PortSet) -> Option<PortSet> {
    match before {
        None => Some(after.clone()),
        Some(before) => after.without(before),
    }
}

fn tls(before: &Tls, after: &Tls) -> Vec<Widening> {
    let mut found = Vec::new();
    if before.intercept && !after.intercept {
        found.push(Widening::new("network.tls.intercept", "tls intercept → off"));
    }
    // What was not opened before has lost nothing by being left alone.
    if before.intercept && after.intercept {
        let texts = new_hosts(&before.bypass, &after.bypass).into_iter();
        let texts = texts.map(|host| format!("tls bypass + {host}"));
        found.extend(texts.map(|text| Widening::new("network.tls.bypass", text)));
        let closed: Vec<u16> =
            before.ports.iter().filter(|port| !after.ports.contains(port)).copied().collect();
        let texts = closed.iter().map(|port| format!("tls bypass + port {port}"));
        found.extend(texts.map(|text| Widening::new("network.tls.ports", text)));
    }
    found
}

/// Returns the patterns that none of those before covers.
fn new_hosts<'p>(before: &[HostPattern], after: &'p [HostPattern]) -> Vec<&'p HostPattern> {
    after.iter().filter(|host| !before.iter().any(|had| had.covers(host))).collect()
}

fn secrets(before: &Sandbox, after: &Sandbox) -> Vec<Widening> {
    let mut found = Vec::new();
    for (name, Secret { hosts, require_tls, .. }) in &after.secrets {
        let had = before.secrets.get(name);
        let known = had.map_or([].as_slice(), |secret| &secret.hosts);
        let texts = new_hosts(known, hosts).into_iter();
        let texts = texts.map(|host| format!("secret {name} + {host}"));
        found.extend(texts.map(|text| Widening::new(format!("secrets.{name}.hosts"), text)));
        if !require_tls && had.is_none_or(|secret| secret.require_tls) {
            let text = format!("secret {name} + plain HTTP");
            found.push(Widening::new(format!("secrets.{name}.require-tls"), text));
        }
    }
    found
}

#[cfg(test)]
mod tests;
