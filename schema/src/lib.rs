//! The shapes that cross a boundary between msb's programs.
//!
//! Nothing here opens a file, a socket or a clock. [`wire`], [`archive`] and [`encoding`]
//! are what `agentd` needs and compile alone; everything else comes with the feature
//! `host`.

pub mod archive;
pub mod encoding;
pub mod wire;

#[cfg(feature = "host")]
pub mod control;
#[cfg(feature = "host")]
pub mod event;
#[cfg(feature = "host")]
pub mod exit;
#[cfg(feature = "host")]
pub mod failure;
#[cfg(feature = "host")]
pub mod figures;
#[cfg(feature = "host")]
pub mod launch;
#[cfg(feature = "host")]
pub mod lifecycle;
#[cfg(feature = "host")]
pub mod link;
#[cfg(feature = "host")]
pub mod peer;
#[cfg(feature = "host")]
pub mod record;

#[cfg(feature = "host")]
pub mod change;
#[cfg(feature = "host")]
pub mod name;
#[cfg(feature = "host")]
pub mod policy;
#[cfg(feature = "host")]
pub mod project;
#[cfg(feature = "host")]
pub mod sandboxfile;
#[cfg(feature = "host")]
pub mod units;
#[cfg(feature = "host")]
pub mod widening;
