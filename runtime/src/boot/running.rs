//! The last stage: the VMM runs.

use std::os::fd::OwnedFd;

use super::shares::Served;
use super::{BootError, Built, Prepared};
use crate::hypervisor::{DriverError, Machine};
use crate::net::Net;

/// A machine that was started; dropping it kills the VMM.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) prepared: Prepared,
    pub(crate) machine: Machine,
    /// The server of its shared folders.
    pub(crate) shares: Option<Served>,
    /// Its network; absent where it has none.
    pub(crate) net: Option<Net>,
    /// Its private writable disk, to see what it takes.
    pub(crate) upper: Option<OwnedFd>,
}

impl Built {
    /// Starts the machine; what was prepared comes back when it does not start.
    pub(crate) fn run(self) -> Result<Running, Box<(Prepared, BootError)>> {
        let Self { prepared, driver, parts, shares, network, upper } = self;
        let started = driver.start(parts).and_then(|machine| {
            let blocking =
                |source| DriverError::Prepare { what: "the machine's links".into(), source };
            machine.links.console.set_nonblocking(true).map_err(blocking)?;
            machine.links.agent.set_nonblocking(true).map_err(blocking)?;
            Ok(machine)
        });
        let started = started.map_err(BootError::from).and_then(|mut machine| {
            // Nobody listens on a stream of folders where none are shared.
            let (stream, wire) = (machine.links.files.take(), machine.links.net.take());
            let net = match (network, wire) {
                (Some(network), Some(wire)) => Some(network.start(wire)?),
                _ => None,
            };
            let shares = match (shares, stream) {
                (Some(shares), Some(stream)) => {
                    Some(shares.serve(stream.into(), prepared.folder.shown())?)
                }
                _ => None,
            };
            Ok((machine, shares, net))
        });
        match started {
            Ok((machine, shares, net)) => Ok(Running { prepared, machine, shares, net, upper }),
            Err(error) => Err(Box::new((prepared, error))),
        }
    }
}
