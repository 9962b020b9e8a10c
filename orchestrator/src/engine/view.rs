//! One sandbox as `ps`, `list` and `inspect` show it.

use std::path::{Path, PathBuf};

use schema::launch::{DriverName, Isolation};
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName};
use schema::project::{Body, Kind};
use schema::record::Record;

use crate::machines::{Folder, Machine};
use crate::observe::{Seen, SeenMachine};
use crate::store::lift;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a column of its own")]
pub struct SandboxView {
    /// The id of its row.
    pub id: String,
    /// Its project.
    pub project: ProjectName,
    /// Its name.
    pub name: InstanceName,
    /// Service or job.
    pub kind: Kind,
    /// Where it is.
    pub phase: Phase,
    /// Why.
    pub reason: Option<String>,
    /// More about the reason.
    pub detail: Option<String>,
    /// Whether a stop is under way.
    pub stopping: bool,
    /// The exit code of its workload.
    pub exit_code: Option<u8>,
    /// What it is to be: as applied, else as wished for.
    pub definition: Option<Body>,
    /// What was last wished for; `None` once it left the file.
    pub desired: Option<Body>,
    /// The manifest digest of its image.
    pub image_digest: Option<String>,
    /// Rises with every new wish.
    pub generation: u64,
    /// The generation that was last carried out.
    pub observed: u64,
    /// The id of its current machine.
    pub machine_id: Option<String>,
    /// Whether that lives.
    pub alive: bool,
    /// Who runs it, and what that promises.
    pub driver: Option<(DriverName, Isolation)>,
    /// Its record.
    pub record: Option<Box<Record>>,
    /// Whether removing it is refused.
    pub protected: bool,
    /// When it was first wished for, RFC 3339.
    pub created_at: String,
    home: PathBuf,
}

impl SandboxView {
    pub(super) fn of(home: &Path, project: ProjectName, seen: Seen) -> Self {
        let phase = seen.phase();
        let driver = seen.driver();
        let Seen { row, applied, desired, machine, .. } = seen;
        let alive = machine.as_ref().is_some_and(|machine| machine.alive);
        let (machine, reason, detail, record) = match machine {
            Some(SeenMachine { row, reason, detail, record, .. }) => {
                (Some(row), reason, detail, record)
            }
            None => (None, None, None, None),
        };
        let (machine_id, image_digest) = machine.map(|row| (row.id, row.image_digest)).unzip();
        let exit = record.as_ref().and_then(|record| record.exit);
        Self {
            id: row.id,
            project,
            name: row.name,
            kind: row.kind,
            phase,
            reason,
            detail,
            stopping: record.as_ref().is_some_and(|r| r.asked.is_some() && !r.rests())
                && !phase.is_resting(),
            exit_code: exit.map(schema::record::Exit::shell_code).or(row.completed_code),
            definition: applied.or_else(|| desired.clone()),
            desired,
            image_digest: image_digest.flatten(),
            generation: row.generation,
            observed: row.observed,
            machine_id,
            alive,
            driver,
            record,
            protected: row.protect,
            created_at: row.created_at,
            home: home.to_owned(),
        }
    }

    /// Tells whether a definition of the file is what was last wished for.
    #[must_use]
    pub fn is_wished_as(&self, want: &Body) -> bool {
        self.desired.as_ref().is_some_and(|desired| {
            let mut desired = desired.clone();
            desired == *want || {
                lift::settle(&mut desired, want);
                desired == *want
            }
        })
    }

    /// Returns its machine, where one lives.
    #[must_use]
    pub fn machine(&self) -> Option<Machine> {
        let id = self.machine_id.as_ref().filter(|_| self.alive)?;
        let nonce = self.record.as_ref()?.nonce.clone();
        Some(Machine::new(Folder::of(&self.home, id), id.clone(), nonce))
    }

    /// Tells whether it was to leave nothing behind, and has ended.
    pub(super) fn is_cleared(&self) -> bool {
        !self.alive && self.folder().is_some_and(|folder| folder.is_cleared())
    }

    /// Returns the folder of its current machine, where its logs lie.
    #[must_use]
    pub fn folder(&self) -> Option<Folder> {
        self.machine_id.as_ref().map(|id| Folder::of(&self.home, id))
    }
}
