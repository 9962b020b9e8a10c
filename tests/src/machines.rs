//! The machine folders of a home, read as `msb` leaves them.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use schema::launch::LaunchRecord;
use schema::record::{self, Record};

use crate::home::Home;
use crate::processes::Alive;

/// One machine folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Where it is.
    pub path: PathBuf,
    /// What the machine was launched with, once it was.
    pub launch: Option<LaunchRecord>,
    /// What its runtime wrote last.
    pub record: Option<Record>,
    /// Whether its lease was seen to be held. A lock can be missed while others come and go, so
    /// this proves that a machine lives, never that none does.
    pub leased: bool,
}

impl Folder {
    /// Returns what its logs take.
    ///
    /// # Panics
    /// When the folder cannot be read.
    pub fn logs_bytes(&self) -> u64 {
        let entries = fs::read_dir(&self.path).expect("a machine's folder").flatten();
        let logs = entries.filter(|entry| entry.file_name().to_string_lossy().contains(".log"));
        logs.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
    }

    /// Returns whether its runtime lives: the process that the record names, by its start too.
    pub fn lives(&self) -> bool {
        self.record.as_ref().is_some_and(|record| {
            Alive::find(record.runtime.pid)
                .is_some_and(|found| found.start_ticks == record.runtime.start_ticks)
        })
    }

    /// Returns the machine's id.
    pub fn id(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Returns `PROJECT/SANDBOX[INSTANCE]`, or the folder where nothing is known.
    pub fn whose(&self) -> String {
        self.launch.as_ref().map_or_else(
            || self.path.display().to_string(),
            |launch| {
                let machine = &launch.machine;
                format!("{}/{}[{}]", machine.project, machine.sandbox, machine.instance)
            },
        )
    }
}

/// What the logs of a machine take at most: `exec.log`, `console.log`, `runtime.log`.
pub const LOGS_BYTES_MAX: u64 = (4 * 10 + 2 * 4 + 2 * 10) << 20;

/// Returns the machine folders of a home, by name.
pub fn of(home: &Home) -> Vec<Folder> {
    let held = flocks();
    let Ok(entries) = fs::read_dir(home.path().join("machines")) else { return Vec::new() };
    let mut folders: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.file_name().is_some_and(|name| {
                // Half-made folders are the oracle's to find.
                name != "names" && !name.as_encoded_bytes().starts_with(b".")
            })
        })
        .map(|path| Folder {
            launch: read(&path, "launch"),
            record: read(&path, record::FILE),
            leased: fs::metadata(path.join(record::LEASE))
                .is_ok_and(|lease| held.contains(&lease.ino())),
            path,
        })
        .collect();
    folders.sort_by(|one, other| one.path.cmp(&other.path));
    folders
}

/// Returns the process that is the machine of a sandbox, or stands for it: its VMM, its agent.
///
/// # Panics
/// When it has none that runs.
pub fn vmm(home: &Home, name: &str) -> Alive {
    let is_its = |folder: &Folder| {
        folder.launch.as_ref().is_some_and(|launch| launch.machine.sandbox.as_str() == name)
    };
    let folder = of(home).into_iter().find(is_its);
    let record = folder.and_then(|folder| folder.record).expect("it has a machine");
    Alive::find(record.vmm.expect("it was started").pid).expect("it runs")
}

fn read<T: serde::de::DeserializeOwned>(folder: &std::path::Path, file: &str) -> Option<T> {
    serde_json::from_slice(&fs::read(folder.join(file)).ok()?).ok()
}

/// Returns the inodes of files that somebody holds an flock on, without trying any lock.
pub(crate) fn flocks() -> HashSet<u64> {
    let text = fs::read_to_string("/proc/locks").unwrap_or_default();
    text.lines()
        .filter(|line| line.contains(" FLOCK ") && !line.contains("->"))
        .filter_map(|line| line.split_whitespace().nth(5)?.rsplit(':').next()?.parse().ok())
        .collect()
}
