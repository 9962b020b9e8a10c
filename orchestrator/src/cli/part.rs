//! A part of a project that is whole by itself: the chosen, and what they cannot do without.

use std::collections::BTreeSet;

use schema::name::{InstanceName, SandboxName};
use schema::project::{Definition, Project};

/// Returns the definitions that `names` name, with what they need, connect to, mount and use.
pub(crate) fn of(project: &Project, names: &[InstanceName]) -> Project {
    let mut chosen: BTreeSet<SandboxName> = BTreeSet::new();
    let mut open: Vec<SandboxName> = names.iter().map(|name| name.sandbox.clone()).collect();
    while let Some(name) = open.pop() {
        if chosen.insert(name.clone()) {
            open.extend(needs(project, &name));
        }
    }
    let mut part = project.clone();
    part.sandboxes.retain(|name, _| chosen.contains(&name.sandbox));
    part.definitions.retain(|name, _| chosen.contains(name));
    let is_there = |name: &SandboxName| part.sandboxes.keys().any(|at| at.sandbox == *name);
    if chosen.iter().all(is_there) {
        let bodies = || part.sandboxes.values();
        let volumes: BTreeSet<_> = bodies()
            .flat_map(|body| body.mounts.iter().filter_map(|m| m.source.volume()))
            .collect();
        let secrets: BTreeSet<_> = bodies().flat_map(|body| body.secrets.keys()).collect();
        part.volumes = project.volumes.clone();
        part.volumes.retain(|name, _| volumes.contains(name));
        part.secrets = project.secrets.clone();
        part.secrets.retain(|name, _| secrets.contains(name));
    }
    part
}

/// Returns what a definition cannot do without.
fn needs(project: &Project, name: &SandboxName) -> Vec<SandboxName> {
    let bodies = || project.instances(name).map(|(_, body)| body);
    let waits = bodies().flat_map(|body| body.depends_on.keys().map(|at| at.sandbox.clone()));
    let reaches = bodies().flat_map(|body| body.connect.keys().cloned());
    let mut found: Vec<SandboxName> = waits.chain(reaches).collect();
    if let Some(Definition { marks, .. }) = project.definitions.get(name) {
        let rows = ["connect", "depends-on"].iter().filter_map(|key| marks.get(*key)).flatten();
        let named = rows.filter_map(|row| row.words.first()?.parse::<InstanceName>().ok());
        found.extend(named.map(|name| name.sandbox));
    }
    found.retain(|name| project.definitions.contains_key(name));
    found
}
