//! What is remembered and what is there: rows, machines, volumes, all as values.
//!
//! The rows are the store's own types; what a command sees of them goes
//! through the real [`Observed::of`].

use std::collections::{BTreeMap, BTreeSet};

use schema::launch::{Accelerator, DriverName, Isolation};
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::Body;
use schema::record::{Effective, Process, Record};

use crate::machines::{Look, Standing};
use crate::observe::{Everything, Observed, Seen, SeenMachine, SeenVolume};
use crate::plan::{Op, Wish};
use crate::store::inventory::{MachineRow, ProjectRow, Role, SandboxRow, VolumeRow, VolumeUse};

/// The id of the project that is simulated.
pub(super) const PROJECT: &str = "p";

/// The id of the imperative project.
pub(super) const ADHOC: &str = "adhoc";

const BOOT_ID: &str = "boot";

/// The folder of one machine, and the process that has its lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) alive: bool,
    pub(super) record: Option<Record>,
}

/// An operation, as it was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OpRow {
    pub(super) id: u64,
    pub(super) run: u64,
    pub(super) op: Op,
    pub(super) open: bool,
    pub(super) nonce: Option<String>,
    pub(super) machine: Option<String>,
    pub(super) volume: Option<(String, VolumeName)>,
    pub(super) protect: bool,
    pub(super) definition: Option<String>,
}

/// One host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    ids: u64,
    pub(super) project: Option<ProjectRow>,
    pub(super) rows: BTreeMap<String, SandboxRow>,
    pub(super) machines: BTreeMap<String, MachineRow>,
    pub(super) volumes: BTreeMap<String, VolumeRow>,
    pub(super) uses: Vec<VolumeUse>,
    pub(super) definitions: BTreeMap<String, Body>,
    pub(super) ops: Vec<OpRow>,
    pub(super) live_runs: BTreeSet<u64>,
    /// Folders of machines, by id.
    pub(super) folders: BTreeMap<String, Folder>,
    /// Disks by their name in the folder of volumes, each with its id.
    pub(super) disks: BTreeMap<VolumeName, String>,
    /// Ids of disks in the trash.
    pub(super) trash: BTreeSet<String>,
}

impl State {
    pub(super) fn new_id(&mut self, what: &str) -> String {
        self.ids += 1;
        format!("{what}{}", self.ids)
    }

