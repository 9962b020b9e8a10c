//! Rules that decide nothing, whatever comes: others decide first, or nobody is there to be reached.
//!
//! What is called idle is so for certain; of what several rules decide together only a part is found.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{DNS_OVER_TLS, Remote, Surroundings, may_be_answer, opens_any_port, tail_allows};
use crate::project::network::{
    Action, Cidr, Direction, Group, Network, PortRange, PortSet, Preset, Protocol, Rule, Target,
};

/// Why a rule decides nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Idle {
    /// These rules, by number, decide all that it is about.
    Decided(Vec<usize>),
    /// No address that it is about is ever reached.
    Unreachable,
    /// All that it is about is denied as QUIC.
    BlockQuic,
}

/// Ranges of ports are compared so often at most; beyond that rules are taken to be of use.
const COMPARISONS_MAX: usize = 1 << 22;

/// Returns the rules that decide nothing, by number, and why.
#[must_use]
pub fn idle(network: &Network) -> Vec<(usize, Idle)> {
    if network.preset == Preset::Off {
        return Vec::new();
    }
    let seen: Vec<Seen<'_>> = network.rules.iter().map(Seen::of).collect();
    let answers_are_public = answers_are_public(network);
    let tls = PortSet::of(network.tls.ports.iter().filter_map(|port| PortRange::new(*port, *port)));
    let mut comparisons = 0;
    let mut found = Vec::new();
    for (index, rule) in seen.iter().enumerate() {
        let is_egress = rule.rule.direction() == Direction::Egress;
        if is_egress && rule.groups.as_ref().is_some_and(|groups| *groups == [None].into()) {
            found.push((index, Idle::Unreachable));
            continue;
        }
        let mut left = Left::of(rule.rule);
        if is_egress
            && network.tls.block_quic
            && let Some(tls) = &tls
        {
            left.udp = left.udp.and_then(|udp| udp.without(tls));
            if left.is_empty() {
                found.push((index, Idle::BlockQuic));
                continue;
            }
        }
        let mut by = Vec::new();
        for (before, other) in seen.iter().take(index).enumerate() {
            if !other.covers(rule, answers_are_public) {
                continue;
            }
            comparisons += other.rule.ports().ranges().len() * (left.len() + 1);
            if comparisons > COMPARISONS_MAX {
                return found;
            }
            if left.take(other.rule) {
                by.push(before);
            }
            if left.is_empty() {
                found.push((index, Idle::Decided(by)));
                break;
            }
        }
    }
    found
}

/// A rule, and the groups that the addresses of its network lie in.
struct Seen<'r> {
    rule: &'r Rule,
    groups: Option<BTreeSet<Option<Group>>>,
}

impl<'r> Seen<'r> {
    fn of(rule: &'r Rule) -> Self {
        let groups = match rule.target() {
            Target::Net(net) => Some(groups(*net)),
            Target::Any | Target::Group(_) | Target::Host(_) => None,
        };
        Self { rule, groups }
    }

    /// Tells whether this rule is about every far end that `other` is about.
    fn covers(&self, other: &Self, answers_are_public: bool) -> bool {
        if self.rule.direction() != other.rule.direction() {
            return false;
        }
        match (self.rule.target(), other.rule.target()) {
            (Target::Any, _) => true,
            (Target::Group(group), Target::Group(inner)) => group == inner,
            (Target::Group(group), Target::Net(_)) => {
                // Nothing goes to what is in no group, but from there it may come.
                let is_egress = other.rule.direction() == Direction::Egress;
                let fits = |of: &Option<Group>| *of == Some(*group) || (is_egress && of.is_none());
                other.groups.as_ref().is_some_and(|groups| groups.iter().all(fits))
            }
            (Target::Group(group), Target::Host(_)) => {
                *group == Group::Public && answers_are_public
            }
            (Target::Net(net), Target::Net(inner)) => {
                net.contains(inner.first()) && net.contains(inner.last())
            }
            (Target::Host(pattern), Target::Host(inner)) => pattern.covers(inner),
            (Target::Group(_) | Target::Net(_) | Target::Host(_), Target::Any)
            | (Target::Net(_) | Target::Host(_), Target::Group(_))
            | (Target::Net(_), Target::Host(_))
            | (Target::Host(_), Target::Net(_)) => false,
        }
    }
}

/// What of a rule is left to decide: ports by protocol.
struct Left {
    tcp: Option<PortSet>,
    udp: Option<PortSet>,
    icmp: bool,
}

impl Left {
    fn of(rule: &Rule) -> Self {
        let of = |protocol| rule.protocol().have(protocol).then(|| ports(rule)).flatten();
        Self { tcp: of(Protocol::Tcp), udp: of(Protocol::Udp), icmp: has_icmp(rule) }
    }

