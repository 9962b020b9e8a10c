//! What must hold after every case, whatever the case did.
//!
//! *Stable*: `up` ends with 0 and a second `up` has nothing to do. *Clean*: no process and no
//! folder beyond the declared ones. *Single*: no sandbox has two machines. *Untouched*: what was
//! not part of a change kept its process. *Reversible*: after `down` the home is as before,
//! apart from volumes, images, history and proofs.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::home::Home;
use crate::machines::{self, Folder};
use crate::run::pause;

/// Holds that the home is as its Sandboxfile says, that `up` knows it, and that nothing else lives.
///
/// # Panics
/// When something does not hold.
pub fn converged(home: &Home) {
    home.msb(["up"]).exits(0);
    let before = pids(home);
    home.msb(["up"]).exits(0).says(&["nothing to do"]);
    assert_eq!(pids(home), before, "an up without changes touched a machine");
    single(home);
    clean(home);
}

/// Holds that `down` takes everything away, and does so again without complaint.
///
/// # Panics
/// When something does not hold.
pub fn reversed(home: &Home) {
    home.msb(["down"]).exits(0);
    home.msb(["down"]).exits(0);
    nothing_lives(home);
    let left: Vec<_> = machines::of(home).into_iter().map(|folder| folder.path).collect();
    assert!(left.is_empty(), "machine folders are left: {left:?}");
    let names = home.path().join("machines/names");
    let links = fs::read_dir(names).map(Iterator::count).unwrap_or_default();
    assert_eq!(links, 0, "names of machines are left");
}

/// Holds that no process works for this home.
///
/// # Panics
/// When one does.
pub fn nothing_lives(home: &Home) {
    let left = home.alive();
    assert!(left.is_empty(), "processes are left: {left:#?}");
}

/// Holds that no sandbox has two machines that live.
///
/// # Panics
/// When one has.
pub fn single(home: &Home) {
    let mut seen = BTreeSet::new();
    for folder in machines::of(home).into_iter().filter(|folder| folder.leased || folder.lives()) {
        assert!(seen.insert(folder.whose()), "two machines live for {}", folder.whose());
    }
}

/// Holds that every process of the home belongs to a machine that lives, and that no half-made
/// file is left.
fn clean(home: &Home) {
    let living = machines::of(home).iter().filter(|folder| folder.lives()).count();
    let runtimes =
        home.alive().iter().filter(|process| process.command.contains("msb-runtime")).count();
    if living == 0 {
        nothing_lives(home);
    } else {
        assert!(
            runtimes >= living,
            "{living} machines live with {runtimes} runtimes: {:#?}",
            home.alive()
        );
    }
    for folder in ["images/tmp", "machines"] {
        let half: Vec<_> = fs::read_dir(home.path().join(folder))
            .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
            .unwrap_or_default();
        let half: Vec<_> = half
            .iter()
            .filter(|name| folder == "images/tmp" || name.as_encoded_bytes().starts_with(b"."))
            .collect();
        assert!(half.is_empty(), "half-made things in {folder}: {half:?}");
    }
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

/// Looks every 10 ms whether a sandbox has two machines, until it is told to stop.
#[derive(Debug)]
pub struct Watch {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look.
    pub fn begin(home: &Arc<Home>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (told, home) = (Arc::clone(&stop), Arc::clone(home));
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                single(&home);
                pause(Duration::from_millis(10));
            }
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends, and fails if there ever were two.
    ///
    /// # Panics
    /// When there were.
    pub fn end(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.take().expect("ended once");
        thread.join().expect("at no moment does a sandbox have two machines");
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
