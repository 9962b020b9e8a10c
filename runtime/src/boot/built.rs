//! The second stage: the driver agrees, and every descriptor has its place.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use schema::launch::{DriverName, LaunchRecord, Role, SERIAL_UPPER};

use super::network::{Network, network};
use super::places::places;
use super::shares::{Shares, shares};
use super::{BootError, Prepared};
use crate::hypervisor::{self, DiskFd, Hypervisor, Scratch};
use crate::jail;
use crate::starter::Starter;

/// A machine that can be started.
#[derive(Debug)]
pub(crate) struct Built {
    pub(super) prepared: Prepared,
    pub(super) driver: Box<dyn Hypervisor>,
    pub(super) parts: hypervisor::Built,
    pub(super) shares: Option<Shares>,
    pub(super) network: Option<Network>,
    pub(super) upper: Option<OwnedFd>,
    pub(super) confined: Confined,
}

/// What makes the processes of a machine, now that this one makes none any more.
#[derive(Debug)]
pub(crate) struct Confined {
    pub(super) starter: Starter,
    /// What the host refused of this process's own confinement.
    pub(super) missing: Vec<String>,
}

impl Prepared {
    /// Gives up what this process needs no longer; must be called on the main thread, inside the asynchronous
    /// runtime, while there is no other thread.
    pub(crate) fn confine(&self) -> Result<Confined, BootError> {
        if self.launch.driver.name == DriverName::Process {
            // An agent without a machine is a process like any other, and this one makes it.
            return Ok(Confined { starter: Starter::nobody(), missing: Vec::new() });
        }
        let starter = Starter::begin()?;
        let missing = jail::stay_at_work(self.folder.fd()).into_iter();
        let missing = missing.map(|missing| format!("runtime: {missing}")).collect();
        Ok(Confined { starter, missing })
    }

    /// Asks the driver, and puts the descriptors in guest order; must be called on the main thread.
    pub(crate) fn build(mut self, confined: Confined) -> Result<Built, BootError> {
        let driver = hypervisor::open(&self.launch.driver)?;
        let (parts, shares) = self.parts()?;
        let upper = upper(&parts)?;
        driver.check(&parts.shape, parts.disks.len())?;
        let network = if self.launch.driver.name == DriverName::Process {
            None
        } else {
            network(&self.launch, &self.folder, &mut self.sockets)?
        };
        Ok(Built { prepared: self, driver, parts, shares, network, upper, confined })
    }

    fn parts(&mut self) -> Result<(hypervisor::Built, Option<Shares>), BootError> {
        let mut sorted = Sorted::default();
        let descriptors = std::mem::take(&mut self.resources);
        for (resource, fd) in self.launch.resources.iter().zip(descriptors) {
            let (serial, read_only) = (resource.serial.clone(), resource.read_only);
            match resource.role {
                Role::Kernel => sorted.kernel = Some(fd),
                Role::Initramfs => sorted.initramfs = Some(fd),
                Role::Agent => sorted.agent = Some(fd),
                Role::Root => sorted.disks[0].push(DiskFd { fd, serial, read_only }),
                Role::Upper => sorted.disks[1].push(DiskFd { fd, serial, read_only }),
                Role::Disk => sorted.disks[2].push(DiskFd { fd, serial, read_only }),
                Role::Folder => drop(sorted.folders.insert(serial, fd)),
                Role::Share => drop(sorted.shares.insert(serial, fd)),
                Role::Usage => drop(sorted.usages.insert(serial, fd)),
            }
        }
        let lease = self.lease.try_clone();
        let failed = |source| BootError::Folder { what: "a copy of the lease".into(), source };
        let lease = lease.map_err(failed)?;
        let found = (std::mem::take(&mut sorted.shares), std::mem::take(&mut sorted.usages));
        let shares = shares(&self.launch, found)?;
        Ok((sorted.finish(self, lease)?, shares))
    }
}

/// Returns the private disk once more, to see what it takes.
fn upper(parts: &hypervisor::Built) -> Result<Option<OwnedFd>, BootError> {
    let upper = parts.disks.iter().find(|disk| disk.serial == SERIAL_UPPER);
    let failed = |source| BootError::Folder { what: "the private disk".into(), source };
    upper.map(|disk| disk.fd.try_clone().map_err(failed)).transpose()
}

/// Descriptors by what they are.
#[derive(Debug, Default)]
struct Sorted {
    kernel: Option<OwnedFd>,
    initramfs: Option<OwnedFd>,
    agent: Option<OwnedFd>,
    /// Root, upper, the others.
    disks: [Vec<DiskFd>; 3],
    folders: BTreeMap<String, OwnedFd>,
    shares: BTreeMap<String, OwnedFd>,
    usages: BTreeMap<String, OwnedFd>,
}

impl Sorted {
    fn finish(self, prepared: &Prepared, lease: OwnedFd) -> Result<hypervisor::Built, BootError> {
        let launch = &prepared.launch;
        self.check(launch)?;
        let scratch = if launch.driver.name == DriverName::Process {
            let failed = |source| BootError::Folder { what: "the scratch root".into(), source };
            let folder = prepared.folder.fd().try_clone_to_owned().map_err(failed)?;
            let places = places(&launch.mounts, self.folders)?;
            Some(Scratch { folder, agent: self.agent, places })
        } else {
            None
        };
        Ok(hypervisor::Built {
            name: launch.machine.id.clone(),
            shape: launch.shape,
            kernel: self.kernel,
            initramfs: self.initramfs,
            disks: self.disks.into_iter().flatten().collect(),
            network: launch.network.link().map(|link| link.mac),
            boot_debug: launch.logs.boot_debug,
            lease,
            scratch,
        })
    }

    /// Refuses a record that lacks what its driver needs.
    fn check(&self, launch: &LaunchRecord) -> Result<(), BootError> {
        let is_machine = launch.driver.name != DriverName::Process;
        let missing = [
            (is_machine && self.kernel.is_none(), "a kernel"),
            (is_machine && self.initramfs.is_none(), "an initramfs"),
            (is_machine && self.disks[0].len() != 1, "exactly one root image"),
            (self.disks[1].len() > 1, "at most one private disk"),
        ];
        match missing.into_iter().find(|(is_missing, _)| *is_missing) {
            Some((_, what)) => Err(BootError::Launch { why: format!("it must hold {what}") }),
            None => Ok(()),
        }
    }
}
