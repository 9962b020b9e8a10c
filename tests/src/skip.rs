//! A test that cannot run here says so; only what `tests/skips.kdl` lists may be skipped.

use std::fs::OpenOptions;
use std::io::Write;

use crate::programs;

/// Which tests may be skipped, for which reason, and what stays unproven then.
pub const LIST: &str = include_str!("../skips.kdl");

/// One foreseen skip.
#[derive(Debug, PartialEq, Eq)]
pub struct Skip<'a> {
    /// The test's id.
    pub id: &'a str,
    /// Why it could not run.
    pub reason: &'a str,
    /// What stays unproven.
    pub unproven: &'a str,
}

/// Returns the foreseen skips.
///
/// # Panics
/// When a line is not `skip "ID" reason="…" unproven="…"`.
pub fn foreseen() -> Vec<Skip<'static>> {
    let lines = LIST.lines().filter(|line| line.starts_with("skip "));
    lines
        .map(|line| {
            let parts: Vec<_> = line.split('"').collect();
            assert_eq!(parts.len(), 7, "not a skip: {line}");
            Skip { id: parts[1], reason: parts[3], unproven: parts[5] }
        })
        .collect()
}

/// Notes that the test `id` did not run; `./test` prints it at the end.
///
/// # Panics
/// When it is not foreseen.
pub fn skip(id: &str) {
    let list = foreseen();
    let Some(Skip { reason, unproven, .. }) = list.into_iter().find(|skip| skip.id == id) else {
        panic!("{id}: tests/skips.kdl does not foresee that this is skipped");
    };
    let path = programs::target().join("suite/skips.log");
    drop(std::fs::create_dir_all(path.parent().expect("a file in a folder")));
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the target folder can be written");
    let line = format!("skip: {id}: {reason}: {unproven}");
    writeln!(log, "{line}").expect("the target folder can be written");
    // Who runs one test alone sees it too.
    writeln!(std::io::stderr(), "{line}").ok();
}
