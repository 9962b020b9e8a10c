//! Both accelerators at once, and when to give up on the faster one.
//!
//! A KVM that works boots a guest in a fraction of the emulator's time. One that
//! is not up long after the emulator is, will not be: so the emulator's own
//! time is the measure, and a host without KVM waits for nothing.

use std::time::Duration;

use schema::launch::Accelerator;
use tokio::time::timeout;

use super::guest::{Budget, Parts, prove};
use super::verdict::{Stage, Verdict};
use crate::clock::Clock;

/// What KVM gets beyond the emulator's time at least.
const MARGIN_MIN: Duration = Duration::from_secs(1);

/// Proves KVM and the emulator side by side, and returns what is known then.
///
/// KVM's verdict comes first. The emulator's is missing where KVM was proved
/// before it: nobody asks for it then.
pub(super) async fn race(parts: &Parts, clock: &impl Clock) -> Vec<Verdict> {
    let started = clock.now();
    let kvm = prove(Accelerator::Kvm, parts, Budget::of(Accelerator::Kvm), clock);
    let tcg = prove(Accelerator::Tcg, parts, Budget::of(Accelerator::Tcg), clock);
    tokio::pin!(kvm, tcg);
    let emulated = tokio::select! {
        hardware = &mut kvm => {
            if hardware.ok {
                return vec![hardware];
            }
            return vec![hardware, tcg.await];
        }
        emulated = &mut tcg => emulated,
    };
    if !emulated.ok {
        return vec![kvm.await, emulated];
    }
    let took = clock.now() - started;
    let hardware = timeout(margin(took), kvm).await.unwrap_or_else(|_| too_slow(took));
    vec![hardware, emulated]
}

/// Returns how long KVM is waited for, once the emulator has booted in `took`.
fn margin(took: Duration) -> Duration {
    took.max(MARGIN_MIN)
}

fn too_slow(took: Duration) -> Verdict {
    let (took, waited) = (took.as_millis(), (took + margin(took)).as_millis());
    let reason = format!("no guest after {waited} ms, where the emulator needed {took} ms");
    Verdict::failed(Accelerator::Kvm, Stage::Boot, reason)
        .hint("Use the emulator with `--driver qemu`, or fix KVM on this host.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_whose_kvm_hangs_is_judged_within_five_seconds() {
        let took = Duration::from_millis(2_400);
        assert!(took + margin(took) < Duration::from_secs(5));
        assert_eq!(margin(Duration::from_millis(300)), MARGIN_MIN);
    }
}
