//! The folders a machine shares, and the process that serves them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use schema::launch::{DriverName, LaunchRecord, MountSource};

use super::BootError;
use crate::hypervisor::{Child, DriverError};
use crate::share::tally::Tally;
use crate::share::{Job, ShareJob};
use crate::starter::{Jailed, Starter};

/// What is served, before there is a guest to serve.
#[derive(Debug)]
pub(super) struct Shares {
    served: Vec<ShareJob>,
    held: Vec<OwnedFd>,
    reserve_bytes: u64,
}

/// A share server that is in its jail.
#[derive(Debug)]
pub(crate) struct Served {
    /// The process.
    pub(crate) child: Child,
    /// What its jail lacks.
    pub(crate) jail_missing: Vec<String>,
    /// What was read and written through it.
    pub(crate) tally: Tally,
}

/// Returns what a machine shares, in the order of its mounts; `None` where it shares nothing.
pub(super) fn shares(
    launch: &LaunchRecord,
    (mut folders, mut usages): (BTreeMap<String, OwnedFd>, BTreeMap<String, OwnedFd>),
) -> Result<Option<Shares>, BootError> {
    // Without a machine they are links in the scratch folder.
    if launch.driver.name == DriverName::Process {
        return Ok(None);
    }
    let (mut served, mut held) = (Vec::new(), Vec::new());
    for mount in &launch.mounts {
        let MountSource::Share(share) = &mount.source else { continue };
        let mut take = |what: &str, from: &mut BTreeMap<String, OwnedFd>| {
            let fd = from.remove(&share.serial).ok_or_else(|| BootError::Launch {
                why: format!("{what} of {} is missing", mount.target),
            })?;
            let number = fd.as_raw_fd();
            held.push(fd);
            Ok::<RawFd, BootError>(number)
        };
        let folder = take("the folder", &mut folders)?;
        let quota = match share.quota_bytes {
            None => None,
            Some(bytes) => Some((bytes, take("the figures", &mut usages)?)),
        };
        served.push(ShareJob {
            folder,
            file: share.file.clone(),
            read_only: mount.read_only,
            stat_virt: share.stat_virt,
            host_perms: share.host_perms,
            quota,
            protected: share.protected.clone(),
        });
    }
    let reserve_bytes = launch.reserve_bytes;
    Ok((!served.is_empty()).then_some(Shares { served, held, reserve_bytes }))
}

impl Shares {
    /// Returns the same once more, with descriptors of its own.
    pub(super) fn try_clone(&self) -> io::Result<Self> {
        let (mut numbers, mut held) = (BTreeMap::new(), Vec::new());
        for fd in &self.held {
            let copy = fd.try_clone()?;
            numbers.insert(fd.as_raw_fd(), copy.as_raw_fd());
            held.push(copy);
        }
        let copy = |fd: RawFd| {
            let lost = || io::Error::other(format!("descriptor {fd} is not held"));
            numbers.get(&fd).copied().ok_or_else(lost)
        };
        let served = self.served.iter().map(|job| {
            let quota = job.quota.map(|(bytes, fd)| Ok::<_, io::Error>((bytes, copy(fd)?)));
            let quota = quota.transpose()?;
            Ok(ShareJob { folder: copy(job.folder)?, quota, ..job.clone() })
        });
        let served = served.collect::<io::Result<_>>()?;
        Ok(Self { served, held, reserve_bytes: self.reserve_bytes })
    }

    /// Starts the process that serves them over `stream`, and waits until it is in its jail; must
    /// run on the main thread. `whose` is what lists of processes show of it.
    pub(super) fn serve(
        self,
        stream: OwnedFd,
        whose: String,
        starter: &Starter,
    ) -> Result<Served, BootError> {
        let prepared =
            |source| DriverError::Prepare { what: "the job of the share server".into(), source };
        let stream_number = stream.as_raw_fd();
        let (tally, page) = Tally::make().map_err(prepared).map_err(BootError::Shares)?;
        let (tally_number, served, reserve_bytes) =
            (page.as_raw_fd(), self.served, self.reserve_bytes);
        let job = |report: RawFd| Job {
            stream: stream_number,
            tally: tally_number,
            report,
            shares: served,
            reserve_bytes,
        };
        let mut keep = self.held;
        keep.extend([stream, page]);
        let jailed =
            Jailed { name: "msb-share", job: "share", shown: Some(whose), keep, bounds: None };
        let (child, jail_missing) = starter.jail(jailed, job).map_err(BootError::Shares)?;
        Ok(Served { child, jail_missing, tally })
    }
}
