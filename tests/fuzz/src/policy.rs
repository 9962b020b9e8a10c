//! Target `policy`: any lines as what the command line says of a network, and a policy made of them.

use std::fmt::{Debug, Display};
use std::net::IpAddr;

use schema::policy::{By, Flow, Remote, idle, judge, keeps_answer};
use schema::project::network::{
    Action, Cidr, Direction, Dns, HostPattern, Network, PortError, PortRange, PortSet, Preset,
    Protocol, Protocols, Rule, RuleTextError, Target,
};
use schema::project::{HostPorts, PublishedPort};

/// Rules of a policy at most: each is asked about flows of every other.
const RULES_MAX: usize = 12;
/// Addresses beside those of the rules: one of each group that a rule may forget.
const REMOTES: [&str; 6] =
    ["1.1.1.1", "10.0.0.1", "198.18.0.1", "169.254.169.254", "2606:4700::1", "203.0.113.1"];

/// Reads each line in every way in which the command line would, and holds that what was read is
/// printed so that it reads the same, that what is proposed is right, and that a rule which is
/// called idle decides nothing.
pub(crate) fn check(bytes: &[u8]) {
    let preset = Preset::ALL[bytes.len() % Preset::ALL.len()];
    let mut network = Network { preset, ..Network::default() };
    for (number, line) in String::from_utf8_lossy(bytes).lines().enumerate() {
        same(line, Target::parse(line));
        same(line, PortSet::parse(line));
        same(line, PortRange::parse(line));
        same(line, HostPorts::parse(line));
        same(line, HostPattern::parse(line));
        same(line, Cidr::parse(line));
        if let Ok(server) = Dns::parse_server(line) {
            assert_eq!(Dns::parse_server(&server.to_string()), Ok(server), "{line}");
        }
        port(line);
        let action = if number % 2 == 0 { Action::Allow } else { Action::Deny };
        for direction in [Direction::Egress, Direction::Ingress] {
            let rule = rule(line, action, direction);
            network.rules.extend(rule.filter(|_| network.rules.len() < RULES_MAX));
        }
    }
    hold_idle(&network);
}

/// Holds that what was read is printed so that it reads the same.
fn same<T, E>(line: &str, read: Result<T, E>)
where
    T: Display + TryFrom<String> + PartialEq + Debug,
{
    if let Ok(value) = read {
        let again = T::try_from(value.to_string()).ok();
        assert_eq!(again.as_ref(), Some(&value), "{line}");
    }
}

fn port(line: &str) {
    let port = match PublishedPort::read(line) {
        Ok(port) => port,
        Err(error) => {
            assert!(!error.to_string().is_empty(), "{line}");
            return;
        }
    };
    let PublishedPort { protocol, bind, host, guest } = port;
    let bind = match bind {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    let text = format!("{bind}:{host}:{guest}/{}", protocol.as_str());
    assert_eq!(PublishedPort::read(&text), Ok(port), "{line}");
    let fixed = matches!(host, HostPorts::Fixed(_));
    assert_eq!(port.clash(&port).is_some(), fixed, "{line} takes its own place");
    assert_eq!(port.pairs().count(), usize::try_from(guest.count()).unwrap_or(0), "{line}");
}

fn rule(line: &str, action: Action, direction: Direction) -> Option<Rule> {
    let rule = match Rule::read(action, direction, line) {
        Ok(rule) => rule,
        Err(error) => {
            proposed(line, &error);
            return None;
        }
    };
    let target = match rule.target() {
        Target::Net(net) if net.first().is_ipv6() => format!("[{net}]"),
        target => target.to_string(),
    };
    let protocol = match rule.protocol() {
        Protocols::Any => String::new(),
        protocol => format!("/{}", protocol.as_str()),
    };
    let text = format!("{target}:{}{protocol}", rule.ports());
    assert_eq!(Rule::read(action, direction, &text).as_ref(), Ok(&rule), "{line} as {text}");
    Some(rule)
}

/// Holds that what is proposed instead would be read.
fn proposed(line: &str, error: &RuleTextError) {
    let Some(near) = error.nearest() else { return };
    let is_read = match error {
        RuleTextError::Target(_) => Target::parse(&near).is_ok(),
        RuleTextError::Ports(PortError::Reversed(_)) => PortRange::parse(&near).is_ok(),
        RuleTextError::Ports(_) => PortSet::parse(&near).is_ok(),
        RuleTextError::Protocol(_)
        | RuleTextError::Brackets
        | RuleTextError::Bare(_)
        | RuleTextError::Rule(_) => false,
    };
    assert!(is_read, "{line}: {near} is proposed");
}

fn hold_idle(network: &Network) {
    let idle: Vec<usize> = idle(network).into_iter().map(|(index, _)| index).collect();
    if idle.is_empty() {
        return;
    }
    let names = names(network);
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let ports = ports(network);
    for remote in remotes(network) {
        let kept = |name: &&str| keeps_answer(network, name, remote);
        let names: Vec<&str> = names.iter().copied().filter(kept).collect();
        let pinned = names.chunks(1).chain([&[][..], &names]);
        for names in pinned {
            for port in &ports {
                for protocol in Protocol::ALL {
                    for direction in [Direction::Egress, Direction::Ingress] {
                        let port = *port;
                        if direction == Direction::Ingress
                            && (protocol == Protocol::Icmp || !names.is_empty())
                        {
                            continue;
                        }
                        let flow = Flow { direction, remote, protocol, port, names, sni: None };
                        if let By::Rule(index) = judge(network, &flow).by {
                            assert!(!idle.contains(&index), "{index} of {:?}", network.rules);
                        }
                    }
                }
            }
        }
    }
}

fn remotes(network: &Network) -> Vec<Remote> {
    let of_rules = network.rules.iter().flat_map(|rule| match rule.target() {
        Target::Net(net) => vec![net.first(), net.last()],
        Target::Any | Target::Group(_) | Target::Host(_) => Vec::new(),
    });
    let fixed = REMOTES.map(|address| address.parse().expect("it is an address"));
    of_rules.chain(fixed).map(Remote::at).collect()
}

fn names(network: &Network) -> Vec<String> {
    let hosts = network.rules.iter().flat_map(|rule| match rule.target() {
        Target::Host(pattern) => vec![pattern.name().to_owned(), format!("x.{}", pattern.name())],
        Target::Any | Target::Group(_) | Target::Net(_) => Vec::new(),
    });
    hosts.chain(["other.example".to_owned()]).collect()
}

/// Returns a few ports at which something may change.
fn ports(network: &Network) -> Vec<u16> {
    let ranges = network.rules.iter().flat_map(|rule| rule.ports().ranges().iter().take(4));
    let edges = ranges.flat_map(|range| [range.first(), range.last()]);
    let mut ports: Vec<u16> = edges.chain([443, 1]).collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}
