//! The rows of a run: the intent before each act, and what became of it.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{Access, GuestPath, Kind, Labels, MountSource, VolumeKind};
use serde::{Deserialize, Serialize};

use super::{Host, Ticket, has_row, random, sandbox_of};
use crate::execute::world::{Done, Effect, StepError};
use crate::plan::{Address, Op, Step};
use crate::store::events::{self, Moment};
use crate::store::inventory::{self, MachineRow, Role, SandboxRow, VolumeRow, VolumeUse};
use crate::store::journal;
use crate::store::operations::{self, Closed, Intent};
use crate::store::remembered::Remembered;
use crate::store::{Rows, StoreError, time};
use crate::volumes;

/// What a later run needs to judge an operation that was left open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::execute) struct Meant {
    /// The machine that it is about.
    pub(in crate::execute) machine: Option<String>,
    /// The volume that it is about.
    pub(in crate::execute) volume: Option<String>,
    /// The volume's folder.
    pub(in crate::execute) folder: Option<String>,
    /// The volume's name.
    pub(in crate::execute) name: Option<String>,
    /// The project that the volume is given to; `None` where its owner stays.
    pub(in crate::execute) project: Option<String>,
    /// The volume's size.
    pub(in crate::execute) bytes: Option<u64>,
    /// The volume's labels.
    #[serde(default)]
    pub(in crate::execute) labels: Labels,
    /// Whether the volume is protected.
    #[serde(default)]
    pub(in crate::execute) protect: bool,
    /// The definition that the step carries out.
    pub(in crate::execute) definition: Option<String>,
}

impl Host {
    pub(super) fn begin_step(&self, step: &Step) -> Result<Ticket, StepError> {
        let mut ticket = Ticket::default();
        if !has_row(step.op) {
            return Ok(ticket);
        }
        let mut meant = Meant::default();
        let row = sandbox_of(step).map(|name| self.sandbox_row(name)).transpose()?;
        if let Some(row) = &row {
            ticket.lease = Some(self.lock(&row.id)?);
            meant.definition.clone_from(&row.desired);
        }
        match (&step.address, step.op) {
            (_, Op::Prepare) => ticket.machine = Some(random()?),
            (Address::Sandbox(name), op) => {
                let incoming = if op == Op::Boot { self.row_of(name, Role::Next)? } else { None };
                let row = incoming.map_or_else(|| self.current_row(name), |row| Ok(Some(row)))?;
                ticket.machine = row.map(|row| row.id);
                if op == Op::Boot {
                    ticket.nonce = Some(random()? + &random()?);
                }
            }
            (Address::Volume(name), Op::EnsureVolume) => {
                let wanted = self.wish.project.volumes.get(name);
                ticket.volume = Some((random()?, self.folder_name(name)));
                if let Some(wanted) = wanted {
                    meant.bytes = wanted.size.map(|size| size.0);
                    meant.labels.clone_from(&wanted.labels);
                    meant.protect = wanted.protect;
                }
            }
            (Address::Volume(name), Op::TrashVolume) => {
                ticket.volume = self.own_volume(name)?;
            }
            (Address::Volume(name), Op::Move) => {
                let was = self.wish.project.volumes.get(name).and_then(|v| v.moved_from.as_ref());
                ticket.volume = was.map(|was| self.own_volume(was)).transpose()?.flatten();
            }
            (Address::Image(_) | Address::Volume(_), _) => {}
        }
        meant.machine.clone_from(&ticket.machine);
        if let (Some((id, folder)), Address::Volume(name)) = (&ticket.volume, &step.address) {
            meant.volume = Some(id.clone());
            meant.name = Some(name.to_string());
            let moves = step.op == Op::Move;
            meant.folder = Some(if moves { self.folder_name(name) } else { folder.clone() });
        }
        let now_ms = self.now_ms();
        ticket.op = Some(self.store.borrow_mut().write(|db| {
            if let Some(row) = &row {
                self.announce(db, step.op, row, &ticket)?;
            }
            let intent = serde_json::to_string(&meant).unwrap_or_default();
            let op = Intent {
                step: &step.id.to_string(),
                kind: step.op.as_str(),
                address: &step.address.to_string(),
                generation: row.as_ref().map_or(0, |row| row.generation),
                nonce: ticket.nonce.as_deref(),
                intent: &intent,
            };
            operations::begin_op(db, self.run, &op, now_ms)
        })?);
        Ok(ticket)
    }

