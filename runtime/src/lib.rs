//! One machine, from launch record to exit status.
//!
//! The binary `msb-runtime` is a thin door to this library. What a machine
//! needs from below stands in [`hypervisor`]; only its drivers know more.

mod boot;
mod chain;
pub mod clock;
mod control;
mod figures;
mod folder;
pub mod handover;
mod health;
mod host;
pub mod hypervisor;
pub mod initramfs;
pub mod jail;
mod journal;
mod life;
mod logs;
pub mod net;
mod passing;
mod peer;
pub mod probe;
mod relay;
pub mod share;
pub mod standing;
#[cfg(target_os = "linux")]
pub mod starter;
pub mod supervise;
mod sys;
#[cfg(target_os = "linux")]
pub mod vmm;

pub use chain::chain;
