//! A throw-away home: `$MSB_HOME`, a user's home and a project folder, gone when the test ends.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::{fs, io};

use orchestrator::store::{Store, invariants};

use crate::processes::Alive;
use crate::run::{Run, Started, bare};
use crate::{processes, programs};

/// What the machines of a home are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rung {
    /// Driver `process`: the agent as a plain child.
    Process,
    /// Real guests, under the driver that proves itself.
    Machine,
}

impl Rung {
    /// Returns where homes are made: in memory, where there is room and no real disk is wanted.
    fn ground(self) -> PathBuf {
        let memory = Path::new("/dev/shm");
        let free = rustix::fs::statvfs(memory).map_or(0, |stat| stat.f_bavail * stat.f_frsize);
        let is_writable = rustix::fs::access(memory, rustix::fs::Access::WRITE_OK).is_ok();
        if self == Self::Process && is_writable && free >= MEMORY_MIN {
            memory.to_path_buf()
        } else {
            std::env::temp_dir()
        }
    }

    /// Returns how long one command may take.
    pub fn patience(self) -> Duration {
        match self {
            Self::Process => Duration::from_secs(60),
            Self::Machine => Duration::from_secs(300) * slowness(),
        }
    }
}

/// Returns how many times longer a guest takes than where it is emulated at once: the lab emulates its host.
pub fn slowness() -> u32 {
    if driver().is_some() { 5 } else { 1 }
}

/// The least that a file system in memory must have free.
const MEMORY_MIN: u64 = 2 << 30;

/// See the module.
#[derive(Debug)]
pub struct Home {
    root: PathBuf,
    rung: Rung,
    kernel: Option<PathBuf>,
    scratch: AtomicU32,
    /// What every command is started through.
    through: Vec<String>,
}

impl Home {
    /// Makes a home whose machines are plain processes.
    pub fn process() -> Self {
        Self::new(Rung::Process)
    }

    /// Makes a home whose machines are real, with the proof of a driver that an earlier test left;
    /// the programs judge for themselves whether it still holds.
    ///
    /// # Panics
    /// When there is no guest kernel.
    pub fn machine() -> Self {
        let mut home = Self::new(Rung::Machine);
        // A proof names its kernel by path; one path for all homes lets them share it.
        home.kernel = Some(programs::kernel().join("vmlinux"));
        if shared_proof().exists() {
            home.folder(&home.path().join("db"));
            fs::copy(shared_proof(), home.path().join(PROOF)).expect("a new folder");
        }
        home
    }

    /// Makes a home as `./setup` does, in which no driver was proved yet.
    ///
    /// # Panics
    /// When there is no guest kernel.
    pub fn unproved() -> Self {
        let home = Self::new(Rung::Machine);
        let kernel = programs::kernel();
        let kernels = home.path().join("kernels");
        home.folder(&kernels);
        let key = kernel.file_name().expect("a kernel's folder is its key");
        std::os::unix::fs::symlink(&kernel, kernels.join(key)).expect("a new folder");
        home
    }

    fn new(rung: Rung) -> Self {
        let root = fresh(&rung.ground()).unwrap_or_else(|error| {
            panic!("cannot make a home in {} for {rung:?}: {error}", rung.ground().display())
        });
        let home =
            Self { root, rung, kernel: None, scratch: AtomicU32::new(0), through: Vec::new() };
        for folder in [home.path(), home.project(), home.root.join("user")] {
            home.folder(&folder);
        }
        home
    }

    /// Returns `$MSB_HOME`.
    pub fn path(&self) -> PathBuf {
        self.root.join("home")
    }

    /// Returns the project folder, in which commands run.
    pub fn project(&self) -> PathBuf {
        self.root.join("shop")
    }

