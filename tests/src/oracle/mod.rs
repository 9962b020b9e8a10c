//! What must hold after every case, whatever the case did.
//!
//! *Stable*: `up` ends with 0 and a second `up` has nothing to do. *Clean*: no process, socket,
//! mount, lock, listening port or half-made file beyond the declared ones; state and machine
//! folders name each other. *Single*: at no sampled moment has a sandbox two machines.
//! *Untouched*: user data is as it was, and what was not part of a change kept its process.
//! *Reversible*: after `down` the home is as before, apart from volumes, images and history.

mod clean;
mod kept;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::home::Home;
use crate::machines::{self, Folder};
use crate::run::pause;

pub use kept::{Bare, Untouched};
pub use watch::{Watch, single};

/// Holds that the home is as its Sandboxfile says, that `up` knows it, and that nothing else lives.
///
/// # Panics
/// When something does not hold.
pub fn converged(home: &Home) {
    let first = home.msb(["up"]).exits(0);
    let before = pids(home);
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    assert_eq!(pids(home), before, "an up without changes touched a machine; before it: {first}");
    single(home);
    clean(home);
}

/// Holds that `down` takes everything away, and does so again without complaint.
///
/// # Panics
/// When something does not hold.
pub fn reversed(home: &Home) {
    home.msb(["down"]).exits(0);
    gone(home);
}

/// Holds that nothing is left to take away.
///
/// # Panics
/// When something is.
pub fn gone(home: &Home) {
    home.msb(["down"]).exits(0).says(&["nothing to do"]);
    nothing_lives(home);
    let left: Vec<_> = machines::of(home).into_iter().map(|folder| folder.path).collect();
    assert!(left.is_empty(), "machine folders are left: {left:?}");
    let names = home.path().join("machines/names");
    let links = std::fs::read_dir(names).map(Iterator::count).unwrap_or_default();
    assert_eq!(links, 0, "names of machines are left");
    clean(home);
}

/// Holds that no process works for this home.
///
/// # Panics
/// When one does.
pub fn nothing_lives(home: &Home) {
    // Whoever has told of its end has a few lines to go.
    let mut left = home.alive();
    for _ in 0..250 {
        if left.is_empty() {
            return;
        }
        pause(Duration::from_millis(20));
        left = home.alive();
    }
    panic!("processes are left: {left:#?}");
}

/// Holds that there is nothing of this home beyond what its living machines need.
///
/// # Panics
/// When there is.
pub fn clean(home: &Home) {
    let left = clean::leftovers(home);
    assert!(left.is_empty(), "this is left:\n  {}", left.join("\n  "));
}

/// Returns who runs each machine: sandbox, process, start.
pub fn pids(home: &Home) -> BTreeSet<(String, u32, u64)> {
    machines::of(home)
        .into_iter()
        .filter(Folder::lives)
        .filter_map(|folder| {
            let runtime = folder.record.as_ref()?.runtime.clone();
            Some((folder.whose(), runtime.pid, runtime.start_ticks))
        })
        .collect()
}

/// Returns the parent of every process.
fn parents() -> BTreeMap<u32, u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return BTreeMap::new() };
    let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}
