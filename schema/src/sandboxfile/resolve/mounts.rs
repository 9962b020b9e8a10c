//! Mounts: one kind each, at places of their own, parents first.

use super::decode::{Decoder, Noting, bounds};
use super::disks::Writers;
use super::project::{Sandboxes, identity};
use super::volumes::Volumes;
use crate::project::{
    Access, DirMount, DiskMount, FileChange, FileMount, FsType, GuestPath, HostEnsure, HostPerms,
    Memory, Mount, MountFlag, MountOptions, MountSource, StatVirt,
};
use crate::sandboxfile::document::{Content, Group, Item, Member};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::{Scalar, Span};
use crate::sandboxfile::value;
use crate::units::Bytes;

/// A mount with where it was written.
pub(super) struct Placed {
    pub(super) mount: Mount,
    pub(super) at: Span,
}

impl Decoder<'_, '_> {
    /// Reads the mounts of every sandbox, and holds disks to one writer.
    pub(super) fn mount_all(&mut self, sandboxes: &mut Sandboxes<'_, '_>, volumes: &mut Volumes) {
        let mut writers = Writers::default();
        for (name, read) in sandboxes {
            self.begin(format!("sandbox.{name}"));
            let copies = match (read.definition.replicas, read.sandboxes.len()) {
                (Some(count), 1) => count,
                _ => 1,
            };
            let several = read.sandboxes.len() > 1;
            for (index, (group, sandbox)) in read.bodies.iter().zip(&mut read.sandboxes).enumerate()
            {
                let owner = if several { format!("{name}[{index}]") } else { name.to_string() };
                let mut mounts = self.mounts(group, sandbox.memory, volumes, read.member.at);
                for placed in &mounts {
                    self.one_writer((&owner, copies), placed, volumes, &mut writers);
                }
                self.in_place((&owner, copies), sandbox, read.member.at);
                self.clashes(&mut mounts);
                sandbox.mounts = mounts.into_iter().map(|placed| placed.mount).collect();
                self.noting(Noting::Off);
            }
            self.noting(Noting::On);
        }
    }

