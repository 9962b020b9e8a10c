//! Boots an empty guest to prove a driver.
//!
//! ```text
//! open ─▶ start ─▶ boot ─ first byte ─▶ agent ─ Hello ─▶ proved
//! ```
//!
//! That a device opens and answers every call proves nothing; a guest that
//! speaks does. The child has a deadline and a limit of processor time, and is
//! killed in either case. The verdict is one JSON line on standard output.

mod command;
mod guest;
mod race;
mod verdict;

pub use command::run;
pub use verdict::{Stage, Verdict};
