//! Who makes the processes that go to a jail, for a runtime that may not.
//!
//! ```text
//! runtime ─ Wanted, descriptors ─▶ starter ─ clone, maps, one byte ─▶ msb-runtime vmm | share
//!         ◀─ Made, pidfd ─────────         ◀─ exit status, by a pipe of its own ──
//!         ─ Maps ─▶  ◀─ its mappings, open ─
//! ```
//!
//! A process under Landlock may not mount, so neither could its children; and a process of a namespace of its own
//! needs a parent outside that does nothing else. The starter is both: one thread, one request, and nothing of a guest
//! ever comes near it. It ends with the runtime, and what it made ends with it.

mod client;
mod group;
mod make;
mod serve;
mod wanted;

pub(crate) use client::Jailed;
pub use client::Starter;
pub(crate) use group::Bounds;
pub use serve::run;
pub(crate) use wanted::Ended;
