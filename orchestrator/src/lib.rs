//! Makes a host match a Sandboxfile.
pub mod cli;
pub mod configuration;
pub mod consent;
pub mod context;
pub mod disks;
pub mod doctor;
pub mod drivers;
pub mod edit;
pub mod engine;
pub mod execute;
pub mod exporter;
pub mod follow;
pub mod graph;
pub mod images;
pub mod machines;
pub mod models;
pub mod mounts;
pub mod observe;
pub mod pins;
pub mod plan;
pub mod ports;
pub mod registry;
pub mod report;
pub mod sampling;
pub mod sessions;
pub mod sources;
pub mod store;
pub mod transfer;
pub mod usage;
pub mod volumes;
pub mod watch;
pub mod worker;

#[cfg(test)]
mod scratch;
