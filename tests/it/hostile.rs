//! Files from strangers cost little and are told where they end: every one through `msb validate`.
//! What each costs is measured by `tests/bench/run S23`.

use std::fs;

use tests::home::Home;
use tests::hostile::{Hostile, files};

/// Bytes that `msb` says at most, whatever it was given.
const SAID_BYTES_MAX: usize = 256 << 10;

#[test]
fn s23_each_hostile_file_ends_in_an_error_with_its_code_and_place() {
    let home = Home::process();
    let mut wrong = Vec::new();
    for Hostile { name, bytes, code, place: (line, column) } in files() {
        drop(fs::remove_file(home.project().join(name)));
        fs::copy(scratch(&home, &bytes), home.project().join(name)).unwrap();
        let run = home.msb(["validate", name]);
        let start = format!("{name}:{line}:{column}: error[msb::{code}]: ");
        let first = run.stderr.lines().next().unwrap_or_default();
        let short = run.stderr.len() <= SAID_BYTES_MAX;
        if run.code != 65 || !first.starts_with(&start) || !short {
            let size = run.stderr.len();
            wrong.push(format!("{start}\n  {} {first:.200} ({size} bytes)", run.code));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn scratch(home: &Home, bytes: &[u8]) -> std::path::PathBuf {
    use std::io::Write;
    let path = home.scratch("hostile");
    fs::File::create(&path).and_then(|mut file| file.write_all(bytes)).unwrap();
    path
}
