//! Named volumes: one definition each, by a node of their own or in the mounts.

use std::collections::BTreeMap;

use super::decode::Decoder;
use super::project::identity;
use crate::name::VolumeName;
use crate::project::{Ensure, External, Labels, Quota, Volume, VolumeKind};
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
    quota: Option<Quota>,
    ensure: Option<Ensure>,
}

impl Decoder<'_, '_> {
    /// Reads the volumes that have a node of their own.
    pub(super) fn volumes(&mut self, document: &Group<'_>) -> Volumes {
        let mut volumes = Volumes::default();
        for member in document.members("volume") {
            let Some(group) = member.group() else { continue };
            let Some(name) = self.name(&identity(member), VolumeName::parse) else {
                continue;
            };
            self.begin(format!("volume.{name}"));
            self.note("", member.at);
            let written = self.written(group);
            let external = self.external(group, &name);
            if external.is_none() {
                self.volume_rules(group, written, member.at, name.as_str());
            }
            let mut volume = volume(written);
            volume.external = external;
            volume.labels = self.labels(group, Labels::new());
            if let Some((_, inner)) = group.group("lifecycle") {
                let protect = self.boolean(inner, "protect", "lifecycle.protect");
                volume.protect = protect.unwrap_or(false);
                let moved = self.scalar(inner, "moved-from", "lifecycle.moved-from");
                volume.moved_from =
                    moved.and_then(|(scalar, _)| self.name(scalar, VolumeName::parse));
            }
            volumes.defined.insert(name, Defined { volume, at: member.at, by: By::Node });
        }
        self.volume_moves(&volumes);
        volumes
    }

    fn written(&mut self, group: &Group<'_>) -> Written {
        let kind = self.choice(group, "kind", "kind").map(|kind| match kind {
            "disk" => VolumeKind::Disk,
            _ => VolumeKind::Dir,
        });
        let size = self.size(group, "size", "size");
        let quota = self.quota(group, "quota", "quota");
        let ensure = self.choice(group, "ensure", "ensure").map(|ensure| match ensure {
            "must-exist" => Ensure::MustExist,
            "create" => Ensure::Create,
            _ => Ensure::Ensure,
        });
        Written { kind, size, quota, ensure }
    }

    /// Reads a size, or the word for none.
    pub(super) fn quota(
        &mut self,
        group: &Group<'_>,
        name: &str,
        field: &'static str,
    ) -> Option<Quota> {
        let (scalar, _) = self.scalar(group, name, field)?;
        if scalar.text == "none" {
            return Some(Quota::None);
        }
        self.take(value::size(scalar, (1, i64::MAX.unsigned_abs()))).map(Quota::Bytes)
    }

    /// Somebody else's volume is used as it is; nothing else is said of it.
    fn external(&mut self, group: &Group<'_>, name: &VolumeName) -> Option<External> {
        let external = self.boolean(group, "external", "external");
        let named = self.scalar(group, "host-name", "host-name").map(|(scalar, _)| scalar.clone());
        let at = group.get("external").map(|item| item.at);
        if external != Some(true) {
            if let Some(scalar) = &named {
                let message = "only a volume of somebody else has a `host-name`";
                let help = "write external #true, or leave it out";
                self.error(Code::SCHEMA_CONFLICT, message, scalar.span, help);
            }
            return None;
        }
        for key in ["kind", "size", "quota", "ensure"] {
            if let (Some(item), Some(at)) = (group.get(key), at) {
                let message = format!("a volume of somebody else has no `{key}` here");
                let help = "leave it out: such a volume is used as it is";
                self.conflict(&message, (item.at, at), help);
            }
        }
        let Some(scalar) = named else {
            return Some(External { project: None, name: name.clone() });
        };
        let help = "write the name of a volume, such as \"pgdata\" or \"other/pgdata\"";
        self.take(value::checked(&scalar, Code::VALUE_NAME, External::parse, help))
    }

    /// A disk needs a size to be made; only folders have a quota.
    fn volume_rules(&mut self, group: &Group<'_>, written: Written, at: Span, name: &str) {
        let name = shown(name);
        let is_disk = written.kind == Some(VolumeKind::Disk);
        let sized = group.get("size").filter(|_| !is_disk && !group.dropped.contains(&"kind"));
        if let Some(item) = sized {
            let message = format!("volume `{name}` is a folder, and only a disk has a `size`");
            let help = "write kind \"disk\", or limit the folder with quota \"10GiB\"";
            self.error(Code::SCHEMA_CONFLICT, message, item.at, help);
        }
        if let Some(item) = group.get("quota").filter(|_| is_disk) {
            let message = format!("volume `{name}` is a disk, and only a folder has a `quota`");
            let help = "leave it out: a disk is as large as its `size`";
            self.error(Code::SCHEMA_CONFLICT, message, item.at, help);
        }
        let may_be_made = written.ensure != Some(Ensure::MustExist);
        if is_disk && may_be_made && !group.mentions("size") {
            let message = format!("disk volume `{name}` has no size");
            let help = "add size \"4GiB\", or ensure \"must-exist\" for one that is there";
            self.error(Code::SCHEMA_MISSING_KEY, message, at, help);
        }
    }

    /// What a volume was before is not in the file any more.
    fn volume_moves(&mut self, volumes: &Volumes) {
        for (name, defined) in &volumes.defined {
            let Some(old) = &defined.volume.moved_from else { continue };
            let Some(still) = volumes.defined.get(old) else { continue };
            let message = format!("`{name}` cannot be what `{old}` was: both are in the file");
            let help = format!("remove `{old}`, or leave `moved-from` out");
            self.conflict(&message, (defined.at, still.at), &help);
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
        let written = self.apart(format!("volume.{name}"), |decoder| decoder.written(inner));
        match volumes.defined.get(&name) {
            Some(defined) => {
                let agrees = volume(written) == defined.volume;
                if defined.by == By::Node || !agrees {
                    self.volume_conflict(
                        &name,
                        inline.unwrap_or(item.at),
                        (defined.at, defined.by),
                    );
                }
            }
            None => {
                self.volume_rules(inner, written, scalar.span, name.as_str());
                let defined = Defined { volume: volume(written), at: scalar.span, by: By::Mount };
                volumes.defined.insert(name.clone(), defined);
            }
        }
        Some(name)
    }

    fn volume_conflict(&mut self, name: &VolumeName, at: Span, (first, by): (Span, By)) {
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

fn volume(written: Written) -> Volume {
    let Written { kind, size, quota, ensure } = written;
    Volume { kind, size, quota, ensure: ensure.unwrap_or_default(), ..Volume::unsaid() }
}