    pub(super) fn number(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    /// Returns the row of a sandbox of the project.
    pub(super) fn row(&self, name: &InstanceName) -> Option<&SandboxRow> {
        self.rows.values().find(|row| row.name == *name && row.project_id == PROJECT)
    }

    pub(super) fn machines_of(&self, sandbox: &str) -> Vec<MachineRow> {
        self.machines.values().filter(|m| m.sandbox_id == sandbox).cloned().collect()
    }

    pub(super) fn by_role(&self, sandbox: &str, role: Role) -> Option<MachineRow> {
        self.machines.values().find(|m| m.sandbox_id == sandbox && m.role == role).cloned()
    }

    /// Returns the machine that counts of a sandbox of the project.
    pub(super) fn current(&self, name: &InstanceName) -> Option<MachineRow> {
        self.by_role(&self.row(name)?.id, Role::Current)
    }

    pub(super) fn put_machine(&mut self, row: MachineRow) {
        self.machines.insert(row.id.clone(), row);
    }

    pub(super) fn remove_sandbox(&mut self, id: &str) {
        self.rows.remove(id);
        self.uses.retain(|one| one.sandbox_id != id);
        self.machines.retain(|_, machine| machine.sandbox_id != id);
    }

    pub(super) fn put_definition(&mut self, body: &Body) -> String {
        let digest = body.digest().to_owned();
        self.definitions.insert(digest.clone(), body.clone());
        digest
    }

    pub(super) fn look(&self, machine: &str) -> Look {
        let folder = self.folders.get(machine).cloned().unwrap_or_default();
        Look { alive: folder.alive, record: folder.record, stamp: None }
    }

    pub(super) fn standing(&self, machine: &MachineRow) -> Standing {
        self.look(&machine.id).standing(machine.phase, BOOT_ID)
    }

    /// Ends a machine, which writes why.
    pub(super) fn end(&mut self, machine: &str, phase: Phase, reason: &str) {
        if let Some(folder) = self.folders.get_mut(machine) {
            folder.alive = false;
            if let Some(record) = &mut folder.record {
                (record.phase, record.reason) = (phase, Some(reason.to_owned()));
            }
        }
    }

    /// What runs goes on by itself: what was started is ready, what was to end has ended.
    pub(super) fn go_on(&mut self, machine: &MachineRow, job: bool) {
        let Some(folder) = self.folders.get_mut(&machine.id).filter(|folder| folder.alive) else {
            return;
        };
        let Some(record) = &mut folder.record else { return };
        let unfinished = matches!(record.phase, Phase::Booting | Phase::Starting | Phase::Stalled);
        match job {
            true => {
                (record.phase, folder.alive) = (Phase::Completed, false);
                record.exit = Some(schema::record::Exit { code: Some(0), signal: None });
            }
            false if unfinished => record.phase = Phase::Ready,
            false => {}
        }
    }

    /// Returns what a command sees that asks for `wish`.
    pub(super) fn observe(&self, wish: &Wish) -> Observed {
        let mut everything = Everything::default();
        everything.projects = self.project.iter().cloned().collect();
        let ours = self.rows.values().filter(|row| row.project_id == PROJECT);
        everything.sandboxes =
            ours.map(|row| (wish.project.name.clone(), Box::new(self.seen(row)))).collect();
        everything.volumes = self.volumes.values().map(|row| self.seen_volume(row)).collect();
        let mut observed = Observed::of(wish, everything);
        let adhoc = self.rows.values().filter(|row| row.project_id == ADHOC);
        observed.adhoc = adhoc.map(|row| row.name.clone()).collect();
        observed
    }

    fn seen(&self, row: &SandboxRow) -> Seen {
        let definition = |digest: &Option<String>| {
            digest.as_ref().and_then(|digest| self.definitions.get(digest)).cloned()
        };
        let (current, others): (Vec<_>, Vec<_>) =
            self.machines_of(&row.id).into_iter().partition(|m| m.role == Role::Current);
        let machine = current.into_iter().next().map(|row| {
            let look = self.look(&row.id);
            let Standing { phase, reason, detail } = self.standing(&row);
            let reason = reason.or_else(|| row.reason.clone());
            let record = look.record.map(Box::new);
            SeenMachine { row, alive: look.alive, phase, reason, detail, record, recreated: None }
        });
        let (applied, desired) = (definition(&row.applied), definition(&row.desired));
        let row = row.clone();
        Seen { row, applied, desired, machine, others, sensitive: BTreeMap::new() }
    }

    fn seen_volume(&self, row: &VolumeRow) -> SeenVolume {
        let uses = self.uses.iter().filter(|one| one.volume_id == row.id).cloned().collect();
        let owner = ProjectName::parse("shop").ok();
        SeenVolume { row: row.clone(), owner, uses }
    }
}

/// Returns the record of a machine that was launched with `want`.
pub(super) fn record(machine: &str, nonce: &str, want: &Body) -> Record {
    Record {
        format: 1,
        machine: machine.to_owned(),
        nonce: nonce.to_owned(),
        runtime: Process { pid: 1, start_ticks: 1, boot_id: BOOT_ID.to_owned() },
        version: String::new(),
        vmm: None,
        driver: DriverName::Qemu,
        accelerator: Accelerator::Tcg,
        isolation: Isolation::Emulated,
        phase: Phase::Booting,
        reason: None,
        detail: None,
        message: None,
        since_ms: 0,
        started_at_ms: None,
        first_byte_at_ms: None,
        agent_ready_at_ms: None,
        ready_at_ms: None,
        ended_at_ms: None,
        boot: 1,
        restarts: 0,
        health: schema::record::Health::None,
        generation: None,
        effective: effective(want),
        asked: None,
        exit: None,
        forced: false,
        ports: Vec::new(),
        jail_missing: Vec::new(),
        control_group: None,
        console_tail: Vec::new(),
    }
}

/// Returns the live values that a definition asks for.
pub(super) fn effective(want: &Body) -> Effective {
    Effective {
        cpus: u32::from(want.cpus.count),
        memory_bytes: want.memory.size.0,
        stop_grace_ms: want.stop_grace.0,
        idle_ms: want.idle_timeout.map(|age| age.0),
        max_ms: want.max_duration.map(|age| age.0),
    }
}