    const fn is_empty(&self) -> bool {
        self.tcp.is_none() && self.udp.is_none() && !self.icmp
    }

    fn len(&self) -> usize {
        let len = |ports: &Option<PortSet>| ports.as_ref().map_or(0, |ports| ports.ranges().len());
        len(&self.tcp) + len(&self.udp)
    }

    /// Takes away what a rule before decides; tells whether that was anything.
    fn take(&mut self, before: &Rule) -> bool {
        let mut any = false;
        for (protocol, own) in [(Protocol::Tcp, &mut self.tcp), (Protocol::Udp, &mut self.udp)] {
            if !before.protocol().have(protocol) {
                continue;
            }
            let Some(left) = own.take() else { continue };
            *own = ports(before).map_or(Some(left.clone()), |taken| left.without(&taken));
            any |= own.as_ref() != Some(&left);
        }
        any |= self.icmp && has_icmp(before);
        self.icmp &= !has_icmp(before);
        any
    }
}

/// Returns the ports that a rule is about, by TCP and UDP.
fn ports(rule: &Rule) -> Option<PortSet> {
    if !opens_any_port(rule) {
        return Some(rule.ports().clone());
    }
    let dns_over_tls = PortSet::of(PortRange::new(DNS_OVER_TLS, DNS_OVER_TLS));
    dns_over_tls.and_then(|port| rule.ports().without(&port))
}

fn has_icmp(rule: &Rule) -> bool {
    rule.direction() == Direction::Egress
        && rule.protocol().have(Protocol::Icmp)
        && rule.ports().is_any()
}

/// Tells whether a name can lead to public addresses alone, and no other is reached at all: no name
/// that is asked for within TLS is then judged anywhere else.
fn answers_are_public(network: &Network) -> bool {
    let inside = Group::ALL.into_iter().filter(|group| *group != Group::Public);
    let by_tail = inside.into_iter().any(|group| tail_allows(network.preset, Some(group)));
    let by_rule = network.rules.iter().any(|rule| {
        let allows = rule.action() == Action::Allow && rule.direction() == Direction::Egress;
        allows
            && match rule.target() {
                Target::Any => true,
                Target::Group(group) => *group != Group::Public,
                Target::Net(net) => {
                    groups(*net).iter().any(|group| group.is_some_and(|g| g != Group::Public))
                }
                Target::Host(_) => false,
            }
    });
    let protected = !may_be_answer(network, Remote::at(IpAddr::V4([10, 0, 0, 1].into())));
    protected && !by_tail && !by_rule
}

/// Returns the groups that the addresses of a network lie in; `None` is what is never reached.
fn groups(net: Cidr) -> BTreeSet<Option<Group>> {
    let surroundings = Surroundings::default();
    // The group changes only where a network of the table begins or behind its end.
    let edges = surroundings.edges().flat_map(|edge| [Some(edge.first()), after(edge.last())]);
    let points = edges.flatten().filter(|point| net.contains(*point)).chain([net.first()]);
    let itself = points.filter(|point| Remote::at(*point).address() == *point);
    itself.map(|point| surroundings.remote(point).group()).collect()
}

