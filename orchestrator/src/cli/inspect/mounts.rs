//! The mounts of a sandbox, with what is in force of them.

use schema::project::{Access, Mount, MountFlag, MountSource, Sandbox, Security, VolumeKind};
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::cli::failure::Failure;
use crate::cli::volume::Storage;
use crate::engine::{SandboxView, VolumeView};
use crate::report::human;

/// What mounts lead to besides what their definitions say: the volumes.
pub(super) struct Mounts {
    volumes: Vec<VolumeView>,
}

impl Mounts {
    /// Looks at the volumes; creates nothing.
    pub(super) fn of(call: &Call) -> Result<Self, Failure> {
        Ok(Self { volumes: Storage::of(call)?.live })
    }

    /// Returns a line for each mount, in columns.
    pub(super) fn lines(&self, view: &SandboxView, sandbox: &Sandbox) -> Vec<String> {
        let rows: Vec<[String; 3]> = sandbox
            .mounts
            .iter()
            .map(|mount| {
                let target = mount.destination.to_string();
                [target, self.source(view, mount), flags(sandbox, mount)]
            })
            .collect();
        let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let (first, second) = (width(0), width(1));
        let line = |[target, source, flags]: &[String; 3]| {
            format!("{target:<first$}  {source:<second$}  {flags}")
        };
        rows.iter().map(line).collect()
    }

    /// Returns the mounts as programs read them.
    pub(super) fn shape(&self, view: &SandboxView) -> Value {
        let sandbox = view.definition.as_deref();
        let rows = sandbox.into_iter().flat_map(|sandbox| {
            sandbox.mounts.iter().map(move |mount| self.row(view, sandbox, mount))
        });
        Value::Array(rows.collect())
    }

    fn row(&self, view: &SandboxView, sandbox: &Sandbox, mount: &Mount) -> Value {
        let volume = self.volume(view, mount).map(|volume| &volume.row);
        let is_disk = volume.is_some_and(|row| row.kind == VolumeKind::Disk);
        let source = match &mount.source {
            MountSource::Named(name) => Some(name.to_string()),
            source => source.host_path().map(|path| path.display().to_string()),
        };
        let (size, quota, fstype) = match &mount.source {
            MountSource::Tmpfs { size, .. } => (Some(size.0), None, None),
            MountSource::Dir(dir) => (None, dir.quota.map(|most| most.0), None),
            MountSource::Disk(disk) => (None, None, disk.fstype.map(|fstype| fstype.as_str())),
            MountSource::Named(_) => {
                let quota = volume.and_then(|row| row.quota_bytes);
                (volume.and_then(|row| row.size_bytes), quota, is_disk.then_some("ext4"))
            }
            MountSource::File(_) => (None, None, None),
        };
        json!({
            "target": mount.destination.as_str(),
            "kind": mount.source.kind(),
            "source": source,
            "mode": if mount.options.access == Access::ReadOnly { "ro" } else { "rw" },
            "noexec": is_in_force(sandbox, mount, MountFlag::NoExec),
            "nosuid": is_in_force(sandbox, mount, MountFlag::NoSuid),
            "nodev": is_in_force(sandbox, mount, MountFlag::NoDev),
            "volume_kind": volume.map(|row| row.kind.as_str()),
            "size_bytes": size,
            "quota_bytes": quota,
            "fstype": fstype,
        })
    }

    fn source(&self, view: &SandboxView, mount: &Mount) -> String {
        match &mount.source {
            MountSource::Named(name) => {
                let row = self.volume(view, mount).map(|volume| &volume.row);
                let limit = |row: &crate::store::inventory::VolumeRow| {
                    row.size_bytes
                        .or(row.quota_bytes)
                        .map(|bytes| format!(" {}", human::size(bytes)))
                };
                let told = row.map(|row| {
                    format!(" ({}{})", row.kind.as_str(), limit(row).unwrap_or_default())
                });
                format!("volume:{}/{name}{}", view.project, told.unwrap_or_default())
            }
            MountSource::Tmpfs { size, .. } => format!("tmpfs {}", human::size(size.0)),
            MountSource::Disk(disk) => {
                let fstype = disk.fstype.map(|fstype| format!(" ({})", fstype.as_str()));
                format!("disk:{}{}", disk.path.display(), fstype.unwrap_or_default())
            }
            MountSource::Dir(_) | MountSource::File(_) => {
                let path = mount.source.host_path().map(|path| path.display().to_string());
                format!("{}:{}", mount.source.kind(), path.unwrap_or_default())
            }
        }
    }

    /// Returns the volume that a mount means: the project's, else nobody's.
    fn volume(&self, view: &SandboxView, mount: &Mount) -> Option<&VolumeView> {
        let name = mount.source.volume()?;
        let named = || self.volumes.iter().filter(|volume| volume.row.name == *name);
        let own = named().find(|volume| volume.owner.as_ref() == Some(&view.project));
        own.or_else(|| named().find(|volume| volume.owner.is_none()))
    }
}

/// Tells whether something is forbidden below a mount: by itself, or by the sandbox's profile.
fn is_in_force(sandbox: &Sandbox, mount: &Mount, flag: MountFlag) -> bool {
    let is_forced = match flag {
        MountFlag::NoSuid | MountFlag::NoDev => sandbox.security == Security::Restricted,
        MountFlag::NoExec => false,
    };
    is_forced || mount.options.has(flag)
}

fn flags(sandbox: &Sandbox, mount: &Mount) -> String {
    let access = if mount.options.access == Access::ReadOnly { "ro" } else { "rw" };
    let flags = [MountFlag::NoExec, MountFlag::NoSuid, MountFlag::NoDev];
    let in_force = flags.into_iter().filter(|flag| is_in_force(sandbox, mount, *flag));
    in_force.fold(access.to_owned(), |text, flag| format!("{text},{}", flag.as_str()))
}
