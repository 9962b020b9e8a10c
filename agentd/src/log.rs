//! What the agent says for people: the kernel's log of a machine, standard error elsewhere.

use std::fmt;
use std::fs::File;
use std::io::{self, Write as _};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// Somebody has to know; it reaches the console of a quiet machine.
    Error,
    /// Worth a look when something else went wrong.
    Note,
}

/// Writes one line, to the kernel's log where there is one that is ours.
///
/// A line that cannot be written is lost: there is nobody left to tell.
pub(crate) fn say(level: Level, text: fmt::Arguments<'_>) {
    let priority = match level {
        Level::Error => 3,
        Level::Note => 6,
    };
    let kernel = (std::process::id() == 1).then(|| File::options().write(true).open("/dev/kmsg"));
    let written = match kernel {
        // The kernel takes a line whole, so it is made whole first.
        Some(Ok(mut log)) => log.write_all(format!("<{priority}>agentd: {text}\n").as_bytes()),
        Some(Err(_)) | None => writeln!(io::stderr(), "agentd: {text}"),
    };
    drop(written);
}

/// Writes a line that somebody has to know.
macro_rules! error {
    ($($text:tt)*) => { $crate::log::say($crate::log::Level::Error, format_args!($($text)*)) };
}

/// Writes a line that helps when something else went wrong.
macro_rules! note {
    ($($text:tt)*) => { $crate::log::say($crate::log::Level::Note, format_args!($($text)*)) };
}

pub(crate) use {error, note};
