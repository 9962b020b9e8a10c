//! Flows judged one by one, and laws that hold for all of them.

use super::*;
use crate::project::network::{Cidr, PortSet, Protocols, RuleParts};

/// Returns a network without rules that does nothing about QUIC.
pub(crate) fn quiet(preset: Preset) -> Network {
    let mut network = Network { preset, ..Network::default() };
    network.tls.block_quic = false;
    network
}

/// Returns a network with rules as they print: `deny ingress 10.0.0.0/8 tcp/22`.
pub(crate) fn network(preset: Preset, rules: &[&str]) -> Network {
    let mut network = Network { preset, ..Network::default() };
    network.rules.extend(rules.iter().map(|text| rule(text)));
    network
}

fn rule(text: &str) -> Rule {
    let mut words = text.split(' ').peekable();
    let action = if words.next() == Some("allow") { Action::Allow } else { Action::Deny };
    let ingress = words.next_if_eq(&"ingress").is_some();
    let target = Target::parse(words.next().unwrap()).unwrap();
    let mut parts = RuleParts { action, ..RuleParts::allow(target) };
    if ingress {
        parts.direction = Direction::Ingress;
    }
    if let Some(traffic) = words.next() {
        let (protocol, ports) = traffic.split_once('/').unwrap_or((traffic, "any"));
        parts.ports = PortSet::parse(ports).unwrap();
        parts.protocol = match protocol {
            "tcp" => Protocols::Tcp,
            "udp" => Protocols::Udp,
            "icmp" => Protocols::Icmp,
            _ => Protocols::Any,
        };
    }
    Rule::new(parts).unwrap()
}

/// Returns what is decided of an egress flow written as `tcp 1.1.1.1 443`.
fn decide(network: &Network, flow: &str, names: &[&str], sni: Option<&str>) -> Judgement {
    let words: Vec<&str> = flow.split(' ').collect();
    let protocol = Protocol::ALL.into_iter().find(|p| p.as_str() == words[0]).unwrap();
    let remote = Remote::at(words[1].parse().unwrap());
    let port = words.get(2).map_or(0, |port| port.parse().unwrap());
    let direction = Direction::Egress;
    judge(network, &Flow { direction, remote, protocol, port, names, sni })
}

fn check(network: &Network, expected: &[(&str, bool, By)]) {
    for (flow, allowed, by) in expected {
        let found = decide(network, flow, &[], None);
        assert_eq!((found.allowed, found.by), (*allowed, *by), "{flow}");
    }
}

#[test]
fn sf_n2_the_preset_decides_what_no_rule_does() {
    let flows = ["tcp 1.1.1.1 443", "tcp 10.0.0.1 22", "tcp 198.18.0.1 5432", "udp 224.0.0.1 1"];
    let metadata = "tcp 169.254.169.254 80";
    for (preset, allowed) in [
        (Preset::Off, [false; 4]),
        (Preset::None, [false; 4]),
        (Preset::Public, [true, false, false, false]),
        (Preset::Private, [true, true, false, false]),
        (Preset::Open, [true; 4]),
    ] {
        let network = network(preset, &[]);
        let found = flows.map(|flow| decide(&network, flow, &[], None).allowed);
        assert_eq!(found, allowed, "{preset}");
        assert!(!decide(&network, metadata, &[], None).allowed, "{preset}");
    }
    let written = network(Preset::Open, &["allow metadata tcp/80"]);
    check(&written, &[(metadata, true, By::Rule(0))]);
}

#[test]
fn sf_n2_the_first_rule_that_matches_wins_and_the_tail_stays() {
    let network = network(
        Preset::Public,
        &["deny 10.1.0.0/16", "allow private tcp/5432", "deny public udp", "allow any icmp"],
    );
    check(
        &network,
        &[
            ("tcp 10.1.2.3 5432", false, By::Rule(0)),
            ("tcp 10.2.2.3 5432", true, By::Rule(1)),
            ("tcp 10.2.2.3 5433", false, By::Tail),
            ("udp 1.1.1.1 53", false, By::Rule(2)),
            ("icmp 10.2.2.3", true, By::Rule(3)),
            ("icmp 10.1.2.3", false, By::Rule(0)),
            ("tcp 1.1.1.1 22", true, By::Tail),
        ],
    );
}

