//! The agent's channel, shared by the runtime and the clients of `agent.sock`.
//!
//! ```text
//! agent ⇄ channel ⇄ Switch ⇄ client ⇄ agent.sock
//!                     ⇅
//!                 supervisor (slot 0)
//! ```
//!
//! [`switch::Switch`] holds every table and no descriptor; [`channel`] and
//! [`client`] move bytes. All of it runs on one thread.

pub(crate) mod channel;
pub(crate) mod client;
mod outbox;
mod switch;
#[cfg(test)]
mod tests;
mod window;

pub(crate) use channel::{CLOSED, Heard, Hub};
