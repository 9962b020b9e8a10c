//! The test driver: agentd as an ordinary child process, no machine.
//!
//! It speaks the same protocol over the same streams, in a scratch folder. It
//! is no boundary of any kind, and is used only where it is asked for by name.

use std::fs::{DirBuilder, read_link};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::{Component, Path, PathBuf};

use schema::launch::{Isolation, Shape};
use tokio::sync::mpsc;

use super::parts::pair;
use crate::starter::Starter;

use super::{
    Built, Capabilities, Child, Console, CounterLine, DriverError, FILES_MAX, Hypervisor, Links,
    Machine, Monitor, Place, Plan, Scratch,
};

/// Name of the scratch folder in the machine folder.
const ROOT: &str = "root";

/// The driver.
#[derive(Debug)]
pub(super) struct Process {
    program: PathBuf,
}

impl Process {
    /// Returns a driver that runs `program` where no open agent is handed over.
    pub(super) const fn new(program: PathBuf) -> Self {
        Self { program }
    }
}

impl Hypervisor for Process {
    fn capabilities(&self) -> Capabilities {
        Capabilities { isolation: Isolation::None, disks_max: usize::MAX, cpus_max: u32::MAX }
    }

    fn check(&self, _: &Shape, _: usize) -> Result<(), DriverError> {
        Ok(())
    }

    fn start(&self, built: Built, _: &Starter) -> Result<Machine, DriverError> {
        let Some(scratch) = built.scratch else {
            return Err(DriverError::Unsupported { what: "a process without a scratch".into() });
        };
        let root = furnish(&scratch)?;
        let (console, console_end) = pair("the console stream")?;
        let (agent, agent_end) = pair("the agent stream")?;
        let agent_end = OwnedFd::from(agent_end);
        let args = ["--process", "--root"].map(String::from).into_iter().chain([
            root.display().to_string(),
            "--agent-fd".into(),
            agent_end.as_raw_fd().to_string(),
        ]);
        // Commands of the agent inherit what it inherits, and may outlive it: with the lease in
        // their hands a forgotten `sleep` would keep the next machine from starting.
        drop(built.lease);
        let mut keep = vec![agent_end];
        let program = match scratch.agent {
            None => self.program.clone(),
            Some(open) => {
                let path = PathBuf::from(format!("/proc/self/fd/{}", open.as_raw_fd()));
                keep.push(open);
                path
            }
        };
        let process = Child::spawn(Plan {
            program,
            name: "agentd",
            args: args.collect(),
            env: host_path(),
            stderr: Some(console_end.into()),
            keep,
            files_max: FILES_MAX,
        })?;
        let (_, notices) = mpsc::channel(1);
        let console = Console::of(console)
            .map_err(|source| DriverError::Prepare { what: "the console stream".into(), source })?;
        let links = Links { console, agent, files: None, net: None };
        let jail_missing = vec!["an agent without a machine is in no jail".to_owned()];
        Ok(Machine { process, links, monitor: Box::new(Deaf), notices, jail_missing })
    }
}

/// An agent without a machine has nothing to flush but itself.
#[derive(Debug)]
struct Deaf;

impl Monitor for Deaf {
    fn quit(&mut self) {}

    fn counters(&self) -> Option<CounterLine> {
        None
    }
}

/// Returns the host's `PATH`, which is all of its environment that commands see.
fn host_path() -> Vec<(String, String)> {
    std::env::var_os("PATH")
        .and_then(|path| path.into_string().ok())
        .map(|path| ("PATH".to_owned(), path))
        .into_iter()
        .collect()
}

/// Makes the scratch folder and what appears in it; returns where it is.
fn furnish(scratch: &Scratch) -> Result<PathBuf, DriverError> {
    let prepared = |what: String| move |source| DriverError::Prepare { what, source };
    let root = path_of(&scratch.folder).map_err(prepared("the machine folder".into()))?.join(ROOT);
    make_folder(&root).map_err(prepared(format!("the folder {}", root.display())))?;
    for place in &scratch.places {
        appear(&root, place).map_err(prepared(format!("the mount at {}", place.target)))?;
    }
    Ok(root)
}

fn appear(root: &Path, place: &Place) -> io::Result<()> {
    let inside: PathBuf = Path::new(&place.target)
        .components()
        .filter(|part| matches!(part, Component::Normal(_)))
        .collect();
    let target = root.join(inside);
    let Some(folder) = &place.folder else {
        return make_folder(&target);
    };
    if let Some(parent) = target.parent() {
        make_folder(parent)?;
    }
    let source = path_of(folder)?;
    match symlink(&source, &target) {
        // A machine that starts again finds its links as it left them.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => match read_link(&target) {
            Ok(there) if there == source => Ok(()),
            // What it led to has another name by now.
            Ok(_) => std::fs::remove_file(&target).and_then(|()| symlink(&source, &target)),
            Err(_) => Err(e),
        },
        done => done,
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}

/// Returns where an open folder lies now.
fn path_of(folder: &impl AsFd) -> io::Result<PathBuf> {
    read_link(format!("/proc/self/fd/{}", folder.as_fd().as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_never_leaves_the_scratch_folder() {
        let folder = std::env::temp_dir().join(format!("msb-place-{}", std::process::id()));
        let place = Place { target: "/../../etc/./x".into(), folder: None };
        appear(&folder, &place).unwrap();
        assert!(folder.join("etc/x").is_dir());
        std::fs::remove_dir_all(folder).unwrap();
    }
}
