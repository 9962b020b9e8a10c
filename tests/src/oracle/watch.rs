//! *Single*, at every moment: a sandbox never has two machines.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::home::Home;
use crate::machines;
use crate::run::pause;

/// Above so many machines a look costs more than the time between two looks.
const MANY: usize = 100;

/// Holds that no sandbox has two machines that live.
///
/// # Panics
/// When one has.
pub fn single(home: &Home) {
    look(home);
}

/// Returns how many machines were looked at.
fn look(home: &Home) -> usize {
    let mut seen = BTreeSet::new();
    let folders = machines::of(home);
    let count = folders.len();
    for folder in folders.into_iter().filter(|folder| folder.leased || folder.lives()) {
        assert!(seen.insert(folder.whose()), "two machines live for {}", folder.whose());
    }
    count
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
                let rest = if look(&home) > MANY { 100 } else { 10 };
                pause(Duration::from_millis(rest));
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
