//! What `msb-metrics` does: the figures of every machine on their way out.
//!
//! ```text
//! Sources ─ what machines tell ─▶ Gatherer ─ what is new ─▶ Outbox ─ one request ─▶ Courier ─▶ receiver
//!    │                            Identity                   Ring      at a time      Transport
//!    └──────────── with `stdout` ─▶ lines, the last sample of each
//! ```
//!
//! It reads the state and asks runtimes; it writes nothing, makes nothing and takes no lock.

mod collection;
mod courier;
mod encode;
mod gather;
mod identity;
mod instruments;
mod messages;
pub mod options;
mod outbox;
mod own;
mod percent;
mod print;
mod ring;
mod run;
mod sources;
mod stop;
pub mod trace;
mod transport;
mod verdict;

#[cfg(test)]
mod figures_of_tests;

pub use print::print;
pub use run::{Ended, send};
pub use stop::Stop;
pub use transport::{Compression, Protocol, Signal};
