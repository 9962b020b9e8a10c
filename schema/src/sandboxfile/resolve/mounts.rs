//! Mounts: one kind each, at places of their own, parents first.

use std::collections::BTreeMap;

use super::decode::{Decoder, bounds};
use super::project::{Sandboxes, identity};
use super::volumes::Volumes;
use crate::name::VolumeName;
use crate::project::{
    Access, GuestPath, Memory, Mount, MountFlag, MountOptions, MountSource, VolumeKind,
};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;
use crate::units::Bytes;

/// A mount with where it was written.
struct Placed {
    mount: Mount,
    at: Span,
}

/// Who writes to a disk.
type Writers = BTreeMap<VolumeName, (String, Span)>;

impl Decoder<'_, '_> {
    /// Reads the mounts of every sandbox, and holds disks to one writer.
    pub(super) fn mount_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>, volumes: &mut Volumes) {
        let mut writers = Writers::new();
        for (name, read) in sandboxes {
            self.address = format!("sandbox.{name}");
            let members = read.group.members("mount");
            if members.len() > MOUNTS_MAX {
                let message = format!("there are more than {MOUNTS_MAX} mounts");
                self.error(Code::VALUE_RANGE, message, read.member.at, "join some of them");
                continue;
            }
            let mut mounts: Vec<Placed> = Vec::with_capacity(members.len());
            for member in members {
                let mount = self.mount(member, read.sandbox.memory, volumes);
                let Some(mount) = mount else { continue };
                let placed = Placed { mount, at: member.at };
                self.one_writer(name.as_str(), &placed, volumes, &mut writers);
                mounts.push(placed);
            }
            self.clashes(&mut mounts);
            read.sandbox.mounts = mounts.into_iter().map(|placed| placed.mount).collect();
        }
    }

    fn mount(
        &mut self,
        member: &Member<'_>,
        memory: Memory,
        volumes: &mut Volumes,
    ) -> Option<Mount> {
        let group = member.group()?;
        let scalar = identity(member);
        let help = "write a path of the guest from its root, such as \"/data\"";
        let read = value::checked(&scalar, Code::VALUE_PATH, GuestPath::parse, help);
        let destination = self.take(read);
        let options = self.options(group);
        let source = self.source(group, member, memory, volumes)?;
        let destination = destination?;
        self.note(&format!("mounts.{destination}"), member.at);
        if let Some(item) = group.get("options") {
            self.note(&format!("mounts.{destination}.options"), item.at);
        }
        self.forbidden(&destination, &source, member.at)?;
        Some(Mount { destination, source, options: options? })
    }

    fn source(
        &mut self,
        group: &Group<'_>,
        member: &Member<'_>,
        memory: Memory,
        volumes: &mut Volumes,
    ) -> Option<MountSource> {
        let kinds: Vec<&Item<'_>> =
            group.items.iter().filter(|item| item.key.name != "options").collect();
        match kinds.as_slice() {
            [] if group.dropped.is_empty() => {
                let message = format!("the mount at `{}` says not of what", shown(&member.name));
                let help = "add named \"VOLUME\", or tmpfs \"64MiB\"";
                self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
                None
            }
            [] => None,
            [item] => {
                let Content::Group(inner) = &item.content else { return None };
                if item.key.name == "tmpfs" {
                    return self.tmpfs(item, inner, memory);
                }
                self.named_volume(item, inner, volumes).map(MountSource::Named)
            }
            [first, second, ..] => {
                let names = (first.key.name, second.key.name);
                let message = format!("`{}` and `{}` are two kinds of mount", names.0, names.1);
                let problem = Problem::error(Code::SCHEMA_CONFLICT, message, second.at)
                    .related(first.at, "the other is here")
                    .help("keep one; a second thing needs a second place");
                self.problems.push(problem);
                None
            }
        }
    }

    fn tmpfs(&mut self, item: &Item<'_>, inner: &Group<'_>, memory: Memory) -> Option<MountSource> {
        let size = match Self::principal(item, inner) {
            None => Bytes(memory.size.0 / 2),
            Some((scalar, ty)) => {
                let (least, _) = bounds(ty);
                let read = value::size(scalar, (least, u64::MAX));
                let size = self.take(read)?;
                if size > memory.max {
                    let message = format!("{size} is more than the {} of memory", memory.max);
                    let help = "write less, or give the sandbox more memory";
                    self.error(Code::VALUE_RANGE, message, scalar.span, help);
                    return None;
                }
                size
            }
        };
        let mode = match inner.get("mode").map(|item| &item.content) {
            Some(Content::Scalar(scalar)) => self.mode(scalar)?,
            _ => 0o1777,
        };
        Some(MountSource::Tmpfs { size, mode })
    }

    fn mode(&mut self, scalar: &Scalar<'_>) -> Option<u32> {
        let rule = |text: &str| {
            let octal =
                (1..=5).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'0'..=b'7'));
            let mode = octal.then(|| u32::from_str_radix(text, 8).ok()).flatten();
            mode.filter(|mode| *mode <= 0o7777)
                .ok_or_else(|| format!("`{text}` is not a set of permission bits"))
        };
        let help = "write them in octal, such as \"1777\"";
        self.take(value::checked(scalar, Code::VALUE_TYPE, rule, help))
    }

    fn options(&mut self, group: &Group<'_>) -> Option<MountOptions> {
        let mut options = MountOptions::default();
        let Some(item) = group.get("options") else { return Some(options) };
        let Content::List(items) = &item.content else { return Some(options) };
        let mut seen: Vec<&str> = Vec::new();
        for scalar in items {
            let read = value::choice(scalar, &["ro", "rw", "noexec", "nosuid", "nodev"]);
            let word = self.take(read)?;
            if seen.contains(&word) {
                let message = format!("`{word}` is written twice");
                self.error(Code::SCHEMA_DUPLICATE_KEY, message, scalar.span, "write it once");
                return None;
            }
            seen.push(word);
            match word {
                "ro" => options.access = Access::ReadOnly,
                "noexec" => _ = options.flags.insert(MountFlag::NoExec),
                "nosuid" => _ = options.flags.insert(MountFlag::NoSuid),
                "nodev" => _ = options.flags.insert(MountFlag::NoDev),
                _ => {}
            }
        }
        if seen.contains(&"ro") && seen.contains(&"rw") {
            let message = "`ro` and `rw` exclude each other";
            self.error(Code::SCHEMA_CONFLICT, message, item.at, "keep one of the two");
            return None;
        }
        Some(options)
    }

    /// Refuses places that belong to the guest's own file systems.
    fn forbidden(&mut self, path: &GuestPath, source: &MountSource, at: Span) -> Option<()> {
        let tmpfs = matches!(source, MountSource::Tmpfs { .. });
        if tmpfs && path.as_str() == "/dev/shm" {
            return Some(());
        }
        let taken = FORBIDDEN.iter().find(|taken| path.is_within(taken));
        if path.as_str() != "/" && taken.is_none() {
            return Some(());
        }
        let message = format!("nothing can be mounted at `{path}`");
        let help = "choose a place outside /proc, /sys, /dev and /.msb; tmpfs may be at /dev/shm";
        self.error(Code::RULE_MOUNT_FORBIDDEN, message, at, help);
        None
    }

    /// Puts mounts in order, parents first, and reports two at one place.
    fn clashes(&mut self, mounts: &mut Vec<Placed>) {
        mounts.sort_by(|a, b| {
            let key = |placed: &Placed| -> Vec<String> {
                placed.mount.destination.components().map(str::to_owned).collect()
            };
            key(a).cmp(&key(b)).then(a.at.cmp(&b.at))
        });
        let mut kept: Option<(GuestPath, Span)> = None;
        mounts.retain(|placed| {
            let destination = &placed.mount.destination;
            if let Some((path, first)) = &kept
                && path == destination
            {
                let message = format!("two things are mounted at `{destination}`");
                let problem = Problem::error(Code::RULE_MOUNT_CLASH, message, placed.at)
                    .related(*first, "the other is here")
                    .help("give each a place of its own");
                self.problems.push(problem);
                return false;
            }
            kept = Some((destination.clone(), placed.at));
            true
        });
    }

    fn one_writer(
        &mut self,
        sandbox: &str,
        Placed { mount, at }: &Placed,
        volumes: &Volumes,
        writers: &mut Writers,
    ) {
        let MountSource::Named(volume) = &mount.source else { return };
        let disk = volumes.get(volume).is_some_and(|v| v.kind == Some(VolumeKind::Disk));
        if !disk || mount.options.access == Access::ReadOnly {
            return;
        }
        if let Some((other, first)) = writers.get(volume) {
            let message = format!("disk `{volume}` is written by `{other}` and `{sandbox}`");
            let problem = Problem::error(Code::RULE_DISK_SHARED, message, *at)
                .related(*first, format!("`{other}` mounts it here"))
                .help("a disk has one writer; give each its own, or mount one with options \"ro\"");
            self.problems.push(problem);
            return;
        }
        writers.insert(volume.clone(), (sandbox.to_owned(), *at));
    }
}

const MOUNTS_MAX: usize = 128;
const FORBIDDEN: &[&str] = &["/proc", "/sys", "/dev", "/.msb"];