#[test]
fn sf_n3_a_name_matches_only_an_address_that_was_its_answer() {
    let network = network(Preset::None, &["allow *.acme.example tcp/443"]);
    let allowed = |names: &[&str]| decide(&network, "tcp 1.1.1.1 443", names, None).allowed;
    assert!(!allowed(&[]));
    assert!(allowed(&["a.acme.example"]));
    assert!(allowed(&["other.example", "ACME.example."]));
    assert!(!allowed(&["other.example"]));
    // By name also where it is no public address; what protects from that is the resolver.
    assert!(decide(&network, "tcp 10.0.0.1 443", &["a.acme.example"], None).allowed);
    assert!(!decide(&network, "tcp 203.0.113.1 443", &["a.acme.example"], None).allowed);
}

#[test]
fn rt_9_14_the_name_within_tls_is_judged_as_well() {
    let front = network(Preset::None, &["allow a.example tcp/443,80"]);
    let allowed = |flow: &str, sni| decide(&front, flow, &["a.example"], sni).allowed;
    assert!(allowed("tcp 1.1.1.1 443", Some("a.example")));
    assert!(!allowed("tcp 1.1.1.1 443", Some("b.example")));
    assert!(allowed("tcp 1.1.1.1 80", Some("b.example")), "no TLS is expected there");
    let denied = network(Preset::Public, &["deny b.example"]);
    assert!(!decide(&denied, "tcp 1.1.1.1 443", &["a.example"], Some("b.example")).allowed);
    assert!(decide(&denied, "tcp 1.1.1.1 443", &["a.example"], Some("c.example")).allowed);
}

#[test]
fn sf_n4_ingress_is_allowed_unless_a_rule_denies_the_peer() {
    let network = network(
        Preset::None,
        &["allow ingress 10.1.0.0/16 tcp/80", "deny ingress private", "deny any"],
    );
    let judged = |remote: &str, port: u16| {
        let remote = Remote::at(remote.parse().unwrap());
        let (direction, protocol) = (Direction::Ingress, Protocol::Tcp);
        judge(&network, &Flow { direction, remote, protocol, port, names: &[], sni: None })
    };
    assert_eq!(judged("10.1.2.3", 80), Judgement { allowed: true, by: By::Rule(0) });
    assert_eq!(judged("10.1.2.3", 81), Judgement { allowed: false, by: By::Rule(1) });
    assert_eq!(judged("1.1.1.1", 80), Judgement { allowed: true, by: By::Tail });
    assert!(judged("198.19.0.4", 80).allowed, "a sibling");
}

#[test]
fn sf_n5_every_protocol_and_family_obeys() {
    let network = network(Preset::None, &["allow 2606:4700::/32 udp/53", "allow 1.1.1.1 icmp"]);
    check(
        &network,
        &[
            ("udp 2606:4700::1111 53", true, By::Rule(0)),
            ("udp 2606:4701::1111 53", false, By::Tail),
            ("tcp 2606:4700::1111 53", false, By::Tail),
            ("icmp 1.1.1.1", true, By::Rule(1)),
            ("icmp ::ffff:1.1.1.1", true, By::Rule(1)),
            ("icmp 1.1.1.2", false, By::Tail),
        ],
    );
}

#[test]
fn rt_9_20_quic_is_denied_where_tls_is_expected() {
    let mut network = network(Preset::Public, &["allow 1.1.1.1 udp/443"]);
    check(&network, &[("udp 1.1.1.1 443", false, By::BlockQuic)]);
    check(&network, &[("udp 1.1.1.1 8443", true, By::Tail)]);
    network.tls.ports = vec![8443];
    check(&network, &[("udp 1.1.1.1 443", true, By::Rule(0))]);
    network.tls.block_quic = false;
    check(&network, &[("udp 1.1.1.1 8443", true, By::Tail)]);
}

