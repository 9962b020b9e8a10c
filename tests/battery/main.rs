//! The battery of reliability: what is done to msb on purpose, and that it gets over it.
//!
//! One file for each promise, named after it; `.ci/nightly ID` runs its long form.
#![cfg(test)]

mod r10_clocks;
mod r12_ends;
mod r14_limits;
mod r16_scale;
mod r17_leaks;
mod r19_signals;
mod r1_crash;
mod r2_errors;
mod r3_concurrent;
mod r4_survivors;
mod r6_full_disk;
mod r7_damaged;
mod r9_cleaning;
mod s27_noise;
