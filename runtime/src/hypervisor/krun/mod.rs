//! libkrun on KVM, in a process of its own.
//!
//! ```text
//! runtime ─ Orders ─▶ msb-runtime vmm, in its jail ─ the calls of Orders ─▶ libkrun, for good
//! ```
//!
//! `krun_start_enter` never returns and ends its process, so a machine always has one. What is called
//! there, and with what, is data: [`calls`] has the list, `sys` carries it out.

mod begin;
mod calls;
mod count;
mod machine;
mod orders;
mod syscalls;

pub(crate) use begin::{BeginError, begin};
pub(crate) use calls::{Call, Context};
pub use machine::Krun;
#[cfg(test)]
pub(super) use machine::terminal;
pub(crate) use orders::Orders;
pub use syscalls::CALLS;
