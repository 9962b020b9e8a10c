//! Sets of addresses, both families on one line: IPv4 lies where IPv6 wraps it.

use std::net::{IpAddr, Ipv6Addr};

use crate::project::network::Cidr;

/// Where IPv4 lies on the line, first and last.
const V4: (u128, u128) = (0xffff_0000_0000, 0xffff_ffff_ffff);

/// A set of addresses: ranges in order, both ends in them, which neither overlap nor touch.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spans(Vec<(u128, u128)>);

/// Returns the place of an address on the line.
pub(super) fn place(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(v4.to_ipv6_mapped()),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// Returns the address at a place on the line.
pub(super) fn address(place: u128) -> IpAddr {
    Ipv6Addr::from(place).to_canonical()
}

/// Returns the places where one range ends and another begins, for all these networks: within two
/// neighbours of the list every address is in the same of them.
pub(super) fn edges(networks: impl IntoIterator<Item = Cidr>) -> Vec<u128> {
    let mut edges = vec![0, V4.0, V4.1 + 1];
    for network in networks {
        edges.push(place(network.first()));
        edges.extend(place(network.last()).checked_add(1));
    }
    edges.sort_unstable();
    edges.dedup();
    edges
}

/// Returns the ranges between neighbouring edges.
pub(super) fn between(edges: &[u128]) -> impl Iterator<Item = (u128, u128)> {
    edges
        .iter()
        .enumerate()
        .map(|(index, first)| (*first, edges.get(index + 1).map_or(u128::MAX, |next| next - 1)))
}

impl Spans {
    /// Adds a range that lies behind all that are in it.
    pub(super) fn push(&mut self, (first, last): (u128, u128)) {
        match self.0.last_mut() {
            Some(end) if end.1.checked_add(1) == Some(first) => end.1 = last,
            Some(_) | None => self.0.push((first, last)),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns what is in either.
    pub(super) fn or(&self, other: &Self) -> Self {
        let mut all: Vec<(u128, u128)> = self.0.iter().chain(&other.0).copied().collect();
        all.sort_unstable();
        let mut joined = Self::default();
        for (first, last) in all {
            match joined.0.last_mut() {
                Some(end) if first <= end.1.saturating_add(1) => end.1 = end.1.max(last),
                Some(_) | None => joined.0.push((first, last)),
            }
        }
        joined
    }

    /// Returns what is in both.
    pub(super) fn and(&self, other: &Self) -> Self {
        let mut both = Self::default();
        let (mut here, mut there) = (0, 0);
        while let (Some(a), Some(b)) = (self.0.get(here), other.0.get(there)) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                both.push((first, last));
            }
            if a.1 < b.1 {
                here += 1;
            } else {
                there += 1;
            }
        }
        both
    }

    /// Returns what is in this one alone.
    pub(super) fn without(&self, other: &Self) -> Self {
        let mut rest = Self::default();
        for (start, last) in self.0.iter().copied() {
            let (mut first, mut used_up) = (start, false);
            for cut in other.0.iter().filter(|cut| cut.1 >= start && cut.0 <= last) {
                if cut.0 > first {
                    rest.push((first, cut.0 - 1));
                }
                match cut.1.checked_add(1).filter(|next| *next <= last) {
                    Some(next) => first = next,
                    None => used_up = true,
                }
            }
            if !used_up {
                rest.push((first, last));
            }
        }
        rest
    }

    /// Returns the fewest networks that hold exactly these addresses, lowest first.
    pub(super) fn networks(&self) -> Vec<Cidr> {
        let mut networks = Vec::new();
        for (first, last) in self.0.iter().copied() {
            // A network is of one family.
            for (low, high) in [(0, V4.0 - 1), V4, (V4.1 + 1, u128::MAX)] {
                let (mut first, last) = (first.max(low), last.min(high));
                while first <= last {
                    let (network, end) = largest(first, last);
                    networks.extend(network);
                    match end.checked_add(1) {
                        Some(next) => first = next,
                        None => break,
                    }
                }
            }
        }
        networks
    }

    #[cfg(test)]
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        let place = place(address);
        self.0.iter().any(|(first, last)| (*first..=*last).contains(&place))
    }
}

/// Returns the largest network that begins at `first` and ends by `last`, and its end.
fn largest(first: u128, last: u128) -> (Option<Cidr>, u128) {
    let mut size = first.trailing_zeros().min(127);
    // The address 0 has as many zeros as there are bits.
    let fits = |size: u32| first.checked_add((1 << size) - 1).is_some_and(|end| end <= last);
    while size > 0 && !fits(size) {
        size -= 1;
    }
    let address = address(first);
    let width = if address.is_ipv4() { 32 } else { 128 };
    let bits = u8::try_from(width - size.min(width)).ok();
    let network = bits.and_then(|bits| Cidr::around(address, bits));
    (network, first + ((1 << size) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(networks: &[&str]) -> Spans {
        networks.iter().fold(Spans::default(), |all, text| {
            let network = Cidr::parse(text).unwrap();
            let one = Spans(vec![(place(network.first()), place(network.last()))]);
            all.or(&one)
        })
    }

    fn text(spans: &Spans) -> String {
        let networks: Vec<String> = spans.networks().iter().map(ToString::to_string).collect();
        networks.join(" ")
    }

    #[test]
    fn sets_are_joined_cut_and_told_as_networks() {
        let ten = spans(&["10.0.0.0/8"]);
        assert_eq!(text(&ten), "10.0.0.0/8");
        assert_eq!(text(&spans(&["10.0.0.0/9", "10.128.0.0/9"])), "10.0.0.0/8");
        let rest = ten.without(&spans(&["10.0.0.0/10"]));
        assert_eq!(text(&rest), "10.64.0.0/10 10.128.0.0/9");
        assert_eq!(ten.and(&rest), rest);
        assert_eq!(rest.or(&spans(&["10.0.0.0/10"])), ten);
        assert!(ten.without(&spans(&["0.0.0.0/0"])).is_empty());
        assert_eq!(text(&spans(&["1.1.1.1", "fd00::/8"])), "1.1.1.1 fd00::/8");
        assert_eq!(text(&ten.without(&spans(&["10.0.0.5"]))).split(' ').count(), 24);
    }

    #[test]
    fn the_whole_line_is_three_parts() {
        let all = Spans(vec![(0, u128::MAX)]);
        let networks = all.networks();
        assert!(networks.contains(&Cidr::parse("0.0.0.0/0").unwrap()));
        let back = networks.iter().fold(Spans::default(), |all, network| {
            all.or(&Spans(vec![(place(network.first()), place(network.last()))]))
        });
        assert_eq!(back, all);
    }

    #[test]
    fn edges_part_networks_of_both_families() {
        let ten = Cidr::parse("10.0.0.0/8").unwrap();
        let edges = edges([ten, Cidr::parse("::/0").unwrap()]);
        let cells: Vec<(u128, u128)> = between(&edges).collect();
        assert_eq!(cells.len(), 5);
        assert_eq!(cells.last().unwrap().1, u128::MAX);
        assert_eq!(cells.iter().filter(|cell| ten.contains(address(cell.0))).count(), 1);
    }
}
