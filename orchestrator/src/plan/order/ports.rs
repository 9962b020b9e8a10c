//! Ports of the host that go from one sandbox to another: let go first, then taken.

use std::collections::BTreeMap;

use petgraph::graph::NodeIndex;
use schema::name::InstanceName;
use schema::project::{PublishedPort, Sandbox, Transport};

use super::super::value::{OnFailure, Op};
use super::{Graph, Link};

impl<'a> Graph<'a> {
    /// Lets whoever takes a port wait for whoever lets it go. Two that change with each other cannot both
    /// wait: one of them finds the port taken and says so.
    pub(super) fn handovers(&mut self) {
        let leaving = self.leaving_ports();
        if leaving.is_empty() {
            return;
        }
        let takers: Vec<&'a InstanceName> = self.sandboxes.keys().copied().collect();
        for taker in takers {
            let Some(want) = self.wish.project.sandboxes.get(taker) else { continue };
            let takes = self.node(taker, Op::Boot).or_else(|| self.node(taker, Op::Update));
            let mut waits: Vec<NodeIndex> = Vec::new();
            for port in published(taker, want) {
                let numbers = port.pairs().filter_map(|(host, _)| host);
                for found in numbers.filter_map(|host| leaving.get(&(port.protocol, host))) {
                    let met = found
                        .iter()
                        .filter(|(who, old, _)| *who != taker && old.clash(&port).is_some());
                    waits.extend(met.map(|(_, _, node)| *node));
                }
            }
            waits.sort_unstable();
            waits.dedup();
            for first in waits {
                self.link(Some(first), takes, Link { on_failure: OnFailure::GoOn, courtesy: true });
            }
        }
    }

    /// Returns the ports that sandboxes have and no longer want, with the step that lets each go.
    fn leaving_ports(&self) -> BTreeMap<(Transport, u16), Vec<Leaving<'a>>> {
        let mut leaving: BTreeMap<_, Vec<Leaving<'a>>> = BTreeMap::new();
        for (name, seen) in &self.observed.sandboxes {
            let node = self.node(name, Op::Stop).or_else(|| self.node(name, Op::Update));
            let (Some(applied), Some(node)) = (&seen.applied, node) else { continue };
            let wanted = self.wish.project.sandboxes.get(name);
            let stays = |port: &PublishedPort| {
                wanted.is_some_and(|want| published(name, want).any(|other| other == *port))
            };
            for port in published(name, applied).filter(|port| !stays(port)) {
                for host in port.pairs().filter_map(|(host, _)| host) {
                    leaving.entry((port.protocol, host)).or_default().push((name, port, node));
                }
            }
        }
        leaving
    }
}

/// Who has a port, which, and the step that lets it go.
type Leaving<'a> = (&'a InstanceName, PublishedPort, NodeIndex);

/// Returns what an instance publishes.
fn published(
    name: &InstanceName,
    sandbox: &Sandbox,
) -> impl Iterator<Item = PublishedPort> + use<> {
    let index = name.index.unwrap_or(0);
    let rows: Vec<_> = sandbox.ports.iter().filter_map(|row| row.of_instance(index)).collect();
    rows.into_iter()
}
