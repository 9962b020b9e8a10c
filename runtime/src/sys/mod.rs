//! The only room of this crate where `unsafe` is written.
//!
//! Each file wraps one kernel interface in a function that cannot be misused.
#![expect(unsafe_code, reason = "kernel interfaces; each block states why it is sound")]

mod chance;
mod clone;
mod counters;
mod cycles;
mod descriptor;
#[cfg(target_os = "linux")]
mod krun;
mod namespace;
#[cfg(target_os = "linux")]
mod place;
mod spawn;
mod watch;

pub(crate) use chance::random;
pub(crate) use clone::{Cloned, Spaces, arrange, become_path, become_program, clone, put};
pub(crate) use counters::{Counters, Words};
pub(crate) use cycles::cycles;
pub(crate) use descriptor::{close_others, inherited, standard_error};
#[cfg(target_os = "linux")]
pub(crate) use krun::krun;
pub(crate) use namespace::{set_mount, unshare};
#[cfg(target_os = "linux")]
pub(crate) use place::align;
pub(crate) use spawn::confined;
pub(crate) use watch::watch;
