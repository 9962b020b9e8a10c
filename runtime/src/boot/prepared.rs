//! The first stage: the machine is this process's, and it can be asked about.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use schema::launch::{DriverName, LaunchRecord, StartUp};
use schema::{control, peer, record};

use super::descriptors::{Given, startup, take_all};
use super::{BootError, StartPipe, Values};
use crate::folder::Folder;
use crate::sys;

/// A machine whose lease is held and whose sockets are bound.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) launch: LaunchRecord,
    pub(crate) values: Values,
    pub(crate) creator: Option<OwnedFd>,
    pub(crate) folder: Arc<Folder>,
    pub(crate) lease: OwnedFd,
    pub(crate) sockets: Sockets,
    pub(super) resources: Vec<OwnedFd>,
}

/// The machine's sockets; dropping them removes their names.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) control: UnixListener,
    pub(crate) agent: UnixListener,
    /// That of siblings, until the network takes it; absent where there is no network.
    pub(super) peer: Option<UnixListener>,
    folder: Arc<Folder>,
}

impl Prepared {
    /// Takes what this process was started with.
    ///
    /// The start-up pipe is returned in any case in which there is one, so that
    /// a failure can be told.
    pub(crate) fn open() -> (Option<StartPipe>, Result<Self, BootError>) {
        let pipe = match startup() {
            Ok(pipe) => pipe,
            Err(error) => return (None, Err(error)),
        };
        let mut pipe = StartPipe::new(pipe);
        let prepared = take_all().and_then(|given| Self::take(given, &mut pipe));
        (Some(pipe), prepared)
    }

    fn take(given: Given, pipe: &mut StartPipe) -> Result<Self, BootError> {
        let folder = Arc::new(Folder::new(given.folder));
        let lease = take_lease(&folder)?;
        pipe.say(&StartUp::Leased { pid: std::process::id() });
        start_log(&folder, &given.launch)?;
        let values = Values::read(given.values)?;
        Ok(Self {
            values,
            sockets: Sockets::bind(Arc::clone(&folder), &given.launch)?,
            creator: given.creator,
            lease,
            folder,
            resources: given.resources,
            launch: given.launch,
        })
    }
}

fn take_lease(folder: &Folder) -> Result<OwnedFd, BootError> {
    let failed = |source| BootError::Folder { what: "the lease".into(), source };
    let lease = folder.lock_file(record::LEASE).map_err(failed)?;
    flock(&lease, FlockOperation::NonBlockingLockExclusive)
        .map_err(|error| BootError::Lease(error.into()))?;
    Ok(lease)
}

fn start_log(folder: &Arc<Folder>, launch: &LaunchRecord) -> Result<(), BootError> {
    let failed = |source| BootError::Folder { what: "runtime.log".into(), source };
    let log = sys::standard_error().map_err(failed)?;
    crate::logs::start_own(Arc::clone(folder), log, &launch.logs.level).map_err(failed)
}

impl Sockets {
    fn bind(folder: Arc<Folder>, launch: &LaunchRecord) -> Result<Self, BootError> {
        let control = bind(&folder, control::SOCKET)?;
        let agent = bind(&folder, control::AGENT_SOCKET)?;
        let has_network = launch.network.link().is_some();
        let is_machine = launch.driver.name != DriverName::Process;
        let peer = (has_network && is_machine).then(|| bind(&folder, peer::SOCKET)).transpose()?;
        Ok(Self { control, agent, peer, folder })
    }
}

impl Drop for Sockets {
    fn drop(&mut self) {
        // That of control last: where it is, there may be more that a dead runtime left.
        for name in [peer::SOCKET, control::AGENT_SOCKET, control::SOCKET] {
            if let Err(error) = self.folder.remove(name) {
                tracing::warn!(%error, name, "a socket stays behind");
            }
        }
    }
}

/// Binds a socket in the folder. Its path through the descriptor fits, however long the folder's is.
fn bind(folder: &Folder, name: &str) -> Result<UnixListener, BootError> {
    let failed = |source| BootError::Folder { what: name.to_owned(), source };
    // What a dead runtime left; the lease says that nobody listens on it.
    folder.remove(name).map_err(failed)?;
    let listener = UnixListener::bind(folder.short_path(name)).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}
