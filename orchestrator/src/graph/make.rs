//! From a project or a plan to the graph of it.

use std::collections::BTreeMap;

use schema::change::Class;
use schema::name::InstanceName;
use schema::project::{Kind, Project};

use super::{Edge, EdgeKind, Graph, Node, NodeKind};
use crate::plan::{Address, OnFailure, Plan};

/// Returns a project's sandboxes and jobs with what they need, reach, mount and are made from.
#[must_use]
pub fn of_project(project: &Project) -> Graph {
    let mut making = Making::default();
    for name in project.definitions.keys() {
        let mut instances = project.instances(name);
        let Some((_, body)) = instances.next() else { continue };
        let more = instances.count();
        let mut lines = vec![name.to_string()];
        if more > 0 {
            lines.push(format!("{} replicas", more + 1));
        }
        let kind = match body.kind {
            Kind::Service => NodeKind::Sandbox,
            Kind::Job => NodeKind::Job,
        };
        making.node(&format!("sandbox.{name}"), kind, lines);
    }
    for name in project.volumes.keys() {
        making.node(&format!("volume.{name}"), NodeKind::Volume, vec![name.to_string()]);
    }
    let images = project.sandboxes.values().filter_map(|body| body.root.reference());
    for image in images {
        making.node(&format!("image.{}", image.short()), NodeKind::Image, vec![image.short()]);
    }
    for (name, body) in &project.sandboxes {
        let from = format!("sandbox.{}", name.sandbox);
        for (target, dependency) in &body.depends_on {
            let label = label(target, dependency.until.as_str());
            making.edge(
                &from,
                &format!("sandbox.{}", target.sandbox),
                (EdgeKind::DependsOn, label),
            );
        }
        for (target, connect) in &body.connect {
            let label = format!("port {}", connect.ports);
            making.edge(&from, &format!("sandbox.{target}"), (EdgeKind::Connects, label));
        }
        for mount in &body.mounts {
            if let Some(volume) = mount.source.volume() {
                let label = mount.destination.to_string();
                making.edge(&from, &format!("volume.{volume}"), (EdgeKind::Mounts, label));
            }
        }
        if let Some(image) = body.root.reference() {
            let to = format!("image.{}", image.short());
            making.edge(&from, &to, (EdgeKind::Image, String::new()));
        }
    }
    making.done(project.name.as_str())
}

fn label(target: &InstanceName, until: &str) -> String {
    target.index.map_or_else(|| until.to_owned(), |index| format!("[{index}] {until}"))
}

/// Returns the steps of a plan, each with what it waits for.
#[must_use]
pub fn of_plan(plan: &Plan) -> Graph {
    let classes: BTreeMap<&Address, Class> =
        plan.changes.iter().map(|change| (&change.address, change.class)).collect();
    let mut making = Making::default();
    for step in &plan.steps {
        let class = classes.get(&step.address).map(|class| class.as_str());
        let mut lines = vec![format!("{} {}", step.id, step.op.as_str()), step.address.to_string()];
        lines.extend(class.map(str::to_owned));
        let at = making.node(&step.id.to_string(), NodeKind::Step, lines);
        making.graph.nodes[at].class = class;
    }
    for step in &plan.steps {
        for edge in &step.after {
            let label = match edge.on_failure {
                OnFailure::Skip => String::new(),
                OnFailure::GoOn => "also after a failure".to_owned(),
            };
            let (from, to) = (edge.step.to_string(), step.id.to_string());
            making.edge(&from, &to, (EdgeKind::Before, label));
        }
    }
    making.done(&format!("plan of {}", plan.head.name))
}

/// A graph whose nodes are found by their ids.
#[derive(Default)]
struct Making {
    graph: Graph,
    known: BTreeMap<String, usize>,
}

impl Making {
    /// Adds a node unless it is there; returns its place.
    fn node(&mut self, id: &str, kind: NodeKind, lines: Vec<String>) -> usize {
        if let Some(at) = self.known.get(id) {
            return *at;
        }
        let at = self.graph.nodes.len();
        self.known.insert(id.to_owned(), at);
        self.graph.nodes.push(Node { id: id.to_owned(), kind, lines, class: None });
        at
    }

    /// Adds an edge between two nodes that are there.
    fn edge(&mut self, from: &str, to: &str, (kind, label): (EdgeKind, String)) {
        if let (Some(from), Some(to)) = (self.known.get(from), self.known.get(to)) {
            self.graph.edges.push(Edge { from: *from, to: *to, kind, label });
        }
    }

    /// Returns the graph; what several instances have in common stands there once.
    fn done(mut self, title: &str) -> Graph {
        self.graph.edges.sort();
        self.graph.edges.dedup();
        title.clone_into(&mut self.graph.title);
        self.graph
    }
}
