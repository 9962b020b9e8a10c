//! The project as a whole: its name, what holds for all of it, and its parts in order.

use std::collections::{BTreeMap, BTreeSet};

use super::decode::{Decoder, Noting};
use super::instances::Bodies;
use super::unit::Unit;
use super::variables::Feed;
use crate::name::{InstanceName, NameError, ProjectName, SandboxName, to_name};
use crate::project::{
    Body, Definition, DriverChoice, Kind, LABEL_KEY_BYTES_MAX, LABEL_VALUE_BYTES_MAX, Labels,
    Project, RESERVED_LABELS, Sandbox,
};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};
use crate::sandboxfile::value;
use crate::units::Millis;

/// A sandbox or job as far as it could be read, with what later stages ask about it.
pub(super) struct Read<'g, 'a> {
    pub(super) kind: Kind,
    pub(super) member: &'g Member<'a>,
    /// The body as it was written; where instances differ, that of the first.
    pub(super) group: &'g Group<'a>,
    pub(super) bodies: Bodies<'g, 'a>,
    pub(super) definition: Definition,
    /// The bodies, in the order of [`Read::bodies`].
    pub(super) sandboxes: Vec<Sandbox>,
}

pub(super) type Sandboxes<'g, 'a> = BTreeMap<SandboxName, Read<'g, 'a>>;

/// What sandboxes have where they do not say.
pub(super) struct Defaults {
    pub(super) labels: Labels,
    pub(super) driver: DriverChoice,
}

