//! Who may pass: the policy of a machine, asked for every flow that begins, and what it denied.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use schema::policy::{self, By, Flow, Judgement, Remote};
use schema::project::network::{Direction, Network, Protocol};

use super::pins::Pins;
use super::recent::Recent;

/// See the module.
#[derive(Debug)]
pub(super) struct Gate {
    network: Network,
    denied: BTreeMap<By, u64>,
    /// Flows that may not pass, under whatever policy.
    total: u64,
    told: Recent<Denial, Instant>,
    teller: Teller,
}

/// Something that may not pass.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Denial {
    /// What decided.
    pub(crate) by: String,
    /// Out of the guest, or into it.
    pub(crate) direction: Direction,
    /// `tcp`, `udp`, `icmp`, or `dns` for a name.
    pub(crate) protocol: &'static str,
    /// The address and port, or the name.
    pub(crate) remote: String,
}

/// Takes what may not pass; who listens may be slow, or gone.
pub(super) type Teller = tokio::sync::mpsc::Sender<Denial>;

/// How long the same denial is not told again.
const QUIET: Duration = Duration::from_secs(60);
/// How many denials are remembered for that.
const TOLD_MAX: usize = 1024;

impl Gate {
    pub(super) fn new(network: Network, teller: Teller) -> Self {
        Self { network, denied: BTreeMap::new(), total: 0, told: Recent::new(TOLD_MAX), teller }
    }

    /// Tells that something may not pass, unless that was told within the minute.
    pub(super) fn tell(&mut self, denial: Denial, now: Instant) {
        let is_known = self.told.get(&denial).is_some_and(|until| now < *until);
        if is_known {
            return;
        }
        tracing::debug!(
            by = denial.by,
            direction = denial.direction.as_str(),
            protocol = denial.protocol,
            remote = denial.remote,
            "denied"
        );
        // The counts hold also what nobody could be told.
        self.teller.try_send(denial.clone()).ok();
        self.told.put(denial, now + QUIET);
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
        self.note(judgement, (Direction::Egress, protocol, remote), now)
    }

    /// Asks whether `peer` may reach a port that the guest publishes.
    pub(super) fn ingress(
        &mut self,
        protocol: Protocol,
        (peer, port): (IpAddr, u16),
        now: Instant,
    ) -> bool {
        let flow = Flow {
            direction: Direction::Ingress,
            remote: Remote::at(peer),
            protocol,
            port,
            names: &[],
            sni: None,
        };
        let judgement = policy::judge(&self.network, &flow);
        let remote = SocketAddr::new(peer, port);
        self.note(judgement, (Direction::Ingress, protocol, remote), now)
    }

    /// Returns how often each decided against a flow.
    pub(super) fn denied(&self) -> &BTreeMap<By, u64> {
        &self.denied
    }

    /// Returns how many flows might not pass, under whatever policy.
    pub(super) const fn total(&self) -> u64 {
        self.total
    }

    fn note(
        &mut self,
        judgement: Judgement,
        (direction, protocol, remote): (Direction, Protocol, SocketAddr),
        now: Instant,
    ) -> bool {
        if !judgement.allowed {
            self.total += 1;
            *self.denied.entry(judgement.by).or_default() += 1;
            let (by, protocol) = (judgement.by.to_string(), protocol.as_str());
            self.tell(Denial { by, direction, protocol, remote: remote.to_string() }, now);
        }
        judgement.allowed
    }
}
