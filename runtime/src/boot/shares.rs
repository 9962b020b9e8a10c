//! The folders a machine shares, and the process that serves them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use rustix::fs::{MemfdFlags, memfd_create};
use schema::launch::{DriverName, LaunchRecord, MountSource};

use super::BootError;
use crate::hypervisor::{Child, DriverError, Plan};
use crate::share::{Job, ShareJob};

/// What is served, before there is a guest to serve.
#[derive(Debug)]
pub(super) struct Shares {
    served: Vec<ShareJob>,
    held: Vec<OwnedFd>,
    reserve_bytes: u64,
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
    /// Starts the process that serves them over `stream`; must run on the main thread.
    pub(super) fn serve(self, stream: OwnedFd) -> Result<Child, BootError> {
        let prepared =
            |source| DriverError::Prepare { what: "the job of the share server".into(), source };
        let stream_number = stream.as_raw_fd();
        let job =
            Job { stream: stream_number, shares: self.served, reserve_bytes: self.reserve_bytes };
        let memory = memfd_create("msb-shares", MemfdFlags::CLOEXEC)
            .map_err(std::io::Error::from)
            .and_then(|memory| {
                let mut file = File::from(memory);
                serde_json::to_writer(&file, &job)?;
                file.flush()?;
                Ok(OwnedFd::from(file))
            });
        let memory = memory.map_err(prepared).map_err(BootError::Shares)?;
        let args = vec!["share".to_owned(), memory.as_raw_fd().to_string()];
        let mut keep = self.held;
        keep.extend([memory, stream]);
        let plan = Plan {
            program: "/proc/self/exe".into(),
            name: "msb-share",
            args,
            env: Vec::new(),
            stderr: None,
            keep,
            files_max: None,
        };
        Child::spawn(plan).map_err(BootError::Shares)
    }
}
