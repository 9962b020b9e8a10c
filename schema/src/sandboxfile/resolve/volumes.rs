//! Named volumes: one definition each, by a node of their own or in the mounts.

use std::collections::BTreeMap;

use super::decode::{Decoder, bounds};
use crate::name::VolumeName;
use crate::project::{Ensure, Labels, Volume, VolumeKind};
use crate::sandboxfile::document::{Group, Item};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;
use crate::sandboxfile::value;
use crate::units::Bytes;

/// The volumes of a project, with where and how each was defined.
#[derive(Default)]
pub(super) struct Volumes {
    defined: BTreeMap<VolumeName, Defined>,
}

struct Defined {
    volume: Volume,
    at: Span,
    by: By,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Node,
    Mount,
}

impl Volumes {
    pub(super) fn into_volumes(self) -> BTreeMap<VolumeName, Volume> {
        self.defined.into_iter().map(|(name, defined)| (name, defined.volume)).collect()
    }

    pub(super) fn get(&self, name: &VolumeName) -> Option<&Volume> {
        self.defined.get(name).map(|defined| &defined.volume)
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.defined.keys().map(VolumeName::as_str)
    }
}

/// What is written of a volume, as far as it could be read.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Written {
    kind: Option<VolumeKind>,
    size: Option<Bytes>,
    ensure: Option<Ensure>,
}

impl Decoder<'_, '_> {
    /// Reads the volumes that have a node of their own.
    pub(super) fn volumes(&mut self, document: &Group<'_>) -> Volumes {
        let mut volumes = Volumes::default();
        for member in document.members("volume") {
            let Some(group) = member.group() else { continue };
            let Some(name) = self.name(&super::project::identity(member), VolumeName::parse) else {
                continue;
            };
            self.address = format!("volume.{name}");
            self.note("", member.at);
            let written = self.written(group);
            let labels = self.labels(group, &Labels::new());
            let protect = group
                .group("lifecycle")
                .and_then(|(_, inner)| self.boolean(inner, "protect", "lifecycle.protect"));
            self.volume_rules(group, written, member.at, &member.name);
            let volume = volume(written, labels, protect.unwrap_or(false));
            let defined = Defined { volume, at: member.at, by: By::Node };
            volumes.defined.insert(name, defined);
        }
        volumes
    }

    fn written(&mut self, group: &Group<'_>) -> Written {
        let kind = self.choice(group, "kind").map(|kind| match kind {
            "disk" => VolumeKind::Disk,
            _ => VolumeKind::Dir,
        });
        let size = self
            .scalar(group, "size", "size")
            .and_then(|(scalar, ty)| self.take(value::size(scalar, bounds(ty))));
        let ensure = self.choice(group, "ensure").map(|ensure| match ensure {
            "must-exist" => Ensure::MustExist,
            "create" => Ensure::Create,
            _ => Ensure::Ensure,
        });
        Written { kind, size, ensure }
    }

    /// A disk needs a size to be made; folders are not built yet.
    fn volume_rules(&mut self, group: &Group<'_>, written: Written, at: Span, name: &str) {
        let name = shown(name);
        if written.kind != Some(VolumeKind::Disk) {
            let known = !group.dropped.contains(&"kind") && !group.dropped.contains(&"external");
            let readable = written.kind.is_some() || group.get("kind").is_none();
            if known && readable {
                let at = group.get("kind").map_or(at, |item| item.at);
                let message =
                    format!("volume `{name}` is of kind `dir`, which is not supported yet");
                let help = "write kind \"disk\" and a size";
                self.error(Code::SCHEMA_NOT_YET, message, at, help);
            }
            return;
        }
        if written.ensure != Some(Ensure::MustExist) && !group.mentions("size") {
            let message = format!("disk volume `{name}` has no size");
            let help = "add size \"4GiB\", or ensure \"must-exist\" for one that is there";
            self.error(Code::SCHEMA_MISSING_KEY, message, at, help);
        }
    }

    /// Finds or makes the volume that a mount names; `None` where there is none.
    pub(super) fn named_volume(
        &mut self,
        item: &Item<'_>,
        inner: &Group<'_>,
        volumes: &mut Volumes,
    ) -> Option<VolumeName> {
        let scalar = inner.principal.as_ref()?;
        let name = self.name(scalar, VolumeName::parse)?;
        let inline = inner.items.first().map(|item| item.at);
        if inline.is_none() {
            if volumes.get(&name).is_none() && inner.dropped.is_empty() {
                let known = volumes.names();
                let problem = value::unknown_reference("volume", scalar, known);
                let define = format!("volume \"{name}\" {{ kind \"disk\"; size \"4GiB\" }}");
                let problem = match problem.nearest {
                    Some(_) => problem,
                    None => problem.help(format!("define it: {define}")),
                };
                self.problems.push(problem);
            }
            return volumes.get(&name).is_some().then_some(name);
        }
        let address = std::mem::replace(&mut self.address, format!("volume.{name}"));
        let written = self.written(inner);
        self.address = address;
        match volumes.defined.get(&name) {
            Some(defined) => {
                let agrees = volume(written, Labels::new(), false) == defined.volume;
                if defined.by == By::Node || !agrees {
                    self.conflict(&name, inline.unwrap_or(item.at), defined.at, defined.by);
                }
            }
            None => {
                self.volume_rules(inner, written, scalar.span, name.as_str());
                let volume = volume(written, Labels::new(), false);
                let defined = Defined { volume, at: scalar.span, by: By::Mount };
                volumes.defined.insert(name.clone(), defined);
            }
        }
        Some(name)
    }

    fn conflict(&mut self, name: &VolumeName, at: Span, first: Span, by: By) {
        let (message, help) = match by {
            By::Node => (
                format!("volume `{name}` has a node of its own, and is defined here too"),
                "leave only the name in the mount",
            ),
            By::Mount => (
                format!("volume `{name}` is defined twice, and not the same"),
                "give it one definition: volume \"NAME\" { … } at the top",
            ),
        };
        let problem = Problem::error(Code::RULE_VOLUME_CONFLICT, message, at)
            .related(first, "the other is here")
            .help(help);
        self.problems.push(problem);
    }
}

fn volume(written: Written, labels: Labels, protect: bool) -> Volume {
    let ensure = written.ensure.unwrap_or_default();
    Volume { kind: written.kind, size: written.size, ensure, labels, protect }
}
