//! Step `clock`: the host's time and random numbers; and time from then on.

use std::io;

use super::{Attempt as _, Booting, StepError};
use crate::sys;

/// From this difference on the clock jumps; below, it runs faster or slower for a while.
const STEP_NS_MIN: u64 = 500_000_000;

/// What a clock does about a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Correction {
    Step,
    Slew(i64),
}

pub(super) fn run(booting: &mut Booting) -> Result<(), StepError> {
    if booting.record.unix_ns != 0 {
        sys::clock::step(booting.record.unix_ns).attempt(|| "setting the clock".into())?;
    }
    if !booting.record.entropy.is_empty() {
        sys::random::add_entropy(&booting.record.entropy)
            .attempt(|| "taking the host's random numbers".into())?;
    }
    Ok(())
}

/// Brings the clock to the host's time.
pub(crate) fn follow(host_ns: u64) -> io::Result<()> {
    match correction(host_ns, sys::clock::unix_ns()) {
        Correction::Step => sys::clock::step(host_ns),
        Correction::Slew(difference_ns) => sys::clock::slew(difference_ns),
    }
}

fn correction(host_ns: u64, guest_ns: u64) -> Correction {
    if host_ns.abs_diff(guest_ns) >= STEP_NS_MIN {
        return Correction::Step;
    }
    Correction::Slew(host_ns.wrapping_sub(guest_ns).cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_second_is_stepped_and_less_is_slewed() {
        assert_eq!(correction(2_000_000_000, 1_500_000_000), Correction::Step);
        assert_eq!(correction(1_500_000_000, 2_000_000_000), Correction::Step);
        assert_eq!(correction(2_000_000_000, 1_500_000_001), Correction::Slew(499_999_999));
        assert_eq!(correction(1_500_000_001, 2_000_000_000), Correction::Slew(-499_999_999));
    }
}
