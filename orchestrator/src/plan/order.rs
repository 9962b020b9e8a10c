//! What must come before what: from changes to numbered steps.
//!
//! The graph is one of operations, not of sandboxes: a new root is prepared
//! while the old machine still runs. Starts follow dependencies, stops go the
//! other way. Steps are numbered in an order that respects every edge, ties
//! by address and operation, so equal changes give equal numbers.

mod ports;

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction::Incoming;
use petgraph::graph::{DiGraph, EdgeReference, NodeIndex};
use petgraph::visit::EdgeRef as _;
use schema::change::Class;
use schema::name::{InstanceName, VolumeName};
use schema::project::{Body, Dependency, ImageRef, Kind, Until};

use super::topology::in_order;
use super::value::{Action, Address, Change, Edge, OnFailure, Op, Step, StepId};
use super::wish::Wish;
use crate::observe::Observed;

/// What one sandbox takes part in a plan with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It changes.
    Change {
        /// What is done to it.
        action: Action,
        /// Whether a machine runs that has to be stopped first.
        before: Before,
        /// Whether it gets another name.
        moves: bool,
    },
    /// It is in order and not ready yet: it is only waited for.
    Await,
}

/// Whether a machine runs that has to be stopped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// One does.
    Running,
    /// One does, and is not ready yet, or its job has not ended.
    Unfinished,
    /// None does.
    AtRest,
}

/// Returns the steps that carry out the changes.
pub(super) fn steps(
    wish: &Wish,
    observed: &Observed,
    parts: &BTreeMap<&InstanceName, Part>,
    changes: &mut [Change],
) -> Vec<Step> {
    let mut graph = Graph::of(wish, observed);
    // Nodes are added by address and operation, so their order is the order of ties.
    graph.roots(parts);
    for (name, part) in parts {
        graph.sandbox(name, *part);
    }
    for change in changes.iter() {
        graph.volume(change);
    }
    let leaving = graph.leaving();
    for name in parts.keys() {
        graph.starts(name, &leaving);
        graph.stops(name);
    }
    graph.handovers();
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

/// The operations of one address, by [`Op`].
#[derive(Clone, Copy)]
struct Nodes([Option<NodeIndex>; Op::ALL.len()]);

impl Nodes {
    const NONE: Self = Self([None; Op::ALL.len()]);

    const fn get(&self, op: Op) -> Option<NodeIndex> {
        self.0[op as usize]
    }
}

/// What an edge means.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    on_failure: OnFailure,
    /// An order in which things were brought up; a circle in it is cut.
    courtesy: bool,
}

struct Graph<'a> {
    wish: &'a Wish,
    observed: &'a Observed,
    graph: DiGraph<(Target<'a>, Op), Link>,
    images: BTreeMap<&'a ImageRef, NodeIndex>,
    sandboxes: BTreeMap<&'a InstanceName, Nodes>,
    volumes: BTreeMap<VolumeName, Nodes>,
}

/// What a node is about, without a copy of its name.
#[derive(Clone)]
enum Target<'a> {
    Image(&'a ImageRef),
    Sandbox(&'a InstanceName),
    Volume(VolumeName),
}

impl Target<'_> {
    fn address(&self) -> Address {
        match self {
            Self::Image(image) => Address::Image((*image).clone()),
            Self::Sandbox(name) => Address::Sandbox((*name).clone()),
            Self::Volume(name) => Address::Volume(name.clone()),
        }
    }
}

impl<'a> Graph<'a> {
    fn of(wish: &'a Wish, observed: &'a Observed) -> Self {
        Self {
            wish,
            observed,
            graph: DiGraph::new(),
            images: BTreeMap::new(),
            sandboxes: BTreeMap::new(),
            volumes: BTreeMap::new(),
        }
    }

    fn before(&mut self, first: Option<NodeIndex>, then: Option<NodeIndex>, on_failure: OnFailure) {
        self.link(first, then, Link { on_failure, courtesy: false });
    }

    fn link(&mut self, first: Option<NodeIndex>, then: Option<NodeIndex>, link: Link) {
        if let (Some(first), Some(then)) = (first, then)
            && first != then
        {
            self.graph.add_edge(first, then, link);
        }
    }

