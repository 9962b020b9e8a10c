//! Many cases of one promise: which are walked, by how many at once, and what came of them.
//!
//! A share is walked in every run, chosen by the commit; `MSB_BATTERY=whole` walks all of them,
//! `MSB_POINT=TEXT` those whose name holds the text, `MSB_SEED` another share.
#![expect(clippy::print_stdout, reason = "the runner shows what a case said")]

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::chance::{Chance, SEED, seed};
use crate::programs;

/// How many cases run at once; each has a home of its own, and waits more than it works.
const WORKERS: usize = 4;

/// The cases of one promise.
#[derive(Debug)]
pub struct Matrix {
    /// The promise's id.
    id: &'static str,
    seed: u64,
}

/// A case of a matrix.
pub trait Case: Display + Sync {
    /// Returns what kind of case it is; a share holds some of each kind.
    fn kind(&self) -> String;
}

/// How many cases there are of a matrix, and how many were walked and held.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All there are.
    pub all: usize,
    /// Those that were walked.
    pub walked: usize,
    /// Those that held.
    pub held: usize,
}

impl Matrix {
    /// Begins the matrix of a promise; its seed is printed.
    pub fn of(id: &'static str) -> Self {
        let seed = seed();
        println!("{id}: {SEED}={seed}");
        Self { id, seed }
    }

    /// Returns a generator of this run's numbers.
    pub fn chance(&self) -> Chance {
        Chance::of(self.seed)
    }

    /// Walks `share` of the cases, or all of them at night.
    ///
    /// # Panics
    /// When a case does not hold; all are walked before.
    pub fn walk<T: Case>(&self, cases: &[T], share: usize, case: impl Fn(&T) + Sync) -> Tally {
        let chosen = self.chosen(cases, share);
        let failed = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(one) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(panic) = catch_unwind(AssertUnwindSafe(|| case(one))) {
                    let why = said(panic.as_ref());
                    println!("{}: {one}: DOES NOT HOLD\n{why}", self.id);
                    failed.lock().expect("nobody panics with it").push(format!("{one}: {why}"));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..WORKERS {
                scope.spawn(work);
            }
        });
        let failed = failed.into_inner().expect("nobody panics with it");
        let tally =
            Tally { all: cases.len(), walked: chosen.len(), held: chosen.len() - failed.len() };
        assert!(
            failed.is_empty(),
            "{}: {} of {} cases do not hold ({SEED}={}):\n\n{}",
            self.id,
            failed.len(),
            chosen.len(),
            self.seed,
            failed.join("\n\n")
        );
        tally
    }

    /// Of each kind as many as of every other, as long as there are.
    fn chosen<'a, T: Case>(&self, cases: &'a [T], share: usize) -> Vec<&'a T> {
        let wanted = std::env::var_os("MSB_POINT");
        if let Some(wanted) = wanted.as_ref().and_then(|text| text.to_str()) {
            return cases.iter().filter(|case| case.to_string().contains(wanted)).collect();
        }
        let mut chosen: Vec<&T> = cases.iter().collect();
        if !is_whole() {
            self.chance().shuffle(&mut chosen);
            let mut ranks: BTreeMap<String, usize> = BTreeMap::new();
            chosen.sort_by_cached_key(|case| {
                let rank = ranks.entry(case.kind()).or_default();
                *rank += 1;
                *rank
            });
            chosen.truncate(share);
        }
        chosen
    }

    /// Says what a matrix came to: now, and at the end of `./test`.
    pub fn say(&self, came_to: &str) {
        say(&format!("{}: {came_to}", self.id));
    }
}

/// Tells whether the whole of each matrix is asked for.
pub fn is_whole() -> bool {
    std::env::var_os("MSB_BATTERY").is_some_and(|value| value == "whole")
}

/// Notes a line for the end of `./test`.
///
/// # Panics
/// When the target folder cannot be written.
pub fn say(line: &str) {
    println!("{line}");
    let path = programs::target().join("suite/battery.log");
    std::fs::create_dir_all(path.parent().expect("a file in a folder"))
        .expect("the target folder can be written");
    let mut log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .expect("the target folder can be written");
    writeln!(log, "{line}").expect("the target folder can be written");
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_else(|| "it panicked without a word".to_owned())
}

impl Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.held, self.walked)
    }
}
