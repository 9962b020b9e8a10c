//! What a machine leaves to be read: sessions, console, and the runtime's own log.

mod console;
mod exec;
mod lines;
mod own;
mod rotating;
mod time;

pub(crate) use console::Console;
pub(crate) use exec::{ExecLog, Source};
pub(crate) use lines::Lines;
pub(crate) use own::start as start_own;
