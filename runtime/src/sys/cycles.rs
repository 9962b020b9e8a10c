//! The processor's cycle counter.

/// Returns the counter, where it counts time rather than work.
///
/// `None` on a processor whose counter stops or changes its pace.
#[cfg(target_arch = "x86_64")]
pub(crate) fn cycles() -> Option<u64> {
    use core::arch::x86_64::{__cpuid, _rdtsc};
    const POWER: u32 = 0x8000_0007;
    const INVARIANT: u32 = 1 << 8;
    let steady = __cpuid(0x8000_0000).eax >= POWER && __cpuid(POWER).edx & INVARIANT != 0;
    // SAFETY: every x86-64 processor has the instruction; it touches no memory.
    steady.then(|| unsafe { _rdtsc() })
}

/// Returns nothing: other processors need no help to tell the time.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn cycles() -> Option<u64> {
    None
}
