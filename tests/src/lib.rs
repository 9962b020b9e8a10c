//! What the suites share: a throw-away home, the programs, a finished command, who is alive,
//! and the oracle that looks at what a case left behind.
//!
//! A case reads: make a [`home::Home`], write a Sandboxfile into it, run `msb`, say what must be
//! true, then ask the [`oracle`].
#![expect(clippy::panic, reason = "a helper of the suite fails the test it serves")]

pub mod chance;
pub mod clock;
pub mod codings;
pub mod configured;
pub mod debian;
pub mod far;
pub mod golden;
pub mod home;
pub mod hostile;
pub mod json_schema;
pub mod listener;
pub mod machines;
pub mod matrix;
pub mod mounts;
pub mod oracle;
pub mod otlp;
pub mod processes;
pub mod programs;
pub mod reference;
pub mod registry;
pub mod run;
pub mod scenes;
pub mod share_server;
pub mod skip;
pub mod source;
mod sys;
pub mod tracer;
pub mod wire;
