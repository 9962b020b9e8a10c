//! Order and health: what must be before, the gate, the probes.

use std::collections::BTreeMap;

use super::Writer;
use super::body::words;
use super::node::{Node, line};
use super::values::{boolean, duration, number, text};
use crate::name::{InstanceName, SandboxName};
use crate::project::{
    Dependency, Health, HttpProbe, Kind, OnChange, OnUnhealthy, Probe, Ready, Sandbox, Scheme,
    StatusSet, Until,
};
use crate::sandboxfile::tree::Scalar;

impl Writer<'_> {
    pub(super) fn depends_on(
        &self,
        node: &mut Node,
        depends_on: &BTreeMap<InstanceName, Dependency>,
    ) {
        for (target, Dependency { until, optional, on_change }) in depends_on {
            let mut edge = Node::line(self.fields, "depends-on");
            edge.value(Scalar::text(target.to_string()));
            let usual = match self.kind(&target.sandbox) {
                Kind::Service => Until::Ready,
                Kind::Job => Until::CompletedOk,
            };
            edge.unless("until", until, &usual, |until| text(until.as_str()));
            if let Until::Log(pattern) = until {
                edge.key("pattern", text(pattern));
            }
            edge.unless("optional", optional, &false, |yes| boolean(*yes));
            edge.unless("on-change", on_change, &OnChange::default(), |what| text(what.as_str()));
            node.add(edge.done());
        }
    }

    fn kind(&self, name: &SandboxName) -> Kind {
        let first = self.project.instances(name).next().map(|(_, body)| body.kind);
        let definition = || self.project.definitions.get(name).map(|definition| definition.kind);
        first.or_else(definition).unwrap_or_default()
    }

    /// The gate of a job stands where somebody waits for it: without one it is never ready.
    pub(super) fn ready(&self, node: &mut Node, (name, kind): (&SandboxName, Kind), ready: &Ready) {
        let Ready { probe, timeout } = ready;
        let mut own = Node::block(self.fields, "ready");
        let is_due = kind == Kind::Job && self.gates.contains(name);
        if is_due || own.says(probe, &Probe::Agent) {
            self.probe(&mut own, probe);
        }
        own.unless("timeout", timeout, &Sandbox::READY_TIMEOUT, |time| duration(*time));
        node.block_of(own);
    }

    pub(super) fn health(&self, node: &mut Node, health: Option<&Health>) {
        let Some(health) = health else { return };
        let Health { probe, interval, timeout, failures, successes, on_unhealthy } = health;
        let mut own = Node::block(self.fields, "health");
        self.probe(&mut own, probe);
        own.unless("interval", interval, &Health::INTERVAL, |time| duration(*time));
        own.unless("timeout", timeout, &Health::TIMEOUT, |time| duration(*time));
        own.unless("failures", failures, &Health::FAILURES, |count| number(u64::from(*count)));
        own.unless("successes", successes, &Health::SUCCESSES, |count| number(u64::from(*count)));
        let usual = OnUnhealthy::default();
        own.unless("on-unhealthy", on_unhealthy, &usual, |what| text(what.as_str()));
        node.block_of(own);
    }

    fn probe(&self, node: &mut Node, probe: &Probe) {
        node.add(match probe {
            Probe::Agent => line("agent", boolean(true)),
            Probe::Exec(command) => words("exec", command),
            Probe::Tcp(port) => line("tcp", number(u64::from(*port))),
            Probe::Log(pattern) => line("log", text(pattern)),
            Probe::Http(HttpProbe { path, port, scheme, host, status }) => {
                let mut http = Node::line(self.fields, "http");
                http.value(text(path));
                http.key("port", number(u64::from(*port)));
                http.unless("scheme", scheme, &Scheme::default(), |one| text(one.as_str()));
                http.some("host", host.as_ref(), |host| text(host));
                let usual = StatusSet::default();
                http.unless("status", status, &usual, |set| text(&set.to_string()));
                http.done()
            }
        });
    }
}
