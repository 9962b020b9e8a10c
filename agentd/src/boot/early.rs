//! Step `early`: the kernel's own file systems, the log, and which signals come.

use std::path::Path;

use super::{Attempt as _, StepError};
use crate::groups;
use crate::place::Place;
use crate::sys::mount::{Flags, mount};
use crate::sys::signals::Signals;
use crate::sys::{children, machine};

/// What is mounted before anything else: type, place, how.
const FILE_SYSTEMS: [(&str, &str, Flags); 3] = [
    ("devtmpfs", "/dev", Flags::NO_SUID),
    ("proc", "/proc", Flags::NO_SUID.and(Flags::NO_DEV).and(Flags::NO_EXEC)),
    ("sysfs", "/sys", Flags::NO_SUID.and(Flags::NO_DEV).and(Flags::NO_EXEC)),
];

pub(super) fn run(place: &Place) -> Result<Signals, StepError> {
    let signals = Signals::take().attempt(|| "taking the signals".into())?;
    if !place.is_machine() {
        children::become_subreaper().attempt(|| "becoming the parent of orphans".into())?;
        return Ok(signals);
    }
    for (fstype, target, flags) in FILE_SYSTEMS {
        mount(fstype, Path::new(target), fstype, flags, "")
            .attempt(|| format!("mounting {fstype} at {target}"))?;
    }
    // The kernel kills by score when memory runs out; it must never be this process.
    let score = Path::new("/proc/self/oom_score_adj");
    groups::write(score, "-1000").attempt(|| "leaving the list of the killable".into())?;
    machine::take_ctrl_alt_del();
    Ok(signals)
}
