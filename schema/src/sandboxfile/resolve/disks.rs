//! Disks have one writer: among the instances of a project, and within one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::decode::Decoder;
use super::mounts::Placed;
use super::volumes::Volumes;
use crate::name::VolumeName;
use crate::project::{Access, HostRoot, MountSource, Root, Sandbox, VolumeKind, Write};
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::tree::Span;

/// Who writes to each disk, and where that is said.
#[derive(Default)]
pub(super) struct Writers(BTreeMap<Disk, (String, Span)>);

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Disk {
    Volume(VolumeName),
    Host(PathBuf),
}

/// A definition, and how many instances share one body of it.
type Owner<'o> = (&'o str, u32);

impl Decoder<'_, '_> {
    /// Refuses a second writer of a disk.
    pub(super) fn one_writer(
        &mut self,
        owner: Owner<'_>,
        Placed { mount, at }: &Placed,
        volumes: &Volumes,
        writers: &mut Writers,
    ) {
        if mount.options.access == Access::ReadOnly {
            return;
        }
        let disk = match &mount.source {
            MountSource::Named(name) => {
                let volume = volumes.get(name);
                if volume.is_none_or(|volume| volume.kind != Some(VolumeKind::Disk)) {
                    return;
                }
                (Disk::Volume(name.clone()), format!("disk `{name}`"))
            }
            MountSource::Disk(disk) => {
                let told = shown(&disk.path.to_string_lossy());
                (Disk::Host(disk.path.clone()), format!("disk `{told}`"))
            }
            MountSource::Dir(_) | MountSource::File(_) | MountSource::Tmpfs { .. } => return,
        };
        self.writes(owner, disk, *at, writers);
    }

    fn writes(
        &mut self,
        (owner, copies): Owner<'_>,
        (disk, told): (Disk, String),
        at: Span,
        writers: &mut Writers,
    ) {
        let help = "a disk has one writer; give each its own, or mount one with options \"ro\"";
        if copies > 1 {
            let message = format!("{told} is written by {copies} instances of `{owner}`");
            let each = "write named \"data-${replica.index}\", or mount it with options \"ro\"";
            self.error(Code::RULE_DISK_SHARED, message, at, each);
            return;
        }
        let Some((other, first)) = writers.0.get(&disk) else {
            writers.0.insert(disk, (owner.to_owned(), at));
            return;
        };
        let message = if other == owner {
            format!("{told} is mounted twice by `{owner}`")
        } else {
            format!("{told} is written by `{other}` and `{owner}`")
        };
        let problem = Problem::error(Code::RULE_DISK_SHARED, message, at)
            .related(*first, format!("`{other}` mounts it here"))
            .help(help);
        self.problems.push(problem);
    }

    /// A root that is written in place belongs to one instance.
    pub(super) fn in_place(&mut self, (owner, copies): Owner<'_>, sandbox: &Sandbox, at: Span) {
        let (Root::Disk(HostRoot { write, .. }) | Root::Dir(HostRoot { write, .. })) =
            &sandbox.root
        else {
            return;
        };
        if *write == Write::InPlace && copies > 1 {
            let message =
                format!("the root of `{owner}` is written in place by {copies} instances");
            let help = "write write=\"private\", or have one instance";
            self.error(Code::RULE_DISK_SHARED, message, at, help);
        }
    }
}
