//! Who this machine is to its siblings, and what the file lets them do.

use std::collections::{BTreeMap, BTreeSet};

use schema::launch::{Instance, Link, Machine};
use schema::name::{InstanceName, SandboxName};
use schema::peer::{Answer, Call, Refused};
use schema::project::network::PortSet;
use schema::project::{Connect, Transport};

use crate::net::dns::{self, Sibling};

/// Which machine this is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) project: String,
    pub(crate) project_id: String,
    pub(crate) name: InstanceName,
    pub(crate) hostname: String,
}

/// What the file says: whom this machine may call, and who may call it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    connect: BTreeMap<SandboxName, Connect>,
    instances: BTreeMap<SandboxName, Vec<Instance>>,
    callers: BTreeMap<SandboxName, PortSet>,
}

impl Own {
    /// Returns who a machine is; `None` where its record names no sandbox.
    pub(crate) fn of(machine: &Machine, hostname: &str) -> Option<Self> {
        let sandbox = SandboxName::parse(&machine.sandbox).ok()?;
        Some(Self {
            project: machine.project.clone(),
            project_id: machine.project_id.clone(),
            name: instance(&sandbox, &machine.instance)?,
            hostname: hostname.to_owned(),
        })
    }

    /// Returns what this machine says when it calls.
    pub(super) fn call(&self, protocol: Transport, port: u16, nonce: &str) -> Call {
        Call {
            project: self.project_id.clone(),
            from: self.name.sandbox.clone(),
            instance: self.name.slot(),
            protocol,
            port,
            nonce: nonce.to_owned(),
        }
    }

    /// Returns what this machine says to a call.
    pub(super) fn answer(&self, nonce: &str, refused: Option<Refused>) -> Answer {
        answer(&self.name, nonce, refused)
    }

    /// Returns the zone in which there are only names of the project.
    pub(crate) fn zone(&self) -> String {
        format!("{}.internal", self.project)
    }
}

/// Returns what machine `name` says to a call.
pub(super) fn answer(name: &InstanceName, nonce: &str, refused: Option<Refused>) -> Answer {
    let (sandbox, instance) = (name.sandbox.clone(), name.slot());
    Answer { nonce: nonce.to_owned(), sandbox, instance, refused }
}

/// Returns the name of an instance that is known by its sandbox and its slot.
pub(super) fn instance(sandbox: &SandboxName, slot: &str) -> Option<InstanceName> {
    if slot.is_empty() {
        return Some(InstanceName::only(sandbox.clone()));
    }
    InstanceName::parse(&format!("{sandbox}.{slot}")).ok()
}

impl Reach {
    /// Takes what a link says of siblings.
    pub(crate) fn of(link: &Link) -> Self {
        let Link { connect, instances, callers, .. } = link;
        Self { connect: connect.clone(), instances: instances.clone(), callers: callers.clone() }
    }

    /// Tells whether a port of a sibling may be called.
    pub(super) fn may_call(&self, target: &InstanceName, port: u16) -> bool {
        self.connect.get(&target.sandbox).is_some_and(|connect| connect.ports.contains(port))
    }

    /// Tells whether a sibling may call a port of this machine.
    pub(super) fn takes(&self, from: &SandboxName, port: u16) -> bool {
        self.callers.get(from).is_some_and(|ports| ports.contains(port))
    }

    /// Tells whether a name may lead to one of several.
    pub(super) fn has_replicas(&self) -> bool {
        self.connect.keys().any(|target| self.instances_of(target).len() > 1)
    }

    fn instances_of(&self, target: &SandboxName) -> &[Instance] {
        self.instances.get(target).map(Vec::as_slice).unwrap_or_default()
    }

