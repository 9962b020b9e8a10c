//! The program `msb-runtime`: which of its jobs is asked for.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let job = arguments.next();
    if job.is_none()
        && let Err(error) = runtime::handover::take()
    {
        writeln!(std::io::stderr(), "msb-runtime: {}", chain(&error)).ok();
        return ExitCode::from(70);
    }
    match job.as_ref().and_then(|job| job.to_str()) {
        None if job.is_none() => runtime::supervise::run(),
        Some("initramfs") => runtime::initramfs::run(arguments),
        Some("probe") => runtime::probe::run(arguments),
        Some("share") => match arguments.next().and_then(|word| word.into_string().ok()) {
            Some(word) => runtime::share::run(&word),
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    writeln!(std::io::stderr(), "usage: msb-runtime [initramfs | probe | share …]").ok();
    ExitCode::from(64)
}

/// Returns an error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
