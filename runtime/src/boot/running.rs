//! The last stage: the VMM runs.

use std::os::fd::OwnedFd;

use super::mould::{Cast, Mould};
use super::shares::Served;
use super::{BootError, Built, Prepared};
use crate::hypervisor::Machine;
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
    /// What it is started from again.
    pub(crate) mould: Mould,
    /// What the jails lack.
    pub(crate) jail_missing: Vec<String>,
}

impl Built {
    /// Starts the machine; what was prepared comes back when it does not start.
    pub(crate) fn run(self) -> Result<Running, Box<(Prepared, BootError)>> {
        let Self { prepared, driver, parts, shares, network, upper, confined } = self;
        let mould = Mould::new((driver, confined), parts, shares, prepared.launch.require_jail);
        let started = mould.cast(prepared.folder.shown()).and_then(|cast| {
            let Cast { machine, shares, wire, jail_missing } = cast;
            let net = match (network, wire) {
                (Some(network), Some(wire)) => Some(network.start(wire)?),
                _ => None,
            };
            Ok((machine, shares, net, jail_missing))
        });
        match started {
            Ok((machine, shares, net, jail_missing)) => {
                Ok(Running { prepared, machine, shares, net, upper, mould, jail_missing })
            }
            Err(error) => Err(Box::new((prepared, error))),
        }
    }
}