#[test]
fn rt_9_16_names_are_asked_for_within_tls_only_where_a_rule_names_the_port() {
    let by = By::DnsOverTls;
    for preset in [Preset::Public, Preset::Open] {
        let bare = network(preset, &["allow 1.1.1.1", "allow any tcp"]);
        check(&bare, &[("tcp 1.1.1.1 853", false, by), ("udp 1.1.1.1 853", false, by)]);
        check(
            &bare,
            &[("tcp 1.1.1.1 854", true, By::Rule(0)), ("icmp 1.1.1.1", true, By::Rule(0))],
        );
    }
    let named = network(Preset::None, &["allow any", "allow 1.1.1.1 tcp/853"]);
    check(&named, &[("tcp 1.1.1.1 853", true, By::Rule(1)), ("udp 1.1.1.1 853", false, by)]);
    let range = network(Preset::None, &["allow public any/800-900"]);
    check(&range, &[("udp 1.1.1.1 853", true, By::Rule(0)), ("udp 10.0.0.1 853", false, by)]);
    let denied = network(Preset::None, &["deny 1.1.1.1", "allow any any/853"]);
    check(
        &denied,
        &[("tcp 1.1.1.1 853", false, By::Rule(0)), ("tcp 1.1.1.2 853", true, By::Rule(1))],
    );
    assert!(may_look_up(&network(Preset::None, &["allow a.example tcp/853"]), "a.example"));
    let only =
        network(Preset::Public, &["deny any icmp", "deny any any/1-852", "deny any any/854-65535"]);
    assert!(!may_look_up(&only, "a.example"), "nothing is left of it");
}

#[test]
fn nothing_is_ever_allowed_to_addresses_that_nobody_has() {
    let network = network(Preset::Open, &["allow any", "allow 203.0.113.0/24"]);
    for address in ["0.0.0.0", "255.255.255.255", "203.0.113.1", "198.19.0.1", "2001:db8::1"] {
        check(&network, &[(&format!("tcp {address} 443"), false, By::Unreachable)]);
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// Returns a number below `most`.
    pub(crate) fn below(&mut self, most: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % most as u64).unwrap()
    }

    pub(crate) fn one_of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

pub(crate) const TARGETS: &[&str] = &[
    "any",
    "public",
    "private",
    "host",
    "metadata",
    "10.1.0.0/16",
    "10.0.0.0/8",
    "1.1.1.1",
    "2606:4700::/32",
    "a.example",
    "*.a.example",
    "x.a.example",
    "b.example",
];
pub(crate) const TRAFFIC: &[&str] = &[
    "",
    "",
    " tcp",
    " tcp/853",
    " any/800-900",
    " tcp/443",
    " udp/53",
    " udp/443",
    " icmp",
    " any/80-443",
    " tcp/80",
];

/// Makes a rule at random.
pub(crate) fn some_rule(numbers: &mut Numbers) -> String {
    let action = numbers.one_of(&["allow", "deny"]);
    let ingress = numbers.below(6) == 0;
    loop {
        let (target, traffic) = (numbers.one_of(TARGETS), numbers.one_of(TRAFFIC));
        let fits = !target.ends_with(".example") && *traffic != " icmp";
        match (ingress, fits) {
            (true, false) => {}
            (true, true) => return format!("{action} ingress {target}{traffic}"),
            (false, _) => return format!("{action} {target}{traffic}"),
        }
    }
}

/// One address of each group and of each part that the targets cut out of it.
pub(crate) const REMOTES: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "10.1.2.3",
    "10.2.2.3",
    "192.168.1.1",
    "198.18.0.1",
    "169.254.169.254",
    "127.0.0.1",
    "203.0.113.1",
    "169.254.1.1",
    "224.0.0.1",
    "2606:4700::1",
    "2a00::1",
    "fd00::1",
];
/// Every class of names that the targets make, alone and with another.
pub(crate) const NAME_SETS: &[&[&str]] = &[
    &[],
    &["a.example"],
    &["x.a.example"],
    &["y.a.example"],
    &["b.example"],
    &["other.example"],
    &["a.example", "x.a.example"],
    &["a.example", "y.a.example"],
    &["a.example", "b.example"],
    &["x.a.example", "y.a.example"],
    &["x.a.example", "b.example"],
    &["y.a.example", "b.example"],
];
/// Every port at which something may change, by the traffic below.
pub(crate) const PORTS: &[u16] =
    &[1, 53, 79, 80, 81, 442, 443, 444, 799, 852, 853, 854, 901, 65535];