impl<'s> Decoder<'s, '_> {
    /// Stages five to eight for the whole document.
    pub(super) fn project(&mut self, document: Group<'s>) -> Option<Project> {
        let name = self.project_name(&document);
        let known = name.as_ref().map_or("", ProjectName::as_str);
        let unit = Unit { project: known, prefix: "", feed: Feed::Command };
        let document = &self.unit(document, &unit);
        self.removals(document);
        let empty = Group::default();
        let node = document.group("project").map_or(&empty, |(_, group)| group);
        self.begin("project".to_owned());
        self.format(node);
        let labels = self.labels(node, Labels::new());
        let driver = self.driver(node).unwrap_or_default();
        let protect_config = self.boolean(node, "protect-config", "protect-config");
        let wait_timeout = match self.duration(node, "wait-timeout", "wait-timeout") {
            None => Some(Project::WAIT_TIMEOUT),
            Some(Millis(0)) => None,
            some => some,
        };
        let mut volumes = self.volumes(document);
        let secrets = self.secrets(document);
        let defaults = Defaults { labels, driver };
        let mut sandboxes = Sandboxes::new();
        for (key, kind) in [("sandbox", Kind::Service), ("job", Kind::Job)] {
            for member in document.members(key) {
                if self.is_late(member.at) {
                    return None;
                }
                self.add(member, kind, &defaults, &mut sandboxes);
            }
        }
        self.moves(&sandboxes);
        self.mount_all(&mut sandboxes, &mut volumes);
        self.network_all(document, &mut sandboxes, &secrets);
        self.port_all(&mut sandboxes);
        self.connect_all(&mut sandboxes);
        self.depend_all(&mut sandboxes);
        let (sandboxes, definitions) = finished(sandboxes);
        Some(Project {
            name: name?,
            folder: self.inputs.folder.clone(),
            labels: defaults.labels,
            sandboxes,
            definitions,
            volumes: volumes.into_volumes(),
            secrets: secrets.into_secrets(),
            wait_timeout,
            driver,
            protect_config: protect_config.unwrap_or(true),
        })
    }

    pub(super) fn project_name(&mut self, document: &Group<'_>) -> Option<ProjectName> {
        self.begin("project".to_owned());
        let node = document.group("project");
        let at = node.map_or(self.start(), |(item, _)| item.at);
        if let Some(scalar) = node.and_then(|(_, group)| group.principal.as_ref()) {
            let name = self.name(scalar, ProjectName::parse)?;
            if name.as_str() == ProjectName::ADHOC {
                let help = "choose another name; it belongs to what is made by hand";
                self.error(Code::VALUE_NAME, "`adhoc` is reserved", scalar.span, help);
                return None;
            }
            self.note("name", scalar.span);
            return Some(self.inputs.name.clone().unwrap_or(name));
        }
        if self.inputs.name.is_some() || document.dropped.contains(&"project") {
            return self.inputs.name.clone();
        }
        let folder = self.inputs.folder.file_name().and_then(|name| name.to_str()).unwrap_or("");
        let name = to_name(folder).and_then(|name| ProjectName::parse(&name).ok());
        let name = name.filter(|name| name.as_str() != ProjectName::ADHOC);
        if name.is_none() {
            let message = format!("the folder `{}` gives the project no name", shown(folder));
            self.error(Code::VALUE_NAME, message, at, "write project \"NAME\", or give -p NAME");
        }
        name
    }

    /// Reads a name of ours, with the nearest valid one as help.
    pub(super) fn name<T>(
        &mut self,
        scalar: &Scalar<'_>,
        parse: fn(&str) -> Result<T, NameError>,
    ) -> Option<T> {
        let help = match to_name(&scalar.text).filter(|_| scalar.written.is_none()) {
            Some(near) => format!("write \"{near}\""),
            None => "write a name such as \"web-1\"".to_owned(),
        };
        self.take(value::checked(scalar, Code::VALUE_NAME, parse, &help))
    }

    fn format(&mut self, node: &Group<'_>) {
        let Some((scalar, ty)) = self.scalar(node, "format", "format") else { return };
        let read = value::count(scalar, super::decode::bounds(ty));
        if let Some(format) = self.take(read)
            && format > 1
        {
            let message = format!("format {format} is newer than this msb, which reads format 1");
            self.error(Code::SCHEMA_NEWER_FORMAT, message, scalar.span, "run `msb self update`");
        }
    }

    /// Reads labels over those below.
    pub(super) fn labels(&mut self, group: &Group<'_>, below: Labels) -> Labels {
        let written = group.members("labels").len();
        if written > LABELS_MAX {
            let at = group.get("labels").map_or(self.start(), |item| item.at);
            let message = format!("there are more than {LABELS_MAX} labels");
            self.error(Code::VALUE_RANGE, message, at, "write fewer");
        }
        self.constants(group, ("labels", "labels"), below)
    }

    /// Reads constants by key over those below; their paths begin with `path`.
    pub(super) fn constants(
        &mut self,
        group: &Group<'_>,
        (key, path): (&str, &str),
        below: Labels,
    ) -> Labels {
        let mut labels = below;
        let Some(item) = group.get(key) else { return labels };
        let Content::Map(members) = &item.content else { return labels };
        for member in members {
            let Content::Scalar(scalar) = &member.content else { continue };
            let key = self.label_key(member);
            let read = value::text(scalar, LABEL_VALUE_BYTES_MAX).map(str::to_owned);
            let value = self.take(read);
            if let (Some(key), Some(value)) = (key, value) {
                if value.chars().any(char::is_control) {
                    let message = "the value of a label has a control character";
                    self.error(Code::VALUE_TYPE, message, scalar.span, "write it without");
                }
                self.note_with(|| format!("{path}.{key}"), member.at);
                labels.insert(key, value);
            }
        }
        labels
    }

    fn label_key(&mut self, member: &Member<'_>) -> Option<String> {
        let key = member.name.as_ref();
        if key.is_empty() || key.len() > LABEL_KEY_BYTES_MAX || key.chars().any(char::is_control) {
            let message = format!("`{}` is not the key of a label", shown(key));
            let help = "a key has 1 to 128 bytes and no control characters";
            self.error(Code::VALUE_RANGE, message, member.at, help);
            return None;
        }
        if let Some(prefix) = RESERVED_LABELS.iter().find(|prefix| key.starts_with(**prefix)) {
            let message = format!("labels that begin with `{prefix}` are reserved");
            let help = "choose another key";
            self.error(Code::VALUE_RESERVED_LABEL, message, member.at, help);
            return None;
        }
        Some(key.to_owned())
    }

    /// Reads one sandbox or job and adds it, unless its name is taken.
    fn add<'g>(
        &mut self,
        member: &'g Member<'s>,
        kind: Kind,
        defaults: &Defaults,
        sandboxes: &mut Sandboxes<'g, 's>,
    ) {
        let Some(group) = member.group() else { return };
        let Some(name) = self.name(&identity(member), SandboxName::parse) else { return };
        if let Some(first) = sandboxes.get(&name) {
            let message = format!("`{name}` is the name of a sandbox and of a job");
            let problem = Problem::error(Code::SCHEMA_DUPLICATE_DEFINITION, message, member.at)
                .related(first.member.at, "first here")
                .help("rename one; sandboxes and jobs share one name space");
            self.problems.push(problem);
            return;
        }
        self.begin(format!("sandbox.{name}"));
        self.note("", member.at);
        let replicas = self.replicas(group);
        let mut definition = Definition {
            kind,
            replicas,
            profiles: self.profiles(group),
            marks: self.marks(group, replicas),
            ..Definition::default()
        };
        if replicas.is_none() {
            self.one_instance(member);
        }
        let bodies = self.bodies(&name, group, replicas);
        let mut read = Vec::new();
        for body in bodies.iter() {
            read.push(self.sandbox(body, (kind, member), defaults, &mut definition));
            // The first body tells where everything is written.
            self.noting(Noting::Off);
        }
        self.noting(Noting::On);
        sandboxes.insert(name, Read { kind, member, group, bodies, definition, sandboxes: read });
    }

    fn one_instance(&mut self, member: &Member<'_>) {
        match self.instances_left.checked_sub(1) {
            Some(left) => self.instances_left = left,
            None => {
                let most = self.inputs.limits.instances;
                let message = format!("the project has more than {most} instances");
                let help = "write fewer, or raise limits { instances } in config.kdl";
                self.error(Code::LIMIT_INSTANCES, message, member.at, help);
            }
        }
    }

    fn profiles(&mut self, group: &Group<'_>) -> BTreeSet<String> {
        let mut profiles = BTreeSet::new();
        let Some(item) = group.get("profiles") else { return profiles };
        let Content::List(items) = &item.content else { return profiles };
        self.note("profiles", item.at);
        for scalar in items {
            let name = self.name(scalar, SandboxName::parse);
            profiles.extend(name.map(|name| name.to_string()));
        }
        profiles
    }

    /// What a definition was before is not in the file any more, and nobody else was it.
    fn moves(&mut self, sandboxes: &Sandboxes<'_, '_>) {
        let mut taken: BTreeMap<&SandboxName, Span> = BTreeMap::new();
        for (name, read) in sandboxes {
            let Some(old) = &read.definition.moved_from else { continue };
            let lifecycle = read.group.group("lifecycle");
            let item = lifecycle.and_then(|(_, inner)| inner.get("moved-from"));
            let at = item.map_or(read.member.at, |item| item.at);
            if let Some(still) = sandboxes.get(old) {
                let message = format!("`{name}` cannot be what `{old}` was: both are in the file");
                let help = format!("remove `{old}`, or leave `moved-from` out");
                self.conflict(&message, (at, still.member.at), &help);
            } else if let Some(other) = taken.insert(old, at) {
                let message = format!("`{old}` can have become only one sandbox");
                self.conflict(&message, (at, other), "leave one `moved-from` out");
            }
        }
    }
}

/// Returns instances and definitions, as a project holds them.
fn finished(
    read: Sandboxes<'_, '_>,
) -> (BTreeMap<InstanceName, Body>, BTreeMap<SandboxName, Definition>) {
    let mut instances = BTreeMap::new();
    let mut definitions = BTreeMap::new();
    for (name, read) in read {
        let indexes: Vec<Option<u32>> = match read.definition.replicas {
            None => vec![None],
            Some(count) => (0..count).map(Some).collect(),
        };
        let mut bodies: Vec<Body> = read.sandboxes.into_iter().map(Body::of).collect();
        if let Some(last) = bodies.last().cloned() {
            // One body for all of them; where each has its own there is nothing to fill up.
            bodies.resize(indexes.len().max(bodies.len()), last);
        }
        for (index, body) in indexes.into_iter().zip(bodies) {
            instances.insert(InstanceName { sandbox: name.clone(), index }, body);
        }
        definitions.insert(name, read.definition);
    }
    (instances, definitions)
}

/// Returns the identity of a member as a value.
pub(super) fn identity<'a>(member: &Member<'a>) -> Scalar<'a> {
    Scalar::new(member.name.clone(), ScalarKind::Quoted, member.at)
}

const LABELS_MAX: usize = 128;
