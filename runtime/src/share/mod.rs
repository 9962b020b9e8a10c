//! The share server: folders and files of the host, for one guest, over one stream.
//!
//! ```text
//! guest's kernel ─ FUSE ─ agentd ─ console port ─ VMM ─ socket ─▶ workers ─▶ files of the host
//! ```
//!
//! A process of its own, started by the runtime for a machine that shares something. It is told
//! its [`Job`] once and then hears nothing but the guest. `wire` and `reply` are the language,
//! `beneath` the only way to a file, `nodes` and `handles` what the guest holds; `ownership`, `quota`
//! and `guard` are the rules of a share.

mod attributes;
mod beneath;
mod calls;
mod entries;
mod files;
mod folders;
mod greeting;
mod guard;
mod handles;
mod job;
mod nodes;
mod opcode;
mod ownership;
mod process;
mod quota;
mod reply;
#[cfg(test)]
mod scratch;
mod serve;
#[expect(clippy::module_inception, reason = "one share among those that are served")]
mod share;
mod stream;
pub(crate) mod tally;
#[cfg(test)]
mod tests;
mod trial;
pub mod wire;

pub use calls::CALLS;
pub use job::{Job, ShareJob};
pub use process::run;
pub use trial::trial;
