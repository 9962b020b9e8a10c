//! The readers alone, for `tests/bench/run READ`; and the files of `tests/bench/run S23`.
//!
//!     bench-reader read FILE       reads a file up to its tree; exit 0 when it is one
//!     bench-reader hostile FOLDER  writes the hostile files

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{env, fs, io};

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problems;
use schema::sandboxfile::source::{Format, check_text};
use schema::sandboxfile::syntax::{build, yaml};
use tests::hostile;

fn main() -> io::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let path = PathBuf::from(arguments.next().unwrap_or_default());
    match verb.to_str() {
        Some("read") => read(&path),
        Some("hostile") => write(&path),
        Some(_) | None => Err(io::Error::other("bench-reader read FILE | hostile FOLDER")),
    }
}

/// Reads a file as `msb` does, under limits that let large ones through.
fn read(path: &Path) -> io::Result<ExitCode> {
    let format = Format::of(path).ok_or_else(|| io::Error::other("no format of ours"))?;
    let limits = Limits { file_bytes: 64 << 20, ..Limits::default() };
    let bytes = fs::read(path)?;
    let Ok(text) = check_text(&bytes, format, 0, &limits) else { return Ok(ExitCode::FAILURE) };
    let mut problems = Problems::new(limits.problems);
    let tree = match format {
        Format::Kdl => build::kdl(&text, 0, &limits, &mut problems),
        Format::Yaml => yaml::yaml(&text, 0, &limits, &mut problems),
    };
    let is_read = tree.is_some_and(|tree| !tree.entries.is_empty()) && !problems.has_errors();
    Ok(if is_read { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[expect(clippy::disallowed_methods, reason = "inputs of a bench; a crash in the middle ends it")]
fn write(folder: &Path) -> io::Result<ExitCode> {
    for file in hostile::files() {
        fs::write(folder.join(file.name), file.bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
