//! What the policy of a sandbox would do with a connection, and by which rule: nothing is sent.
//!
//! ```text
//! name → who answers it: itself, the host, a sibling, else the rules about names
//!      → where it leads, once the answer is pinned → the rules about flows
//! ```

use std::net::IpAddr;

use schema::link::{
    GATEWAY_V4, GATEWAY_V6, GUEST_V4, GUEST_V6, HOST_NAME, SIBLINGS_V4, SIBLINGS_V6,
};
use schema::name::{InstanceName, SandboxName};
use schema::policy::{By, Flow, Judgement, Remote, judge, keeps_answer, look_up};
use schema::project::network::{
    Action, Cidr, Direction, Group, Network, PortSet, Preset, Protocol, Protocols, Rule, Target,
};
use schema::project::{Connect, Sandbox, Transport};

use super::destination::{Destination, Host};

/// Where a resolver answers, whatever address is asked.
const RESOLVER_PORT: u16 = 53;
/// Where there are only names of ours.
const OWN_ZONE: &str = ".msb.internal";
/// What every name of the internet stands for that no rule about an address names.
const SOME_PUBLIC: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(1, 1, 1, 1));

/// Who would connect.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'a> {
    pub(super) name: &'a InstanceName,
    pub(super) sandbox: &'a Sandbox,
    pub(super) siblings: &'a [Sibling],
}

/// A sandbox that is connected to.
#[derive(Clone, Debug)]
pub(super) struct Sibling {
    pub(super) name: SandboxName,
    /// The names that lead to one of its instances, beside the one that `connect` gives it.
    pub(super) hosts: Vec<String>,
    /// Its own policy; `None` where nothing is known of it.
    pub(super) network: Option<Network>,
}

/// What was decided, by what, and where that is written: an address of the file, and a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ruling {
    pub(super) allowed: bool,
    pub(super) rule: String,
    pub(super) at: Option<(SandboxName, String)>,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) flow: Ruling,
    /// Whether the name may be looked up; `None` where there is none.
    pub(super) name: Option<Ruling>,
    /// What decides first, and otherwise, where the name has an address that it is about.
    pub(super) unless: Vec<Ruling>,
}

impl Verdict {
    /// Tells whether the connection comes about.
    pub(super) fn allowed(&self) -> bool {
        self.flow.allowed && self.name.as_ref().is_none_or(|name| name.allowed)
    }

    fn of(flow: Ruling) -> Self {
        Self { flow, name: None, unless: Vec::new() }
    }

    /// Both the name and what it leads to are decided by one thing.
    fn both(ruling: &Ruling) -> Self {
        Self { flow: ruling.clone(), name: Some(ruling.clone()), unless: Vec::new() }
    }
}

