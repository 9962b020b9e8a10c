//! Step `ports`: the console ports that lead to the host.

use std::fs::{self, File, Permissions};
use std::io::Write as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use schema::wire::PREAMBLE;

use super::{Attempt as _, StepError};
use crate::sys;

/// The name the runtime gives the agent's port.
const AGENT_PORT: &str = "msb.agent";

/// The name of the port that leads to who serves shared folders.
const FILES_PORT: &str = "msb.files";

/// Where the kernel lists ports, each with a file `name`.
const PORTS: &str = "/sys/class/virtio-ports";

/// How long the kernel may take to find the port.
const WAIT_MS: u64 = 2000;

/// Opens the agent's port, once for the whole life of the guest, and speaks first.
pub(super) fn open() -> Result<OwnedFd, StepError> {
    let node = wait_for_port(AGENT_PORT)?;
    fs::set_permissions(&node, Permissions::from_mode(0o600))
        .attempt(|| format!("closing {} to others", node.display()))?;
    let mut port = File::options()
        .read(true)
        .write(true)
        .open(&node)
        .attempt(|| format!("opening {}", node.display()))?;
    // This write waits until the host's side is there; all later ones do not.
    port.write_all(&PREAMBLE).attempt(|| format!("speaking first on {}", node.display()))?;
    let port = OwnedFd::from(port);
    sys::io::set_nonblocking(&port).attempt(|| format!("setting up {}", node.display()))?;
    Ok(port)
}

/// Opens the port of shared folders, whose reads and writes wait.
pub(super) fn open_files() -> Result<OwnedFd, StepError> {
    let node = wait_for_port(FILES_PORT)?;
    fs::set_permissions(&node, Permissions::from_mode(0o600))
        .attempt(|| format!("closing {} to others", node.display()))?;
    let port = File::options().read(true).write(true).open(&node);
    Ok(port.attempt(|| format!("opening {}", node.display()))?.into())
}

fn wait_for_port(wanted: &str) -> Result<PathBuf, StepError> {
    let until = sys::clock::monotonic_ms() + WAIT_MS;
    loop {
        if let Some(node) = find_port(wanted) {
            return Ok(node);
        }
        if sys::clock::monotonic_ms() >= until {
            return Err(StepError::Record(format!("no console port is named `{wanted}`")));
        }
        sys::poll::pause(1);
    }
}

fn find_port(wanted: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(PORTS).ok()?.flatten();
    let mut named = entries.filter(|entry| {
        fs::read_to_string(entry.path().join("name")).is_ok_and(|name| name.trim_end() == wanted)
    });
    let node = Path::new("/dev").join(named.next()?.file_name());
    node.exists().then_some(node)
}
