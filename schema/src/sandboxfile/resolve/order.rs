//! What waits for what: references, conditions and cycles.

use std::collections::{BTreeMap, HashMap};

use super::decode::Decoder;
use super::project::{Sandboxes, identity};
use crate::name::SandboxName;
use crate::project::{Dependency, Kind, OnChange, Until};
use crate::sandboxfile::document::{Group, Member};
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::Span;
use crate::sandboxfile::value;

/// One sandbox waits for another, by their numbers in the order of names.
struct Edge {
    to: usize,
    at: Span,
}

impl Decoder<'_, '_> {
    /// Reads the dependencies of every sandbox, and refuses cycles.
    pub(super) fn depend_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>) {
        let names: Vec<SandboxName> = sandboxes.keys().cloned().collect();
        let numbers: HashMap<&str, usize> =
            names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let facts: Vec<(Kind, bool)> =
            sandboxes.values().map(|read| (read.kind, read.group.mentions("ready"))).collect();
        let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(names.len());
        for (name, read) in sandboxes.iter_mut() {
            self.address = format!("sandbox.{name}");
            let mut out = Vec::new();
            for member in read.group.members("depends-on") {
                let Some(to) = self.target(member, &names, &numbers) else { continue };
                out.push(Edge { to, at: member.at });
                let Some(group) = member.group() else { continue };
                let Some(dependency) = self.dependency(member, group, facts[to]) else { continue };
                read.sandbox.depends_on.insert(names[to].clone().into(), dependency);
            }
            edges.push(out);
        }
        self.cycles(&names, &edges);
    }

    fn target(
        &mut self,
        member: &Member<'_>,
        names: &[SandboxName],
        numbers: &HashMap<&str, usize>,
    ) -> Option<usize> {
        if let Some(number) = numbers.get(member.name.as_ref()) {
            return Some(*number);
        }
        if member.name.ends_with(']') {
            let message = "a dependency on one instance is not supported yet";
            self.error(Code::SCHEMA_NOT_YET, message, member.at, "name the sandbox alone");
            return None;
        }
        let known = names.iter().map(SandboxName::as_str);
        let problem = value::unknown_reference("sandbox or job", &identity(member), known);
        self.problems.push(problem);
        None
    }

    fn dependency(
        &mut self,
        member: &Member<'_>,
        group: &Group<'_>,
        (kind, has_gate): (Kind, bool),
    ) -> Option<Dependency> {
        let path = format!("depends-on.{}", member.name);
        self.note(&path, member.at);
        let default = if kind == Kind::Job { "completed-ok" } else { "ready" };
        let word = self.field(group, &path, "until").unwrap_or(default);
        let at = group.get("until").map_or(member.at, |item| item.at);
        let until = match word {
            "started" => Until::Started,
            "ready" => Until::Ready,
            "completed" => Until::Completed,
            "completed-ok" => Until::CompletedOk,
            _ => {
                let message = format!("`until` \"{word}\" is not supported yet");
                let help = "write until=\"ready\" and give the target a probe";
                self.error(Code::SCHEMA_NOT_YET, message, at, help);
                return None;
            }
        };
        self.until_fits(until, (kind, has_gate), member, at)?;
        let optional = self.boolean(group, "optional", &format!("{path}.optional"));
        let on_change = match self.field(group, &path, "on-change") {
            Some("restart") => OnChange::Restart,
            _ => OnChange::Ignore,
        };
        Some(Dependency { until, optional: optional.unwrap_or(false), on_change })
    }

    fn until_fits(
        &mut self,
        until: Until,
        (kind, has_gate): (Kind, bool),
        member: &Member<'_>,
        at: Span,
    ) -> Option<()> {
        let target = &member.name;
        let (message, help) = match (until, kind) {
            (Until::Completed | Until::CompletedOk, Kind::Service) => (
                format!("`{target}` is a sandbox and never completes"),
                "write until=\"ready\", or make the target a job",
            ),
            (Until::Ready, Kind::Job) if !has_gate => (
                format!("`{target}` is a job without a probe and is never ready"),
                "write until=\"completed-ok\", or give the job a `ready` node",
            ),
            (Until::Completed | Until::CompletedOk | Until::Ready, _) | (Until::Started, _) => {
                return Some(());
            }
        };
        self.error(Code::RULE_UNTIL_NEEDS, message, at, help);
        None
    }

    /// Reports one cycle for each knot of sandboxes that wait for each other.
    fn cycles(&mut self, names: &[SandboxName], edges: &[Vec<Edge>]) {
        let mut search = Search { edges, state: vec![State::New; edges.len()], path: Vec::new() };
        for start in 0..edges.len() {
            while let Some(cycle) = search.next_cycle(start) {
                self.problems.push(describe(&cycle, names, edges));
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    OnPath,
    Done,
}

/// A walk along the edges, in depth, with a stack of its own.
struct Search<'e> {
    edges: &'e [Vec<Edge>],
    state: Vec<State>,
    /// Where the walk is: a sandbox and the next of its edges.
    path: Vec<(usize, usize)>,
}

impl Search<'_> {
    /// Returns the next cycle that is reachable from `start`, as sandboxes with the edge they take.
    fn next_cycle(&mut self, start: usize) -> Option<Vec<(usize, usize)>> {
        if self.path.is_empty() && self.state[start] == State::New {
            self.state[start] = State::OnPath;
            self.path.push((start, 0));
        }
        while let Some((node, edge)) = self.path.last_mut() {
            let (node, taken) = (*node, *edge);
            let Some(next) = self.edges[node].get(taken) else {
                self.state[node] = State::Done;
                self.path.pop();
                continue;
            };
            *edge += 1;
            match self.state[next.to] {
                State::New => {
                    self.state[next.to] = State::OnPath;
                    self.path.push((next.to, 0));
                }
                State::OnPath => {
                    let from = self.path.iter().position(|(on, _)| *on == next.to)?;
                    let cycle =
                        self.path[from..].iter().map(|(on, edge)| (*on, edge - 1)).collect();
                    // What is on this cycle is not reported again.
                    for (on, _) in self.path.drain(..) {
                        self.state[on] = State::Done;
                    }
                    return Some(cycle);
                }
                State::Done => {}
            }
        }
        None
    }
}

fn describe(cycle: &[(usize, usize)], names: &[SandboxName], edges: &[Vec<Edge>]) -> Problem {
    let at = |(node, edge): (usize, usize)| edges[node][edge].at;
    let first = (0..cycle.len()).min_by_key(|index| at(cycle[*index])).unwrap_or(0);
    let order: BTreeMap<usize, (usize, usize)> =
        (0..cycle.len()).map(|step| (step, cycle[(first + step) % cycle.len()])).collect();
    let mut words: Vec<&str> = order.values().map(|(node, _)| names[*node].as_str()).collect();
    words.extend(words.first().copied());
    let message = match words.as_slice() {
        [one, _] => format!("`{one}` waits for itself"),
        _ => format!("these wait for each other: {}", words.join(" → ")),
    };
    let waits = |step: usize| format!("{} waits for {}", words[step], words[step + 1]);
    let mut problem = Problem::error(Code::REF_CYCLE, message, at(order[&0])).label(waits(0));
    for (step, edge) in order.iter().skip(1) {
        problem = problem.related(at(*edge), waits(*step));
    }
    problem.help("remove one edge; `connect` gives network access without an order")
}
