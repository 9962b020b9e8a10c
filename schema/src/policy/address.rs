//! Which group an address lies in. Groups are disjoint; some addresses are in none, and those are
//! never reached.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use crate::link;
use crate::project::network::{Cidr, Group, WRAPPINGS};

/// What the whole world calls the same, the narrower before the wider. What stands in no row is
/// [`Group::Public`].
const RANGES: &[(&str, Option<Group>)] = &[
    ("169.254.169.254", Some(Group::Metadata)),
    ("169.254.170.2", Some(Group::Metadata)),
    ("fd00:ec2::254", Some(Group::Metadata)),
    ("127.0.0.0/8", Some(Group::Loopback)),
    ("::1", Some(Group::Loopback)),
    ("169.254.0.0/16", Some(Group::LinkLocal)),
    ("fe80::/10", Some(Group::LinkLocal)),
    ("10.0.0.0/8", Some(Group::Private)),
    ("172.16.0.0/12", Some(Group::Private)),
    ("192.168.0.0/16", Some(Group::Private)),
    // Between a provider and its customers.
    ("100.64.0.0/10", Some(Group::Private)),
    ("fc00::/7", Some(Group::Private)),
    // A network's own translation to IPv4, which may lead anywhere within it.
    ("64:ff9b:1::/48", Some(Group::Private)),
    ("224.0.0.0/4", Some(Group::Multicast)),
    ("ff00::/8", Some(Group::Multicast)),
    ("0.0.0.0/8", None),
    ("240.0.0.0/4", None),
    ("::", None),
    // Documentation.
    ("192.0.2.0/24", None),
    ("198.51.100.0/24", None),
    ("203.0.113.0/24", None),
    ("2001:db8::/32", None),
    ("3fff::/20", None),
];

static TABLE: LazyLock<Vec<(Cidr, Option<Group>)>> = LazyLock::new(|| {
    RANGES.iter().map(|(network, group)| (Cidr::literal(network), *group)).collect()
});

/// The addresses that every machine sees as its own surroundings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Surroundings {
    /// The gateway, which is the host too.
    pub gateways: [IpAddr; 2],
    /// The networks of guest and siblings.
    pub networks: Vec<Cidr>,
}

impl Default for Surroundings {
    fn default() -> Self {
        let (siblings_v4, siblings_v6) = (link::SIBLINGS_V4, link::SIBLINGS_V6);
        let networks: [(IpAddr, u8); 4] = [
            (link::GUEST_V4.into(), link::PREFIX_V4),
            (siblings_v4.0.into(), siblings_v4.1),
            (link::GUEST_V6.into(), link::PREFIX_V6),
            (siblings_v6.0.into(), siblings_v6.1),
        ];
        let network = |(at, bits)| Cidr::around(at, bits).expect("no address has so many bits");
        Self {
            gateways: [link::GATEWAY_V4.into(), link::GATEWAY_V6.into()],
            networks: networks.map(network).to_vec(),
        }
    }
}

impl Surroundings {
    /// Returns the far end at `address`, as rules see it.
    #[must_use]
    pub fn remote(&self, address: IpAddr) -> Remote {
        let address = inside(address);
        let group = if self.gateways.contains(&address) {
            Some(Group::Host)
        } else if self.networks.iter().any(|network| network.contains(address)) {
            None
        } else {
            let row = TABLE.iter().find(|(network, _)| network.contains(address));
            row.map_or(Some(Group::Public), |(_, group)| *group)
        };
        Remote { address, group }
    }

    /// Returns networks at whose edges it may change how an address is judged.
    pub(crate) fn edges(&self) -> impl Iterator<Item = Cidr> {
        let table = TABLE.iter().map(|(network, _)| *network);
        let gateways = self.gateways.iter().copied().map(Cidr::one);
        let own = self.networks.iter().copied();
        table.chain(gateways).chain(own).chain(WRAPPINGS.map(Cidr::literal))
    }
}

/// A far end: its address, and the group that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote {
    address: IpAddr,
    group: Option<Group>,
}

