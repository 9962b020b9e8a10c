//! How far a tree is, for whoever looks on from another thread.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::Totals;

/// See the module. A part of a file counts by its bytes, a file once it is whole.
#[derive(Debug, Default)]
pub struct Gauge {
    files: AtomicU64,
    bytes: AtomicU64,
}

impl Gauge {
    /// Returns what has been copied so far; the two figures may be of different moments.
    #[must_use]
    pub fn read(&self) -> Totals {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Totals { files: read(&self.files), bytes: read(&self.bytes) }
    }

    /// Takes note of a file or a link that is whole.
    pub(crate) fn one_more(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note of bytes of a file.
    pub(crate) fn moved(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
