//! Ports that others than the host itself reach now, and did not before.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Widening;
use crate::project::network::PortRange;
use crate::project::{HostPorts, PublishedPort, Transport, endpoint};

/// What is reached in the guest from outside the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Way {
    protocol: Transport,
    bind: IpAddr,
    /// The port on the host; `None` is one that the kernel chooses.
    host: Option<u16>,
    guest: u16,
}

/// Returns what `after` publishes off loopback and `before` does not, row by row.
pub(super) fn opened(before: &[PublishedPort], after: &[PublishedPort]) -> Vec<Widening> {
    let had: BTreeSet<Way> =
        before.iter().filter(|row| !row.is_on_loopback()).flat_map(ways).collect();
    let is_new = |way: &Way| {
        let everywhere = Way { bind: unspecified(way.bind), ..*way };
        !had.contains(way) && !had.contains(&everywhere)
    };
    let mut found = Vec::new();
    for row in after.iter().filter(|row| !row.is_on_loopback()) {
        let new: Vec<Way> = ways(row).filter(is_new).collect();
        let (Some(first), Some(last)) = (new.first(), new.last()) else { continue };
        let range = |first: u16, last: u16| PortRange::new(first, last);
        let guests = range(
            new.iter().map(|way| way.guest).min().unwrap_or(first.guest),
            new.iter().map(|way| way.guest).max().unwrap_or(last.guest),
        );
        let hosts = match (first.host, last.host) {
            (Some(first), Some(last)) => range(first, last),
            (None, _) | (_, None) => None,
        };
        let host = match (hosts, row.bind) {
            (Some(hosts), bind) => endpoint(bind, hosts),
            (None, IpAddr::V4(bind)) => format!("{bind}:auto"),
            (None, IpAddr::V6(bind)) => format!("[{bind}]:auto"),
        };
        let guest = guests.unwrap_or(row.guest);
        let text = format!("port + {host}/{} → {guest}", row.protocol.as_str());
        found.push(Widening::new(format!("ports.{}", row.key()), text));
    }
    found
}

/// Returns every port of a row; the ports of the guest repeat with each instance.
fn ways(row: &PublishedPort) -> impl Iterator<Item = Way> {
    let PublishedPort { protocol, bind, host, guest } = *row;
    let (hosts, count) = match host {
        HostPorts::Auto => (None, guest.count()),
        HostPorts::Fixed(range) => (Some(range), range.count()),
    };
    (0..count).filter_map(move |number| {
        let host = match hosts {
            None => None,
            Some(range) => Some(range.slice(number, 1)?.first()),
        };
        let guest = guest.slice(number % guest.count(), 1)?.first();
        Some(Way { protocol, bind, host, guest })
    })
}

/// Returns the address that stands for all of its family.
const fn unspecified(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
    }
}
