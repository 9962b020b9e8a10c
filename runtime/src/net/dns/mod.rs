//! The resolver of a machine's network: from the guest's questions to answers that the rules allow.
//!
//! ```text
//! question ─▶ 1 read ─▶ 2 is it ours ─▶ 3 may the name be looked up ─▶ 4 is it known ─▶ 5 servers
//!               │           │                    │                         │              │
//!            refused     answered            no such name                  └──── cut ─────┘
//!                                                                          pinned, answered
//! ```
//!
//! It holds no socket, no clock and no thread: what happens is told to it, and it says what to do as
//! [`Act`]s, which are done in their order. Nothing leaves the host before step 5. Messages are whole,
//! without the length that stands before them in TCP.

mod act;
mod cache;
mod flights;
mod found;
mod name;
mod own;
mod rate;
mod read;
mod record;
mod resolver;
mod serve;
mod servers;
mod siblings;
#[cfg(test)]
mod tests;
mod upstream;
mod write;

pub use act::{Act, Asker, Chance, Heard, Load, Loss, Noted, QueryId, Transport};
pub use own::{HOST_NAME, LOCALHOST};
pub use resolver::{Resolver, Settings};
pub use siblings::Sibling;
