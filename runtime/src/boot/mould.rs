//! What a machine can be started from once more, when the one that was is gone.

use std::os::unix::net::UnixStream;

use super::BootError;
use super::built::Confined;
use super::shares::{Served, Shares};
use crate::hypervisor::{self, DriverError, Hypervisor, Machine};

/// The driver, and descriptors of everything that a machine is made of.
#[derive(Debug)]
pub(crate) struct Mould {
    driver: Box<dyn Hypervisor>,
    parts: hypervisor::Built,
    shares: Option<Shares>,
    confined: Confined,
    /// Whether a jail that lacks a layer is none.
    requires_jail: bool,
}

/// A machine that was started, without its network.
#[derive(Debug)]
pub(crate) struct Cast {
    pub(crate) machine: Machine,
    /// The server of its shared folders.
    pub(crate) shares: Option<Served>,
    /// The wire of its network device.
    pub(crate) wire: Option<UnixStream>,
    /// What the jails of both and the runtime's own confinement lack.
    pub(crate) jail_missing: Vec<String>,
}

impl Mould {
    pub(super) fn new(
        (driver, confined): (Box<dyn Hypervisor>, Confined),
        parts: hypervisor::Built,
        shares: Option<Shares>,
        requires_jail: bool,
    ) -> Self {
        Self { driver, parts, shares, confined, requires_jail }
    }

    /// Starts a machine; must be called on the main thread. `shown` is what lists of processes show of
    /// the server of its folders.
    pub(crate) fn cast(&self, shown: String) -> Result<Cast, BootError> {
        let copied =
            |source| DriverError::Prepare { what: "the machine's descriptors".into(), source };
        let parts = self.parts.try_clone().map_err(copied)?;
        let shares = self.shares.as_ref().map(Shares::try_clone).transpose().map_err(copied)?;
        let Confined { starter, missing } = &self.confined;
        let mut machine = self.driver.start(parts, starter)?;
        let blocking = |source| DriverError::Prepare { what: "the machine's links".into(), source };
        machine.links.agent.set_nonblocking(true).map_err(blocking)?;
        // Nobody listens on a stream of folders where none are shared.
        let (stream, wire) = (machine.links.files.take(), machine.links.net.take());
        let shares = match (shares, stream) {
            (Some(shares), Some(stream)) => Some(shares.serve(stream.into(), shown, starter)?),
            _ => None,
        };
        let mut jail_missing = missing.clone();
        jail_missing.extend(machine.jail_missing.drain(..).map(|line| format!("VMM: {line}")));
        if let Some(shares) = &shares {
            let of_shares = shares.jail_missing.iter();
            jail_missing.extend(of_shares.map(|line| format!("share server: {line}")));
        }
        if self.requires_jail && !jail_missing.is_empty() {
            // What was started ends here with its owner.
            return Err(BootError::Jail { missing: jail_missing });
        }
        Ok(Cast { machine, shares, wire, jail_missing })
    }
}
