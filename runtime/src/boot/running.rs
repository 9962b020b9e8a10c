//! The last stage: the VMM runs.

use super::{BootError, Built, Prepared};
use crate::hypervisor::{DriverError, Machine};

/// A machine that was started; dropping it kills the VMM.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) prepared: Prepared,
    pub(crate) machine: Machine,
}

impl Built {
    /// Starts the machine; what was prepared comes back when it does not start.
    pub(crate) fn run(self) -> Result<Running, Box<(Prepared, BootError)>> {
        let Self { prepared, driver, parts } = self;
        let started = driver.start(parts).and_then(|machine| {
            let blocking =
                |source| DriverError::Prepare { what: "the machine's links".into(), source };
            machine.links.console.set_nonblocking(true).map_err(blocking)?;
            machine.links.agent.set_nonblocking(true).map_err(blocking)?;
            Ok(machine)
        });
        match started {
            Ok(machine) => Ok(Running { prepared, machine }),
            Err(error) => Err(Box::new((prepared, error.into()))),
        }
    }
}
