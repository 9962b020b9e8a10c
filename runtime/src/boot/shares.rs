//! The folders a machine shares, and the process that serves them.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::retry_on_intr;
use rustix::pipe::{PipeFlags, pipe_with};
use schema::launch::{DriverName, LaunchRecord, MountSource};

use super::BootError;
use crate::hypervisor::{Child, DriverError, Plan};
use crate::share::tally::Tally;
use crate::share::{IN_JAIL, Job, ShareJob};

/// How long a share server may take to say a word.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

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
    pub(super) fn serve(self, stream: OwnedFd, whose: String) -> Result<Served, BootError> {
        let prepared =
            |source| DriverError::Prepare { what: "the job of the share server".into(), source };
        let stream_number = stream.as_raw_fd();
        let (report, says) = pipe_with(PipeFlags::CLOEXEC)
            .map_err(|errno| prepared(errno.into()))
            .map_err(BootError::Shares)?;
        let (tally, page) = Tally::make().map_err(prepared).map_err(BootError::Shares)?;
        let job = Job {
            stream: stream_number,
            tally: page.as_raw_fd(),
            report: says.as_raw_fd(),
            shares: self.served,
            reserve_bytes: self.reserve_bytes,
        };
        let memory = memfd_create("msb-shares", MemfdFlags::CLOEXEC)
            .map_err(io::Error::from)
            .and_then(|memory| {
                let mut file = File::from(memory);
                serde_json::to_writer(&file, &job)?;
                file.flush()?;
                Ok(OwnedFd::from(file))
            });
        let memory = memory.map_err(prepared).map_err(BootError::Shares)?;
        let args = vec!["share".to_owned(), memory.as_raw_fd().to_string(), whose];
        let mut keep = self.held;
        keep.extend([memory, stream, says, page]);
        let plan = Plan {
            program: "/proc/self/exe".into(),
            name: "msb-share",
            args,
            env: Vec::new(),
            stderr: None,
            keep,
            files_max: None,
        };
        let child = Child::spawn(plan).map_err(BootError::Shares)?;
        let jail_missing = hear(File::from(report)).map_err(BootError::Shares)?;
        Ok(Served { child, jail_missing, tally })
    }
}

/// Returns what the jail of a share server lacks, once the server is in it.
fn hear(mut report: File) -> Result<Vec<String>, DriverError> {
    let failed =
        |source| DriverError::Prepare { what: "the jail of the share server".into(), source };
    let mut said = Vec::new();
    loop {
        let mut ready = [PollFd::new(&report, PollFlags::IN)];
        match retry_on_intr(|| poll(&mut ready, Some(&PATIENCE))) {
            Ok(0) => return Err(DriverError::Deadline { stage: "the jail of the share server" }),
            Ok(_) => {}
            Err(errno) => return Err(failed(errno.into())),
        }
        let mut bytes = [0; 1024];
        match report.read(&mut bytes).map_err(failed)? {
            0 => break,
            count => said.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    let said = String::from_utf8_lossy(&said);
    let Some(missing) = said.strip_suffix(IN_JAIL) else {
        return Err(failed(io::Error::other("it ended first; its log has why")));
    };
    Ok(missing.lines().map(|line| format!("share server: {line}")).collect())
}