    /// The images that are not there yet: msb makes one itself, the others are fetched.
    fn roots(&mut self, parts: &BTreeMap<&'a InstanceName, Part>) {
        let prepared = parts.iter().filter(|(_, part)| match part {
            Part::Change { action, .. } => action.boots(),
            Part::Await => false,
        });
        let wish = self.wish;
        let wants = prepared.filter_map(|(name, _)| wish.project.sandboxes.get(*name));
        let absent: BTreeSet<&ImageRef> = wants
            .filter_map(|want| want.root.reference())
            .filter(|reference| self.observed.absent.contains(*reference))
            .collect();
        for image in absent {
            let op = match image {
                ImageRef::Builtin(_) => Op::BuildRoot,
                ImageRef::Registry(_) => Op::Pull,
            };
            let node = self.graph.add_node((Target::Image(image), op));
            self.images.insert(image, node);
        }
    }

    /// The steps of one sandbox, in a row where one needs the other.
    fn sandbox(&mut self, name: &'a InstanceName, part: Part) {
        let job = self.wish.project.sandboxes.get(name).is_some_and(|s| s.kind == Kind::Job);
        let (row, moves): (&[Op], bool) = match part {
            Part::Await => (&[Op::Gate], false),
            Part::Change { action, before, moves } => (row(action, before, job), moves),
        };
        let mut ops: Vec<Op> =
            moves.then_some(Op::Move).into_iter().chain(row.iter().copied()).collect();
        let in_order = ops.clone();
        ops.sort_unstable();
        let mut nodes = Nodes::NONE;
        for op in ops {
            nodes.0[op as usize] = Some(self.graph.add_node((Target::Sandbox(name), op)));
        }
        for pair in in_order.windows(2) {
            self.before(nodes.get(pair[0]), nodes.get(pair[1]), OnFailure::Skip);
        }
        self.sandboxes.insert(name, nodes);
    }

    /// The steps of one volume.
    fn volume(&mut self, change: &Change) {
        let Address::Volume(name) = &change.address else { return };
        let row: &[Op] = match (change.action, change.class) {
            (Action::Create, _) => &[Op::EnsureVolume],
            (Action::Recreate, _) => &[Op::TrashVolume, Op::EnsureVolume],
            (Action::Trash, _) => &[Op::TrashVolume],
            (Action::Update, Class::Restart) => &[Op::GrowVolume],
            (Action::Update, _) => &[Op::Update],
            _ => &[],
        };
        let moves = change.was.is_some();
        let in_order: Vec<Op> =
            moves.then_some(Op::Move).into_iter().chain(row.iter().copied()).collect();
        let mut nodes = Nodes::NONE;
        for op in Op::ALL.into_iter().filter(|op| in_order.contains(op)) {
            nodes.0[op as usize] = Some(self.graph.add_node((Target::Volume(name.clone()), op)));
        }
        for pair in in_order.windows(2) {
            self.before(nodes.get(pair[0]), nodes.get(pair[1]), OnFailure::Skip);
        }
        self.volumes.insert(name.clone(), nodes);
    }

