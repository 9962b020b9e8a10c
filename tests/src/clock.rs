//! A wall clock that can be set while programs run; the clocks that nobody can set go on as they are.
//!
//! The host's own is left alone: `fixtures/clock.c` stands before the C library of every program that this thread
//! starts. It is named in a copy of `/etc` that only those see, since the programs pass on no environment.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::process::Command;

use rustix::time::{ClockId, clock_gettime};

use crate::home::put;
use crate::mounts::Mounts;
use crate::programs::checkout;

/// See the module.
#[derive(Debug)]
pub struct WallClock {
    folder: PathBuf,
    off: File,
}

impl WallClock {
    /// Gives this thread such a clock, which is right at first; `None` where the host does not allow it.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn own() -> Option<Self> {
        let mounts = Mounts::own()?;
        let folder = std::env::temp_dir().join(format!("msb-clock-{}", std::process::id()));
        fs::create_dir(&folder).expect("a folder of this process");
        let (path, library, etc) =
            (folder.join("off"), folder.join("clock.so"), folder.join("etc"));
        let off = File::create_new(&path).expect("a new file");
        off.write_all_at(&0_i64.to_ne_bytes(), 0).expect("a new file");
        let mut gcc = Command::new("gcc");
        gcc.args(["-shared", "-fPIC", "-O2", "-o"]).arg(&library);
        gcc.arg(format!("-DOFF=\"{}\"", path.display()));
        run(gcc.arg(checkout().join("tests/fixtures/clock.c")));
        run(Command::new("cp").args(["-a", "/etc"]).arg(&etc));
        put(&etc.join("ld.so.preload"), &format!("{}\n", library.display()));
        mounts.instead(&etc, "/etc".as_ref());
        Some(Self { folder, off })
    }

    /// Sets it so many seconds before or behind what is right.
    ///
    /// # Panics
    /// When its file cannot be written.
    pub fn set(&self, seconds: i64) {
        self.off.write_all_at(&seconds.to_ne_bytes(), 0).expect("a file of our own");
    }
}

impl Drop for WallClock {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
    }
}

/// Returns the seconds since 1970, as the host has them.
pub fn right() -> i64 {
    clock_gettime(ClockId::Realtime).tv_sec
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