    /// Returns the siblings as the resolver knows them: those that may be called by their names, those
    /// that have called by what they are called.
    pub(super) fn siblings(
        &self,
        own: &Own,
        called: &BTreeSet<InstanceName>,
        is_ready: impl Fn(&InstanceName) -> bool,
    ) -> Vec<Sibling> {
        let zone = own.zone();
        let mut found = BTreeMap::new();
        for (target, connect) in &self.connect {
            let all = self.instances_of(target);
            for one in all {
                let Some(name) = instance(target, &one.instance) else { continue };
                let (alias, host) = (connect.alias.as_str(), one.hostname.as_str());
                // What another one is called, or this machine itself, leads there alone.
                let is_free =
                    |other: &str| self.connect.values().all(|c| c.alias.as_str() != other);
                let is_own = host == own.hostname || host == dns::LOCALHOST;
                let mut names = vec![alias.to_owned(), format!("{alias}.{zone}")];
                if is_free(host) && !is_own {
                    names.extend([host.to_owned(), format!("{host}.{zone}")]);
                }
                if is_free(target.as_str()) && target.as_str() != host {
                    names.push(format!("{target}.{zone}"));
                }
                let ready = all.len() < 2 || is_ready(&name);
                let called = if all.len() < 2 { connect.alias.as_str() } else { host };
                let (instance, called) = (name.to_string(), called.to_owned());
                found.insert(name, Sibling { instance, names, called, ready });
            }
        }
        for name in called {
            found.entry(name.clone()).or_insert_with(|| {
                let host = schema::project::instance_hostname(&name.sandbox, &name.slot());
                let (instance, called) = (name.to_string(), format!("{host}.{zone}"));
                Sibling { instance, names: Vec::new(), called, ready: false }
            });
        }
        found.into_values().collect()
    }
}

#[cfg(test)]
pub(in crate::net) mod tests {
    use super::*;

    pub(in crate::net) fn own(name: &str) -> Own {
        let name = InstanceName::parse(name).unwrap();
        let hostname = schema::project::instance_hostname(&name.sandbox, &name.slot());
        Own { project: "shop".into(), project_id: "p1".into(), name, hostname }
    }

    /// What a machine may call, as `NAME PORTS ALIAS COUNT`, and who may call it, as `NAME PORTS`.
    pub(in crate::net) fn reach(
        targets: &[(&str, &str, &str, u32)],
        callers: &[(&str, &str)],
    ) -> Reach {
        let name = |text: &str| SandboxName::parse(text).unwrap();
        let ports = |text: &str| PortSet::parse(text).unwrap();
        let mut reach = Reach::default();
        for (target, at, alias, count) in targets {
            let connect = Connect { ports: ports(at), alias: name(alias) };
            reach.connect.insert(name(target), connect);
            let slots: Vec<String> = match count {
                1 => vec![String::new()],
                count => (0..*count).map(|index| index.to_string()).collect(),
            };
            let instances = slots.into_iter().map(|instance| Instance {
                hostname: schema::project::instance_hostname(&name(target), &instance),
                instance,
            });
            reach.instances.insert(name(target), instances.collect());
        }
        reach.callers = callers.iter().map(|(from, at)| (name(from), ports(at))).collect();
        reach
    }

    fn named(reach: &Reach) -> Vec<(String, String)> {
        let called = BTreeSet::from([InstanceName::parse("job.3").unwrap()]);
        let siblings = reach.siblings(&own("web"), &called, |_| true);
        siblings.into_iter().map(|one| (one.called, one.names.join(" "))).collect()
    }

    #[test]
    fn rt_9_17_a_sibling_is_known_by_what_the_file_calls_it_by_project_and_by_host_name() {
        let reach = reach(&[("db", "5432", "postgres", 1), ("cache", "any", "cache", 2)], &[]);
        let row = |called: &str, names: &str| (called.to_owned(), names.to_owned());
        let cache = "cache cache.shop.internal";
        assert_eq!(
            named(&reach),
            [
                row("cache-0", &format!("{cache} cache-0 cache-0.shop.internal")),
                row("cache-1", &format!("{cache} cache-1 cache-1.shop.internal")),
                row("postgres", "postgres postgres.shop.internal db db.shop.internal"),
                row("job-3.shop.internal", ""),
            ]
        );
    }

    #[test]
    fn sf_3_6_what_one_sibling_is_called_leads_to_no_other() {
        let reach = reach(&[("a", "1", "b", 1), ("b", "2", "a", 1)], &[]);
        let names = named(&reach);
        assert_eq!(names[0], ("b".to_owned(), "b b.shop.internal".to_owned()));
        assert_eq!(names[1], ("a".to_owned(), "a a.shop.internal".to_owned()));
    }

    #[test]
    fn rt_9_10_each_end_judges_by_sandbox_and_port() {
        let reach = reach(&[("db", "5432,9187", "db", 1)], &[("job", "80")]);
        let name = |text: &str| InstanceName::parse(text).unwrap();
        assert!(reach.may_call(&name("db"), 9187) && reach.may_call(&name("db.4"), 5432));
        assert!(!reach.may_call(&name("db"), 80) && !reach.may_call(&name("job"), 80));
        assert!(reach.takes(&name("job").sandbox, 80) && !reach.takes(&name("job").sandbox, 81));
        assert!(!reach.takes(&name("db").sandbox, 80));
    }
}