    /// Returns the stops of those that leave each volume for good.
    fn leaving(&self) -> BTreeMap<&'a VolumeName, Vec<NodeIndex>> {
        let mut leaving: BTreeMap<&VolumeName, Vec<NodeIndex>> = BTreeMap::new();
        for (name, seen) in &self.observed.sandboxes {
            let stop = self.node(name, Op::Stop);
            let Some(stop) = stop.filter(|_| !self.wish.project.sandboxes.contains_key(name))
            else {
                continue;
            };
            for volume in seen.applied.iter().flat_map(volumes) {
                leaving.entry(volume).or_default().push(stop);
            }
        }
        leaving
    }

    fn node(&self, name: &InstanceName, op: Op) -> Option<NodeIndex> {
        self.sandboxes.get(name)?.get(op)
    }

    /// What one sandbox waits for before it starts.
    fn starts(&mut self, name: &'a InstanceName, leaving: &BTreeMap<&VolumeName, Vec<NodeIndex>>) {
        let wish = self.wish;
        let Some(want) = wish.project.sandboxes.get(name) else { return };
        let image = want.root.reference().and_then(|name| self.images.get(name)).copied();
        let boot = self.node(name, Op::Boot);
        for needs_it in [self.node(name, Op::Prepare), boot] {
            self.before(image, needs_it, OnFailure::Skip);
        }
        for volume in volumes(want) {
            let nodes = self.volumes.get(volume).copied().unwrap_or(Nodes::NONE);
            // A job that runs is not interrupted; what it has open waits for its end.
            let gate = self.node(name, Op::Gate).filter(|_| boot.is_none());
            for free in [gate, self.node(name, Op::Stop)] {
                for op in [Op::GrowVolume, Op::TrashVolume] {
                    self.before(free, nodes.get(op), OnFailure::Skip);
                }
            }
            for op in [Op::EnsureVolume, Op::GrowVolume, Op::Move] {
                self.before(nodes.get(op), boot, OnFailure::Skip);
            }
            // Who uses a volume is written by its name.
            self.before(nodes.get(Op::Move), self.node(name, Op::Update), OnFailure::Skip);
            // A disk is free only after whoever leaves it has stopped.
            for stop in leaving.get(volume).into_iter().flatten() {
                self.before(Some(*stop), boot, OnFailure::Skip);
            }
        }
        if boot.is_none() {
            return;
        }
        for (target, dependency) in &want.depends_on {
            for (target, needed) in wish.project.meant(target) {
                let may_fail = dependency.optional || dependency.until == Until::Completed;
                let on_failure = if may_fail { OnFailure::GoOn } else { OnFailure::Skip };
                if let Until::Log(_) = dependency.until {
                    self.listens((name, boot), target, on_failure);
                    continue;
                }
                let met = self.met(target, needed, dependency);
                self.before(met, boot, on_failure);
            }
        }
    }

    /// Returns the step after which a dependency is met.
    fn met(
        &mut self,
        target: &'a InstanceName,
        needed: &Body,
        dependency: &Dependency,
    ) -> Option<NodeIndex> {
        match (&dependency.until, needed.kind) {
            (Until::Started, _) => self.node(target, Op::Boot),
            (Until::Ready, Kind::Job) => self.ready_job(target),
            // A line is no step of the target's.
            (Until::Log(_), _) => None,
            (Until::Ready | Until::Completed | Until::CompletedOk, _) => {
                self.node(target, Op::Gate)
            }
        }
    }

    /// Who waits for a line of another has a step for that, unless the other is where it was to come.
    fn listens(
        &mut self,
        (name, boot): (&'a InstanceName, Option<NodeIndex>),
        target: &InstanceName,
        on_failure: OnFailure,
    ) {
        let (starts, gate) = (self.node(target, Op::Boot), self.node(target, Op::Gate));
        if starts.is_none() && gate.is_none() {
            return;
        }
        let listen = self.node(name, Op::Listen).unwrap_or_else(|| {
            let listen = self.graph.add_node((Target::Sandbox(name), Op::Listen));
            self.before(Some(listen), boot, OnFailure::Skip);
            if let Some(nodes) = self.sandboxes.get_mut(name) {
                nodes.0[Op::Listen as usize] = Some(listen);
            }
            listen
        });
        self.before(starts, Some(listen), on_failure);
    }

    /// A job that others wait for while it works has a gate for that.
    fn ready_job(&mut self, target: &'a InstanceName) -> Option<NodeIndex> {
        let nodes = self.sandboxes.get(target).copied()?;
        let (ready, gate) = (nodes.get(Op::GateReady), nodes.get(Op::Gate)?);
        Some(ready.unwrap_or_else(|| {
            let ready = self.graph.add_node((Target::Sandbox(target), Op::GateReady));
            self.before(nodes.get(Op::Boot), Some(ready), OnFailure::Skip);
            self.before(Some(ready), Some(gate), OnFailure::GoOn);
            if let Some(nodes) = self.sandboxes.get_mut(target) {
                nodes.0[Op::GateReady as usize] = Some(ready);
            }
            ready
        }))
    }

    /// What one sandbox stops before, and what of it goes before what.
    fn stops(&mut self, name: &'a InstanceName) {
        let observed = self.observed;
        let (stop, discard) = (self.node(name, Op::Stop), self.node(name, Op::Discard));
        if stop.is_none() && discard.is_none() {
            return;
        }
        let Some(seen) = observed.sandboxes.get(name) else { return };
        for volume in seen.applied.iter().flat_map(volumes) {
            let nodes = self.volumes.get(volume).copied().unwrap_or(Nodes::NONE);
            for op in [Op::GrowVolume, Op::TrashVolume] {
                self.before(stop, nodes.get(op), OnFailure::Skip);
            }
            self.before(discard, nodes.get(Op::TrashVolume), OnFailure::Skip);
        }
        let courtesy = |on_failure| Link { on_failure, courtesy: true };
        for needed in super::scene::needs(seen) {
            for (target, _) in super::meant(&observed.sandboxes, needed) {
                let target_stop = self.node(target, Op::Stop);
                let target_discard = self.node(target, Op::Discard);
                self.link(stop, target_stop, courtesy(OnFailure::GoOn));
                self.link(discard, target_discard, courtesy(OnFailure::Skip));
                let goes = target_discard.is_some();
                let on_failure = if goes { OnFailure::Skip } else { OnFailure::GoOn };
                self.link(discard, target_stop, courtesy(on_failure));
            }
        }
    }

    /// Numbers the steps: of those that wait for nothing more, the smallest first.
    fn numbered(mut self) -> Vec<Step> {
        let mut order = self.order();
        if order.len() < self.graph.node_count() {
            // What was applied at different times may need each other in a circle.
            let done: BTreeSet<NodeIndex> = order.iter().copied().collect();
            self.graph.retain_edges(|graph, edge| {
                let inside =
                    graph.edge_endpoints(edge).is_some_and(|(_, then)| !done.contains(&then));
                !(inside && graph[edge].courtesy)
            });
            order = self.order();
        }
        debug_assert_eq!(order.len(), self.graph.node_count(), "what is wished for has no circles");
        let mut ids: Vec<Option<StepId>> = vec![None; self.graph.node_count()];
        let mut steps = Vec::with_capacity(order.len());
        for node in order {
            let id = StepId(u32::try_from(steps.len() + 1).unwrap_or(u32::MAX));
            ids[node.index()] = Some(id);
            let incoming = self.graph.edges_directed(node, Incoming);
            let mut after: Vec<Edge> = incoming
                .filter_map(|edge| {
                    let step = ids[edge.source().index()]?;
                    Some(Edge { step, on_failure: edge.weight().on_failure })
                })
                .collect();
            after.sort_unstable();
            // Of two edges to one step the stricter comes first, and stays.
            after.dedup_by_key(|edge| edge.step);
            let (target, op) = &self.graph[node];
            steps.push(Step { id, op: *op, address: target.address(), after });
        }
        steps
    }

    /// Returns the nodes, each after what it waits for; those in a circle are not among them.
    fn order(&self) -> Vec<NodeIndex> {
        let ends = |edge: EdgeReference<'_, Link>| (edge.source().index(), edge.target().index());
        let edges = self.graph.edge_references().map(ends);
        in_order(self.graph.node_count(), edges).into_iter().map(NodeIndex::new).collect()
    }
}

