//! The mounts of a machine, and what lies behind them on the host, opened.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};
use schema::launch::{self, DriverName, HostPerms, Role, StatVirt};
use schema::project::{Access, Mount, MountFlag, MountSource, VolumeKind};

use super::{LaunchError, Lock, Making, Opened, VolumeSource};
use crate::mounts;

/// The disks that a driver has room for, besides root and upper.
const QEMU_DISKS_MAX: usize = 3;

/// How much of a digest stands in the serial of a disk of the host.
const SERIAL_DIGITS: usize = 15;

/// The file of a machine's folder in which it is kept what a folder of the host holds.
const USAGE: &str = "usage";

/// Returns the mounts, parents first; what they show is opened into `open`.
pub(super) fn mounts(
    making: &Making<'_>,
    open: &mut Opened,
) -> Result<Vec<launch::Mount>, LaunchError> {
    let mut found = Found { making, open, disks: 0, shares: 0 };
    let mut mounts = Vec::new();
    for mount in &making.want.mounts {
        let source = found.source(mount)?;
        mounts.push(as_told(making, mount, source));
    }
    let (have, max, driver) = (found.disks, QEMU_DISKS_MAX, making.driver.name);
    if driver == DriverName::Qemu && have > max {
        return Err(LaunchError::TooManyDisks { have, max, driver: driver.as_str() });
    }
    Ok(mounts)
}

fn as_told(making: &Making<'_>, mount: &Mount, source: launch::MountSource) -> launch::Mount {
    let restricted = making.want.security == schema::project::Security::Restricted;
    launch::Mount {
        target: mount.destination.to_string(),
        source,
        read_only: mount.options.access == Access::ReadOnly,
        noexec: mount.options.has(MountFlag::NoExec),
        nosuid: restricted || mount.options.has(MountFlag::NoSuid),
        nodev: restricted || mount.options.has(MountFlag::NoDev),
    }
}

/// What was opened so far.
struct Found<'a, 'b> {
    making: &'a Making<'a>,
    open: &'b mut Opened,
    disks: usize,
    shares: usize,
}

impl Found<'_, '_> {
    fn source(&mut self, mount: &Mount) -> Result<launch::MountSource, LaunchError> {
        let read_only = mount.options.access == Access::ReadOnly;
        match &mount.source {
            MountSource::Tmpfs { size, mode } => {
                Ok(launch::MountSource::Tmpfs { size_bytes: Some(size.0), mode: *mode })
            }
            MountSource::Named(name) => {
                let volume = self.making.volumes.get(name.as_str());
                let volume = volume.ok_or_else(|| LaunchError::NoVolume(name.to_string()))?;
                self.volume(name.as_str(), volume, read_only)
            }
            MountSource::Dir(dir) => {
                let opened = self.host(mount)?;
                let real = real_path(&opened.fd);
                let quota = dir.quota.map(|most| {
                    let name = format!("{USAGE}-{}", self.shares);
                    (most.0, self.making.folder.path().join(name))
                });
                let share = launch::Share {
                    stat_virt: dir.stat_virt,
                    host_perms: dir.host_perms,
                    protected: if read_only { Vec::new() } else { self.protected(&real) },
                    ..plain(None)
                };
                self.share(share, (&dir.path, opened.fd), read_only, quota)
            }
            MountSource::File(file) => {
                let opened = self.host(mount)?;
                self.share(plain(opened.file), (&file.path, opened.fd), read_only, None)
            }
            MountSource::Disk(disk) => {
                let opened = self.host(mount)?;
                let serial = serial(mount.destination.as_str());
                if !self.is_process() {
                    self.disks += 1;
                    let lock = if read_only { Lock::Shared } else { Lock::Exclusive };
                    let names = ((Role::Disk, serial.as_str()), ("a disk", disk.path.as_path()));
                    self.open.locked(names.0, names.1, opened.fd, lock)?;
                }
                Ok(launch::MountSource::Disk { serial, fstype: disk.fstype })
            }
        }
    }

