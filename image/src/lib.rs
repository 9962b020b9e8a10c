//! From an archive of images to a root that a machine can mount.
//!
//! ```text
//! archive ─▶ layout ─▶ layers ─▶ source ─▶ merge ─▶ tree ─▶ erofs
//!               │         └─ spool: contents    recipe: how a layer is put together from a root
//!               └─ config, media, json: documents
//! ```
//!
//! What strangers wrote is parsed strictly and with limits, and no layer is ever unpacked into a
//! folder. What is kept where, and who may read it, is the orchestrator's.
#![forbid(unsafe_code)]

pub mod archive;
pub mod config;
pub mod digest;
pub mod draft;
pub mod erofs;
pub mod json;
pub mod layers;
pub mod layout;
pub mod media;
mod merge;
pub mod recipe;
#[cfg(test)]
mod scratch;
pub mod source;
mod spool;
pub mod tree;
