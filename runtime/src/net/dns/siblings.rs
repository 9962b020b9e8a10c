//! The other machines of the project as this one sees them: by names, and by addresses that are
//! given at the first look and kept.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses that are given at most: what the smaller of both networks has, its ends left out.
const GIVEN_MAX: u16 = u16::MAX - 1;

/// A machine that this one may connect to, or that has connected to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sibling {
    /// What tells it from all others for the life of this machine.
    pub instance: String,
    /// The names that lead to it; one that only calls has none.
    pub names: Vec<String>,
    /// What it is called where its address is asked for.
    pub called: String,
    /// Whether it is ready.
    pub ready: bool,
}

/// The machines that this one has to do with, and the addresses that it knows them by.
#[derive(Debug)]
pub(super) struct Siblings {
    known: Vec<Sibling>,
    first: (Ipv4Addr, Ipv6Addr),
    numbers: HashMap<String, u16>,
    given: Vec<String>,
    /// How often each name was asked for.
    turns: HashMap<String, usize>,
}

impl Siblings {
    /// Returns an empty list; addresses are given behind these two.
    pub(super) fn new(first: (Ipv4Addr, Ipv6Addr)) -> Self {
        let (numbers, turns) = (HashMap::new(), HashMap::new());
        Self { known: Vec::new(), first, numbers, given: Vec::new(), turns }
    }

    /// Takes over who there is; addresses that were given stay.
    pub(super) fn set(&mut self, known: Vec<Sibling>) {
        let is_known =
            |name: &str| known.iter().any(|s| s.names.iter().any(|n| n.eq_ignore_ascii_case(name)));
        self.turns.retain(|name, _| is_known(name));
        self.known = known;
    }

    /// Returns the addresses of those that a name leads to: of the ready ones, if there are such.
    /// `None` where it leads to nobody. Another one stands first after each `turn`.
    pub(super) fn addresses(&mut self, name: &str, turn: bool) -> Option<Vec<IpAddr>> {
        let leads =
            |sibling: &&Sibling| sibling.names.iter().any(|other| other.eq_ignore_ascii_case(name));
        let all: Vec<&Sibling> = self.known.iter().filter(leads).collect();
        if all.is_empty() {
            return None;
        }
        let ready: Vec<&Sibling> = all.iter().copied().filter(|sibling| sibling.ready).collect();
        // One that is not ready has its address all the same: connecting there says what is so.
        let chosen = if ready.is_empty() { all } else { ready };
        let mut instances: Vec<String> =
            chosen.into_iter().map(|sibling| sibling.instance.clone()).collect();
        let turns = self.turns.entry(name.to_ascii_lowercase()).or_default();
        let first = turns.checked_rem(instances.len()).unwrap_or(0);
        *turns = turns.wrapping_add(usize::from(turn));
        instances.rotate_left(first);
        let numbers: Vec<u16> =
            instances.iter().filter_map(|instance| self.number(instance)).collect();
        Some(numbers.into_iter().flat_map(|number| self.at(number)).collect())
    }

    /// Returns the instance that an address was given to.
    pub(super) fn instance(&self, address: IpAddr) -> Option<&str> {
        let number = match (address, self.first) {
            (IpAddr::V4(v4), (first, _)) => u32::from(v4).checked_sub(u32::from(first))?,
            (IpAddr::V6(v6), (_, first)) => {
                u32::try_from(u128::from(v6).checked_sub(u128::from(first))?).ok()?
            }
        };
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.given.get(place).map(String::as_str)
    }

    /// Returns the addresses that were given, by instance.
    pub(super) fn given(&self) -> impl Iterator<Item = (&str, [IpAddr; 2])> {
        let numbered = self.given.iter().zip(1..);
        numbered.map(|(instance, number)| (instance.as_str(), self.at(number)))
    }

    /// Returns what a sibling is called whose address this is.
    pub(super) fn name(&self, address: IpAddr) -> Option<&str> {
        let instance = self.instance(address)?;
        let sibling = self.known.iter().find(|sibling| sibling.instance == instance)?;
        Some(&sibling.called)
    }

    /// Returns the address of an instance; one that had none is given one.
    pub(super) fn address(&mut self, instance: &str) -> Option<Ipv4Addr> {
        let number = self.number(instance)?;
        Some(Ipv4Addr::from(u32::from(self.first.0).wrapping_add(number.into())))
    }

    fn number(&mut self, instance: &str) -> Option<u16> {
        if let Some(number) = self.numbers.get(instance) {
            return Some(*number);
        }
        let number = u16::try_from(self.given.len() + 1).ok().filter(|n| *n <= GIVEN_MAX)?;
        self.numbers.insert(instance.to_owned(), number);
        self.given.push(instance.to_owned());
        Some(number)
    }

    fn at(&self, number: u16) -> [IpAddr; 2] {
        let (v4, v6) = self.first;
        let v4 = Ipv4Addr::from(u32::from(v4).wrapping_add(number.into()));
        let v6 = Ipv6Addr::from(u128::from(v6).wrapping_add(number.into()));
        [v4.into(), v6.into()]
    }
}
