//! What a machine can be started from once more, when the one that was is gone.

use std::os::unix::net::UnixStream;

use super::BootError;
use super::shares::{Served, Shares};
use crate::hypervisor::{self, DriverError, Hypervisor, Machine};

/// The driver, and descriptors of everything that a machine is made of.
#[derive(Debug)]
pub(crate) struct Mould {
    driver: Box<dyn Hypervisor>,
    parts: hypervisor::Built,
    shares: Option<Shares>,
}

/// A machine that was started, without its network.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) machine: Machine,
    /// The server of its shared folders.
    pub(crate) shares: Option<Served>,
    /// The wire of its network device.
    pub(crate) wire: Option<UnixStream>,
}

impl Mould {
    pub(super) const fn new(
        driver: Box<dyn Hypervisor>,
        parts: hypervisor::Built,
        shares: Option<Shares>,
    ) -> Self {
        Self { driver, parts, shares }
    }

    /// Starts a machine; must be called on the main thread. `shown` is what lists of processes show of
    /// the server of its folders.
    pub(crate) fn cast(&self, shown: String) -> Result<Cast, BootError> {
        let copied =
            |source| DriverError::Prepare { what: "the machine's descriptors".into(), source };
        let parts = self.parts.try_clone().map_err(copied)?;
        let shares = self.shares.as_ref().map(Shares::try_clone).transpose().map_err(copied)?;
        let mut machine = self.driver.start(parts)?;
        let blocking = |source| DriverError::Prepare { what: "the machine's links".into(), source };
        machine.links.console.set_nonblocking(true).map_err(blocking)?;
        machine.links.agent.set_nonblocking(true).map_err(blocking)?;
        // Nobody listens on a stream of folders where none are shared.
        let (stream, wire) = (machine.links.files.take(), machine.links.net.take());
        let shares = match (shares, stream) {
            (Some(shares), Some(stream)) => Some(shares.serve(stream.into(), shown)?),
            _ => None,
        };
        Ok(Cast { machine, shares, wire })
    }
}
