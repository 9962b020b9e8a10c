//! Addresses in parts within which no rule tells two of them apart.

use std::sync::LazyLock;

use super::spans::{address, between, edges, place};
use crate::policy::{Remote, Surroundings, may_be_answer};
use crate::project::network::{Cidr, Direction, Network, Rule, Target};

/// The parts, in order, and what is known of each whatever its ports.
pub(super) struct Cells {
    pub(super) spans: Vec<(u128, u128)>,
    pub(super) remotes: Vec<Remote>,
    /// Whether it may be an answer, before and now.
    pub(super) answers: Vec<(bool, bool)>,
}

/// The parts where no rule names a network.
static PLAIN: LazyLock<Vec<((u128, u128), Remote)>> = LazyLock::new(|| parts(&[]));

fn parts(nets: &[Cidr]) -> Vec<((u128, u128), Remote)> {
    let surroundings = Surroundings::default();
    let edges = edges(nets.iter().copied().chain(surroundings.edges()));
    let parts = between(&edges).map(|span| (span, surroundings.remote(address(span.0))));
    // What only wraps another address is never met as itself.
    parts.filter(|(span, remote)| remote.address() == address(span.0)).collect()
}

impl Cells {
    /// Returns the parts for both policies.
    pub(super) fn new(before: &Network, after: &Network, direction: Direction) -> Self {
        let net = |rule: &Rule| match rule.target() {
            Target::Net(network) if rule.direction() == direction => Some(*network),
            Target::Net(_) | Target::Any | Target::Group(_) | Target::Host(_) => None,
        };
        let nets: Vec<Cidr> = before.rules.iter().chain(&after.rules).filter_map(net).collect();
        let made = if nets.is_empty() { Vec::new() } else { parts(&nets) };
        let parts: &[((u128, u128), Remote)] = if nets.is_empty() { &PLAIN } else { &made };
        let (spans, remotes): (Vec<(u128, u128)>, Vec<Remote>) = parts.iter().copied().unzip();
        let answer =
            |remote: &Remote| (may_be_answer(before, *remote), may_be_answer(after, *remote));
        let answers = remotes.iter().map(answer).collect();
        Self { spans, remotes, answers }
    }

    /// Returns the numbers of the parts that a target is about.
    pub(super) fn of(&self, target: &Target) -> Vec<usize> {
        match target {
            Target::Any => (0..self.spans.len()).collect(),
            Target::Group(group) => {
                let remotes = self.remotes.iter().enumerate();
                let of = remotes.filter(|(_, remote)| remote.group() == Some(*group));
                of.map(|(number, _)| number).collect()
            }
            Target::Net(network) => self.within(*network),
            Target::Host(_) => Vec::new(),
        }
    }

    fn within(&self, network: Cidr) -> Vec<usize> {
        let (first, last) = (place(network.first()), place(network.last()));
        let start = self.spans.partition_point(|span| span.0 < first);
        let end = self.spans.partition_point(|span| span.0 <= last);
        // A wide network of one family has the other in its midst.
        let held = |number: &usize| network.contains(self.remotes[*number].address());
        (start..end).filter(held).collect()
    }
}
