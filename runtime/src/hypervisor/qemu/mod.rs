//! QEMU, on KVM or on its own emulator.
//!
//! `arguments` says what machine is wanted, `machine` starts it, `qmp` is the
//! language of the line to it and `monitor` the one who speaks it; `count` is
//! what it is asked for figures.

mod arguments;
mod count;
mod machine;
mod monitor;
mod pace;
mod qmp;

pub use machine::Qemu;
