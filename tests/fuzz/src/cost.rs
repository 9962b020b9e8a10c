//! What one input may cost: far above the ordinary, far below what would hurt.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::sys;

/// Processor time of one input.
const CPU_MOST: Duration = Duration::from_secs(1);

/// Memory that is held at once for one input.
const BYTES_MOST: usize = 256 << 20;

/// Whose processor time an input costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// That of the thread that runs it.
    Thread,
    /// That of every thread: what is tried has threads of its own.
    Process,
}

/// Runs `check` and holds it to the limits.
pub(crate) fn within_limits(whose: Whose, check: impl FnOnce()) {
    let (before, held) = (spent(whose), sys::peak_from_here());
    check();
    let (cpu, bytes) = (spent(whose).saturating_sub(before), sys::peak().saturating_sub(held));
    assert!(cpu <= CPU_MOST, "one input took {cpu:?} of processor time, at most {CPU_MOST:?}");
    assert!(bytes <= BYTES_MOST, "one input held {bytes} bytes, at most {BYTES_MOST}");
}

/// Returns the processor time that was spent so far.
fn spent(whose: Whose) -> Duration {
    let time = clock_gettime(match whose {
        Whose::Thread => ClockId::ThreadCPUTime,
        Whose::Process => ClockId::ProcessCPUTime,
    });
    Duration::try_from(time).expect("clocks of processor time start at zero")
}
