//! The network of a sandbox: preset, names, limits, TLS, and what they rule out.

use std::net::SocketAddr;

use super::decode::{Decoder, Noting};
use super::lint::Linted;
use super::project::Sandboxes;
use super::secrets::{PATTERNS_MAX, Secrets, Use, list, scalar};
use crate::policy::may_reach;
use crate::project::network::{
    Authority, Dns, Limits, Network, PortError, PortRange, Preset, ServerError, Tls,
};
use crate::project::{EnvValue, Sandbox};
use crate::sandboxfile::document::{Content, Group};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;
use crate::units::Rate;

impl Decoder<'_, '_> {
    /// Reads the network of every sandbox, and gives each the secrets that it uses.
    pub(super) fn network_all(
        &mut self,
        document: &Group<'_>,
        sandboxes: &mut Sandboxes<'_, '_>,
        secrets: &Secrets,
    ) {
        if let Some((_, group)) = document.group("network") {
            // Where no sandbox takes it over, its mistakes are found all the same.
            self.begin("network".to_owned());
            self.noting(Noting::Off);
            self.network(group);
            self.intercept(group);
            self.noting(Noting::On);
        }
        let unknown = document.dropped.contains(&"network");
        let empty = Group::default();
        let mut linted = Linted::default();
        for (name, read) in sandboxes {
            self.begin(format!("sandbox.{name}"));
            for (group, sandbox) in read.bodies.iter().zip(&mut read.sandboxes) {
                let uses = self.secrets_used(group, sandbox, secrets);
                let before = self.problems.said();
                let network = group.group("network").map_or(&empty, |(_, network)| network);
                if let Some((item, _)) = group.group("network") {
                    self.note("network", item.at);
                }
                sandbox.network = self.network(network);
                let intercept = self.intercept(network);
                sandbox.network.tls.intercept = intercept.unwrap_or(!uses.is_empty());
                let known =
                    !unknown && network.dropped.is_empty() && !group.dropped.contains(&"network");
                if known && self.problems.said() == before {
                    self.network_rules(group, network, sandbox, &uses);
                    if self.lint(network, &sandbox.network, &mut linted) && uses.is_empty() {
                        // Of a secret it is told which line is missing.
                        self.lint_names(network, &sandbox.network);
                    }
                }
                self.noting(Noting::Off);
            }
            self.noting(Noting::On);
        }
    }

    fn intercept(&mut self, network: &Group<'_>) -> Option<bool> {
        let (_, tls) = network.group("tls")?;
        self.boolean(tls, "intercept", "network.tls.intercept")
    }

    /// Reads a network; whether TLS is opened depends on more than what is written there.
    fn network(&mut self, group: &Group<'_>) -> Network {
        let preset = self.choice(group, "preset", "network.preset");
        let preset = Preset::ALL.into_iter().find(|known| Some(known.as_str()) == preset);
        Network {
            preset: preset.unwrap_or_default(),
            rules: self.rules(group),
            dns: group.group("dns").map_or_else(Dns::default, |(_, dns)| self.dns(dns)),
            limits: group.group("limits").map_or_else(Limits::default, |(_, l)| self.limits(l)),
            tls: group.group("tls").map_or_else(Tls::default, |(_, tls)| self.tls(tls)),
        }
    }

    fn dns(&mut self, group: &Group<'_>) -> Dns {
        let mut dns = Dns::default();
        if let Some((item, scalars)) = list(group, "servers") {
            self.note("network.dns.servers", item.at);
            dns.servers = scalars.iter().filter_map(|scalar| self.server(scalar)).collect();
        }
        let rebind = self.boolean(group, "rebind-protection", "network.dns.rebind-protection");
        dns.rebind_protection = rebind.unwrap_or(dns.rebind_protection);
        let timeout = self.duration(group, "timeout", "network.dns.timeout");
        dns.timeout = timeout.unwrap_or(dns.timeout);
        dns
    }

    fn server(&mut self, scalar: &Scalar<'_>) -> Option<SocketAddr> {
        let help =
            "write an address such as \"1.1.1.1\", \"1.1.1.1:53\" or \"[2606:4700::1111]:53\"";
        let (rule, near) = (Dns::parse_server, ServerError::nearest);
        self.take(value::near(scalar, Code::VALUE_CIDR, rule, near, help))
    }

    fn limits(&mut self, group: &Group<'_>) -> Limits {
        let egress = self.rate(group, "egress", "network.limits.egress");
        let ingress = self.rate(group, "ingress", "network.limits.ingress");
        let most = self.count(group, "max-connections", "network.limits.max-connections");
        let most = most.and_then(|most| u16::try_from(most).ok());
        Limits { egress, ingress, max_connections: most.unwrap_or(Limits::MAX_CONNECTIONS) }
    }

    fn rate(&mut self, group: &Group<'_>, name: &str, field: &'static str) -> Option<Rate> {
        let (scalar, _) = self.scalar(group, name, field)?;
        self.take(value::rate(scalar))
    }

    fn tls(&mut self, group: &Group<'_>) -> Tls {
        let mut tls = Tls::default();
        if let Some(ports) = self.tls_ports(group) {
            tls.ports = ports;
        }
        tls.bypass = self.hosts(group, ("bypass", "network.tls.bypass"), (0, PATTERNS_MAX));
        if let Some((item, scalars)) = list(group, "upstream-ca") {
            self.note("network.tls.upstream-ca", item.at);
            tls.upstream_ca = scalars.iter().filter_map(|scalar| self.host_path(scalar)).collect();
        }
        tls.authority = self.authority(group);
        let trust = self.boolean(group, "trust-host-cas", "network.tls.trust-host-cas");
        tls.trust_host_cas = trust.unwrap_or(tls.trust_host_cas);
        let block = self.boolean(group, "block-quic", "network.tls.block-quic");
        tls.block_quic = block.unwrap_or(tls.block_quic);
        tls
    }

