//! The folder of one machine, and whether the machine lives.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schema::control::{AGENT_SOCKET, SOCKET};
use schema::event::{self, Event};
use schema::lifecycle::Phase;
use schema::peer;
use schema::record::{FILE, LEASE, Process, Record};

use super::process::{self, LookError};
use crate::store::{atomic, lease};

/// Name of the file that says for which definition a machine was made anew by its restart policy.
const RECREATED: &str = "recreated";

/// How often a lease is looked at that is to be released; the kernel has no flock with a deadline.
const RELEASED_EVERY: Duration = Duration::from_millis(20);

/// Where a machine keeps what is its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folder(PathBuf);

/// What a machine's folder says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether its lease is held by the process that its record names.
    pub alive: bool,
    /// Its record, where there is one that can be read.
    pub record: Option<Record>,
    /// Which version of it that is, where it is the last of a machine that has ended.
    pub stamp: Option<Stamp>,
}

/// What was seen of machines a moment ago, by id, so that nobody looks twice.
#[derive(Debug, Default)]
pub struct Looks {
    /// What each machine was found to be.
    pub taken: BTreeMap<String, Look>,
    /// Machines of which the row holds everything.
    pub still: HashSet<String>,
}

/// Which file a record was read from: records are replaced, never written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stamp(pub String);

impl Stamp {
    pub(super) fn of(meta: &fs::Metadata) -> Self {
        Self::from(meta.ino(), (meta.mtime(), meta.mtime_nsec()))
    }

    /// Returns the stamp of the file of this number, written to at this time.
    pub(super) fn from(inode: u64, (seconds, nanos): (i64, i64)) -> Self {
        Self(format!("{inode:x}.{seconds:x}.{nanos:x}"))
    }
}

/// Where a machine is, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Where.
    pub phase: Phase,
    /// Why, from a closed set.
    pub reason: Option<String>,
    /// More about it.
    pub detail: Option<String>,
}

impl Folder {
    /// Returns the folder of machine `id`.
    #[must_use]
    pub fn of(home: &Path, id: &str) -> Self {
        Self(home.join("machines").join(id))
    }

    /// Returns where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the path of a file in it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the private writable disk.
    #[must_use]
    pub fn upper(&self) -> PathBuf {
        self.file("upper.ext4")
    }

    /// Returns the runtime's own log.
    #[must_use]
    pub fn runtime_log(&self) -> PathBuf {
        self.file("runtime.log")
    }

