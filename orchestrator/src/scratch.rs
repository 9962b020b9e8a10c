//! A folder for one test, gone when the test ends.

use std::path::{Path, PathBuf};

/// A folder below the system's folder for temporary files.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes a folder that nothing else uses.
    pub(crate) fn new() -> Self {
        let name = crate::store::atomic::random_hex(8).unwrap();
        let path = std::env::temp_dir().join(format!("msb-test-{name}"));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
