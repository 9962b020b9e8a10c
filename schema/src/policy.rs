//! What a network allows: one flow, or one name to look up, judged by nothing but what is passed in.
//!
//! ```text
//! flow → may its address be reached at all → rules in order, the first match wins → the preset
//! name → does a rule name it → else do a group or the preset allow public addresses
//! ```

mod address;
mod answers;
mod idle;
mod names;

use std::fmt;

pub use address::{Remote, Surroundings};
pub use answers::keeps_answer;
pub(crate) use answers::may_be_answer;
pub use idle::{Idle, idle};
pub use names::{look_up, may_look_up, may_reach, opens_addresses_alone};

use crate::project::network::{Action, Direction, Group, Network, Preset, Protocol, Rule, Target};

/// A connection, a datagram or an echo that somebody begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow<'a> {
    /// Who begins.
    pub direction: Direction,
    /// The other end.
    pub remote: Remote,
    /// What carries it.
    pub protocol: Protocol,
    /// The port of who is called; of no account for ICMP.
    pub port: u16,
    /// The names for which the machine was given this address as an answer.
    pub names: &'a [&'a str],
    /// The name that the caller asks for within TLS, once that is known.
    pub sni: Option<&'a str>,
}

/// What was decided, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it may pass.
    pub allowed: bool,
    /// What decided it.
    pub by: By,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum By {
    /// There is no network device.
    Off,
    /// The address is one that nobody reaches.
    Unreachable,
    /// QUIC is denied where TLS is expected.
    BlockQuic,
    /// The rule of this number, from 0.
    Rule(usize),
    /// Names would be asked for within TLS, past the resolver, and no rule names the port.
    DnsOverTls,
    /// No rule matched: the preset, or for ingress that something was published.
    Tail,
}

/// Prints what decided as plans and tests name it: `rule 2`, `the preset`.
impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("there is no network"),
            Self::Unreachable => f.write_str("the address is never reached"),
            Self::BlockQuic => f.write_str("block-quic"),
            Self::DnsOverTls => write!(f, "port {DNS_OVER_TLS}"),
            Self::Rule(index) => write!(f, "rule {}", index + 1),
            Self::Tail => f.write_str("the preset"),
        }
    }
}

/// Decides one flow.
#[must_use]
pub fn judge(network: &Network, flow: &Flow<'_>) -> Judgement {
    let denied = |by| Judgement { allowed: false, by };
    if network.preset == Preset::Off {
        return denied(By::Off);
    }
    if flow.direction == Direction::Ingress {
        return first_match(network, flow, &[]);
    }
    if flow.remote.group().is_none() {
        return denied(By::Unreachable);
    }
    let tls = network.tls.ports.contains(&flow.port);
    if flow.protocol == Protocol::Udp && tls && network.tls.block_quic {
        return denied(By::BlockQuic);
    }
    let by_answers = first_match(network, flow, flow.names);
    match flow.sni {
        // One address may serve many names; each must be allowed for itself.
        Some(sni) if by_answers.allowed && tls && flow.protocol == Protocol::Tcp => {
            first_match(network, flow, &[sni])
        }
        Some(_) | None => by_answers,
    }
}

fn first_match(network: &Network, flow: &Flow<'_>, names: &[&str]) -> Judgement {
    let rules = network.rules.iter().enumerate();
    for (index, rule) in rules.filter(|(_, rule)| rule.direction() == flow.direction) {
        if carries(rule, flow.protocol, flow.port) && is_about(rule.target(), flow.remote, names) {
            return Judgement { allowed: rule.action() == Action::Allow, by: By::Rule(index) };
        }
    }
    let allowed = match flow.direction {
        Direction::Egress if is_dns_over_tls(flow.protocol, flow.port) => {
            return Judgement { allowed: false, by: By::DnsOverTls };
        }
        Direction::Egress => tail_allows(network.preset, flow.remote.group()),
        // Nothing comes in that was not published.
        Direction::Ingress => true,
    };
    Judgement { allowed, by: By::Tail }
}

/// Tells whether a rule is about such a flow, wherever it goes.
#[must_use]
pub fn carries(rule: &Rule, protocol: Protocol, port: u16) -> bool {
    let ports = rule.ports();
    let fits = if protocol == Protocol::Icmp { ports.is_any() } else { ports.contains(port) };
    let is_kept_out = is_dns_over_tls(protocol, port) && opens_any_port(rule);
    fits && rule.protocol().have(protocol) && !is_kept_out
}

/// The port at which names are asked for within TLS.
pub(crate) const DNS_OVER_TLS: u16 = 853;

/// Tells whether names would be asked for past the resolver, which a rule has to allow by the port's number.
pub(crate) const fn is_dns_over_tls(protocol: Protocol, port: u16) -> bool {
    port == DNS_OVER_TLS && !matches!(protocol, Protocol::Icmp)
}

/// Tells whether a rule allows to go out, and says nothing of ports.
pub(crate) fn opens_any_port(rule: &Rule) -> bool {
    let opens = rule.direction() == Direction::Egress && rule.action() == Action::Allow;
    opens && rule.ports().is_any()
}

fn is_about(target: &Target, remote: Remote, names: &[&str]) -> bool {
    match target {
        Target::Any => true,
        Target::Group(group) => remote.group() == Some(*group),
        Target::Net(network) => network.contains(remote.address()),
        Target::Host(pattern) => names.iter().any(|name| pattern.matches(name)),
    }
}

/// Tells whether a preset allows what no rule is about.
#[must_use]
pub(crate) fn tail_allows(preset: Preset, group: Option<Group>) -> bool {
    match (preset, group) {
        (Preset::Off | Preset::None, _) | (_, None) => false,
        (Preset::Public, Some(group)) => group == Group::Public,
        (Preset::Private, Some(group)) => matches!(group, Group::Public | Group::Private),
        (Preset::Open, Some(group)) => group != Group::Metadata,
    }
}

#[cfg(test)]
pub(crate) mod tests;
