//! Ports of the host that two instances would take: one pass over all of them in order.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::project::network::PortRange;
use crate::project::{Transport, endpoint};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::Span;

/// Ports of the host that the instances of one sandbox take, in slices of equal length.
#[derive(Clone, Debug)]
pub(super) struct Claim {
    pub(super) protocol: Transport,
    pub(super) bind: IpAddr,
    pub(super) ports: PortRange,
    pub(super) sandbox: String,
    /// How many ports each instance takes.
    pub(super) slice: u32,
    /// The index of the instance with the first slice; `None` where there is but one without.
    pub(super) first_index: Option<u32>,
    pub(super) at: Span,
}

impl Claim {
    /// Returns what claims are put in order by, so that those of one pass follow one another.
    pub(super) fn order(&self) -> (Transport, bool, u16, Span) {
        (self.protocol, self.bind.is_ipv6(), self.ports.first(), self.at)
    }

    /// Returns the instance that takes `port`.
    fn instance(&self, port: u16) -> String {
        let number = u32::from(port.saturating_sub(self.ports.first())) / self.slice.max(1);
        match self.first_index {
            None => self.sandbox.clone(),
            Some(first) => format!("{}[{}]", self.sandbox, first + number),
        }
    }

    fn overlap(&self, other: &Self) -> Option<PortRange> {
        let bind = self.bind == other.bind;
        let wildcard = self.bind.is_unspecified() || other.bind.is_unspecified();
        if bind || wildcard { self.ports.overlap(other.ports) } else { None }
    }
}

/// Who reaches furthest, of claims that begin no later.
#[derive(Default)]
struct Reach<'c> {
    by_bind: HashMap<IpAddr, &'c Claim>,
    everywhere: Option<&'c Claim>,
    any: Option<&'c Claim>,
}

/// Returns a problem for each claim that meets one before it; they are sorted by [`Claim::order`].
pub(super) fn clashes(claims: &[Claim]) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut reach = Reach::default();
    let mut pass = None;
    for claim in claims {
        let (protocol, family, ..) = claim.order();
        if pass.replace((protocol, family)) != Some((protocol, family)) {
            reach = Reach::default();
        }
        let wildcard = claim.bind.is_unspecified();
        let rivals = match wildcard {
            true => [reach.any, None],
            false => [reach.by_bind.get(&claim.bind).copied(), reach.everywhere],
        };
        let mut met = rivals
            .into_iter()
            .flatten()
            .filter_map(|rival| rival.overlap(claim).map(|ports| (rival, ports)));
        if let Some((rival, ports)) = met.next() {
            found.push(problem(rival, claim, ports));
        }
        let further = |known: Option<&'_ Claim>| {
            known.is_none_or(|known| known.ports.last() < claim.ports.last())
        };
        if further(reach.any) {
            reach.any = Some(claim);
        }
        if wildcard && further(reach.everywhere) {
            reach.everywhere = Some(claim);
        }
        if further(reach.by_bind.get(&claim.bind).copied()) {
            reach.by_bind.insert(claim.bind, claim);
        }
    }
    found
}

fn problem(one: &Claim, other: &Claim, ports: PortRange) -> Problem {
    let (first, second) = if one.at <= other.at { (one, other) } else { (other, one) };
    // The narrower address is the one that is taken twice.
    let bind = if first.bind.is_unspecified() { second.bind } else { first.bind };
    let (place, protocol) = (endpoint(bind, ports), first.protocol.as_str());
    let message = format!("{place}/{protocol} is published twice");
    Problem::error(Code::RULE_PORT_CLASH, message, first.at)
        .label(format!("by {}", first.instance(ports.first())))
        .related(second.at, format!("and by {}", second.instance(ports.first())))
        .help("give one another host port, another `bind` address, or host=\"auto\"")
}
