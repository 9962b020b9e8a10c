//! What a jail has and lacks on this host, found out by going to one.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;

use super::orders::{Job, Orders};
use crate::hypervisor::{DriverError, VmmEnd};
use crate::starter::{Bounds, Jailed, Starter};

/// How long a process may take that does nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a process found.
#[derive(Debug, Serialize)]
pub struct Looked {
    /// A line `LAYER: why` for each layer that the host refused.
    missing: Vec<String>,
    /// The control group that was made for it.
    group: Option<PathBuf>,
}

/// More than a process needs that does nothing.
const MEMORY_BYTES: u64 = 64 << 20;

/// Puts a process that does nothing into the jail of a VMM. Must run on the main thread.
///
/// # Errors
/// No such process came to its end.
pub fn look() -> Result<Looked, DriverError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(failed)?.block_on(async {
        let starter = Starter::begin()?;
        let name = format!("look-{}", std::process::id());
        let bounds = Some(Bounds { name, memory_bytes: MEMORY_BYTES, tasks: 1 });
        let jailed = Jailed { name: "msb-vmm", job: "vmm", shown: None, keep: Vec::new(), bounds };
        let (files, file_bytes, on_kvm, job) = (Vec::new(), Some(0), false, Job::Nothing);
        let orders = |report| Orders { report, files, file_bytes, on_kvm, job };
        let (process, missing) = starter.jail(jailed, orders)?;
        let group = process.group().map(Path::to_owned);
        match timeout(PATIENCE, process.ended()).await {
            Ok(VmmEnd { code: Some(0), .. }) => Ok(Looked { missing, group }),
            Ok(end) => Err(failed(io::Error::other(end.to_string()))),
            Err(late) => Err(failed(late.into())),
        }
    })
}

fn failed(source: io::Error) -> DriverError {
    DriverError::Prepare { what: "a process in a jail".into(), source }
}
