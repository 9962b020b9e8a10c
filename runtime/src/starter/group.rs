//! The control group around a process, where the host has given us one to divide.
//!
//! Groups of version 2 alone: a group that is ours, and that hands on `memory` and `pids`. Who is not root
//! owns what it was given; root owns everything, and takes what its manager has marked, or the one that it lives
//! in itself. A group goes with its process; one whose starter was killed is taken away by the next
//! that is made beside it.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, Mode, OFlags, accessat, getxattr};
use serde::{Deserialize, Serialize};

/// How the groups of machines begin.
const PREFIX: &str = "msb-";

/// What a group must hand on.
const CONTROLLERS: [&str; 2] = ["memory", "pids"];

/// The marks of a group that its manager leaves to somebody, systemd's.
const MARKS: [&str; 2] = ["trusted.delegate", "user.delegate"];

/// What a process may take within its group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// What its group is called.
    pub(crate) name: String,
    /// The memory of all of it, what the kernel keeps for it included.
    pub(crate) memory_bytes: u64,
    /// Its processes and threads.
    pub(crate) tasks: u64,
}

/// A group that was made.
#[derive(Debug)]
pub(super) struct Group {
    /// Where it lies, below the mount of all groups.
    pub(super) path: PathBuf,
    pub(super) folder: OwnedFd,
}

/// A group that we may divide.
#[derive(Debug)]
pub(super) struct Parent(PathBuf);

impl Parent {
    /// Returns the nearest one above this process.
    pub(super) fn find() -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").ok()?;
        let own = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        let (mount, own) = place(&mounts, &own)?;
        let above = own.ancestors().take_while(|folder| folder.starts_with(&mount));
        above
            .into_iter()
            .find(|folder| is_ours(folder, *folder == own))
            .map(|at| Self(at.to_owned()))
    }

    /// Makes a group of these bounds.
    pub(super) fn make(&self, bounds: &Bounds) -> io::Result<Group> {
        self.sweep();
        let path = self.0.join(format!("{PREFIX}{}", bounds.name));
        match std::fs::create_dir(&path) {
            // It is of a process before this one, which may not be gone yet.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made?,
        }
        let group = Group {
            folder: rustix::fs::open(&path, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?,
            path,
        };
        let set = |file: &str, value: u64| {
            File::options()
                .write(true)
                .open(group.path.join(file))?
                .write_all(value.to_string().as_bytes())
        };
        set("memory.max", bounds.memory_bytes)?;
        set("pids.max", bounds.tasks)?;
        Ok(group)
    }

    /// Takes away groups that nobody is in.
    fn sweep(&self) {
        for entry in std::fs::read_dir(&self.0).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().starts_with(PREFIX) {
                // One that somebody is in stays.
                std::fs::remove_dir(entry.path()).ok();
            }
        }
    }
}

impl Group {
    /// Takes it away; its process is gone.
    pub(super) fn remove(&self) {
        std::fs::remove_dir(&self.path).ok();
    }
}

/// Returns where the groups are mounted and where this process's own lies.
fn place(mounts: &str, own: &str) -> Option<(PathBuf, PathBuf)> {
    let own = own.lines().find_map(|line| line.strip_prefix("0::"))?;
    let mount = mounts.lines().find_map(|line| {
        let (fields, kind) = line.split_once(" - ")?;
        let is_it = kind.split(' ').next() == Some("cgroup2");
        let mut fields = fields.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        is_it.then_some((root, PathBuf::from(point)))
    });
    let (root, mount) = mount?;
    let below = Path::new(own).strip_prefix(root).ok()?;
    let own = if below.as_os_str().is_empty() { mount.clone() } else { mount.join(below) };
    Some((mount, own))
}

/// Tells whether we may make groups in a group, and put bounds on them.
fn is_ours(folder: &Path, is_own: bool) -> bool {
    let handed_on = std::fs::read_to_string(folder.join("cgroup.subtree_control"));
    let handed_on = handed_on.unwrap_or_default();
    let hands_on = |wanted: &&str| handed_on.split_ascii_whitespace().any(|one| one == *wanted);
    if !CONTROLLERS.iter().all(hands_on) {
        return false;
    }
    let may_write =
        |path: &Path| accessat(rustix::fs::CWD, path, Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    if !may_write(folder) || !may_write(&folder.join("cgroup.procs")) {
        return false;
    }
    let user = rustix::process::geteuid();
    if !user.is_root() {
        return std::fs::metadata(folder).is_ok_and(|meta| meta.uid() == user.as_raw());
    }
    is_own || MARKS.iter().any(|mark| matches!(getxattr(folder, *mark, &mut [0_u8; 1]), Ok(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "24 1 0:21 / /proc rw,nosuid - proc proc rw\n\
                          31 24 0:27 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn the_own_group_lies_below_the_mount_of_version_2() {
        let found = |mounts: &str, own: &str| place(mounts, own);
        let mount = PathBuf::from("/sys/fs/cgroup");
        let own = "0::/user.slice/user-1000.slice/session.scope\n";
        let folder = mount.join("user.slice/user-1000.slice/session.scope");
        assert_eq!(found(MOUNTS, own), Some((mount.clone(), folder)));
        let both = "4:memory:/x\n0::/\n";
        assert_eq!(found(MOUNTS, both), Some((mount.clone(), mount)));
        let inner = MOUNTS.replace("0:27 / ", "0:27 /docker/1 ");
        let folder = PathBuf::from("/sys/fs/cgroup/a");
        assert_eq!(found(&inner, "0::/docker/1/a\n").unwrap().1, folder);
        assert_eq!(found(&inner, "0::/docker/2\n"), None, "it is not to be seen");
        assert_eq!(found(MOUNTS, "4:memory:/x\n"), None, "only version 1");
    }

    #[test]
    fn a_folder_that_hands_nothing_on_is_none_of_ours() {
        let scratch = crate::folder::tests::Scratch::new("group");
        let put = |name: &str, text: &str| {
            scratch
                .open()
                .replace(name, text.as_bytes(), crate::folder::Durability::Synced)
                .unwrap();
        };
        put("cgroup.procs", "");
        put("cgroup.subtree_control", "cpu memory\n");
        assert!(!is_ours(&scratch.path, true));
        put("cgroup.subtree_control", "cpu memory pids\n");
        assert!(is_ours(&scratch.path, true));
    }
}