    /// Returns the record; `None` where there is none, or none that is whole.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn record(&self) -> Result<Option<Record>, LookError> {
        Ok(self.stamped()?.map(|(record, _)| record))
    }

    fn stamped(&self) -> Result<Option<(Record, Stamp)>, LookError> {
        let path = self.file(FILE);
        let read = || {
            let mut file = fs::File::open(&path)?;
            let meta = file.metadata()?;
            let mut bytes = vec![0; usize::try_from(meta.len()).unwrap_or(0)];
            file.read_exact(&mut bytes)?;
            Ok::<_, io::Error>((bytes, Stamp::of(&meta)))
        };
        match read() {
            Ok((bytes, stamp)) => {
                Ok(serde_json::from_slice(&bytes).ok().map(|record| (record, stamp)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(LookError { path, source }),
        }
    }

    /// Returns what its runtime wrote down last, in order; a journal that cannot be read is none.
    #[must_use]
    pub fn journal(&self) -> Vec<Event> {
        let Ok(file) = fs::File::open(self.file(event::FILE)) else { return Vec::new() };
        let mut text = Vec::new();
        // It is a runtime's, and yet never read without end.
        let most = 2 * event::FILE_BYTES_MAX as u64;
        let read = file.take(most).read_to_end(&mut text);
        let lines = text.split(|byte| *byte == b'\n').filter(|_| read.is_ok());
        // What a crash cut short is no event.
        lines.filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }

    /// Returns what tells whether something was written down since: the file and its size.
    #[must_use]
    pub fn journal_mark(&self) -> Option<(u64, u64)> {
        fs::metadata(self.file(event::FILE)).ok().map(|meta| (meta.ino(), meta.len()))
    }

    /// Returns the definition for which the machine was made anew because its restarts were used up;
    /// one that cannot be read is none.
    #[must_use]
    pub fn recreated(&self) -> Option<String> {
        fs::read_to_string(self.file(RECREATED)).ok()
    }

    /// Notes for which definition the machine is made anew.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn note_recreated(&self, digest: &str) -> io::Result<()> {
        atomic::write(&self.file(RECREATED), digest.as_bytes())
    }

    /// Tells whether some process holds the lease.
    ///
    /// # Errors
    /// The lease is there and cannot be opened.
    pub fn is_leased(&self) -> Result<bool, LookError> {
        let path = self.file(LEASE);
        lease::is_held(&path).map_err(LookError::at(path))
    }

    /// Tells whether the runtime has cleared the folder of an ephemeral machine that ended.
    #[must_use]
    pub fn is_cleared(&self) -> bool {
        // Nearly every folder has one, so the record is seldom read.
        if self.file("launch").exists() {
            return false;
        }
        let record = self.record().ok().flatten();
        record.is_some_and(|record| record.rests())
    }

    /// Waits until nobody holds the lease, and tells whether that is so.
    ///
    /// What ends gives its memory back before its files, so a machine that was killed may hold
    /// its lease for a moment longer than it can be seen.
    ///
    /// # Errors
    /// The lease is there and cannot be opened.
    pub async fn released_within(&self, limit: Duration) -> Result<bool, LookError> {
        let released = async {
            while self.is_leased()? {
                tokio::time::sleep(RELEASED_EVERY).await;
            }
            Ok(true)
        };
        tokio::time::timeout(limit, released).await.unwrap_or(Ok(false))
    }

    /// Removes what means nothing without a living runtime: its sockets, and files half written.
    ///
    /// The caller knows that none lives, and that none is being started. What cannot be removed
    /// stays: the next runtime of this folder takes it for its own.
    pub fn tidy(&self) {
        self.remove(|name| {
            let own = ["record.new", peer::SOCKET, SOCKET, AGENT_SOCKET];
            atomic::is_draft(name) || own.contains(&name)
        });
    }

    /// Removes what a command that was killed has half written, also beside a runtime that lives.
    ///
    /// The caller knows that no other command is at work here.
    pub fn drop_drafts(&self) {
        self.remove(atomic::is_draft);
    }

    fn remove(&self, goes: impl Fn(&str) -> bool) {
        let Ok(entries) = fs::read_dir(&self.0) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name().to_str().is_some_and(&goes))
        {
            drop(fs::remove_file(entry.path()));
        }
    }

    /// Tells whether a runtime that is gone left its sockets behind.
    #[must_use]
    pub fn is_untidy(&self) -> bool {
        // The one that goes last; see the runtime's `Sockets`.
        fs::symlink_metadata(self.file(SOCKET)).is_ok()
    }

    /// Looks whether the machine lives: lease, process and boot all say so.
    ///
    /// # Errors
    /// One of them cannot be looked at; the machine then counts as nothing, least of all as dead.
    pub fn look(&self, boot_id: &str) -> Result<Look, LookError> {
        let (record, stamp) = self.stamped()?.unzip();
        let fits = match &record {
            Some(record) => process::is_running(&record.runtime, boot_id)?,
            None => false,
        };
        // Looking takes the lease for a moment, so a runtime that is only starting is left alone.
        let alive = fits && self.is_leased()?;
        let ended = record.as_ref().is_some_and(|record| record.ended_at_ms.is_some());
        Ok(Look { alive, record, stamp: stamp.filter(|_| ended && !alive) })
    }
}

impl Look {
    /// Returns where the machine is and why, also when it died without a word.
    #[must_use]
    pub fn standing(&self, remembered: Phase, boot_id: &str) -> Standing {
        let Some(record) = &self.record else {
            return match remembered {
                phase if phase.has_machine() => died("runtime-lost"),
                phase => Standing { phase, reason: None, detail: None },
            };
        };
        if self.alive || record.rests() {
            let (reason, detail) = (record.reason.clone(), record.detail.clone());
            return Standing { phase: record.phase, reason, detail };
        }
        died(if record.runtime.boot_id == boot_id { "runtime-lost" } else { "host-rebooted" })
    }

    /// Tells whether its record says that it has ended.
    #[must_use]
    pub fn rests(&self) -> bool {
        self.record.as_ref().is_some_and(Record::rests)
    }

    /// Returns the runtime's process.
    #[must_use]
    pub fn runtime(&self) -> Option<&Process> {
        self.record.as_ref().map(|record| &record.runtime)
    }
}

fn died(detail: &str) -> Standing {
    let reason = Some("machine-died".to_owned());
    Standing { phase: Phase::Failed, reason, detail: Some(detail.to_owned()) }
}