impl Remote {
    /// Returns the far end at `address` in the usual surroundings.
    #[must_use]
    pub fn at(address: IpAddr) -> Self {
        static USUAL: LazyLock<Surroundings> = LazyLock::new(Surroundings::default);
        USUAL.remote(address)
    }

    /// Returns its address; that of IPv4 where an IPv6 address only wraps one.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// Returns its group; `None` where nothing is ever allowed.
    #[must_use]
    pub const fn group(&self) -> Option<Group> {
        self.group
    }
}

/// Takes the IPv4 address out of one that only wraps it: mapped, 6to4, Teredo and NAT64.
#[must_use]
pub(crate) fn inside(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 =
        |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match (a, b) {
        (0x2002, _) => v4(b, c),
        // The client's address stands there with every bit turned.
        (0x2001, 0) => v4(!g, !h),
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => v4(g, h),
        (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => v4(g, h),
        _ => IpAddr::V6(Ipv6Addr::from(v6.segments())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_9_12_every_address_lies_in_one_group_or_is_never_reached() {
        use Group::{Host, LinkLocal, Loopback, Metadata, Multicast, Private, Public};
        for (address, group) in [
            ("1.1.1.1", Some(Public)),
            ("9.255.255.255", Some(Public)),
            ("10.0.0.0", Some(Private)),
            ("10.255.255.255", Some(Private)),
            ("11.0.0.0", Some(Public)),
            ("100.64.0.1", Some(Private)),
            ("100.128.0.0", Some(Public)),
            ("172.15.255.255", Some(Public)),
            ("172.31.255.255", Some(Private)),
            ("192.168.0.1", Some(Private)),
            ("127.8.8.8", Some(Loopback)),
            ("169.254.1.1", Some(LinkLocal)),
            ("169.254.169.254", Some(Metadata)),
            ("169.254.170.2", Some(Metadata)),
            ("224.0.0.251", Some(Multicast)),
            ("239.255.255.255", Some(Multicast)),
            ("240.0.0.0", None),
            ("255.255.255.255", None),
            ("0.0.0.0", None),
            ("203.0.113.9", None),
            ("198.18.0.1", Some(Host)),
            ("198.18.0.2", None),
            ("198.18.0.4", Some(Public)),
            ("198.19.3.4", None),
            ("2606:4700::1111", Some(Public)),
            ("::1", Some(Loopback)),
            ("::", None),
            ("fe80::1", Some(LinkLocal)),
            ("fd00::1", Some(Private)),
            ("fd00:ec2::254", Some(Metadata)),
            ("fd6d:7362::1", Some(Host)),
            ("fd6d:7362::2", None),
            ("fd6d:7362:1::7", None),
            ("ff02::fb", Some(Multicast)),
            ("2001:db8::1", None),
            ("64:ff9b:1::1", Some(Private)),
        ] {
            assert_eq!(Remote::at(address.parse().unwrap()).group(), group, "{address}");
        }
    }

    #[test]
    fn rt_9_12_what_wraps_ipv4_is_judged_by_what_is_inside() {
        for wrapped in [
            "::ffff:169.254.169.254",
            "2002:a9fe:a9fe::1",
            "64:ff9b::169.254.169.254",
            "2001:0:4136:e378:8000:63bf:5601:5601",
        ] {
            let remote = Remote::at(wrapped.parse().unwrap());
            assert_eq!(remote.address().to_string(), "169.254.169.254", "{wrapped}");
            assert_eq!(remote.group(), Some(Group::Metadata), "{wrapped}");
        }
    }

    #[test]
    fn surroundings_move_with_the_network_of_the_guest() {
        let moved = Surroundings {
            gateways: ["10.9.0.1".parse().unwrap(), "fd6d:7362::1".parse().unwrap()],
            networks: vec![Cidr::literal("10.9.0.0/30")],
        };
        let group = |address: &str| moved.remote(address.parse().unwrap()).group();
        assert_eq!(group("10.9.0.1"), Some(Group::Host));
        assert_eq!(group("10.9.0.2"), None);
        assert_eq!(group("10.9.0.4"), Some(Group::Private));
        assert_eq!(group("198.18.0.1"), Some(Group::Public));
    }
}