impl Scene<'_> {
    /// Decides a connection.
    pub(super) fn judge(&self, to: &Destination) -> Verdict {
        if self.network().preset == Preset::Off {
            let ruling = self.ruling(Judgement { allowed: false, by: By::Off }, "", to);
            return match to.host {
                Host::Address(_) => Verdict::of(ruling),
                Host::Name(_) => Verdict::both(&ruling),
            };
        }
        match &to.host {
            Host::Address(address) => Verdict::of(self.address(*address, to)),
            Host::Name(name) => self.name(name, to),
        }
    }

    fn network(&self) -> &Network {
        &self.sandbox.network
    }

    fn name(&self, name: &str, to: &Destination) -> Verdict {
        if let Some((sibling, connect)) = self.sibling(name) {
            return self.connect(sibling, connect, to);
        }
        if self.is_itself(name) {
            return Verdict::both(&plain(true, "the guest itself: it never leaves the guest"));
        }
        if name == HOST_NAME {
            let answered = plain(true, "the resolver answers it with the gateway");
            return Verdict {
                name: Some(answered),
                ..Verdict::of(self.address(GATEWAY_V4.into(), to))
            };
        }
        if name.ends_with(OWN_ZONE) {
            return Verdict::both(&plain(false, "the resolver: there is no such name"));
        }
        let looked_up = self.ruling(look_up(self.network(), name), "public names", to);
        if !looked_up.allowed {
            // What is not looked up is pinned to nothing.
            let flow =
                Ruling { rule: format!("no answer: {}", looked_up.rule), ..looked_up.clone() };
            return Verdict { name: Some(looked_up), ..Verdict::of(flow) };
        }
        let (judged, unless) = self.pinned(name, to);
        let flow = self.resolved(judged, "a public address", to);
        Verdict { flow, name: Some(looked_up), unless }
    }

    /// Judges a flow to a name whose answer is pinned, and what its address may change.
    fn pinned(&self, name: &str, to: &Destination) -> (Judgement, Vec<Ruling>) {
        let network = self.network();
        let about_addresses =
            |rule: &Rule| rule.direction() == Direction::Egress && net_of(rule).is_some();
        let kept: Vec<usize> =
            (0..network.rules.len()).filter(|at| !about_addresses(&network.rules[*at])).collect();
        let mut other = network.clone();
        other.rules = kept.iter().map(|at| network.rules[*at].clone()).collect();
        let names = [name];
        let mut judged = judge(&other, &flow(SOME_PUBLIC, to, &names, Some(name)));
        if let By::Rule(at) = &mut judged.by {
            *at = kept.get(*at).copied().unwrap_or(*at);
        }
        let before = match judged.by {
            By::Rule(at) => at,
            By::DnsOverTls | By::Tail => network.rules.len(),
            By::Off | By::Unreachable | By::BlockQuic => 0,
        };
        let rules = network.rules.iter().enumerate().take(before);
        let unless = rules.filter(|(_, rule)| {
            let is_other = (rule.action() == Action::Allow) != judged.allowed;
            let answers = net_of(rule).is_some_and(|net| {
                [net.first(), net.last()]
                    .into_iter()
                    .any(|address| keeps_answer(network, name, Remote::at(address)))
            });
            about_addresses(rule) && is_other && answers && is_carried(rule, to)
        });
        let unless = unless.map(|(at, rule)| {
            let allowed = rule.action() == Action::Allow;
            self.ruling(Judgement { allowed, by: By::Rule(at) }, "", to)
        });
        (judged, unless.collect())
    }

    fn address(&self, address: IpAddr, to: &Destination) -> Ruling {
        let remote = Remote::at(address);
        let is_own = [IpAddr::V4(GUEST_V4), IpAddr::V6(GUEST_V6)].contains(&remote.address());
        if is_own || remote.group() == Some(Group::Loopback) {
            return plain(true, "the guest itself: it never leaves the guest");
        }
        if is_of_siblings(remote.address()) {
            return plain(false, "the address of a sibling, if any: name the sibling instead");
        }
        let judged = judge(self.network(), &flow(address, to, &[], None));
        let what = match remote.group() {
            Some(Group::Public) => "a public address",
            Some(Group::Private) => "a private address",
            Some(Group::Loopback) => "a loopback address",
            Some(Group::LinkLocal) => "a link-local address",
            Some(Group::Metadata) => "the address of a metadata service",
            Some(Group::Multicast) => "a multicast address",
            Some(Group::Host) => "the host",
            None => "an address that is never reached",
        };
        self.resolved(judged, what, to)
    }

    /// Says what was decided; where nobody but the machine's own resolver listens, it answers.
    fn resolved(&self, judged: Judgement, what: &str, to: &Destination) -> Ruling {
        let by_rule = judged.allowed && matches!(judged.by, By::Rule(_));
        if to.port == RESOLVER_PORT && !by_rule {
            return plain(true, "the machine's own resolver answers in its place");
        }
        self.ruling(judged, what, to)
    }

    fn ruling(&self, judged: Judgement, what: &str, to: &Destination) -> Ruling {
        let Judgement { allowed, by } = judged;
        let own = |path: String| Some((self.name.sandbox.clone(), path));
        let preset = || own("network.preset".to_owned());
        let (rule, at) = match by {
            By::Rule(index) => {
                let rule = self.network().rules.get(index).map(written).unwrap_or_default();
                (format!("rule {}: {rule}", index + 1), own(format!("network.rules.{index}")))
            }
            By::Tail => (format!("preset {}: {what}", self.network().preset), preset()),
            By::Off => ("preset off: there is no network".to_owned(), preset()),
            By::Unreachable => (format!("never reached: {}", to.host), None),
            By::DnsOverTls => (
                format!(
                    "port {}: names past the resolver, which no rule allows by the port",
                    to.port
                ),
                preset(),
            ),
            By::BlockQuic => (
                format!("block-quic: udp to port {}, where TLS is expected", to.port),
                own("network.tls.block-quic".to_owned()),
            ),
        };
        Ruling { allowed, rule, at }
    }

    fn is_itself(&self, name: &str) -> bool {
        let hostname = self.sandbox.hostname.clone();
        let instance = self.name.index.map(|index| index.to_string()).unwrap_or_default();
        let own = schema::project::instance_hostname(&self.name.sandbox, &instance);
        name == "localhost"
            || name.ends_with(".localhost")
            || name == hostname.unwrap_or(own).to_ascii_lowercase()
    }

    fn sibling(&self, name: &str) -> Option<(&SandboxName, &Connect)> {
        self.sandbox.connect.iter().find(|(target, connect)| {
            let known = self.siblings.iter().find(|sibling| sibling.name == **target);
            connect.alias.as_str() == name
                || known.is_some_and(|known| known.hosts.iter().any(|host| host == name))
        })
    }

    /// Both ends judge: our list of its ports, and its own rules about peers.
    fn connect(&self, target: &SandboxName, connect: &Connect, to: &Destination) -> Verdict {
        let path = Some((self.name.sandbox.clone(), format!("connect.{target}")));
        let rule = format!("connect {target}: ports {}", connect.ports);
        let ours = |allowed| Ruling { allowed, rule: rule.clone(), at: path.clone() };
        let mut verdict = Verdict::both(&ours(true));
        verdict.flow = ours(connect.ports.contains(to.port));
        let known = self.siblings.iter().find(|sibling| sibling.name == *target);
        let network = known.and_then(|known| known.network.as_ref());
        let Some(network) = network.filter(|_| verdict.flow.allowed) else { return verdict };
        let (direction, protocol) = (Direction::Ingress, protocol(to.protocol));
        let remote = Remote::at(SIBLINGS_V4.0.into());
        let peer = Flow { direction, remote, protocol, port: to.port, names: &[], sni: None };
        let judged = judge(network, &peer);
        if let (false, By::Rule(index)) = (judged.allowed, judged.by) {
            let rule = network.rules.get(index).map(written).unwrap_or_default();
            verdict.flow = Ruling {
                allowed: false,
                rule: format!("rule {} of {target}: {rule}", index + 1),
                at: Some((target.clone(), format!("network.rules.{index}"))),
            };
        }
        verdict
    }
}

