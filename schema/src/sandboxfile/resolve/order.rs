//! What waits for what: references, conditions and cycles.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::decode::{Decoder, Noting};
use super::project::{Sandboxes, identity};
use crate::name::{InstanceName, SandboxName};
use crate::project::{Dependency, Kind, OnChange, Until};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;
use crate::sandboxfile::value;

/// One sandbox waits for another, by their numbers in the order of names.
struct Edge {
    to: usize,
    at: Span,
}

/// What others ask about a sandbox or job that they depend on.
struct Target {
    kind: Kind,
    has_gate: bool,
    replicas: Option<u32>,
    at: Span,
    profiles: BTreeSet<String>,
}

impl Decoder<'_, '_> {
    /// Reads the dependencies of every sandbox, and refuses cycles.
    pub(super) fn depend_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>) {
        let names: Vec<SandboxName> = sandboxes.keys().cloned().collect();
        let numbers: HashMap<&str, usize> =
            names.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        let targets: Vec<Target> = sandboxes
            .values()
            .map(|read| Target {
                kind: read.kind,
                has_gate: read.group.mentions("ready"),
                replicas: read.definition.replicas,
                at: read.member.at,
                profiles: read.definition.profiles.clone(),
            })
            .collect();
        let mut edges: Vec<Vec<Edge>> = Vec::with_capacity(names.len());
        for (name, read) in sandboxes.iter_mut() {
            self.begin(format!("sandbox.{name}"));
            let active = self.is_active(name, &read.definition.profiles);
            let mut out = Vec::new();
            for (group, sandbox) in read.bodies.iter().zip(&mut read.sandboxes) {
                let mut needs = BTreeMap::new();
                out.clear();
                for member in group.members("depends-on") {
                    let Some((to, target)) = self.target(member, &names, &numbers, &targets) else {
                        continue;
                    };
                    out.push(Edge { to, at: member.at });
                    let Some(group) = member.group() else { continue };
                    let facts = &targets[to];
                    let Some(dependency) = self.dependency(member, group, facts) else { continue };
                    let left_out = !self.is_active(&names[to], &facts.profiles);
                    if active && !dependency.optional && left_out {
                        self.inactive(member, name, facts);
                    }
                    needs.insert(target, dependency);
                }
                sandbox.depends_on = needs;
                self.noting(Noting::Off);
            }
            self.noting(Noting::On);
            edges.push(out);
        }
        self.cycles(&names, &edges);
    }

    /// Tells whether a definition takes part: it has no profile, an active one, or was named.
    fn is_active(&self, name: &SandboxName, profiles: &BTreeSet<String>) -> bool {
        profiles.is_empty()
            || profiles.iter().any(|profile| self.inputs.profiles.contains(profile))
            || self.inputs.named.iter().any(|named| named.sandbox == *name)
    }

    fn inactive(&mut self, member: &Member<'_>, name: &SandboxName, target: &Target) {
        let list = target.profiles.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
        let message = format!("`{name}` needs `{}`, which takes no part", shown(&member.name));
        let first = target.profiles.first().map_or("", String::as_str);
        let problem = Problem::error(Code::REF_INACTIVE, message, member.at)
            .related(target.at, format!("it has profiles {list}"))
            .help(format!("give --profile {first}, or write optional=#true"));
        self.problems.push(problem);
    }

    fn target(
        &mut self,
        member: &Member<'_>,
        names: &[SandboxName],
        numbers: &HashMap<&str, usize>,
        targets: &[Target],
    ) -> Option<(usize, InstanceName)> {
        if let Some(number) = numbers.get(member.name.as_ref()) {
            return Some((*number, InstanceName::only(names[*number].clone())));
        }
        let instance = InstanceName::parse(&member.name).ok();
        let of = instance.as_ref().and_then(|one| numbers.get(one.sandbox.as_str()));
        if let (Some(instance), Some(number)) = (&instance, of) {
            let count = targets[*number].replicas;
            if count.is_some_and(|count| instance.index.is_some_and(|index| index < count)) {
                return Some((*number, instance.clone()));
            }
            let has = match count {
                None => "one instance, without an index".to_owned(),
                Some(0) => "no instance".to_owned(),
                Some(count) => format!("the instances 0 to {}", count - 1),
            };
            let message = format!("there is no instance `{}`", shown(&member.name));
            let problem = Problem::error(Code::REF_UNKNOWN, message, member.at)
                .related(targets[*number].at, format!("it has {has}"))
                .help(format!("write \"{}\" for all of them", instance.sandbox));
            self.problems.push(problem);
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
        target: &Target,
    ) -> Option<Dependency> {
        let name = member.name.to_string();
        self.note_with(|| format!("depends-on.{name}"), member.at);
        let default = if target.kind == Kind::Job { "completed-ok" } else { "ready" };
        let word = self.choice(group, "until", format!("depends-on.{name}.until"));
        let at = group.get("until").map_or(member.at, |item| item.at);
        let pattern = group.get("pattern").map(|item| (item.at, &item.content));
        let until = match (word.unwrap_or(default), pattern) {
            ("log", None) => {
                let message = "`until` \"log\" has no pattern";
                let help = "add pattern=\"ready to accept\", a regular expression";
                self.error(Code::RULE_UNTIL_NEEDS, message, at, help);
                return None;
            }
            ("log", Some((_, Content::Scalar(scalar)))) => Until::Log(self.regex(scalar)?),
            (_, Some((pattern, _))) => {
                let message = "only `until` \"log\" has a pattern";
                let help = "write until=\"log\", or leave the pattern out";
                self.conflict(message, (pattern, at), help);
                return None;
            }
            ("started", None) => Until::Started,
            ("completed", None) => Until::Completed,
            ("completed-ok", None) => Until::CompletedOk,
            (_, None) => Until::Ready,
        };
        self.until_fits(&until, target, member, at)?;
        let optional = self.boolean(group, "optional", format!("depends-on.{name}.optional"));
        let on_change = self.choice(group, "on-change", format!("depends-on.{name}.on-change"));
        let on_change = match on_change {
            Some("restart") => OnChange::Restart,
            _ => OnChange::Ignore,
        };
        Some(Dependency { until, optional: optional.unwrap_or(false), on_change })
    }

    fn until_fits(
        &mut self,
        until: &Until,
        target: &Target,
        member: &Member<'_>,
        at: Span,
    ) -> Option<()> {
        let name = shown(&member.name);
        let (message, help) = match (until, target.kind) {
            (Until::Completed | Until::CompletedOk, Kind::Service) => (
                format!("`{name}` is a sandbox and never completes"),
                "write until=\"ready\", or make the target a job",
            ),
            (Until::Ready, Kind::Job) if !target.has_gate => (
                format!("`{name}` is a job without a probe and is never ready"),
                "write until=\"completed-ok\", or give the job a `ready` node",
            ),
            (
                Until::Completed
                | Until::CompletedOk
                | Until::Ready
                | Until::Started
                | Until::Log(_),
                _,
            ) => return Some(()),
        };
        let problem = Problem::error(Code::RULE_UNTIL_NEEDS, message, at)
            .related(target.at, "the target is here")
            .help(help);
        self.problems.push(problem);
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
