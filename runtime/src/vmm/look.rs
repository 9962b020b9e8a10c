//! What a jail lacks on this host, found out by going to one.

use std::io;
use std::time::Duration;

use tokio::time::timeout;

use super::orders::{Job, Orders};
use crate::hypervisor::{DriverError, VmmEnd};
use crate::starter::{Jailed, Starter};

/// How long a process may take that does nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// Puts a process that does nothing into the jail of a VMM; returns a line `LAYER: why` for each layer that the
/// host refused. Must run on the main thread.
///
/// # Errors
/// No such process came to its end.
pub fn look() -> Result<Vec<String>, DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let starter = Starter::begin()?;
        let jailed = Jailed { name: "msb-vmm", job: "vmm", shown: None, keep: Vec::new() };
        let (files, file_bytes, on_kvm, job) = (Vec::new(), Some(0), false, Job::Nothing);
        let orders = |report| Orders { report, files, file_bytes, on_kvm, job };
        let (process, missing) = starter.jail(jailed, orders)?;
        match timeout(PATIENCE, process.ended()).await {
            Ok(VmmEnd { code: Some(0), .. }) => Ok(missing),
            Ok(end) => Err(failed(io::Error::other(end.to_string()))),
            Err(late) => Err(failed(late.into())),
        }
    })
}

fn failed(source: io::Error) -> DriverError {
    DriverError::Prepare { what: "a process in a jail".into(), source }
}