/// Returns what one change of a sandbox does, step by step.
const fn row(action: Action, before: Before, job: bool) -> &'static [Op] {
    match (action, before) {
        (Action::Create, _) => &[Op::Prepare, Op::Boot, Op::Gate],
        // What is told of a change still has to come where it was to come.
        (Action::Update, Before::Unfinished) => &[Op::Update, Op::Gate],
        (Action::Update, _) => &[Op::Update],
        (Action::Stop, _) => &[Op::Stop],
        (Action::Destroy, Before::Running | Before::Unfinished) => &[Op::Stop, Op::Discard],
        (Action::Destroy, Before::AtRest) => &[Op::Discard],
        (Action::Start | Action::Restart, Before::Running | Before::Unfinished) => {
            &[Op::Stop, Op::Boot, Op::Gate]
        }
        (Action::Start | Action::Restart, Before::AtRest) => &[Op::Boot, Op::Gate],
        // A run of a job that ended is nothing to go back to.
        (Action::Recreate, Before::Running | Before::Unfinished) if job => {
            &[Op::Stop, Op::Retire, Op::Prepare, Op::Boot, Op::Gate]
        }
        (Action::Recreate, Before::AtRest) if job => &[Op::Retire, Op::Prepare, Op::Boot, Op::Gate],
        (Action::Recreate, Before::Running | Before::Unfinished) => {
            &[Op::Prepare, Op::Stop, Op::Boot, Op::Gate, Op::Retire]
        }
        (Action::Recreate, Before::AtRest) => &[Op::Prepare, Op::Boot, Op::Gate, Op::Retire],
        (Action::Forget, _) => &[Op::Forget],
        (Action::Move, Before::Unfinished) => &[Op::Gate],
        (Action::Move | Action::Trash, _) => &[],
    }
}

fn volumes(sandbox: &Body) -> impl Iterator<Item = &VolumeName> {
    sandbox.mounts.iter().filter_map(|mount| mount.source.volume())
}

/// Returns how long the longest chain is that begins at each step, by step.
#[must_use]
pub fn depths(steps: &[Step]) -> Vec<usize> {
    let mut depths = vec![0; steps.len()];
    for (at, step) in steps.iter().enumerate().rev() {
        let through = depths[at] + 1;
        for edge in &step.after {
            if let Some(before) = depths.get_mut((edge.step.0 as usize).wrapping_sub(1)) {
                *before = through.max(*before);
            }
        }
    }
    depths
}
