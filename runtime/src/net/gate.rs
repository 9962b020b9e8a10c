//! Who may pass: the policy of a machine, asked for every flow that begins, and what it denied.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use schema::policy::{self, By, Flow, Judgement, Remote};
use schema::project::network::{Direction, Network, Protocol};

use super::pins::Pins;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    network: Network,
    denied: BTreeMap<By, u64>,
}

impl Gate {
    pub(super) const fn new(network: Network) -> Self {
        Self { network, denied: BTreeMap::new() }
    }

    /// Returns the policy.
    pub(super) const fn network(&self) -> &Network {
        &self.network
    }

    /// Puts another policy in its place; what is open is to be asked about again.
    pub(super) fn replace(&mut self, network: Network) {
        self.network = network;
        // Numbers of rules mean others now.
        self.denied.clear();
    }

    /// Asks whether the guest may begin a flow to `remote`.
    pub(super) fn egress(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        pinned: (&mut Pins, Instant),
    ) -> bool {
        self.outward(protocol, remote, None, pinned)
    }

    /// Asks whether the guest may speak TLS with whom it calls `name` at `remote`.
    pub(super) fn greets(
        &mut self,
        remote: SocketAddr,
        name: &str,
        pinned: (&mut Pins, Instant),
    ) -> bool {
        self.outward(Protocol::Tcp, remote, Some(name), pinned)
    }

    fn outward(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        sni: Option<&str>,
        (pins, now): (&mut Pins, Instant),
    ) -> bool {
        let names = pins.names_of(remote.ip(), now);
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let flow = Flow {
            direction: Direction::Egress,
            remote: Remote::at(remote.ip()),
            protocol,
            port: remote.port(),
            names: &names,
            sni,
        };
        let judgement = policy::judge(&self.network, &flow);
        self.note(judgement, (protocol, remote))
    }

    /// Asks whether `peer` may reach a port that the guest publishes.
    pub(super) fn ingress(&mut self, protocol: Protocol, peer: IpAddr, port: u16) -> bool {
        let flow = Flow {
            direction: Direction::Ingress,
            remote: Remote::at(peer),
            protocol,
            port,
            names: &[],
            sni: None,
        };
        let judgement = policy::judge(&self.network, &flow);
        self.note(judgement, (protocol, SocketAddr::new(peer, port)))
    }

    /// Returns how often each decided against a flow.
    pub(super) fn denied(&self) -> &BTreeMap<By, u64> {
        &self.denied
    }

    fn note(&mut self, judgement: Judgement, (protocol, remote): (Protocol, SocketAddr)) -> bool {
        if !judgement.allowed {
            *self.denied.entry(judgement.by).or_default() += 1;
            tracing::debug!(%remote, protocol = protocol.as_str(), by = %judgement.by, "denied");
        }
        judgement.allowed
    }
}
