//! Which names may be looked up. Nothing of a name that may not leaves the host.
//!
//! A name is looked up to be reached, so the question is asked for each protocol and port apart,
//! and one that is allowed is enough: a rule that denies one port of a name leaves the others.

use super::{By, DNS_OVER_TLS, Judgement, Remote, is_dns_over_tls, tail_allows};
use crate::project::network::{
    Action, Direction, Group, HostPattern, Network, Preset, Protocol, Rule, Target,
};

/// Tells whether `name` may be looked up.
///
/// It may if a rule that names it allows it, or if no rule names it and a group or the preset
/// allows public addresses. `any` names every name.
#[must_use]
pub fn may_look_up(network: &Network, name: &str) -> bool {
    look_up(network, name).allowed
}

/// Decides whether `name` may be looked up, as [`may_look_up`] does, and says by what.
///
/// Of several that allow it, or of several that do not, a rule is named before the preset.
#[must_use]
pub fn look_up(network: &Network, name: &str) -> Judgement {
    opens(network, name, &Protocol::ALL)
}

/// Tells whether there is a name in `pattern` that may be looked up and reached by TCP.
#[must_use]
pub fn may_reach(network: &Network, pattern: &HostPattern) -> bool {
    let within = |rule: &Rule| match rule.target() {
        Target::Host(other) if pattern.overlaps(other) => Some(other.clone()),
        _ => None,
    };
    let narrower = network.rules.iter().filter_map(within);
    let mut patterns = vec![pattern.clone()];
    patterns.extend(narrower.filter(|other| pattern.covers(other)));
    // As a name, the star is a label that no pattern can name: it stands for any other below.
    let names = patterns.iter().flat_map(|pattern| [pattern.name(), pattern.as_str()]);
    names.into_iter().any(|name| opens(network, name, &[Protocol::Tcp]).allowed)
}

/// Tells whether rules open addresses beyond the machine and its host, and no name at all may be
/// looked up: what is reached there is reached by its number alone.
#[must_use]
pub fn opens_addresses_alone(network: &Network) -> bool {
    let opened =
        |rule: &&Rule| rule.direction() == Direction::Egress && rule.action() == Action::Allow;
    let is_address = |rule: &Rule| match rule.target() {
        Target::Net(net) => Remote::at(net.first()).group() != Some(Group::Host),
        Target::Group(group) => matches!(group, Group::Public | Group::Private),
        Target::Any | Target::Host(_) => false,
    };
    let mut rules = network.rules.iter().filter(opened);
    // A star is no label of any name, so that only what is about every name is about this one.
    let by_name = |rule: &Rule| matches!(rule.target(), Target::Host(_));
    rules.clone().any(is_address) && !rules.any(by_name) && !may_look_up(network, "*")
}

