//! Addresses in parts within which no rule tells two of them apart.

use crate::policy::{Remote, Surroundings, may_be_answer};
use crate::project::network::{Cidr, Direction, Network, Rule, Target};

use super::spans::{address, between, edges, place};

/// The parts, in order, and what is known of each whatever its ports.
pub(super) struct Cells {
    pub(super) spans: Vec<(u128, u128)>,
    pub(super) remotes: Vec<Remote>,
    /// Whether it may be an answer, before and now.
    pub(super) answers: Vec<(bool, bool)>,
}

impl Cells {
    /// Returns the parts for both policies.
    pub(super) fn new(before: &Network, after: &Network, direction: Direction) -> Self {
        let net = |rule: &Rule| match rule.target() {
            Target::Net(network) if rule.direction() == direction => Some(*network),
            Target::Net(_) | Target::Any | Target::Group(_) | Target::Host(_) => None,
        };
        let surroundings = Surroundings::default();
        let nets = before.rules.iter().chain(&after.rules).filter_map(net);
        let edges = edges(nets.chain(surroundings.edges()));
        let mut cells = Self { spans: Vec::new(), remotes: Vec::new(), answers: Vec::new() };
        for span in between(&edges) {
            let remote = surroundings.remote(address(span.0));
            // What only wraps another address is never met as itself.
            if remote.address() == address(span.0) {
                cells.spans.push(span);
                cells.remotes.push(remote);
                cells.answers.push((may_be_answer(before, remote), may_be_answer(after, remote)));
            }
        }
        cells
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
