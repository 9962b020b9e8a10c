//! Makes a host match a Sandboxfile.
pub mod cli;
pub mod context;
pub mod images;

pub mod machines;
pub mod observe;
pub mod plan;
pub mod report;
pub mod store;

#[cfg(test)]
mod scratch;
