//! Names and addresses that are answered here, whatever the rules say: nothing of them leaves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use schema::policy::Surroundings;
use schema::project::network::Group;

use super::name::reversed;
use super::record::Kind;
use super::siblings::{Sibling, Siblings};

/// The name of the gateway.
pub const HOST_NAME: &str = "host.msb.internal";

/// The name of the machine itself, as programs in it know it.
pub const LOCALHOST: &str = "localhost";

/// For how many seconds what is answered here holds.
pub(super) const OWN_TTL_S: u32 = 5;

/// Where there are only names of ours; those that are not there, are nowhere.
const OWN_ZONE: &str = "msb.internal";

/// What is said here to a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Here {
    /// These addresses, of the kind that is asked for.
    Addresses(Vec<IpAddr>),
    /// This name.
    Name(String),
    /// The name is there, but what is asked for is not.
    Nothing,
    /// The name is not there.
    Absent,
}

/// What is answered here.
#[derive(Debug)]
pub(super) struct Own {
    names: Vec<(String, Vec<IpAddr>)>,
    zones: Vec<String>,
    surroundings: Surroundings,
    siblings: Siblings,
}

impl Own {
    /// Returns what is answered for these names and addresses, below these zones, and for siblings
    /// behind the first two.
    pub(super) fn new(
        (names, mut zones): (Vec<(String, Vec<IpAddr>)>, Vec<String>),
        surroundings: Surroundings,
        first: (Ipv4Addr, Ipv6Addr),
    ) -> Self {
        zones.push(OWN_ZONE.to_owned());
        Self { names, zones, surroundings, siblings: Siblings::new(first) }
    }

    /// Takes over which siblings there are.
    pub(super) fn set_siblings(&mut self, siblings: Vec<Sibling>) {
        self.siblings.set(siblings);
    }

    /// Returns the sibling that an address was given to.
    pub(super) fn sibling(&self, address: IpAddr) -> Option<&str> {
        self.siblings.instance(address)
    }

    /// Returns the addresses that were given to siblings, by instance.
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, [IpAddr; 2])> {
        self.siblings.given()
    }

    /// Returns the address of a sibling; one that had none is given one.
    pub(super) fn address_of(&mut self, instance: &str) -> Option<Ipv4Addr> {
        self.siblings.address(instance)
    }

    /// Returns what is said to a question about `name`, which is in lower case; `None` where it is
    /// not ours. Siblings are told by IPv6 only where `ipv6` is; their network lies behind the
    /// default route.
    pub(super) fn say(&mut self, name: &str, kind: Kind, ipv6: bool) -> Option<Here> {
        if let Some(addresses) = self.siblings.addresses(name, kind == Kind::A) {
            let reached = addresses.into_iter().filter(|at| at.is_ipv4() || ipv6);
            return Some(of_kind(reached, kind));
        }
        let is_below = |zone: &str| name.strip_suffix(zone).is_some_and(|rest| rest.ends_with('.'));
        let own = if is_below(LOCALHOST) { LOCALHOST } else { name };
        let known = self.names.iter().find(|(other, _)| other.eq_ignore_ascii_case(own));
        if let Some((_, addresses)) = known {
            return Some(of_kind(addresses.iter().copied(), kind));
        }
        if self.zones.iter().any(|zone| name == zone) {
            return Some(Here::Nothing);
        }
        if self.zones.iter().any(|zone| is_below(zone)) {
            return Some(Here::Absent);
        }
        let address = reversed(name)?;
        match self.name_of(address) {
            Some(name) if kind == Kind::PTR => Some(Here::Name(name)),
            Some(_) => Some(Here::Nothing),
            None => self.is_ours(address).then_some(Here::Absent),
        }
    }

    /// Tells whether nobody else could say whose address this is.
    fn is_ours(&self, address: IpAddr) -> bool {
        let group = self.surroundings.remote(address).group();
        matches!(group, Some(Group::Host | Group::Loopback))
            || self.surroundings.networks.iter().any(|network| network.contains(address))
    }

    fn name_of(&self, address: IpAddr) -> Option<String> {
        let own = self.names.iter().filter(|(_, addresses)| addresses.contains(&address));
        let own = own.map(|(name, _)| name.as_str()).next();
        own.or_else(|| self.siblings.name(address)).map(str::to_owned)
    }
}

fn of_kind(addresses: impl Iterator<Item = IpAddr>, kind: Kind) -> Here {
    let fits =
        |at: &IpAddr| (kind == Kind::A && at.is_ipv4()) || (kind == Kind::AAAA && at.is_ipv6());
    let fitting: Vec<IpAddr> = addresses.filter(fits).collect();
    if fitting.is_empty() { Here::Nothing } else { Here::Addresses(fitting) }
}
