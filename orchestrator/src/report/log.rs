//! msb's own log, on stderr.

use std::io;

use tracing::level_filters::LevelFilter;

/// Starts to log from `level` on; a second start changes nothing.
pub fn start(level: &str) {
    let level = match level {
        "error" => LevelFilter::ERROR,
        "info" => LevelFilter::INFO,
        "debug" => LevelFilter::DEBUG,
        "trace" => LevelFilter::TRACE,
        _ => LevelFilter::WARN,
    };
    let log = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(false)
        .without_time()
        .with_target(level >= LevelFilter::DEBUG);
    // Only a test that starts two commands in one process starts it twice.
    drop(log.try_init());
}
