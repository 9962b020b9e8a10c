//! Text to tree: the only modules that know a concrete syntax.

pub mod build;
pub mod kdl;
pub mod yaml;