    /// Writes the machine's row as it will be, in the same transaction as the intent.
    fn announce(
        &self,
        db: &Rows,
        op: Op,
        row: &SandboxRow,
        ticket: &Ticket,
    ) -> Result<(), StoreError> {
        let Some(id) = &ticket.machine else { return Ok(()) };
        let machines = inventory::machines_of(db, &row.id)?;
        let mine = || machines.iter();
        match op {
            Op::Prepare => {
                let taken = mine().any(|machine| machine.role == Role::Current);
                let role = if taken { Role::Next } else { Role::Current };
                inventory::put_machine(db, &MachineRow::new(id, &row.id, role))
            }
            Op::Boot => {
                let Some(next) = mine().find(|machine| machine.id == *id) else { return Ok(()) };
                if next.role == Role::Next {
                    for old in mine().filter(|machine| machine.role == Role::Current) {
                        let old = MachineRow { role: Role::Previous, ..old.clone() };
                        inventory::put_machine(db, &old)?;
                    }
                }
                let next = MachineRow {
                    role: Role::Current,
                    nonce: ticket.nonce.clone().unwrap_or_default(),
                    phase: Phase::Booting,
                    reason: None,
                    exit_code: None,
                    started_at: Some(time::rfc3339(self.now_ms())),
                    ended_at: None,
                    ..next.clone()
                };
                events::announce(db, &next, self.moment())
            }
            // What is still to be told of them goes with their folders.
            Op::Retire | Op::Discard => {
                mine().try_for_each(|machine| journal::take(db, &machine.id, self.moment()))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn close_step(
        &self,
        step: &Step,
        ticket: &Ticket,
        done: &Done,
    ) -> Result<(), StepError> {
        let now_ms = self.now_ms();
        self.store.borrow_mut().write(|db| {
            match &step.address {
                Address::Sandbox(name) => self.close_sandbox(db, (step.op, name), ticket, done)?,
                Address::Volume(name) => {
                    if done.is_ok() {
                        self.close_volume(db, (step.op, name), ticket)?;
                    }
                }
                Address::Image(_) => {}
            }
            let Some(op) = ticket.op else { return Ok(()) };
            let how = match done {
                Ok(_) => Closed::Done,
                Err(error) => Closed::Failed(error.report.message.clone()),
            };
            operations::close_op(db, op, &how, now_ms)
        })?;
        if matches!(step.op, Op::Boot | Op::Gate | Op::Update) {
            self.remember(step, ticket);
        }
        Ok(())
    }

    /// Keeps beside the machine what the state knows of it now.
    fn remember(&self, step: &Step, ticket: &Ticket) {
        let current = || sandbox_of(step).and_then(|name| self.current_row(name).ok().flatten());
        let Some(id) = ticket.machine.clone().or_else(|| current().map(|row| row.id)) else {
            return;
        };
        let id = id.as_str();
        let remembered = self.store.borrow_mut().read(|db| Remembered::of(db, id));
        let kept = match &remembered {
            Ok(rows) => rows.keep(self.folder(id).path()).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        // It is there for a state that is lost; a run does not fail for want of it.
        if let Err(error) = kept {
            tracing::warn!(%error, %id, "cannot keep what is known of a machine beside it");
        }
    }

    fn close_sandbox(
        &self,
        db: &Rows,
        (op, name): (Op, &InstanceName),
        ticket: &Ticket,
        done: &Done,
    ) -> Result<(), StoreError> {
        let Some(mut row) = self.sandbox_in(db, name)? else { return Ok(()) };
        let mine = inventory::machines_of(db, &row.id)?;
        let id = ticket.machine.as_ref();
        let one =
            mine.iter().find(|m| Some(&m.id) == id || (id.is_none() && m.role == Role::Current));
        let replacing = mine.iter().any(|machine| machine.role == Role::Previous);
        match (op, done) {
            (Op::Prepare, Err(_)) => {
                // What could not be cleared away keeps its row, by which the next command finds it.
                let Some(id) = id.filter(|id| !is_there(self.context.home(), id)) else {
                    return Ok(());
                };
                return inventory::remove_machine(db, id);
            }
            (Op::Prepare, Ok(_)) => {
                if let Some(machine) = one {
                    let image_digest = self.image_digest(name);
                    let prepared = MachineRow { image_digest, ..machine.clone() };
                    inventory::put_machine(db, &prepared)?;
                    if machine.role == Role::Current {
                        self.applied(db, name, &mut row, Carried::Begun)?;
                    }
                }
                for failed in mine.iter().filter(|machine| machine.role == Role::Failed) {
                    inventory::remove_machine(db, &failed.id)?;
                }
            }
            (Op::Boot | Op::Gate | Op::Stop, done) => {
                if let Some(machine) = one {
                    events::put_machine(db, &self.told(machine, done), self.moment())?;
                    self.keep_ports(db, machine)?;
                }
                match (op, done) {
                    (Op::Boot, Ok(_)) if !replacing => {
                        self.applied(db, name, &mut row, Carried::Begun)?;
                    }
                    (Op::Gate, Ok(effect)) => {
                        row.completed_code = effect.exit_code.filter(|_| row.kind == Kind::Job);
                        self.applied(db, name, &mut row, Carried::Out)?;
                    }
                    _ => {}
                }
            }
            (Op::Update, Ok(_)) => {
                if let Some(machine) = one {
                    self.keep_ports(db, machine)?;
                }
                self.applied(db, name, &mut row, Carried::Out)?;
            }
            (Op::Retire, Ok(_)) => {
                let job = row.kind == Kind::Job;
                for old in mine.iter().filter(|m| job || m.role != Role::Current) {
                    inventory::remove_machine(db, &old.id)?;
                }
            }
            (Op::Forget, Ok(_)) => {
                let adhoc = inventory::project_id(db, &ProjectName::adhoc())?;
                let project_id = adhoc.ok_or_else(|| StoreError::Raced(name.to_string()))?;
                let row = SandboxRow { project_id, keep: false, ..row };
                inventory::put_sandbox(db, &row, self.now_ms())?;
            }
            (Op::Discard, Ok(_)) => {
                for machine in &mine {
                    inventory::remove_machine(db, &machine.id)?;
                }
                events::remove_sandbox(db, &row.id, self.moment())?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers the ports that the kernel chose for a machine.
    fn keep_ports(&self, db: &Rows, machine: &MachineRow) -> Result<(), StoreError> {
        // What cannot be read now is chosen anew some day; the machine has what it has.
        let Some(record) = self.folder(&machine.id).record().ok().flatten() else { return Ok(()) };
        let is_its = record.nonce == machine.nonce;
        let ports = if is_its { record.ports } else { Vec::new() };
        inventory::put_chosen_ports(db, &machine.sandbox_id, &ports)
    }

    fn moment(&self) -> Moment<'_> {
        Moment { run: Some(self.run), now_ms: self.now_ms(), home: self.context.home() }
    }

    /// Returns a machine's row with what its record tells, else with what the step tells.
    fn told(&self, machine: &MachineRow, done: &Done) -> MachineRow {
        let mut row = machine.clone();
        let (phase, reason, exit_code) = match done {
            Ok(Effect { phase, reason, exit_code, .. }) => (*phase, reason.clone(), *exit_code),
            Err(error) => (error.phase, error.reason.clone(), error.exit_code),
        };
        row.phase = phase.unwrap_or(row.phase);
        row.reason = reason;
        row.exit_code = exit_code;
        // What cannot be read now is taken over by the next command.
        take_over(&mut row, self.folder(&machine.id).record().ok().flatten().as_ref());
        row
    }

    /// Writes that a definition holds now, with everything that belongs to it.
    fn applied(
        &self,
        db: &Rows,
        name: &InstanceName,
        row: &mut SandboxRow,
        carried: Carried,
    ) -> Result<(), StoreError> {
        let Some(want) = self.wish.project.sandboxes.get(name) else { return Ok(()) };
        let digest = want.digest().to_owned();
        if row.desired.as_ref() != Some(&digest) {
            // A later run wishes for something else by now; what it does is its own.
            return Ok(());
        }
        row.applied = Some(digest);
        let at = format!("sandbox.{}", name.sandbox);
        let holds = |path, now, wanted| self.wish.holds(&at, path, (now, wanted));
        row.protect = holds("lifecycle.protect", row.protect, want.lifecycle.protect);
        row.keep = holds("lifecycle.keep", row.keep, want.lifecycle.keep);
        match carried {
            // What another run came to says nothing of this one.
            Carried::Begun => row.completed_code = None,
            Carried::Out => row.observed = row.generation,
        }
        let volumes = self.volumes_of(db, &row.id)?;
        let mut uses = Vec::new();
        for mount in &want.mounts {
            let MountSource::Named(volume) = &mount.source else { continue };
            let Some(volume) = volumes.meant(volume, &mount.destination) else { continue };
            let read_only = mount.options.access == Access::ReadOnly;
            uses.push(VolumeUse {
                volume_id: volume.id.clone(),
                sandbox_id: row.id.clone(),
                destination: mount.destination.to_string(),
                mode: if read_only { "ro" } else { "rw" }.to_owned(),
            });
        }
        let digests = self.sensitive_digests(name);
        inventory::put_sandbox(db, row, self.now_ms())?;
        inventory::put_belongings(db, &row.id, &uses, &want.labels, &digests)
    }

    fn sensitive_digests(&self, name: &InstanceName) -> BTreeMap<String, String> {
        let mut digests = crate::engine::sensitive_digests(&self.context, &self.wish, name);
        digests.extend(self.contents(name));
        digests
    }

    fn close_volume(
        &self,
        db: &Rows,
        (op, name): (Op, &VolumeName),
        ticket: &Ticket,
    ) -> Result<(), StoreError> {
        match (op, &ticket.volume) {
            (Op::TrashVolume, Some((id, folder))) => {
                let to = volumes::trash_name(id);
                return inventory::trash_volume(db, id, (folder, &to), self.now_ms());
            }
            (Op::Move, Some((id, _))) => {
                inventory::rename_volume(db, id, name, &self.folder_name(name))?;
            }
            _ => {}
        }
        let Some(want) = self.wish.project.volumes.get(name) else { return Ok(()) };
        let known = inventory::volumes(db)?;
        let mine = |row: &&VolumeRow| {
            row.name == *name && row.project_id.as_ref() == Some(&self.project_id)
        };
        let row = match (known.iter().find(mine), &ticket.volume) {
            (Some(row), _) => row.clone(),
            (None, Some((id, _))) => VolumeRow {
                id: id.clone(),
                project_id: Some(self.project_id.clone()),
                name: name.clone(),
                folder: self.folder_name(name),
                kind: want.kind.unwrap_or(VolumeKind::Dir),
                size_bytes: want.size.map(|size| size.0),
                quota_bytes: super::acts::quota_bytes(want),
                protect: want.protect,
                labels: want.labels.clone(),
                created_at: time::rfc3339(self.now_ms()),
                trashed_at: None,
            },
            (None, None) => return Ok(()),
        };
        // A volume that only gets its name keeps all else until it changes.
        let size_bytes = match op {
            Op::Move => row.size_bytes,
            _ => want.size.map_or(row.size_bytes, |size| Some(size.0)),
        };
        let quota_bytes = match op {
            Op::Move => row.quota_bytes,
            _ if row.kind == VolumeKind::Dir && want.quota.is_some() => {
                super::acts::quota_bytes(want)
            }
            _ => row.quota_bytes,
        };
        let at = format!("volume.{name}");
        let protect = self.wish.holds(&at, "lifecycle.protect", (row.protect, want.protect));
        let labels = want.labels.clone();
        let row = VolumeRow { size_bytes, quota_bytes, protect, labels, ..row };
        inventory::put_volume(db, &row, &self.options.command)
    }

    fn folder_name(&self, name: &VolumeName) -> String {
        volumes::folder_name(&self.wish.project.name, name)
    }

    /// Returns the id and the folder of a volume that the project has.
    fn own_volume(&self, name: &VolumeName) -> Result<Option<(String, String)>, StepError> {
        let rows = self.store.borrow_mut().read(inventory::volumes)?;
        let own = rows
            .into_iter()
            .find(|row| row.name == *name && row.project_id.as_ref() == Some(&self.project_id));
        Ok(own.map(|row| (row.id, row.folder)))
    }

    /// Returns the volumes that a sandbox may mount.
    pub(super) fn volumes_of(&self, db: &Rows, sandbox_id: &str) -> Result<Volumes, StoreError> {
        let mut found = Volumes {
            rows: inventory::volumes(db)?,
            uses: inventory::volume_uses(db)?,
            project_id: self.project_id.clone(),
            external: BTreeMap::new(),
        };
        found.uses.retain(|one| one.sandbox_id == sandbox_id);
        for (name, want) in &self.wish.project.volumes {
            let Some(external) = &want.external else { continue };
            let owner = match &external.project {
                Some(project) => inventory::project_id(db, project)?,
                None => None,
            };
            let row = found.rows.iter().find(|row| {
                let is_owned = row.project_id == owner;
                let is_free = owner.is_none() && !row.folder.contains('.');
                row.name == external.name && (is_owned || is_free)
            });
            if let Some(row) = row {
                found.external.insert(name.clone(), row.id.clone());
            }
        }
        Ok(found)
    }

    pub(super) fn sandbox_row(&self, name: &InstanceName) -> Result<SandboxRow, StepError> {
        let found = self.store.borrow_mut().read(|db| self.sandbox_in(db, name))?;
        found.ok_or_else(|| super::bug("the state has no such sandbox"))
    }

    fn sandbox_in(&self, db: &Rows, name: &InstanceName) -> Result<Option<SandboxRow>, StoreError> {
        inventory::sandbox_by_name(db, &self.project_id, name)
    }

    pub(super) fn current_row(&self, name: &InstanceName) -> Result<Option<MachineRow>, StepError> {
        self.row_of(name, Role::Current)
    }

    pub(super) fn row_of(
        &self,
        name: &InstanceName,
        role: Role,
    ) -> Result<Option<MachineRow>, StepError> {
        Ok(self.machine_rows(name)?.into_iter().find(|machine| machine.role == role))
    }

    pub(super) fn machine_rows(&self, name: &InstanceName) -> Result<Vec<MachineRow>, StepError> {
        let found = self.store.borrow_mut().read(|db| {
            let Some(row) = self.sandbox_in(db, name)? else { return Ok(Vec::new()) };
            inventory::machines_of(db, &row.id)
        })?;
        Ok(found)
    }
}

/// The volumes that one sandbox may mount.
pub(super) struct Volumes {
    rows: Vec<VolumeRow>,
    uses: Vec<VolumeUse>,
    project_id: String,
    external: BTreeMap<VolumeName, String>,
}

impl Volumes {
    /// Returns the volume that a name means: somebody else's where the file says so, else the
    /// one that is mounted there already, else the project's own, else nobody's.
    pub(super) fn meant(&self, name: &VolumeName, at: &GuestPath) -> Option<&VolumeRow> {
        let by_id = |id: &str| self.rows.iter().find(|row| row.id == id);
        if let Some(id) = self.external.get(name) {
            return by_id(id);
        }
        let named = || self.rows.iter().filter(|row| row.name == *name);
        let used = self.uses.iter().find(|one| one.destination == at.as_str());
        let used = used.and_then(|one| by_id(&one.volume_id)).filter(|row| row.name == *name);
        let own = || named().find(|row| row.project_id.as_ref() == Some(&self.project_id));
        used.or_else(own).or_else(|| named().find(|row| !row.folder.contains('.')))
    }
}

/// How far a wish was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carried {
    /// The machine is made by it.
    Begun,
    /// All of it holds.
    Out,
}

/// Tells whether anything of a machine's folder is there, also one that is still being made.
fn is_there(home: &Path, id: &str) -> bool {
    let names = [id.to_owned(), format!(".{id}.making")];
    let mut paths = names.iter().map(|name| home.join("machines").join(name));
    // Only what is surely not there is gone.
    paths.any(|path| match path.symlink_metadata() {
        Ok(_) => true,
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    })
}

/// Takes what a machine's record tells into its row.
pub(in crate::execute) fn take_over(row: &mut MachineRow, record: Option<&schema::record::Record>) {
    let Some(record) = record.filter(|record| record.nonce == row.nonce) else { return };
    row.phase = record.phase;
    row.reason.clone_from(&record.reason);
    row.driver = Some(record.driver);
    row.pid = Some(record.runtime.pid);
    row.effective = record.effective;
    row.exit_code = record.exit.map(schema::record::Exit::shell_code);
    row.ended_at = record.ended_at_ms.map(time::rfc3339);
    row.stamp = None;
}
