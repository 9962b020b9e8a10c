//! The process of a machine: it goes to jail, and becomes what carries the machine there.
//!
//! ```text
//! Orders ─▶ jail ─ what is missing ─▶ libkrun's own calls, or QEMU in its place
//! ```
//!
//! Guest and VMM are one party: what the VMM has, a guest that takes it over has. So it has what its orders
//! name by number, its program, `/dev/kvm` where it runs on that, and nothing else of the host.

mod look;
mod orders;
mod process;

pub use look::look;
pub(crate) use orders::{Job, Orders, Program, largest};
pub use process::run;
