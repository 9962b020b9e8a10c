//! Where each value of a resolved project comes from: its place, its layer, and what it beat.
//!
//! Each definition is taken apart into its leaves; a leaf that differs from instance to instance
//! stands once for each. What nobody wrote holds by default.

mod beaten;
mod layers;

use std::collections::BTreeMap;

use beaten::Beats;
use layers::Layers;

pub use beaten::Beat;
pub use layers::Layer;

use super::resolve::Resolved;
use super::tree::Span;
use crate::change::{Class, Cost, SANDBOX_FIELDS, VOLUME_FIELDS, cost};
use crate::name::{InstanceName, SandboxName};
use crate::project::{Body, Definition, ImageRef, Place, Project, Sandbox, Secret, Volume};

/// One value of a resolved project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// Whose it is: `sandbox.web`, `sandbox.web[1]` where instances differ, `volume.pg`, `project`.
    pub address: String,
    /// The field within: `memory.size`.
    pub path: String,
    /// The value, as people read it; of a secret the reference.
    pub value: String,
    /// What held if nobody wrote it; `None` where nothing would.
    pub default: Option<String>,
    /// What a change of it costs in the best case.
    pub cost: Option<Cost>,
    /// Where it is written; `None` where it is not.
    pub place: Option<Place>,
    /// Which layer it comes from.
    pub layer: Layer,
    /// The declared variables in it.
    pub variables: Vec<String>,
    /// What it was laid over, the lowest first; nothing unless the reading was traced.
    pub beaten: Vec<Beat>,
}

/// Returns every leaf of what was resolved; the first `given` of its files are not included ones.
#[must_use]
pub fn leaves(resolved: &Resolved, given: usize) -> Vec<Leaf> {
    let layers = Layers::of(resolved.origins.sources(), given);
    let mut gather =
        Gather { resolved, beats: Beats::of(resolved, &layers), layers, found: vec![] };
    gather.project();
    for (name, secret) in &resolved.project.secrets {
        gather.secret(&format!("secret.{name}"), secret);
    }
    for (name, volume) in &resolved.project.volumes {
        gather.volume(&format!("volume.{name}"), volume);
    }
    for (name, definition) in &resolved.project.definitions {
        gather.sandbox(name, definition);
    }
    gather.found
}

/// A leaf before its place is known.
struct Value<'v> {
    address: &'v str,
    /// The address without the index of an instance.
    written_at: &'v str,
    path: &'v str,
    value: String,
    default: Option<String>,
    cost: Option<Cost>,
}

struct Gather<'r> {
    resolved: &'r Resolved,
    layers: Layers,
    beats: Beats<'r>,
    found: Vec<Leaf>,
}

