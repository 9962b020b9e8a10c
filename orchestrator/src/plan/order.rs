//! What must come before what: from changes to numbered steps.
//!
//! The graph is one of operations, not of sandboxes: a new root is prepared
//! while the old machine still runs. Starts follow dependencies, stops go the
//! other way. Steps are numbered in an order that respects every edge, ties
//! by address and operation, so equal changes give equal numbers.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::{DiGraph, NodeIndex};
use schema::change::Class;
use schema::name::InstanceName;
use schema::project::{Body, Kind, MountSource, Sandbox, Until};

use super::value::{Action, Address, Change, Edge, OnFailure, Op, Step, StepId};
use super::wish::Wish;
use crate::observe::Observed;

/// What one sandbox takes part in a plan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It is changed so.
    Change(Action, Before),
    /// It is in order and not ready yet: it is only waited for.
    Await,
}

/// Whether a machine runs that has to be stopped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// One does.
    Running,
    /// None does.
    AtRest,
}

struct Graph<'a> {
    wish: &'a Wish,
    observed: &'a Observed,
    graph: DiGraph<(Address, Op), OnFailure>,
    nodes: BTreeMap<(Address, Op), NodeIndex>,
}

/// Returns the steps that carry out the changes.
pub(super) fn steps(
    wish: &Wish,
    observed: &Observed,
    parts: &BTreeMap<InstanceName, Part>,
    changes: &mut [Change],
) -> Vec<Step> {
    let graph = DiGraph::new();
    let mut graph = Graph { wish, observed, graph, nodes: BTreeMap::new() };
    for change in changes.iter() {
        if let Address::Volume(_) = change.address {
            let op = match (change.action, change.class) {
                (Action::Create, _) => Op::EnsureVolume,
                (_, Class::Restart) => Op::GrowVolume,
                _ => Op::Update,
            };
            graph.add(&change.address, op);
        }
    }
    for (name, part) in parts {
        graph.sandbox(name, *part);
    }
    for name in parts.keys() {
        graph.connect(name);
    }
    let steps = graph.numbered();
    let mut own: BTreeMap<&Address, Vec<StepId>> = BTreeMap::new();
    for step in &steps {
        own.entry(&step.address).or_default().push(step.id);
    }
    for change in changes {
        change.steps = own.remove(&change.address).unwrap_or_default();
    }
    steps
}