fn opens(network: &Network, name: &str, protocols: &[Protocol]) -> Judgement {
    if network.preset == Preset::Off {
        return Judgement { allowed: false, by: By::Off };
    }
    let named = |rule: &Rule| match rule.target() {
        Target::Any => true,
        Target::Host(pattern) => pattern.matches(name),
        Target::Group(_) | Target::Net(_) => false,
    };
    let public = |rule: &Rule| *rule.target() == Target::Group(Group::Public);
    let asked = |(_, rule): &(usize, &Rule)| {
        rule.direction() == Direction::Egress && (named(rule) || public(rule))
    };
    let rules: Vec<(usize, &Rule)> = network.rules.iter().enumerate().filter(asked).collect();
    let mut judged = Judgement { allowed: false, by: By::Tail };
    for protocol in protocols {
        // Between two edges every port is treated alike.
        let edges = rules.iter().flat_map(|(_, rule)| rule.ports().ranges());
        let edges = edges.flat_map(|range| [range.first(), range.last().saturating_add(1)]);
        let tls = network.tls.ports.iter().map(|port| port.saturating_add(1));
        let fixed = [1, DNS_OVER_TLS, DNS_OVER_TLS + 1];
        for port in fixed.into_iter().chain(edges).chain(tls) {
            let quic = *protocol == Protocol::Udp && network.tls.block_quic;
            if quic && network.tls.ports.contains(&port) {
                continue;
            }
            let carried = || rules.iter().filter(|(_, r)| super::carries(r, *protocol, port));
            let decides = carried()
                .find(|(_, rule)| named(rule))
                .or_else(|| carried().find(|(_, rule)| public(rule)));
            let found = match decides {
                Some((index, rule)) => {
                    Judgement { allowed: rule.action() == Action::Allow, by: By::Rule(*index) }
                }
                None if is_dns_over_tls(*protocol, port) => {
                    Judgement { allowed: false, by: By::DnsOverTls }
                }
                None => {
                    let allowed = tail_allows(network.preset, Some(Group::Public));
                    Judgement { allowed, by: By::Tail }
                }
            };
            let by_rule = |judgement: Judgement| matches!(judgement.by, By::Rule(_));
            if (found.allowed, by_rule(found)) > (judged.allowed, by_rule(judged)) {
                judged = found;
            }
        }
    }
    judged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{network, quiet};

    fn check(rules: &[&str], preset: Preset, expected: &[(&str, bool)]) {
        let network = network(preset, rules);
        for (name, may) in expected {
            assert_eq!(may_look_up(&network, name), *may, "{rules:?} {preset} {name}");
        }
    }

    #[test]
    fn sf_n3_a_name_is_looked_up_if_a_rule_that_names_it_allows_it() {
        use Preset::{None, Off, Open, Public};
        let (a, b) = ("a.example", "b.example");
        check(&[], Public, &[(a, true)]);
        check(&[], Open, &[(a, true)]);
        check(&[], None, &[(a, false)]);
        check(&["allow a.example"], Off, &[(a, false)]);
        check(&["allow a.example tcp/443"], None, &[(a, true), (b, false), ("A.EXAMPLE.", true)]);
        check(&["deny a.example"], Public, &[(a, false), (b, true)]);
        check(&["allow public tcp/443"], None, &[(a, true)]);
        check(&["deny public"], Public, &[(a, false)]);
        check(&["deny public tcp/25"], Public, &[(a, true)]);
        check(&["deny public", "allow a.example"], Public, &[(a, true), (b, false)]);
        check(&["allow *.a.example", "deny x.a.example"], None, &[("x.a.example", true)]);
        check(
            &["deny x.a.example", "allow *.a.example"],
            None,
            &[("x.a.example", false), (a, true)],
        );
        check(&["allow 0.0.0.0/0"], None, &[(a, false)]);
        check(&["allow private"], None, &[(a, false)]);
    }

    #[test]
    fn sf_n3_a_rule_about_some_ports_of_a_name_leaves_the_others() {
        check(&["deny a.example tcp/25"], Preset::Public, &[("a.example", true)]);
        check(&["deny a.example tcp/25"], Preset::None, &[("a.example", false)]);
        let both = ["deny a.example tcp/1-1000", "allow a.example tcp/443"];
        check(&both, Preset::None, &[("a.example", false)]);
        let other = ["deny a.example tcp/1-1000", "allow a.example tcp/443,8443"];
        check(&other, Preset::None, &[("a.example", true)]);
    }

    #[test]
    fn sf_n3_any_names_every_name() {
        check(&["deny any", "allow a.example"], Preset::Public, &[("a.example", false)]);
        check(&["allow any udp/443"], Preset::None, &[("a.example", false)]);
        check(&["allow any udp/443-444"], Preset::None, &[("a.example", true)]);
        check(&["allow any tcp/443"], Preset::None, &[("a.example", true)]);
    }

    #[test]
    fn a_name_is_decided_by_a_rule_before_the_preset() {
        let by = |rules: &[&str], preset| {
            let judged = look_up(&network(preset, rules), "a.example");
            (judged.allowed, judged.by)
        };
        assert_eq!(
            by(&["allow b.example", "allow a.example tcp/443"], Preset::None),
            (true, By::Rule(1))
        );
        assert_eq!(
            by(&["deny a.example tcp/1-1000", "allow a.example tcp/443"], Preset::None),
            (false, By::Rule(0))
        );
        assert_eq!(by(&["deny a.example"], Preset::Public), (false, By::Rule(0)));
        assert_eq!(by(&["deny a.example tcp/25"], Preset::Public), (true, By::Tail));
        assert_eq!(by(&["allow public tcp/443"], Preset::None), (true, By::Rule(0)));
        assert_eq!(by(&[], Preset::None), (false, By::Tail));
        assert_eq!(by(&["allow a.example"], Preset::Off), (false, By::Off));
    }

    #[test]
    fn addresses_alone_are_opened_where_no_name_may_be_looked_up() {
        let alone = |preset, rules: &[&str]| opens_addresses_alone(&network(preset, rules));
        assert!(alone(Preset::None, &["allow 10.0.0.0/8"]));
        assert!(alone(Preset::None, &["allow private tcp/5432", "deny a.example"]));
        assert!(alone(Preset::Public, &["deny public", "allow 1.1.1.1 tcp/443"]));
        for rules in [
            &["allow 10.0.0.0/8", "allow a.example"][..],
            &["allow 10.0.0.0/8", "allow public tcp/443"],
            &["allow any tcp/443"],
            &["allow host tcp/5432"],
            &["allow 198.18.0.1 tcp/5432"],
            &["allow ingress 10.0.0.0/8"],
            &["deny 10.0.0.0/8"],
            &[],
        ] {
            assert!(!alone(Preset::None, rules), "{rules:?}");
        }
        assert!(!alone(Preset::Public, &["allow 10.0.0.0/8"]));
    }

    #[test]
    fn a_pattern_is_reached_if_one_of_its_names_is() {
        let reach = |rules: &[&str], pattern: &str| {
            may_reach(&network(Preset::None, rules), &HostPattern::parse(pattern).unwrap())
        };
        assert!(reach(&["allow api.a.example tcp/443"], "*.a.example"));
        assert!(reach(&["allow *.a.example tcp/443"], "api.a.example"));
        assert!(reach(&["allow *.b.a.example tcp/443"], "*.a.example"));
        assert!(reach(&["deny a.example", "allow *.a.example"], "*.a.example"));
        assert!(!reach(&["allow api.a.example udp/53"], "*.a.example"));
        assert!(!reach(&["allow a.example"], "b.example"));
        assert!(!reach(&["allow *.a.example"], "other.example"));
        let mut open = quiet(Preset::Public);
        assert!(may_reach(&open, &HostPattern::parse("*.a.example").unwrap()));
        open.preset = Preset::Off;
        assert!(!may_reach(&open, &HostPattern::parse("*.a.example").unwrap()));
    }
}
