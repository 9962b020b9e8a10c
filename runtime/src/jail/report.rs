//! What a process says of its jail, and how it is heard: a line for each layer that is missing, and a last one.

use std::fs::File;
use std::io::{self, Read as _, Write as _};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, retry_on_intr};

use super::Missing;

/// What a process says last.
pub const IN_JAIL: &str = "in jail\n";

/// How long a process may take to go to its jail.
const PATIENCE: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// Says what the jail lacks, and that this process is in it; heard once nobody can say more.
///
/// # Errors
/// Nobody hears it.
pub(crate) fn tell(report: &mut File, missing: &[Missing]) -> io::Result<()> {
    let mut lines: String = missing.iter().map(|one| format!("{one}\n")).collect();
    lines.push_str(IN_JAIL);
    report.write_all(lines.as_bytes())
}

/// Returns what the jail of a process lacks, once it is in it.
///
/// # Errors
/// It ended first, or does not say anything in time.
pub(crate) fn hear(mut report: File) -> io::Result<Vec<String>> {
    let mut said = Vec::new();
    loop {
        let mut ready = [PollFd::new(&report, PollFlags::IN)];
        if retry_on_intr(|| poll(&mut ready, Some(&PATIENCE)))? == 0 {
            return Err(Errno::TIMEDOUT.into());
        }
        let mut bytes = [0; 1024];
        match report.read(&mut bytes)? {
            0 => break,
            count => said.extend_from_slice(bytes.get(..count).unwrap_or_default()),
        }
    }
    let said = String::from_utf8_lossy(&said);
    let Some(missing) = said.strip_suffix(IN_JAIL) else {
        return Err(io::Error::other("it ended first; its log has why"));
    };
    Ok(missing.lines().map(str::to_owned).collect())
}