impl Graph<'_> {
    fn add(&mut self, address: &Address, op: Op) -> NodeIndex {
        let key = (address.clone(), op);
        if let Some(node) = self.nodes.get(&key) {
            return *node;
        }
        let node = self.graph.add_node(key.clone());
        self.nodes.insert(key, node);
        node
    }

    fn node(&self, name: &InstanceName, op: Op) -> Option<NodeIndex> {
        self.nodes.get(&(Address::Sandbox(name.clone()), op)).copied()
    }

    fn edge(&mut self, first: Option<NodeIndex>, then: Option<NodeIndex>, on_failure: OnFailure) {
        if let (Some(first), Some(then)) = (first, then)
            && first != then
        {
            self.graph.update_edge(first, then, on_failure);
        }
    }

    /// The steps of one sandbox, in a row where one needs the other.
    fn sandbox(&mut self, name: &InstanceName, part: Part) {
        let job = self.wish.project.sandboxes.get(name).is_some_and(|s| s.kind == Kind::Job);
        let row: &[Op] = match part {
            Part::Await => &[Op::Gate],
            Part::Change(Action::Create, _) => &[Op::Prepare, Op::Boot, Op::Gate],
            Part::Change(Action::Update, _) => &[Op::Update],
            Part::Change(Action::Stop, _) => &[Op::Stop],
            Part::Change(Action::Destroy, Before::Running) => &[Op::Stop, Op::Discard],
            Part::Change(Action::Destroy, Before::AtRest) => &[Op::Discard],
            Part::Change(Action::Start | Action::Restart, Before::Running) => {
                &[Op::Stop, Op::Boot, Op::Gate]
            }
            Part::Change(Action::Start | Action::Restart, Before::AtRest) => &[Op::Boot, Op::Gate],
            // A run of a job that ended is nothing to go back to.
            Part::Change(Action::Recreate, Before::Running) if job => {
                &[Op::Stop, Op::Retire, Op::Prepare, Op::Boot, Op::Gate]
            }
            Part::Change(Action::Recreate, Before::AtRest) if job => {
                &[Op::Retire, Op::Prepare, Op::Boot, Op::Gate]
            }
            Part::Change(Action::Recreate, Before::Running) => {
                &[Op::Prepare, Op::Stop, Op::Boot, Op::Gate, Op::Retire]
            }
            Part::Change(Action::Recreate, Before::AtRest) => {
                &[Op::Prepare, Op::Boot, Op::Gate, Op::Retire]
            }
        };
        let address = Address::Sandbox(name.clone());
        let nodes: Vec<_> = row.iter().map(|op| self.add(&address, *op)).collect();
        for pair in nodes.windows(2) {
            self.edge(Some(pair[0]), Some(pair[1]), OnFailure::Skip);
        }
    }

    /// What one sandbox waits for of others.
    fn connect(&mut self, name: &InstanceName) {
        let boot = self.node(name, Op::Boot);
        let wish = self.wish;
        if let Some(want) = wish.project.sandboxes.get(name) {
            self.root(name, want);
            for mount in &want.mounts {
                if let MountSource::Named(volume) = &mount.source {
                    for op in [Op::EnsureVolume, Op::GrowVolume] {
                        let made = (Address::Volume(volume.clone()), op);
                        let made = self.nodes.get(&made).copied();
                        self.edge(made, boot, OnFailure::Skip);
                        if op == Op::GrowVolume {
                            self.edge(self.node(name, Op::Stop), made, OnFailure::Skip);
                        }
                    }
                    self.released(name, volume.as_str());
                }
            }
            let needs = want.depends_on.iter().flat_map(|(target, dependency)| {
                wish.project.meant(target).map(move |(target, _)| (target, dependency))
            });
            for (target, dependency) in needs {
                let ready = match dependency.until {
                    Until::Started => self.node(target, Op::Boot),
                    Until::Ready | Until::Completed | Until::CompletedOk | Until::Log(_) => {
                        self.node(target, Op::Gate)
                    }
                };
                let may_fail = dependency.optional || dependency.until == Until::Completed;
                let on_failure = if may_fail { OnFailure::GoOn } else { OnFailure::Skip };
                self.edge(ready, boot, on_failure);
            }
        }
        let observed = self.observed;
        let applied = observed.sandboxes.get(name).and_then(|seen| seen.applied.as_ref());
        let needed = applied.into_iter().flat_map(|sandbox| sandbox.depends_on.keys());
        for target in needed.flat_map(|t| super::meant(&observed.sandboxes, t).map(|(n, _)| n)) {
            let (first, then) = (self.node(name, Op::Stop), self.node(target, Op::Stop));
            self.edge(first, then, OnFailure::GoOn);
            let (first, then) = (self.node(name, Op::Discard), self.node(target, Op::Discard));
            self.edge(first, then, OnFailure::Skip);
            let on_failure = if then.is_some() { OnFailure::Skip } else { OnFailure::GoOn };
            self.edge(first, self.node(target, Op::Stop), on_failure);
        }
    }

    /// The root image, where it is one that msb makes itself and is not there yet.
    fn root(&mut self, name: &InstanceName, want: &Sandbox) {
        let Some(reference) = want.root.reference() else { return };
        let absent = matches!(self.observed.images.get(reference), Some(None));
        if let (true, Some(prepare)) = (absent, self.node(name, Op::Prepare)) {
            let root = self.add(&Address::Image(reference.clone()), Op::BuildRoot);
            self.edge(Some(root), Some(prepare), OnFailure::Skip);
        }
    }

    /// A disk is free only after whoever leaves it has stopped.
    fn released(&mut self, name: &InstanceName, volume: &str) {
        let boot = self.node(name, Op::Boot);
        let uses = |sandbox: &Body| {
            sandbox.mounts.iter().any(|mount| {
                matches!(&mount.source, MountSource::Named(named) if named.as_str() == volume)
            })
        };
        let leaving: Vec<NodeIndex> = self
            .observed
            .sandboxes
            .iter()
            .filter(|(other, _)| {
                *other != name && !self.wish.project.sandboxes.contains_key(*other)
            })
            .filter(|(_, seen)| seen.applied.as_ref().is_some_and(uses))
            .filter_map(|(other, _)| self.node(other, Op::Stop))
            .collect();
        for stop in leaving {
            self.edge(Some(stop), boot, OnFailure::Skip);
        }
    }

    /// Numbers the steps: of those that wait for nothing more, the smallest address first.
    fn numbered(self) -> Vec<Step> {
        let mut waiting: BTreeMap<NodeIndex, usize> = self
            .graph
            .node_indices()
            .map(|node| (node, self.graph.neighbors_directed(node, Incoming).count()))
            .collect();
        let key = |node: NodeIndex| (self.graph[node].clone(), node);
        let mut free: BTreeSet<_> =
            waiting.iter().filter(|(_, count)| **count == 0).map(|(node, _)| key(*node)).collect();
        let mut ids: BTreeMap<NodeIndex, StepId> = BTreeMap::new();
        let mut steps = Vec::new();
        while let Some(((address, op), node)) = free.pop_first() {
            let id = StepId(u32::try_from(steps.len() + 1).unwrap_or(u32::MAX));
            ids.insert(node, id);
            let mut after: Vec<Edge> = self
                .graph
                .edges_directed(node, Incoming)
                .filter_map(|edge| {
                    let step = *ids.get(&petgraph::visit::EdgeRef::source(&edge))?;
                    Some(Edge { step, on_failure: *edge.weight() })
                })
                .collect();
            after.sort_unstable();
            steps.push(Step { id, op, address, after });
            for next in self.graph.neighbors_directed(node, Outgoing) {
                if let Some(count) = waiting.get_mut(&next) {
                    *count -= 1;
                    if *count == 0 {
                        free.insert(key(next));
                    }
                }
            }
        }
        steps
    }
}

/// Returns how long the longest chain is that begins at each step, by step.
#[must_use]
pub fn depths(steps: &[Step]) -> BTreeMap<StepId, usize> {
    let mut depths: BTreeMap<StepId, usize> = steps.iter().map(|step| (step.id, 0)).collect();
    for step in steps.iter().rev() {
        let depth = depths.get(&step.id).copied().unwrap_or(0);
        for edge in &step.after {
            let before = depths.entry(edge.step).or_default();
            *before = (*before).max(depth + 1);
        }
    }
    depths
}