    fn mounts(
        &mut self,
        group: &Group<'_>,
        memory: Memory,
        volumes: &mut Volumes,
        at: Span,
    ) -> Vec<Placed> {
        let members = group.members("mount");
        if members.len() > MOUNTS_MAX {
            let message = format!("there are more than {MOUNTS_MAX} mounts");
            self.error(Code::VALUE_RANGE, message, at, "join some of them");
            return Vec::new();
        }
        let mut mounts: Vec<Placed> = Vec::with_capacity(members.len());
        for member in members {
            let mount = self.mount(member, memory, volumes);
            mounts.extend(mount.map(|mount| Placed { mount, at: member.at }));
        }
        mounts
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
        self.note_with(|| format!("mounts.{destination}"), member.at);
        if let Some(item) = group.get("options") {
            self.note_with(|| format!("mounts.{destination}.options"), item.at);
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
        let mut kinds = group.items.iter().filter(|item| item.key.name != "options");
        let Some(item) = kinds.next() else {
            if group.dropped.is_empty() {
                let message = format!("the mount at `{}` says not of what", shown(&member.name));
                let help = "add named \"VOLUME\", dir \"PATH\", file \"PATH\", disk \"PATH\" or \
                            tmpfs \"64MiB\"";
                self.error(Code::SCHEMA_MISSING_KEY, message, member.at, help);
            }
            return None;
        };
        if let Some(second) = kinds.next() {
            let names = (item.key.name, second.key.name);
            let message = format!("`{}` and `{}` are two kinds of mount", names.0, names.1);
            let help = "keep one; a second thing needs a second place";
            self.conflict(&message, (second.at, item.at), help);
            return None;
        }
        let Content::Group(inner) = &item.content else { return None };
        match item.key.name {
            "tmpfs" => self.tmpfs(item, inner, memory),
            "dir" => self.dir(inner).map(MountSource::Dir),
            "file" => self.file(inner).map(MountSource::File),
            "disk" => self.disk(inner).map(MountSource::Disk),
            _ => self.named_volume(item, inner, volumes).map(MountSource::Named),
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

    fn dir(&mut self, inner: &Group<'_>) -> Option<DirMount> {
        let path = inner.principal.as_ref().and_then(|scalar| self.host_path(scalar));
        let ensure = self.host_ensure(inner);
        let quota = self.quota(inner, "quota", "quota").and_then(|quota| match quota {
            crate::project::Quota::Bytes(bytes) => Some(bytes),
            crate::project::Quota::None => None,
        });
        let stat_virt = match self.choice(inner, "stat-virt", "dir.stat-virt") {
            Some("relaxed") => StatVirt::Relaxed,
            Some("off") => StatVirt::Off,
            _ => StatVirt::Strict,
        };
        let host_perms = match self.choice(inner, "host-perms", "dir.host-perms") {
            Some("mirror") => HostPerms::Mirror,
            _ => HostPerms::Private,
        };
        let follow_symlink = self.boolean(inner, "follow-symlink", "dir.follow-symlink");
        if let (StatVirt::Off, HostPerms::Mirror, Some(stat), Some(perms)) =
            (stat_virt, host_perms, inner.get("stat-virt"), inner.get("host-perms"))
        {
            let message = "`host-perms` \"mirror\" needs the owners that `stat-virt` \"off\" drops";
            let help = "write host-perms=\"private\", or another stat-virt";
            self.conflict(message, (perms.at, stat.at), help);
            return None;
        }
        let follow_symlink = follow_symlink.unwrap_or(false);
        Some(DirMount { path: path?, ensure, quota, stat_virt, host_perms, follow_symlink })
    }

    fn host_ensure(&mut self, inner: &Group<'_>) -> HostEnsure {
        match self.choice(inner, "ensure", "ensure") {
            Some("ensure") => HostEnsure::Ensure,
            _ => HostEnsure::MustExist,
        }
    }

    fn file(&mut self, inner: &Group<'_>) -> Option<FileMount> {
        let path = inner.principal.as_ref().and_then(|scalar| self.host_path(scalar));
        let ensure = self.host_ensure(inner);
        let on_change = match inner.get("on-change").map(|item| &item.content) {
            Some(Content::Scalar(scalar)) => {
                let rule = |text: &str| {
                    FileChange::parse(text).ok_or_else(|| format!("`{text}` is no reaction"))
                };
                let help = "write \"ignore\", \"restart\" or \"signal:HUP\"";
                self.take(value::checked(scalar, Code::VALUE_CHOICE, rule, help))?
            }
            _ => FileChange::Ignore,
        };
        Some(FileMount { path: path?, ensure, on_change })
    }

    fn disk(&mut self, inner: &Group<'_>) -> Option<DiskMount> {
        let scalar = inner.principal.as_ref()?;
        let path = self.host_path(scalar)?;
        self.is_raw(&path, scalar)?;
        let fstype = self.choice(inner, "fstype", "disk.fstype").map(|fstype| match fstype {
            "erofs" => FsType::Erofs,
            _ => FsType::Ext4,
        });
        Some(DiskMount { path, fstype })
    }

    fn options(&mut self, group: &Group<'_>) -> Option<MountOptions> {
        let mut options = MountOptions::default();
        let Some(item) = group.get("options") else { return Some(options) };
        let Content::List(items) = &item.content else { return Some(options) };
        let mut seen: Vec<&str> = Vec::new();
        for scalar in items {
            let read = value::choice(scalar, "options", &["ro", "rw", "noexec", "nosuid", "nodev"]);
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
        if source.may_be_at(path) {
            return Some(());
        }
        let message = format!("nothing can be mounted at `{path}`");
        let help = "choose a place outside /proc, /sys, /dev and /.msb; tmpfs may be at /dev/shm";
        self.error(Code::RULE_MOUNT_FORBIDDEN, message, at, help);
        None
    }

    /// Puts mounts in order, parents first, and reports two at one place, or one below a file.
    fn clashes(&mut self, mounts: &mut Vec<Placed>) {
        mounts.sort_by(|a, b| {
            let (a_path, b_path) = (&a.mount.destination, &b.mount.destination);
            a_path.components().cmp(b_path.components()).then(a.at.cmp(&b.at))
        });
        let mut kept: Vec<(GuestPath, bool, Span)> = Vec::new();
        mounts.retain(|placed| {
            let destination = &placed.mount.destination;
            let is_file = matches!(placed.mount.source, MountSource::File(_));
            if let Some((_, _, first)) = kept.last().filter(|(path, _, _)| path == destination) {
                let message = format!("two things are mounted at `{destination}`");
                let problem = Problem::error(Code::RULE_MOUNT_CLASH, message, placed.at)
                    .related(*first, "the other is here")
                    .help("give each a place of its own");
                self.problems.push(problem);
                return false;
            }
            let above = |(path, is_file, _): &&(GuestPath, bool, Span)| {
                *is_file && destination.is_within(path.as_str())
            };
            if let Some((path, _, first)) = kept.iter().find(above) {
                let message = format!("nothing can be mounted below `{path}`, which is a file");
                let problem = Problem::error(Code::RULE_MOUNT_FORBIDDEN, message, placed.at)
                    .related(*first, "the file is here")
                    .help("choose a place beside it");
                self.problems.push(problem);
                return false;
            }
            kept.push((destination.clone(), is_file, placed.at));
            true
        });
    }
}

const MOUNTS_MAX: usize = 128;
