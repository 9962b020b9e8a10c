//! The program `msb-runtime`: which of its jobs is asked for.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use runtime::chain;

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
        Some("jail") => with_words(arguments, |[]| look()),
        Some("starter") => with_words(arguments, |[word]| runtime::starter::run(word)),
        // What lists of processes show of it comes between.
        Some("share") => {
            with_words(arguments, |[word, _, missing]| runtime::share::run(word, missing))
        }
        Some("vmm") => with_words(arguments, |[word, missing]| runtime::vmm::run(word, missing)),
        _ => usage(),
    }
}

/// Does a job that takes just so many words.
fn with_words<const COUNT: usize>(
    arguments: impl Iterator<Item = OsString>,
    job: impl FnOnce([&str; COUNT]) -> ExitCode,
) -> ExitCode {
    let words: Vec<OsString> = arguments.collect();
    let words: Option<Vec<&str>> = words.iter().map(|word| word.to_str()).collect();
    match words.and_then(|words| <[&str; COUNT]>::try_from(words).ok()) {
        Some(words) => job(words),
        None => usage(),
    }
}

/// Prints what a jail has and lacks here, in JSON.
fn look() -> ExitCode {
    let looked = runtime::vmm::look().map_err(|error| chain(&error));
    let said = looked.and_then(|looked| {
        let line = serde_json::to_string(&looked).map_err(|error| chain(&error))?;
        writeln!(std::io::stdout(), "{line}").map_err(|error| chain(&error))
    });
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            writeln!(std::io::stderr(), "msb-runtime: {why}").ok();
            ExitCode::from(70)
        }
    }
}

fn usage() -> ExitCode {
    let usage = "usage: msb-runtime [initramfs … | probe … | jail | starter … | share … | vmm …]";
    writeln!(std::io::stderr(), "{usage}").ok();
    ExitCode::from(64)
}
