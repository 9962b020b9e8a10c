//! A process becomes a machine of libkrun.

use std::io;
use std::os::fd::{IntoRawFd as _, RawFd};

use rustix::io::Errno;
use thiserror::Error;

use super::calls::calls;
use super::orders::Orders;
use crate::hypervisor::parts::MIB;
use crate::sys;

/// Why no machine was begun.
#[derive(Debug, Error)]
pub(crate) enum BeginError {
    #[error("descriptor {0} of the orders")]
    Descriptor(RawFd, #[source] io::Error),
    #[error("a serial has a zero in it")]
    Serial,
    #[error("libkrun refused {call} with {code}")]
    Refused {
        call: &'static str,
        code: i32,
        #[source]
        source: Errno,
    },
    #[error("libkrun left its machine")]
    Left,
}

/// Becomes the machine; returns only where there is none. The process ends as the machine does.
pub(crate) fn begin(orders: &Orders) -> BeginError {
    match become_machine(orders) {
        Ok(()) => BeginError::Left,
        Err(error) => error,
    }
}

fn become_machine(orders: &Orders) -> Result<(), BeginError> {
    for number in orders.descriptors() {
        let fd = sys::inherited(number).map_err(|error| BeginError::Descriptor(number, error))?;
        // From here on the library's, for as long as the process lives.
        let _: RawFd = fd.into_raw_fd();
    }
    // What the library maps for the guest; a guest also runs where it lies elsewhere.
    let memory = u64::from(orders.memory_mib) * MIB;
    sys::align(usize::try_from(memory).unwrap_or(usize::MAX)).ok();
    let mut context = None;
    for call in calls(orders).ok_or(BeginError::Serial)? {
        let code = sys::krun(&mut context, &call);
        if code < 0 {
            let source = Errno::from_raw_os_error(code.saturating_neg());
            return Err(BeginError::Refused { call: call.name(), code, source });
        }
    }
    Ok(())
}
