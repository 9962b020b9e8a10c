//! The project as a whole: its name, what holds for all of it, and its parts in order.

use std::collections::BTreeMap;

use super::decode::Decoder;
use crate::name::{NameError, ProjectName, SandboxName, to_name};
use crate::project::{DriverChoice, Kind, Labels, Project, Sandbox};
use crate::sandboxfile::document::{Content, Group, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};
use crate::sandboxfile::value;
use crate::units::Millis;

/// A sandbox as far as it could be read, with what later stages ask about it.
pub(super) struct Read<'g, 'a> {
    pub(super) kind: Kind,
    pub(super) member: &'g Member<'a>,
    pub(super) group: &'g Group<'a>,
    pub(super) sandbox: Sandbox,
}

pub(super) type Sandboxes<'g, 'a> = BTreeMap<SandboxName, Read<'g, 'a>>;

impl Decoder<'_, '_> {
    /// Stages six to eight for the whole document.
    pub(super) fn project(&mut self, mut document: Group<'_>) -> Option<Project> {
        self.apply_templates(&mut document);
        let name = self.project_name(&document);
        let known = name.as_ref().map_or("", ProjectName::as_str);
        self.interpolate(&mut document, known);
        let document = &document;
        let empty = Group::default();
        let node = document.group("project").map_or(&empty, |(_, group)| group);
        self.address = "project".to_owned();
        self.format(node);
        let labels = self.labels(node, &Labels::new());
        let driver = self.driver(node).unwrap_or_default();
        let wait_timeout = match self.duration(node, "wait-timeout", "wait-timeout") {
            None => Some(Project::WAIT_TIMEOUT),
            Some(Millis(0)) => None,
            some => some,
        };
        let mut volumes = self.volumes(document);
        let mut sandboxes = Sandboxes::new();
        for (key, kind) in [("sandbox", Kind::Service), ("job", Kind::Job)] {
            for member in document.members(key) {
                self.add(member, kind, (&labels, driver), &mut sandboxes);
            }
        }
        self.mount_all(&mut sandboxes, &mut volumes);
        self.depend_all(&mut sandboxes);
        let sandboxes = sandboxes.into_iter();
        let sandboxes = sandboxes.map(|(name, read)| (name.into(), read.sandbox.into())).collect();
        let volumes = volumes.into_volumes();
        let folder = self.inputs.folder.clone();
        Some(Project { name: name?, folder, labels, sandboxes, volumes, wait_timeout, driver })
    }

    fn project_name(&mut self, document: &Group<'_>) -> Option<ProjectName> {
        self.address = "project".to_owned();
        let node = document.group("project");
        let at = node.map_or(Span { file: 0, start: 0, end: 0 }, |(item, _)| item.at);
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
        let help = match to_name(&scalar.text) {
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

    pub(super) fn driver(&mut self, group: &Group<'_>) -> Option<DriverChoice> {
        Some(match self.choice(group, "driver")? {
            "krun" => DriverChoice::Krun,
            "qemu" => DriverChoice::Qemu,
            _ => DriverChoice::Auto,
        })
    }

    /// Reads labels over those below.
    pub(super) fn labels(&mut self, group: &Group<'_>, below: &Labels) -> Labels {
        let mut labels = below.clone();
        let Some(item) = group.get("labels") else { return labels };
        let Content::Map(members) = &item.content else { return labels };
        if members.len() > LABELS_MAX {
            let message = format!("there are more than {LABELS_MAX} labels");
            self.error(Code::VALUE_RANGE, message, item.at, "write fewer");
        }
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
                self.note(&format!("labels.{key}"), member.at);
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
    fn add<'g, 'a>(
        &mut self,
        member: &'g Member<'a>,
        kind: Kind,
        defaults: (&Labels, DriverChoice),
        sandboxes: &mut Sandboxes<'g, 'a>,
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
        self.address.clear();
        self.address.push_str("sandbox.");
        self.address.push_str(name.as_str());
        self.note("", member.at);
        let sandbox = self.sandbox(group, kind, member, defaults);
        sandboxes.insert(name, Read { kind, member, group, sandbox });
    }
}

/// Returns the identity of a member as a value.
pub(super) fn identity<'a>(member: &Member<'a>) -> Scalar<'a> {
    Scalar { text: member.name.clone(), kind: ScalarKind::Quoted, span: member.at }
}

const LABELS_MAX: usize = 128;
const LABEL_KEY_BYTES_MAX: usize = 128;
const LABEL_VALUE_BYTES_MAX: usize = 1024;
const RESERVED_LABELS: &[&str] = &["msb.", "sandbox.", "microsandbox.", "service.", "host."];
