//! Ports, siblings, and what may be reached.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::node::{Node, line};
use super::values::{boolean, duration, number, port_set, ports, rate, text};
use super::{Unwritable, Writer};
use crate::name::{SandboxName, SecretName};
use crate::project::network::{
    Authority, Direction, Dns, Limits, PortSet, Preset, Protocols, Rule, Tls,
};
use crate::project::{Connect, HostPorts, Network, PublishedPort, Secret, Transport};
use crate::sandboxfile::tree::{Entry, Scalar};

impl Writer<'_> {
    pub(super) fn ports(&self, node: &mut Node, rows: &[PublishedPort]) {
        for PublishedPort { protocol, bind, host, guest } in rows {
            let mut row = Node::line(self.fields, "port");
            row.key("guest", ports(*guest));
            row.unless("host", host, &HostPorts::Auto, |host| match host {
                HostPorts::Auto => text(HostPorts::AUTO),
                HostPorts::Fixed(range) => ports(*range),
            });
            row.unless("bind", bind, &PublishedPort::BIND, |bind| text(&bind.to_string()));
            row.unless("protocol", protocol, &Transport::Tcp, |one| text(one.as_str()));
            node.add(row.done());
        }
    }

    pub(super) fn connect(&self, node: &mut Node, connect: &BTreeMap<SandboxName, Connect>) {
        for (target, Connect { ports, alias }) in connect {
            let mut edge = Node::line(self.fields, "connect");
            edge.value(Scalar::text(target.to_string()));
            edge.key("ports", port_set(ports));
            edge.unless("as", alias, target, |alias| text(alias.as_str()));
            node.add(edge.done());
        }
    }

    pub(super) fn network(
        &self,
        node: &mut Node,
        name: &SandboxName,
        (network, secrets): (&Network, &BTreeMap<SecretName, Secret>),
    ) -> Result<(), Unwritable> {
        let Network { preset, rules, dns, limits, tls } = network;
        let mut own = Node::block(self.fields, "network");
        own.unless("preset", preset, &Preset::default(), |preset| text(preset.as_str()));
        // Without a network there is nothing more to say.
        if *preset != Preset::Off {
            let mut block = Node::block(self.fields, "rules");
            rules.iter().for_each(|rule| block.add(self.rule(rule)));
            own.block_of(block);
            own.block_of(self.dns(dns));
            own.block_of(self.limits(limits));
            own.block_of(self.tls(name, tls, !secrets.is_empty())?);
        }
        node.block_of(own);
        Ok(())
    }

    /// A rule gives its parts out one by one, and no others.
    fn rule(&self, rule: &Rule) -> Entry<'static> {
        let mut row = Node::line(self.fields, rule.action().as_str());
        row.value(text(&rule.target().to_string()));
        let direction = rule.direction();
        row.unless("direction", &direction, &Direction::default(), |way| text(way.as_str()));
        let protocol = rule.protocol();
        row.unless("protocol", &protocol, &Protocols::default(), |one| text(one.as_str()));
        row.unless("ports", rule.ports(), &PortSet::any(), port_set);
        row.done()
    }

    fn dns(&self, dns: &Dns) -> Node {
        let Dns { servers, rebind_protection, timeout } = dns;
        let usual = Dns::default();
        let mut own = Node::block(self.fields, "dns");
        own.list("servers", servers.iter().map(|server| text(&server_text(*server))));
        let rebind = usual.rebind_protection;
        own.unless("rebind-protection", rebind_protection, &rebind, |yes| boolean(*yes));
        own.unless("timeout", timeout, &usual.timeout, |time| duration(*time));
        own
    }

    fn limits(&self, limits: &Limits) -> Node {
        let Limits { egress, ingress, max_connections } = limits;
        let mut own = Node::block(self.fields, "limits");
        own.some("egress", egress.as_ref(), |most| rate(*most));
        own.some("ingress", ingress.as_ref(), |most| rate(*most));
        let most = Limits::MAX_CONNECTIONS;
        own.unless("max-connections", max_connections, &most, |most| number(u64::from(*most)));
        own
    }

    fn tls(&self, name: &SandboxName, tls: &Tls, with_secrets: bool) -> Result<Node, Unwritable> {
        let Tls { intercept, ports, bypass, upstream_ca, authority, trust_host_cas, block_quic } =
            tls;
        let address = format!("sandbox {name}");
        let usual = Tls::default();
        let mut own = Node::block(self.fields, "tls");
        own.unless("intercept", intercept, &with_secrets, |yes| boolean(*yes));
        own.unless_list("ports", ports, &usual.ports, |port| number(u64::from(*port)));
        own.list("bypass", bypass.iter().map(|host| text(&host.to_string())));
        let paths: Result<Vec<Scalar<'static>>, Unwritable> =
            upstream_ca.iter().map(|path| self.path(&address, path)).collect();
        own.list("upstream-ca", paths?.into_iter());
        if let Some(Authority { cert, key }) = authority {
            own.add(line("ca-cert", self.path(&address, cert)?));
            own.add(line("ca-key", self.path(&address, key)?));
        }
        let (trust, quic) = (usual.trust_host_cas, usual.block_quic);
        own.unless("trust-host-cas", trust_host_cas, &trust, |yes| boolean(*yes));
        own.unless("block-quic", block_quic, &quic, |yes| boolean(*yes));
        Ok(own)
    }
}

fn server_text(server: SocketAddr) -> String {
    if server.port() == Dns::PORT { server.ip().to_string() } else { server.to_string() }
}