/// Returns the address behind another of its family.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => u32::from(v4).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(v6) => u128::from(v6).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{Numbers, flows, network, some_rule};
    use crate::policy::{By, judge, keeps_answer};

    fn check(preset: Preset, rules: &[&str], expected: &[(usize, Idle)]) {
        assert_eq!(idle(&network(preset, rules)), expected, "{rules:?}");
    }

    #[test]
    fn a_rule_is_idle_where_those_before_it_decide_all() {
        use Preset::{None, Public};
        let by = |rules: &[usize]| Idle::Decided(rules.to_vec());
        check(Public, &["deny any", "allow a.example"], &[(1, by(&[0]))]);
        check(Public, &["allow a.example", "deny any"], &[]);
        check(None, &["deny *.a.example", "allow x.a.example tcp/443"], &[(1, by(&[0]))]);
        check(None, &["deny x.a.example", "allow *.a.example"], &[]);
        check(None, &["deny private", "allow 10.0.0.0/8 tcp/22"], &[(1, by(&[0]))]);
        check(None, &["deny 10.0.0.0/8", "allow private"], &[]);
        check(None, &["deny 10.0.0.0/8 tcp/22", "allow 10.1.0.0/16 tcp/22"], &[(1, by(&[0]))]);
        check(None, &["deny 10.0.0.0/8 tcp/22", "allow 10.1.0.0/16"], &[]);
        check(None, &["deny 10.0.0.0/8 any/22", "allow 10.1.0.0/16 udp/22"], &[(1, by(&[0]))]);
        check(None, &["deny any any/1-65535", "allow any icmp"], &[(1, by(&[0]))]);
        check(None, &["deny any any/1-65534", "allow any icmp"], &[]);
        // Only a rule that names it opens the port of DNS over TLS, or has it opened for another.
        check(None, &["allow any", "allow 1.1.1.1 tcp/853"], &[]);
        check(None, &["allow any", "allow 1.1.1.1 tcp/852"], &[(1, by(&[0]))]);
        check(None, &["allow any", "allow public"], &[(1, by(&[0]))]);
        check(None, &["deny any", "allow 1.1.1.1 tcp/853"], &[(1, by(&[0]))]);
        check(None, &["deny any tcp", "deny any udp", "allow any any/53"], &[(2, by(&[0, 1]))]);
        check(None, &["deny any tcp/1-99", "allow a.example tcp/80-120"], &[]);
        let thrice = ["allow a.example tcp/80", "deny a.example tcp/80", "allow a.example tcp"];
        check(None, &thrice, &[(1, by(&[0]))]);
        check(
            None,
            &["deny ingress any", "allow 1.1.1.1", "allow ingress 10.0.0.0/8"],
            &[(2, by(&[0]))],
        );
        check(Preset::Off, &["deny any", "allow any"], &[]);
    }

    #[test]
    fn a_rule_about_what_nobody_reaches_is_idle() {
        for net in ["203.0.113.0/24", "198.19.0.0/16", "0.0.0.0/8", "2001:db8::/32", "198.18.0.2"] {
            check(Preset::None, &[&format!("allow {net}")], &[(0, Idle::Unreachable)]);
            check(Preset::None, &[&format!("deny ingress {net}")], &[]);
        }
        check(Preset::None, &["allow 198.18.0.0/30", "allow 203.0.112.0/23", "allow ::/0"], &[]);
        check(Preset::None, &["allow a.example udp/443"], &[(0, Idle::BlockQuic)]);
        check(Preset::None, &["allow a.example udp/443-444", "allow a.example any/443"], &[]);
    }

    #[test]
    fn a_name_whose_every_answer_is_decided_before_is_idle() {
        let public = [(1, Idle::Decided(vec![0]))];
        check(Preset::Public, &["deny public", "allow a.example"], &public);
        check(Preset::None, &["deny public", "allow a.example"], &public);
        // Its address may be another's, or is judged by the name within TLS.
        check(Preset::Private, &["deny public", "deny a.example"], &[]);
        check(Preset::Public, &["deny public", "allow a.example", "allow 10.0.0.0/8"], &[]);
        let mut open = network(Preset::Public, &["deny public", "allow a.example"]);
        open.dns.rebind_protection = false;
        assert_eq!(idle(&open), []);
    }

    #[test]
    fn what_is_too_much_to_compare_is_taken_to_be_of_use() {
        let found = |count: u32| {
            let ports: Vec<String> = (0..count).map(|at| (at * 2 + 1).to_string()).collect();
            let rule = format!("allow a.example tcp/{}", ports.join(","));
            idle(&network(Preset::None, &[rule.as_str(); 64])).len()
        };
        assert_eq!(found(40), 63);
        assert_eq!(found(4000), 0);
    }

    /// The law: an idle rule decides no flow that a machine can begin.
    #[test]
    fn no_idle_rule_decides_any_flow() {
        let mut numbers = Numbers(23);
        let (mut idle_rules, mut flows_seen) = (0, 0_usize);
        for _ in 0..400 {
            let rules: Vec<String> =
                (0..numbers.below(7)).map(|_| some_rule(&mut numbers)).collect();
            let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
            let mut network = network(*numbers.one_of(&Preset::ALL), &rules);
            network.dns.rebind_protection = numbers.below(4) != 0;
            network.tls.block_quic = numbers.below(3) != 0;
            let found = idle(&network);
            idle_rules += found.len();
            if found.is_empty() {
                continue;
            }
            flows(&mut |flow| {
                // What no answer holds is pinned to no name.
                if !flow.names.iter().all(|name| keeps_answer(&network, name, flow.remote)) {
                    return;
                }
                for sni in [None, Some("a.example"), Some("x.a.example"), Some("other.example")] {
                    let flow = super::super::Flow { sni, ..*flow };
                    let judged = judge(&network, &flow);
                    flows_seen += 1;
                    if let By::Rule(index) = judged.by {
                        let idle = found.iter().find(|(at, _)| *at == index);
                        assert_eq!(idle, None, "{rules:?} {} {flow:?}", network.preset);
                    }
                }
            });
        }
        assert!(idle_rules > 50 && flows_seen > 100_000, "{idle_rules} {flows_seen}");
    }
}
