//! A folder of one input, gone when the input ends.

use std::fs;
use std::path::{Path, PathBuf};

/// See the module.
pub(crate) struct Ground(PathBuf);

impl Ground {
    /// Makes a folder that no other input uses.
    pub(crate) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("msb-fuzz-{}", std::process::id()));
        let path = path.join(format!("{:?}", std::thread::current().id()));
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).expect("the system's folder for temporary files can be written");
        Self(path)
    }

    /// Returns where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}