fn plain(allowed: bool, rule: &str) -> Ruling {
    Ruling { allowed, rule: rule.to_owned(), at: None }
}

const fn protocol(transport: Transport) -> Protocol {
    match transport {
        Transport::Tcp => Protocol::Tcp,
        Transport::Udp => Protocol::Udp,
    }
}

fn flow<'f>(
    address: IpAddr,
    to: &Destination,
    names: &'f [&'f str],
    sni: Option<&'f str>,
) -> Flow<'f> {
    let (direction, protocol) = (Direction::Egress, protocol(to.protocol));
    Flow { direction, remote: Remote::at(address), protocol, port: to.port, names, sni }
}

fn is_carried(rule: &Rule, to: &Destination) -> bool {
    schema::policy::carries(rule, protocol(to.protocol), to.port)
}

fn net_of(rule: &Rule) -> Option<Cidr> {
    match rule.target() {
        Target::Net(net) => Some(*net),
        Target::Any | Target::Group(_) | Target::Host(_) => None,
    }
}

fn is_of_siblings(address: IpAddr) -> bool {
    let is_gateway = [IpAddr::V4(GATEWAY_V4), IpAddr::V6(GATEWAY_V6)].contains(&address);
    let networks =
        [(IpAddr::V4(SIBLINGS_V4.0), SIBLINGS_V4.1), (IpAddr::V6(SIBLINGS_V6.0), SIBLINGS_V6.1)];
    let has = |(at, bits)| Cidr::around(at, bits).is_some_and(|net| net.contains(address));
    !is_gateway && networks.into_iter().any(has)
}

/// Returns a rule as a file has it.
pub(in crate::cli) fn written(rule: &Rule) -> String {
    let mut parts = vec![format!("{} \"{}\"", rule.action().as_str(), rule.target())];
    if rule.direction() == Direction::Ingress {
        parts.push("direction=\"ingress\"".to_owned());
    }
    if rule.protocol() != Protocols::Any {
        parts.push(format!("protocol=\"{}\"", rule.protocol().as_str()));
    }
    if *rule.ports() != PortSet::any() {
        let ports = rule.ports().to_string();
        let is_number = ports.bytes().all(|b| b.is_ascii_digit());
        let quote = if is_number { "" } else { "\"" };
        parts.push(format!("ports={quote}{ports}{quote}"));
    }
    parts.join(" ")
}

#[cfg(test)]
mod tests;
