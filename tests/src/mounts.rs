//! Mounts that only this thread and its children see; they go with it.

use std::path::Path;
use std::process::Command;

/// A thread's own view of the mounts.
#[derive(Debug)]
pub struct Mounts(());

impl Mounts {
    /// Gives this thread mounts of its own; `None` where the host does not allow it.
    pub fn own() -> Option<Self> {
        crate::sys::own_mounts().ok().map(|()| Self(()))
    }

    /// Puts an empty file system in memory over a folder, of so many MiB.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn tmpfs(&self, folder: &Path, mebibytes: u32) {
        let options = format!("size={mebibytes}m,mode=700");
        self.mount(&["-t", "tmpfs", "-o", &options, "tmpfs"], folder);
    }

    /// Lets a folder or file be read and not written.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn read_only(&self, path: &Path) {
        let text = path.display().to_string();
        self.mount(&["--bind", &text], path);
        self.mount(&["-o", "remount,bind,ro"], path);
    }

    /// Shows a folder or file in the place of another.
    ///
    /// # Panics
    /// When it cannot be mounted.
    pub fn instead(&self, shown: &Path, of: &Path) {
        self.mount(&["--bind", &shown.display().to_string()], of);
    }

    /// Takes the last mount on a path away.
    ///
    /// # Panics
    /// When there is none, or somebody uses it.
    pub fn take_away(&self, path: &Path) {
        run(Command::new("umount").arg(path));
    }

    #[expect(clippy::unused_self, reason = "who has it has mounts of its own")]
    fn mount(&self, words: &[&str], path: &Path) {
        run(Command::new("mount").args(words).arg(path));
    }
}

fn run(command: &mut Command) {
    let output = command.output().expect("mount is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
