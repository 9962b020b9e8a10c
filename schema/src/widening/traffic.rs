//! Which protocols and ports, as people read them.

use std::collections::BTreeMap;
use std::fmt;

use crate::project::network::{PortSet, Protocol};

/// Ports by protocol; of ICMP they are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic(BTreeMap<Protocol, PortSet>);

impl Traffic {
    pub(super) fn add(&mut self, protocol: Protocol, ports: &PortSet) {
        let known = self.0.get(&protocol).into_iter().flat_map(PortSet::ranges);
        let both = PortSet::of(known.chain(ports.ranges()).copied());
        self.0.extend(both.map(|both| (protocol, both)));
    }

    fn of(&self, protocol: Protocol) -> Option<&PortSet> {
        self.0.get(&protocol)
    }

    fn is_all(&self) -> bool {
        Protocol::ALL.iter().all(|protocol| self.of(*protocol).is_some_and(PortSet::is_any))
    }
}

/// Prints with a blank before it, or nothing where it is all there is: ` tcp/443`, ` tcp+udp`.
impl fmt::Display for Traffic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_all() {
            return Ok(());
        }
        let ports = |ports: &PortSet| match ports.is_any() {
            true => String::new(),
            false => format!("/{ports}"),
        };
        let (tcp, udp) = (self.of(Protocol::Tcp), self.of(Protocol::Udp));
        match (tcp, udp) {
            (Some(tcp), Some(udp)) if tcp == udp => write!(f, " tcp+udp{}", ports(tcp))?,
            _ => {
                for (protocol, set) in [(Protocol::Tcp, tcp), (Protocol::Udp, udp)] {
                    if let Some(set) = set {
                        write!(f, " {}{}", protocol.as_str(), ports(set))?;
                    }
                }
            }
        }
        if self.of(Protocol::Icmp).is_some() { f.write_str(" icmp") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_reads_in_the_words_of_rules() {
        use Protocol::{Icmp, Tcp, Udp};
        let text = |parts: &[(Protocol, &str)]| {
            let mut traffic = Traffic::default();
            for (protocol, ports) in parts {
                traffic.add(*protocol, &PortSet::parse(ports).unwrap());
            }
            traffic.to_string()
        };
        for (parts, expected) in [
            (vec![(Tcp, "any"), (Udp, "any"), (Icmp, "any")], ""),
            (vec![(Tcp, "443")], " tcp/443"),
            (vec![(Tcp, "80"), (Tcp, "81")], " tcp/80-81"),
            (vec![(Tcp, "53"), (Udp, "53")], " tcp+udp/53"),
            (vec![(Tcp, "any"), (Udp, "any")], " tcp+udp"),
            (vec![(Tcp, "80"), (Udp, "53"), (Icmp, "any")], " tcp/80 udp/53 icmp"),
            (vec![(Icmp, "any")], " icmp"),
        ] {
            assert_eq!(text(&parts), expected);
        }
    }
}
