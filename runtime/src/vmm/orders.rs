//! What the process of a machine is told, once.

use std::io;
use std::os::fd::RawFd;
use std::path::PathBuf;

use rustix::fs::{FileType, fstat};
use serde::{Deserialize, Serialize};

use crate::hypervisor::{DiskFd, krun};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// Where it says that it is in its jail, and what that lacks.
    pub(crate) report: RawFd,
    /// Files that are opened again by their numbers; whether they are written.
    pub(crate) files: Vec<(RawFd, bool)>,
    /// The most bytes of a file that it writes; absent: it writes a device, which has no such limit.
    pub(crate) file_bytes: Option<u64>,
    /// Whether it runs on KVM.
    pub(crate) on_kvm: bool,
    /// What it becomes.
    pub(crate) job: Job,
}

/// What a process becomes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Job {
    /// A machine of libkrun.
    Krun(krun::Orders),
    /// A program.
    Program(Program),
    /// Nothing: it is to see what a jail lacks here.
    Nothing,
}

/// A program that takes the place of the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    /// Where it lies, absolute.
    pub(crate) path: PathBuf,
    /// What it calls itself.
    pub(crate) name: String,
    /// What it is told.
    pub(crate) args: Vec<String>,
}

/// Returns how many bytes the largest file has that a machine of these disks writes; nothing of a device.
pub(crate) fn largest(disks: &[DiskFd]) -> io::Result<Option<u64>> {
    let mut largest = 0;
    for disk in disks.iter().filter(|disk| !disk.read_only) {
        let stat = fstat(&disk.fd)?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        largest = largest.max(u64::try_from(stat.st_size).unwrap_or_default());
    }
    Ok(Some(largest))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn a_vmm_writes_no_file_beyond_its_largest_disk_and_a_device_to_its_end() {
        let folder = std::env::temp_dir().join(format!("msb-largest-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let disk = |name: &str, bytes, read_only| {
            let file = File::create(folder.join(name)).unwrap();
            file.set_len(bytes).unwrap();
            DiskFd { fd: file.into(), serial: name.into(), read_only }
        };
        let disks = [disk("root", 9000, true), disk("a", 4096, false), disk("b", 8192, false)];
        assert_eq!(largest(&disks).unwrap(), Some(8192));
        assert_eq!(largest(&disks[..1]).unwrap(), Some(0));
        let device = File::open("/dev/null").unwrap();
        let device = DiskFd { fd: device.into(), serial: "c".into(), read_only: false };
        assert_eq!(largest(&[device]).unwrap(), None);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
