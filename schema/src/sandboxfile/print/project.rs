//! From a project to a document that says it: what was resolved, as a file of its own.
//!
//! ```text
//! Project ──Writer──▶ tree::Tree ──print::tree──▶ KDL, YAML
//!              │           └────────print::json_of──▶ JSON
//!              └─ marks: keys that differ from instance to instance, as they were written
//! ```
//!
//! The document resolves to an equal project. Every type is taken apart field by
//! field, so that a new field does not compile before it is written here.

mod body;
mod life;
mod marks;
mod mount;
mod network;
mod node;
mod process;
mod values;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::name::{ProjectName, SandboxName, SecretName, VolumeName};
use crate::project::{
    Definition, DriverChoice, Ensure, Kind, Labels, Project, Quota, Secret, SecretSource, Until,
    Volume,
};
use crate::sandboxfile::tree::{Entry, Scalar, Tree};
use crate::units::Millis;
use node::Node;
use values::{boolean, duration, number, quota, size, text};

/// Which fields are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// Those that say something else than what holds anyway.
    Changed,
    /// All that can be written.
    All,
}

/// How paths of the host are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paths<'p> {
    /// From the root.
    Absolute,
    /// By this folder, where they lie below it.
    Below(&'p str),
}

/// A path that no file can hold.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a path of {address} is not UTF-8: {}", path.display())]
pub struct Unwritable {
    /// Whose it is.
    pub address: String,
    /// The path.
    pub path: PathBuf,
}

/// Writes the parts of one project.
#[derive(Debug)]
pub struct Writer<'p> {
    project: &'p Project,
    fields: Fields,
    paths: Paths<'p>,
    /// Jobs that somebody waits for until they are ready; their gate is written, whatever it is.
    gates: BTreeSet<&'p SandboxName>,
    /// Volumes that come to be with the mounts of instances.
    inline: BTreeSet<String>,
}

impl<'p> Writer<'p> {
    /// Returns a writer of `project`.
    #[must_use]
    pub fn new(project: &'p Project, fields: Fields, paths: Paths<'p>) -> Self {
        let needs = project.sandboxes.values().flat_map(|body| &body.depends_on);
        let gates = needs
            .filter(|(_, dependency)| dependency.until == Until::Ready)
            .map(|(target, _)| &target.sandbox);
        let gates = gates.collect();
        let inline = project
            .definitions
            .iter()
            .flat_map(|(name, definition)| marks::inline_volumes(name, definition).into_iter());
        Self { project, fields, paths, gates, inline: inline.collect() }
    }