    fn tls_ports(&mut self, group: &Group<'_>) -> Option<Vec<u16>> {
        let (item, scalars) = list(group, "ports")?;
        self.note("network.tls.ports", item.at);
        if !(1..=TLS_PORTS_MAX).contains(&scalars.len()) {
            let message = format!("`ports` has between 1 and {TLS_PORTS_MAX} ports");
            self.error(Code::VALUE_RANGE, message, item.at, "write where TLS is spoken");
            return None;
        }
        let mut ports = Vec::with_capacity(scalars.len());
        for scalar in scalars {
            let (rule, near) = (PortRange::parse, PortError::nearest);
            let help = "write a port, such as 443";
            let read = value::near(scalar, Code::VALUE_PORT, rule, near, help);
            let Some(range) = self.take(read) else { continue };
            if range.count() > 1 {
                let message = "a range stands where one port is due";
                self.error(Code::VALUE_PORT, message, scalar.span, "write its ports one by one");
            } else if !ports.contains(&range.first()) {
                ports.push(range.first());
            }
        }
        Some(ports)
    }

    /// Reads the authority of the user's own: both of its files, or none.
    fn authority(&mut self, group: &Group<'_>) -> Option<Authority> {
        let mut path = |name: &'static str, field: &'static str| {
            let item = group.get(name)?;
            self.note(field, item.at);
            self.host_path(scalar(item)?)
        };
        let cert = path("ca-cert", "network.tls.ca-cert");
        let key = path("ca-key", "network.tls.ca-key");
        for (has, needs) in [("ca-cert", "ca-key"), ("ca-key", "ca-cert")] {
            if let (Some(item), false) = (group.get(has), group.mentions(needs)) {
                let message = format!("`{has}` needs `{needs}`");
                let help = format!("add `{needs}`, or leave both out for the installation's own");
                self.error(Code::SCHEMA_MISSING_KEY, message, item.at, &help);
            }
        }
        Some(Authority { cert: cert?, key: key? })
    }

    fn network_rules(
        &mut self,
        group: &Group<'_>,
        network: &Group<'_>,
        sandbox: &Sandbox,
        uses: &[Use<'_>],
    ) {
        if sandbox.network.preset == Preset::Off {
            let at = network.get("preset").map(|item| item.at);
            self.network_off(group, network, sandbox, at);
            return;
        }
        for one in uses {
            let secret = &one.defined.secret;
            let Network { tls, .. } = &sandbox.network;
            let out_of_reach = |host| !may_reach(&sandbox.network, host);
            let bypassed = |host| tls.bypass.iter().any(|bypass| bypass.covers(host));
            let opened = network.group("tls").map(|(_, tls)| tls);
            if secret.require_tls && !tls.intercept {
                let item = opened.and_then(|tls| tls.get("intercept"));
                let message = format!("secret `{}` is used, and TLS is not opened", one.name);
                let help = "leave `intercept` out";
                self.needs_tls(one, item.map(|item| item.at), &message, help);
            } else if secret.require_tls && secret.hosts.iter().all(bypassed) {
                let item = opened.and_then(|tls| tls.get("bypass"));
                let message = format!("every host of secret `{}` is in `bypass`", one.name);
                let help = "take them out of `bypass`";
                self.needs_tls(one, item.map(|item| item.at), &message, help);
            } else if secret.hosts.iter().all(out_of_reach) && !self.problems.has_errors() {
                // A rule that could not be read may have been the one.
                self.warn_unreachable(one, &tls.ports);
            }
        }
    }

    fn needs_tls(&mut self, secret: &Use<'_>, at: Option<Span>, message: &str, help: &str) {
        let problem = Problem::error(Code::RULE_SECRET_NEEDS_TLS, message, at.unwrap_or(secret.at))
            .related(secret.at, "it is used here")
            .help(format!("{help}, or say in the secret that `require-tls` is false"));
        self.problems.push(problem);
    }

    /// Without a network there is nothing that these could be about.
    fn network_off(
        &mut self,
        group: &Group<'_>,
        network: &Group<'_>,
        sandbox: &Sandbox,
        preset: Option<Span>,
    ) {
        let own = ["port", "connect"].into_iter().filter_map(|name| group.get(name));
        let below = ["rules", "dns", "limits", "tls"].into_iter().filter_map(|n| network.get(n));
        let places =
            own.chain(below).map(|item| (item.key.spelling(self.is_yaml(item.at)), item.at));
        let mut places: Vec<(&str, Span)> = places.collect();
        for member in group.members("env") {
            let key = sandbox.env.get(member.name.as_ref());
            if let Some(EnvValue::Secret(_)) = key {
                places.push(("secret", member.at));
            }
        }
        for (name, at) in places {
            let message = format!("`{name}` needs a network, and this sandbox has none");
            let mut problem = Problem::error(Code::RULE_NETWORK_OFF, message, at);
            if let Some(preset) = preset {
                problem = problem.related(preset, "the preset is here");
            }
            let help = format!("write another preset, such as \"none\", or leave `{name}` out");
            self.problems.push(problem.help(help));
        }
    }
}

const TLS_PORTS_MAX: usize = 1024;

/// Tells whether a network says that there is none.
pub(super) fn is_off(network: &Group<'_>) -> bool {
    match network.get("preset").map(|item| &item.content) {
        Some(Content::Scalar(scalar)) => scalar.text == Preset::Off.as_str(),
        _ => false,
    }
}