/// Visits every flow of a small world.
pub(crate) fn flows(visit: &mut impl FnMut(&Flow<'static>)) {
    for direction in [Direction::Egress, Direction::Ingress] {
        for protocol in Protocol::ALL {
            for remote in REMOTES.iter().map(|address| Remote::at(address.parse().unwrap())) {
                for names in NAME_SETS {
                    let ingress = direction == Direction::Ingress;
                    if ingress && (protocol == Protocol::Icmp || !names.is_empty()) {
                        continue;
                    }
                    for port in PORTS {
                        let port = *port;
                        visit(&Flow { direction, remote, protocol, port, names, sni: None });
                    }
                }
            }
        }
    }
}

/// What the rules say, told in the plainest way.
fn plainly(network: &Network, flow: &Flow<'_>) -> bool {
    let egress = flow.direction == Direction::Egress;
    if network.preset == Preset::Off || egress && flow.remote.group().is_none() {
        return false;
    }
    let quic = network.tls.block_quic && network.tls.ports.contains(&flow.port);
    if egress && quic && flow.protocol == Protocol::Udp {
        return false;
    }
    let is_853 = flow.port == 853 && flow.protocol != Protocol::Icmp;
    for rule in &network.rules {
        let text = rule.to_string();
        let mut words: Vec<&str> = text.split(' ').collect();
        let ingress = words.contains(&"ingress");
        words.retain(|word| *word != "ingress");
        let target = match words[1] {
            "any" => true,
            word if word.ends_with(".example") => {
                let suffix = word.trim_start_matches("*.");
                let below = format!(".{suffix}");
                let fits = |n: &&str| **n == *suffix || word != suffix && n.ends_with(&below);
                flow.names.iter().any(fits)
            }
            word => match Group::parse(word) {
                Some(group) => flow.remote.group() == Some(group),
                None => Cidr::parse(word).unwrap().contains(flow.remote.address()),
            },
        };
        let traffic = words.get(2).copied().unwrap_or("tcp+udp+icmp");
        let (protocols, ports) = traffic.split_once('/').unwrap_or((traffic, ""));
        let port = ports.is_empty() || PortSet::parse(ports).unwrap().contains(flow.port);
        let protocol = protocols.split('+').any(|p| p == flow.protocol.as_str());
        let port = port || flow.protocol == Protocol::Icmp;
        // It is opened by its number alone.
        let kept_out = egress && words[0] == "allow" && ports.is_empty() && is_853;
        if ingress != egress && target && protocol && port && !kept_out {
            return words[0] == "allow";
        }
    }
    !egress
        || !is_853
            && match network.preset {
                Preset::Open => flow.remote.group() != Some(Group::Metadata),
                preset => {
                    let private = flow.remote.group() == Some(Group::Private);
                    flow.remote.group() == Some(Group::Public) && preset != Preset::None
                        || private && preset == Preset::Private
                }
            }
}

#[test]
fn random_policies_decide_as_they_read() {
    let mut numbers = Numbers(7);
    for _ in 0..100 {
        let rules: Vec<String> = (0..numbers.below(6)).map(|_| some_rule(&mut numbers)).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let network = network(*numbers.one_of(&Preset::ALL), &rules);
        flows(&mut |flow| {
            let found = judge(&network, flow);
            assert_eq!(found.allowed, plainly(&network, flow), "{rules:?} {flow:?}");
            let stored = match found.by {
                By::Rule(index) => network.rules[index].action() == Action::Allow,
                _ => found.allowed,
            };
            assert_eq!(stored, found.allowed, "what decided says what was decided");
        });
    }
}

#[test]
fn a_name_whose_rule_lets_a_flow_pass_may_be_looked_up() {
    let mut numbers = Numbers(11);
    for _ in 0..200 {
        let rules: Vec<String> = (0..numbers.below(6)).map(|_| some_rule(&mut numbers)).collect();
        let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
        let network = network(*numbers.one_of(&Preset::ALL), &rules);
        flows(&mut |flow| {
            let ([name], Direction::Egress) = (flow.names, flow.direction) else { return };
            let found = judge(&network, flow);
            let by_name = matches!(found.by, By::Rule(index)
                if matches!(network.rules[index].target(), Target::Host(_)));
            if found.allowed && by_name {
                assert!(may_look_up(&network, name), "{rules:?} {flow:?}");
            }
        });
    }
}