    /// Returns what its machines are.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// Writes a file of the project.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        put(&self.project().join(name), text);
    }

    /// Runs the script of an example in the project folder, where it has one.
    ///
    /// # Panics
    /// When it fails.
    pub fn prepare(&self, script: Option<&str>) {
        let Some(script) = script else { return };
        let mut shell = bare("/bin/sh");
        shell.current_dir(self.project()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        shell.args(["-c", script]);
        self.spawn(shell).wait(self.rung.patience()).exits(0);
    }

    /// Returns a path for a file of the test's own, outside home and project.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Runs `msb` until it ends.
    pub fn msb<const N: usize>(&self, args: [&str; N]) -> Run {
        self.start(args).wait(self.rung.patience())
    }

    /// Runs `msb` with as many words as there are, until it ends.
    pub fn msb_with(&self, args: &[&str]) -> Run {
        let mut command = self.command();
        command.args(args);
        self.spawn(command).wait(self.rung.patience())
    }

    /// Starts `msb`.
    pub fn start<const N: usize>(&self, args: [&str; N]) -> Started {
        let mut command = self.command();
        command.args(args);
        self.spawn(command)
    }

    /// Starts `msb-metrics`.
    pub fn exporter(&self, words: &[&str]) -> Started {
        let mut command = self.program("msb-metrics");
        command.args(words);
        self.spawn(command)
    }

    /// Runs `msb` with a file as its standard input.
    ///
    /// # Panics
    /// When there is no such file.
    pub fn msb_reading<const N: usize>(&self, args: [&str; N], input: &Path) -> Run {
        let mut command = self.command();
        command.args(args).stdin(Stdio::from(fs::File::open(input).expect("the input exists")));
        self.spawn(command).wait(self.rung.patience())
    }

    /// Starts a command that [`Home::command`] began.
    pub fn spawn(&self, command: Command) -> Started {
        let number = self.scratch.fetch_add(1, Ordering::Relaxed);
        Started::spawn(command, &self.root.join(format!("run{number}")))
    }

    /// Returns `msb` with this home and nothing of the caller's environment.
    pub fn command(&self) -> Command {
        self.program("msb")
    }

    /// Returns one of our programs with this home and nothing of the caller's environment.
    pub fn program(&self, name: &str) -> Command {
        let program = programs::folder().join(name);
        let mut command = match self.through.split_first() {
            None => bare(program),
            Some((first, rest)) => {
                let mut command = bare(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .current_dir(self.project())
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.root.join("user"))
            .env("MSB_HOME", self.path());
        if self.rung == Rung::Process {
            command.env("MSB_DRIVER", "process");
        } else if let Some(driver) = driver() {
            command.env("MSB_DRIVER", driver);
        }
        if let Some(kernel) = &self.kernel {
            command.env("MSB_KERNEL", kernel);
        }
        command
    }

    /// Starts every command from now on through another one, which becomes it in the end.
    pub fn go_through(&mut self, words: &[&str]) {
        self.through = words.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Returns `ps --output json`.
    pub fn ps(&self) -> Vec<serde_json::Value> {
        let list = self.msb(["ps", "--output", "json"]).exits(0).json();
        list.as_array().expect("ps prints an array").clone()
    }

    /// Returns the row of one sandbox in `ps --output json`.
    ///
    /// # Panics
    /// When there is not exactly one.
    pub fn sandbox(&self, name: &str) -> serde_json::Value {
        let rows: Vec<_> = self.ps().into_iter().filter(|row| row["name"] == name).collect();
        assert_eq!(rows.len(), 1, "{name}: {rows:?}");
        rows[0].clone()
    }

    /// Returns what of the state contradicts the rest of it; one that a test damaged is not read.
    fn contradictions(&self) -> Vec<String> {
        let store = Store::open_read_only(&self.path()).ok().flatten();
        let looked = store.map(|mut store| store.read(invariants::broken));
        looked.and_then(Result::ok).unwrap_or_default()
    }

    /// Returns the processes that work for this home.
    pub fn alive(&self) -> Vec<Alive> {
        processes::of(&self.root)
    }

    fn folder(&self, path: &Path) {
        private(path).unwrap_or_else(|error| {
            panic!("cannot make {} for {:?}: {error}", path.display(), self.rung)
        });
    }
}

/// Returns the driver that every machine is to have: in the lab the same tests run once for each.
#[must_use]
pub fn driver() -> Option<String> {
    std::env::var_os("MSB_TEST_DRIVER").and_then(|name| name.into_string().ok())
}

/// Makes the root of a home. A failed test leaves its own behind, and process ids come again: a
/// name that is taken is passed over.
fn fresh(ground: &Path) -> io::Result<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Of one width: no home's name begins another's, for those who look for its processes.
        let root = ground.join(format!("msb-t{}-{number:06}", std::process::id()));
        match private(&root) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| root),
        }
    }
}

fn private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(path)
}

/// Writes a file that a test needs somewhere.
///
/// # Panics
/// When it cannot be written.
#[expect(
    clippy::disallowed_methods,
    reason = "a test's input; a crash in the middle ends the test"
)]
pub fn put(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Where a home keeps the proof of its drivers.
const PROOF: &str = "db/proof.json";

fn shared_proof() -> PathBuf {
    programs::folder().join("proof.json")
}

impl Drop for Home {
    fn drop(&mut self) {
        for process in self.alive() {
            process.kill();
        }
        if std::thread::panicking() {
            // What is left tells the story.
            return;
        }
        let broken = self.contradictions();
        let proof = self.path().join(PROOF);
        if self.kernel.is_some() && proof.exists() {
            // A copy that appears whole; where it cannot, the next home proves for itself.
            let beside = programs::folder().join(format!("proof.{}", std::process::id()));
            drop(fs::copy(&proof, &beside).and_then(|_| fs::rename(&beside, shared_proof())));
        }
        drop(fs::remove_dir_all(&self.root));
        assert!(broken.is_empty(), "the state contradicts itself:\n  {}", broken.join("\n  "));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_passes_over_what_a_failed_test_of_the_same_id_left() {
        let ground = fresh(&std::env::temp_dir()).unwrap();
        let left = fresh(&ground).unwrap();
        let number: u32 = left.to_str().unwrap().rsplit('-').next().unwrap().parse().unwrap();
        let taken = ground.join(format!("msb-t{}-{:06}", std::process::id(), number + 1));
        private(&taken).unwrap();
        let made = fresh(&ground).unwrap();
        assert!(made.is_dir() && made != left && made != taken, "{}", made.display());
        fs::remove_dir_all(ground).unwrap();
    }
}
