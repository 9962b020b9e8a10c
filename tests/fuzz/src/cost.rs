//! What one input may cost: far above the ordinary, far below what would hurt.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::sys;

/// Processor time of one input.
const CPU_MOST: Duration = Duration::from_secs(1);

/// Memory that is held at once for one input.
const BYTES_MOST: usize = 256 << 20;

/// Runs `check` and holds it to the limits.
pub(crate) fn within_limits(check: impl FnOnce()) {
    let (before, held) = (spent(), sys::peak_from_here());
    check();
    let (cpu, bytes) = (spent().saturating_sub(before), sys::peak().saturating_sub(held));
    assert!(cpu <= CPU_MOST, "one input took {cpu:?} of processor time, at most {CPU_MOST:?}");
    assert!(bytes <= BYTES_MOST, "one input held {bytes} bytes, at most {BYTES_MOST}");
}

/// Returns the processor time of this thread.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread's clock starts at zero")
}
