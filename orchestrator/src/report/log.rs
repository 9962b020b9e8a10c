//! The log of our programs, on stderr.

use std::io;

use tracing::level_filters::LevelFilter;

/// The form of a log's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lines {
    /// For people.
    Text,
    /// Objects.
    Json,
}

/// Starts to log from `level` on; a second start changes nothing.
pub fn start(level: &str) {
    let level = filter(level);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(level >= LevelFilter::DEBUG);
    // Only a test that starts two commands in one process starts it twice.
    drop(log.try_init());
}

/// Starts the log of a program that runs on: with the time of each line.
pub fn start_service(level: &str, lines: Lines) {
    let level = filter(level);
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .with_target(level >= LevelFilter::DEBUG);
    drop(match lines {
        Lines::Text => log.try_init(),
        Lines::Json => log.json().flatten_event(true).try_init(),
    });
}

fn filter(level: &str) -> LevelFilter {
    match level {
        "error" => LevelFilter::ERROR,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::WARN,
    }
}