impl Gather<'_> {
    fn project(&mut self) {
        let Project { name, labels, wait_timeout, driver, protect_config, .. } =
            &self.resolved.project;
        let wait = |wait: Option<&crate::units::Millis>| {
            wait.map_or_else(|| "0s".to_owned(), ToString::to_string)
        };
        let usual = Project::empty(name.clone(), std::path::PathBuf::new());
        let mut rows = vec![
            ("name".to_owned(), name.to_string(), None),
            (
                "driver".to_owned(),
                driver.as_str().to_owned(),
                Some(usual.driver.as_str().to_owned()),
            ),
            (
                "wait-timeout".to_owned(),
                wait(wait_timeout.as_ref()),
                Some(wait(usual.wait_timeout.as_ref())),
            ),
            ("protect-config".to_owned(), protect_config.to_string(), Some("true".to_owned())),
        ];
        let labels =
            labels.iter().map(|(key, value)| (format!("labels.{key}"), value.clone(), None));
        rows.extend(labels);
        for (path, value, default) in rows {
            self.meta("project", &path, (value, default));
        }
    }

    fn secret(&mut self, address: &str, secret: &Secret) {
        let usual: BTreeMap<String, String> =
            Secret::new(secret.source.clone(), Vec::new()).fields().into_iter().collect();
        for (path, value) in secret.fields() {
            let default = usual.get(&path).filter(|_| path != "source").cloned();
            let cost = cost(SANDBOX_FIELDS, &format!("secrets.any.{path}"));
            let written_at = address;
            self.push(Value { address, written_at, path: &path, value, default, cost });
        }
    }

    fn volume(&mut self, address: &str, volume: &Volume) {
        let usual: BTreeMap<String, String> = Volume::unsaid().fields().into_iter().collect();
        for (path, value) in volume.fields() {
            let (default, cost) = (usual.get(&path).cloned(), cost(VOLUME_FIELDS, &path));
            let written_at = address;
            self.push(Value { address, written_at, path: &path, value, default, cost });
        }
    }

    fn sandbox(&mut self, name: &SandboxName, definition: &Definition) {
        let written_at = format!("sandbox.{name}");
        self.definition(&written_at, definition);
        let instances: Vec<(&InstanceName, &Body)> =
            self.resolved.project.instances(name).collect();
        let Some((_, first)) = instances.first() else { return };
        let usual = defaults(first);
        for (path, values) in told(&instances) {
            let cost = cost(SANDBOX_FIELDS, &path);
            let default = usual.get(&path);
            for (address, value) in values {
                let address =
                    address.map_or_else(|| written_at.clone(), |at| format!("sandbox.{at}"));
                let default = default.cloned();
                let (address, written_at, path) = (address.as_str(), written_at.as_str(), &path);
                self.push(Value { address, written_at, path, value, default, cost });
            }
        }
    }

    /// Adds what belongs to the name and not to an instance.
    fn definition(&mut self, address: &str, definition: &Definition) {
        let Definition { kind: _, replicas, profiles, moved_from, update, ignore_drift, marks: _ } =
            definition;
        let words = |words: &std::collections::BTreeSet<String>| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            (!words.is_empty()).then(|| words.join(" "))
        };
        let usual = crate::project::UpdateOrder::default().as_str().to_owned();
        for (path, value, default) in [
            ("replicas", replicas.map(|count| count.to_string()), None),
            ("profiles", words(profiles), None),
            ("lifecycle.moved-from", moved_from.as_ref().map(ToString::to_string), None),
            ("lifecycle.update", Some(update.as_str().to_owned()), Some(usual)),
            ("lifecycle.ignore-drift", words(ignore_drift), None),
        ] {
            if let Some(value) = value {
                self.meta(address, path, (value, default));
            }
        }
    }

    /// Adds a leaf that only state knows.
    fn meta(&mut self, address: &str, path: &str, (value, default): (String, Option<String>)) {
        let (written_at, cost) = (address, Some(Cost::Always(Class::Meta)));
        self.push(Value { address, written_at, path, value, default, cost });
    }

    fn push(&mut self, of: Value<'_>) {
        let span = self.span(&of);
        let layer = span.map_or(Layer::Default, |span| self.layers.of_span(span));
        let beaten = self.beats.of_leaf(of.written_at, of.path, &layer);
        let origins = &self.resolved.origins;
        self.found.push(Leaf {
            address: of.address.to_owned(),
            path: of.path.to_owned(),
            value: of.value,
            default: of.default,
            cost: of.cost,
            place: span.map(|span| origins.sources().place(span)),
            layer,
            variables: span.map_or_else(Vec::new, |span| self.variables(span)),
            beaten,
        });
    }

    /// Returns where a leaf is written: itself, or what is around it and says more than nothing.
    fn span(&self, of: &Value<'_>) -> Option<Span> {
        let origins = &self.resolved.origins;
        let (mut address, mut path) = (of.written_at.to_owned(), of.path.to_owned());
        if let Some(rest) =
            path.strip_prefix("secrets.").filter(|_| address.starts_with("sandbox."))
        {
            let (name, field) = rest.split_once('.').unwrap_or((rest, ""));
            (address, path) = (format!("secret.{name}"), field.to_owned());
        }
        if let Some(span) = origins.span(&address, &path) {
            return Some(span);
        }
        if of.default.as_ref() == Some(&of.value) {
            return None;
        }
        let mut around = path.as_str();
        while let Some(dot) = around.rfind('.') {
            around = &around[..dot];
            if let Some(span) = origins.span(&address, around) {
                return Some(span);
            }
        }
        // What the project says of all its sandboxes.
        origins.span("project", &path)
    }

    /// Returns the variables on the line of a value.
    fn variables(&self, span: Span) -> Vec<String> {
        let declared = &self.resolved.variables;
        let Some(file) = self.resolved.origins.sources().file(span) else { return Vec::new() };
        let line = file.line(file.line_at(span.start as usize));
        let line = file.text.get(line.start.max(span.start as usize)..line.end).unwrap_or_default();
        let names = line.split("${").skip(1).map(|rest| {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            &rest[..end.unwrap_or(rest.len())]
        });
        let mut found: Vec<String> = Vec::new();
        for name in names {
            let is_declared = declared.iter().any(|variable| variable.name == name);
            if is_declared && !found.iter().any(|known| known == name) {
                found.push(name.to_owned());
            }
        }
        found
    }
}

/// Returns what a body like this one says where the file says nothing.
fn defaults(body: &Body) -> BTreeMap<String, String> {
    let mut usual = Sandbox::new(body.kind, ImageRef::Builtin("base".to_owned()));
    usual.root = body.root.clone();
    let mut usual: BTreeMap<String, String> = usual.fields().into_iter().collect();
    // These are what is written first; there is no default of them.
    for given in ["kind", "image", "root-disk", "root-dir"] {
        usual.remove(given);
    }
    usual
}

type Told<'p> = BTreeMap<String, Vec<(Option<&'p InstanceName>, String)>>;

/// Returns the value of each path: one for all instances where they agree.
fn told<'p>(instances: &[(&'p InstanceName, &'p Body)]) -> Told<'p> {
    let Some(((_, first), others)) = instances.split_first() else { return Told::new() };
    let mut told: Told<'p> = Told::new();
    if others.iter().all(|(_, body)| body.digest() == first.digest()) {
        told.extend(first.fields().into_iter().map(|(path, value)| (path, vec![(None, value)])));
        return told;
    }
    for (name, body) in instances {
        for (path, value) in body.fields() {
            told.entry(path).or_default().push((Some(*name), value));
        }
    }
    for values in told.values_mut() {
        let same = values.windows(2).all(|pair| pair[0].1 == pair[1].1);
        if same && values.len() == instances.len() {
            values.truncate(1);
            values.iter_mut().for_each(|(name, _)| *name = None);
        }
    }
    told
}

#[cfg(test)]
mod tests;