    fn volume(
        &mut self,
        name: &str,
        volume: &VolumeSource,
        read_only: bool,
    ) -> Result<launch::MountSource, LaunchError> {
        let failed =
            |source| LaunchError::Open { what: "a volume", path: volume.path.clone(), source };
        if volume.kind == VolumeKind::Dir {
            let folder = self::name(&volume.path, OFlags::DIRECTORY).map_err(failed)?;
            let quota = volume.quota.clone();
            return self.share(plain(None), (&volume.path, folder), read_only, quota);
        }
        let serial = format!("v-{}", volume.id);
        if self.is_process() {
            let folder = File::open(&volume.path).map_err(failed)?;
            self.open.given((Role::Folder, &serial), &volume.path, folder.into(), read_only);
        } else {
            self.disks += 1;
            let lock = if read_only { Lock::Shared } else { Lock::Exclusive };
            self.open.file((Role::Disk, &serial), "a volume", &volume.path, lock)?;
        }
        Ok(launch::MountSource::Named { volume: name.to_owned(), serial })
    }

    fn share(
        &mut self,
        share: launch::Share,
        (path, fd): (&Path, OwnedFd),
        read_only: bool,
        quota: Option<(u64, PathBuf)>,
    ) -> Result<launch::MountSource, LaunchError> {
        let serial = format!("s{}", self.shares);
        self.shares += 1;
        if self.is_process() {
            // The link leads to the file itself.
            let fd = if share.file.is_some() { name(path, OFlags::empty()) } else { Ok(fd) };
            let path = path.to_owned();
            let fd = fd.map_err(|source| LaunchError::Open {
                what: "a file",
                path: path.clone(),
                source,
            })?;
            self.open.given((Role::Folder, &serial), &path, fd, read_only);
            return Ok(launch::MountSource::Share(launch::Share { serial, ..share }));
        }
        self.open.given((Role::Share, &serial), path, fd, read_only);
        let quota_bytes = quota.as_ref().map(|(most, _)| *most);
        if let Some((_, figures)) = quota {
            let file =
                File::options().read(true).write(true).create(true).truncate(false).open(&figures);
            let file = file.map_err(|source| LaunchError::Open {
                what: "the figures of a folder",
                path: figures.clone(),
                source,
            })?;
            self.open.given((Role::Usage, &serial), &figures, file.into(), false);
        }
        Ok(launch::MountSource::Share(launch::Share { serial, quota_bytes, ..share }))
    }

    fn host(&self, mount: &Mount) -> Result<mounts::Opened, LaunchError> {
        let writable = mount.options.access == Access::ReadWrite;
        mounts::open(&mount.source, writable, &self.making.home)
            .map_err(|source| LaunchError::Source { target: mount.destination.to_string(), source })
    }

    fn is_process(&self) -> bool {
        self.making.driver.name == DriverName::Process
    }

    /// Returns the files below a folder that the guest may not change, relative to it.
    fn protected(&self, folder: &Path) -> Vec<String> {
        let below = self.making.protected.iter().filter_map(|path| path.strip_prefix(folder).ok());
        below.filter_map(Path::to_str).map(str::to_owned).collect()
    }
}

/// A share by the ordinary rules.
fn plain(file: Option<String>) -> launch::Share {
    launch::Share {
        serial: String::new(),
        file,
        stat_virt: StatVirt::Strict,
        host_perms: HostPerms::Private,
        quota_bytes: None,
        protected: Vec::new(),
    }
}

/// Returns the serial of a disk of the host: it is known by where it is mounted.
fn serial(target: &str) -> String {
    let digest = blake3::hash(target.as_bytes()).to_hex();
    format!("d{}", digest.get(..SERIAL_DIGITS).unwrap_or_default())
}

/// Returns a descriptor that only names what lies at a path of ours.
fn name(path: &Path, kind: OFlags) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC | kind;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

/// Returns where an open folder lies.
fn real_path(fd: &OwnedFd) -> PathBuf {
    std::fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())).unwrap_or_default()
}
