//! A share server without a machine: it starts, is told that the guest is gone, and ends.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use runtime::jail::Namespaces;
use runtime::share::{Job, ShareJob};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_setfd};
use schema::launch::{HostPerms, StatVirt};

use crate::programs;

/// As long as the page in which it notes what was read and written.
const TALLY_BYTES: u64 = 32;

/// Starts one on `folder`, or on a file in it; `command` runs what is added to it. Returns what it said
/// of its jail, and how it ended.
///
/// # Errors
/// `command` is not there, or the host has no descriptors left.
pub fn start_and_end(
    mut command: Command,
    folder: &Path,
    (file, quota_bytes): (Option<&str>, Option<u64>),
) -> io::Result<(String, Output)> {
    let (stream, guest) = UnixStream::pair()?;
    let (reports, report) = io::pipe()?;
    let folder = File::open(folder)?;
    let figures = memfd_create("figures", MemfdFlags::empty())?;
    let tally = memfd_create("tally", MemfdFlags::empty())?;
    rustix::fs::ftruncate(&tally, TALLY_BYTES)?;
    let job = Job {
        stream: stream.as_raw_fd(),
        report: report.as_raw_fd(),
        tally: tally.as_raw_fd(),
        shares: vec![ShareJob {
            folder: folder.as_raw_fd(),
            file: file.map(str::to_owned),
            read_only: false,
            stat_virt: StatVirt::Strict,
            host_perms: HostPerms::Private,
            quota: quota_bytes.map(|bytes| (bytes, figures.as_raw_fd())),
            protected: Vec::new(),
        }],
        reserve_bytes: 0,
    };
    let told = memfd_create("job", MemfdFlags::empty())?;
    serde_json::to_writer(File::from(told.try_clone()?), &job)?;
    let handed = [OwnedFd::from(stream), report.into(), folder.into()];
    for fd in &handed {
        fcntl_setfd(fd, FdFlags::empty())?;
    }
    command.arg(programs::folder().join("msb-runtime"));
    command.args(["share", &told.as_raw_fd().to_string(), "a test", Namespaces::ITSELF]);
    let started = command.stderr(Stdio::piped()).spawn()?;
    drop((handed, guest));
    let said = io::read_to_string(reports)?;
    Ok((said, started.wait_with_output()?))
}