    /// Returns the whole project.
    ///
    /// # Errors
    /// A path of the host is no text.
    pub fn tree(&self) -> Result<Tree<'static>, Unwritable> {
        let Project {
            name,
            // It is where the file lies, and no part of what it says.
            folder: _,
            labels,
            sandboxes,
            definitions,
            volumes,
            secrets,
            wait_timeout,
            driver,
            protect_config,
        } = self.project;
        let head = self.head(name, labels, (wait_timeout.as_ref(), *driver, *protect_config));
        let mut entries: Vec<Entry<'static>> = head.into_iter().collect();
        for (name, secret) in secrets {
            entries.push(self.secret(name, secret)?);
        }
        let own = volumes.iter().filter(|(name, _)| !self.inline.contains(name.as_str()));
        entries.extend(own.map(|(name, volume)| self.volume(name, volume)));
        let mut names: BTreeSet<&SandboxName> = definitions.keys().collect();
        names.extend(sandboxes.keys().map(|instance| &instance.sandbox));
        for name in names {
            entries.push(self.sandbox(name)?);
        }
        Ok(Tree { entries })
    }

    fn head(
        &self,
        name: &ProjectName,
        labels: &Labels,
        (wait, driver, protect_config): (Option<&Millis>, DriverChoice, bool),
    ) -> Option<Entry<'static>> {
        let mut node = Node::block(self.fields, "project");
        // No file can call its project so.
        let is_named = name.as_str() != ProjectName::ADHOC;
        if is_named {
            node.value(text(name.as_str()));
        }
        node.unless("format", &1, &1, |format| number(*format));
        node.labels("labels", labels.iter());
        node.unless("driver", &driver, &DriverChoice::Auto, |driver| text(driver.as_str()));
        let wait = wait.copied().unwrap_or(Millis(0));
        node.unless("wait-timeout", &wait, &Project::WAIT_TIMEOUT, |wait| duration(*wait));
        node.unless("protect-config", &protect_config, &true, |yes| boolean(*yes));
        if is_named { Some(node.done()) } else { node.unless_empty() }
    }

    /// Returns the node of a volume.
    #[must_use]
    pub fn volume(&self, name: &VolumeName, volume: &Volume) -> Entry<'static> {
        let Volume {
            kind,
            size: bytes,
            quota: most,
            ensure,
            external,
            labels,
            protect,
            moved_from,
        } = volume;
        let mut node = Node::block(self.fields, "volume");
        node.value(Scalar::text(name.to_string()));
        node.some("kind", kind.as_ref(), |kind| text(kind.as_str()));
        node.some("size", bytes.as_ref(), |bytes| size(*bytes));
        node.some("quota", most.as_ref(), |most: &Quota| quota(*most));
        if external.is_none() {
            node.unless("ensure", ensure, &Ensure::default(), |ensure| text(ensure.as_str()));
        }
        if let Some(external) = external {
            node.add(node::line("external", boolean(true)));
            let same = external.project.is_none() && external.name == *name;
            node.unless("host-name", &same, &true, |_| text(&external.to_string()));
        }
        node.labels("labels", labels.iter());
        let mut life = Node::block(self.fields, "lifecycle");
        life.unless("protect", protect, &false, |yes| boolean(*yes));
        // A name that is gone is taken as it is, like an identity.
        life.some("moved-from", moved_from.as_ref(), |old| Scalar::text(old.to_string()));
        node.block_of(life);
        node.done()
    }

    fn secret(&self, name: &SecretName, secret: &Secret) -> Result<Entry<'static>, Unwritable> {
        let Secret {
            source,
            hosts,
            places,
            placeholder,
            on_violation,
            passthrough_hosts,
            require_tls,
        } = secret;
        let mut node = Node::block(self.fields, "secret");
        node.value(Scalar::text(name.to_string()));
        match source {
            SecretSource::Env(variable) => node.add(node::line("from-env", text(variable))),
            SecretSource::File(path) => {
                let path = self.path(&format!("secret {name}"), path)?;
                node.add(node::line("from-file", path));
            }
        }
        node.list("hosts", hosts.iter().map(|host| text(&host.to_string())));
        node.unless_list("in", places, &Secret::PLACES.to_vec(), |place| text(place.as_str()));
        node.some("placeholder", placeholder.as_ref(), |kept| text(kept.as_str()));
        let usual = crate::project::OnViolation::default();
        node.unless("on-violation", on_violation, &usual, |what| text(what.as_str()));
        let hosts = passthrough_hosts.iter().map(|host| text(&host.to_string()));
        node.list("passthrough-hosts", hosts);
        node.unless("require-tls", require_tls, &true, |yes| boolean(*yes));
        Ok(node.done())
    }

    /// Returns the node of a sandbox or a job, with all its instances.
    ///
    /// # Errors
    /// A path of the host is no text.
    pub fn sandbox(&self, name: &SandboxName) -> Result<Entry<'static>, Unwritable> {
        let first = self.project.instances(name).next().map(|(_, body)| &**body);
        let alone = Definition::default();
        let known = self.project.definitions.get(name);
        let definition = known.unwrap_or(&alone);
        let kind = match (first, known) {
            (Some(body), _) => body.kind,
            (None, _) => definition.kind,
        };
        let key = if kind == Kind::Job { "job" } else { "sandbox" };
        let mut node = Node::block(self.fields, key);
        node.value(Scalar::text(name.to_string()));
        let Definition { kind: _, replicas, profiles, moved_from, update, ignore_drift, marks } =
            definition;
        node.some("replicas", replicas.as_ref(), |count| number(u64::from(*count)));
        node.list("profiles", profiles.iter().map(|profile| text(profile)));
        if let Some(body) = first {
            self.body(&mut node, name, body)?;
            let mut life = Node::block(self.fields, "lifecycle");
            life.lifecycle(body.lifecycle);
            life.some("moved-from", moved_from.as_ref(), |old| Scalar::text(old.to_string()));
            let usual = crate::project::UpdateOrder::default();
            life.unless("update", update, &usual, |order| text(order.as_str()));
            life.list("ignore-drift", ignore_drift.iter().map(|path| text(path)));
            node.block_of(life);
        }
        node.replace(marks, self.paths);
        Ok(node.done())
    }

    /// Returns a path of the host as it is written.
    fn path(&self, address: &str, path: &Path) -> Result<Scalar<'static>, Unwritable> {
        let written = values::path(path, self.paths);
        written.ok_or_else(|| Unwritable { address: address.to_owned(), path: path.to_owned() })
    }
}

#[cfg(test)]
mod tests;
