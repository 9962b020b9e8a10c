//! Operations that a dead run left open, judged by what exists.
//!
//! Nothing is asked and nothing undone that a plan would do again: what was
//! half made is removed, what was whole is taken over, what was to stop is
//! stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::lifecycle::Phase;
use schema::project::{Kind, VolumeKind};

use super::host::{Meant, remove_folder, take_over};
use super::world::StepError;
use crate::context::{Clock as _, Context};
use crate::machines::{Folder, Machine, process};
use crate::plan::Op;
use crate::store::inventory::{self, MachineRow, Role, SandboxRow, VolumeRow};
use crate::store::operations::{self, Closed, OpenOp};
use crate::store::{Rows, Store, StoreError, time};
use crate::volumes;

/// How long a runtime that has only its lease may take to write its record.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// How often such a record is looked for; a folder cannot be waited on with a deadline.
const RECORD_EVERY: Duration = Duration::from_millis(20);

/// Closes what dead runs of a project left open; returns how many operations that were.
///
/// # Errors
/// The state cannot be written, or a machine that was to stop does not.
pub async fn settle(
    context: &Context,
    store: &mut Store,
    project_id: &str,
) -> Result<usize, StepError> {
    let boot_id = process::boot_id().unwrap_or_default();
    let open = store.read(|db| operations::open_ops(db, project_id))?;
    let (running, dead): (Vec<OpenOp>, Vec<OpenOp>) = open.into_iter().partition(|op| {
        process::start_ticks(op.run.pid).is_some_and(|ticks| ticks == op.run.start_ticks)
    });
    let mut settling = Settling { context, project_id, boot_id };
    for op in &dead {
        settling.judge(store, op).await?;
    }
    if running.is_empty() {
        settling.sweep(store)?;
    }
    settling.take_over_records(store)?;
    Ok(dead.len())
}

struct Settling<'a> {
    context: &'a Context,
    project_id: &'a str,
    boot_id: String,
}

impl Settling<'_> {
    async fn judge(&mut self, store: &mut Store, op: &OpenOp) -> Result<(), StepError> {
        let meant: Meant = serde_json::from_str(&op.intent).unwrap_or_default();
        let found = match Op::parse(&op.kind) {
            Some(Op::EnsureVolume) => self.volume(store, &meant)?,
            Some(Op::Boot) => self.boot(store, op, &meant).await?,
            Some(Op::Stop) => self.stop(&meant).await?,
            Some(Op::Prepare | Op::Retire) => self.remove_machine(store, &meant, op)?,
            Some(Op::Discard) => self.discard(store, &meant)?,
            Some(Op::BuildRoot | Op::GrowVolume | Op::Update | Op::Gate) | None => {
                "left to the plan"
            }
        };
        let now_ms = self.context.clock.unix_ms();
        let closed = Closed::Settled(found.to_owned());
        store.write(|db| operations::close_op(db, op.id, &closed, now_ms))?;
        Ok(())
    }

    fn folder(&self, id: &str) -> Folder {
        Folder::of(self.context.home(), id)
    }

    fn machines(&self, db: &Rows) -> Result<Vec<MachineRow>, StoreError> {
        inventory::machines(db, Some(self.project_id))
    }

    /// A volume is there when its marker is: it has its name only when it is whole.
    fn volume(&self, store: &mut Store, meant: &Meant) -> Result<&'static str, StepError> {
        let (Some(folder), Some(id)) = (&meant.folder, &meant.volume) else { return Ok("nothing") };
        let home = self.context.home();
        let whole = volumes::marker(home, folder).filter(|marker| marker.id == *id);
        let Some(marker) = whole else {
            volumes::remove_unfinished(home, folder)
                .map_err(|error| StepError::from("msb::state::unusable", "remove", &error))?;
            return Ok("removed");
        };
        let row = VolumeRow {
            id: id.clone(),
            project_id: marker.project_id,
            name: marker.name,
            folder: folder.clone(),
            kind: VolumeKind::Disk,
            size_bytes: Some(marker.size_bytes),
            protect: false,
            labels: BTreeMap::new(),
            created_at: time::rfc3339(self.context.clock.unix_ms()),
        };
        store.write(|db| inventory::put_volume(db, &row, "msb up"))?;
        Ok("done")
    }

    /// A machine that lives with the launch's nonce is taken over; else the old one counts again.
    async fn boot(
        &self,
        store: &mut Store,
        op: &OpenOp,
        meant: &Meant,
    ) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        let alive = self.comes_up(id, op.nonce.as_deref()).await;
        let machines = store.read(|db| self.machines(db))?;
        let Some(new) = machines.iter().find(|machine| machine.id == *id) else {
            return Ok("nothing");
        };
        let previous =
            machines.iter().find(|m| m.sandbox_id == new.sandbox_id && m.role == Role::Previous);
        if alive {
            if let Some(old) = previous {
                self.remove(&old.id)?;
            }
            let mut new = new.clone();
            take_over(&mut new, self.folder(id).record().as_ref());
            store.write(|db| {
                if let Some(old) = previous {
                    inventory::remove_machine(db, &old.id)?;
                }
                inventory::put_machine(db, &new)?;
                self.now_applied(db, &new.sandbox_id, meant)
            })?;
            return Ok("done");
        }
        if let Some(old) = previous {
            self.remove(id)?;
            store.write(|db| {
                inventory::remove_machine(db, id)?;
                inventory::put_machine(db, &MachineRow { role: Role::Current, ..old.clone() })
            })?;
            return Ok("the old machine counts");
        }
        let (phase, reason) = (Phase::Failed, Some("boot".to_owned()));
        let dead = MachineRow { phase, reason, ..new.clone() };
        store.write(|db| inventory::put_machine(db, &dead))?;
        Ok("failed")
    }

    fn now_applied(&self, db: &Rows, sandbox: &str, meant: &Meant) -> Result<(), StoreError> {
        let Some(row) = inventory::sandbox_by_id(db, sandbox)? else { return Ok(()) };
        let row = SandboxRow { applied: meant.definition.clone().or(row.applied.clone()), ..row };
        inventory::put_sandbox(db, &row, self.context.clock.unix_ms())
    }

    /// Waits for the record of a runtime that has its lease, and tells whether it is this launch.
    async fn comes_up(&self, id: &str, nonce: Option<&str>) -> bool {
        let folder = self.folder(id);
        let found = async {
            loop {
                let look = folder.look(&self.boot_id);
                if look.alive && look.record.is_some_and(|r| Some(r.nonce.as_str()) == nonce) {
                    return true;
                }
                // Our own run is dead, so nobody else takes this lease.
                if !folder.is_leased().unwrap_or(false) {
                    return false;
                }
                tokio::time::sleep(RECORD_EVERY).await;
            }
        };
        tokio::time::timeout(RECORD_MAX, found).await.unwrap_or(false)
    }

    async fn stop(&self, meant: &Meant) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        let folder = self.folder(id);
        let look = folder.look(&self.boot_id);
        let (true, Some(record)) = (look.alive, look.record) else { return Ok("done") };
        let machine = Machine::new(folder, id.clone(), record.nonce);
        let ended = machine.stop(None, "settling").await;
        ended.map_err(|error| StepError::from("msb::stop::timeout", "stop", &error))?;
        Ok("stopped again")
    }

    fn remove(&self, id: &str) -> Result<(), StepError> {
        if self.folder(id).look(&self.boot_id).alive {
            return Ok(());
        }
        remove_folder(self.context.home(), id)
            .map_err(|error| StepError::from("msb::state::unusable", "remove", &error))
    }

    /// What was being made, or was being removed after another took over, goes.
    fn remove_machine(
        &self,
        store: &mut Store,
        meant: &Meant,
        op: &OpenOp,
    ) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        let retires = op.kind == Op::Retire.as_str();
        let machines = store.read(|db| self.machines(db))?;
        let Some(named) = machines.iter().find(|machine| machine.id == *id) else {
            self.remove(id)?;
            return Ok("removed");
        };
        // To retire is written with the machine that stays; what goes are the others.
        let going: Vec<&MachineRow> = machines
            .iter()
            .filter(|m| m.sandbox_id == named.sandbox_id)
            .filter(|m| if retires { m.role != Role::Current } else { m.id == *id })
            .collect();
        for machine in &going {
            self.remove(&machine.id)?;
        }
        store.write(|db| going.iter().try_for_each(|m| inventory::remove_machine(db, &m.id)))?;
        Ok("removed")
    }

    fn discard(&self, store: &mut Store, meant: &Meant) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("left to the plan") };
        if self.folder(id).look(&self.boot_id).alive {
            return Ok("it still lives");
        }
        self.remove(id)?;
        let machines = store.read(|db| self.machines(db))?;
        let Some(named) = machines.iter().find(|machine| machine.id == *id) else {
            return Ok("done");
        };
        let rest = machines.iter().filter(|m| m.sandbox_id == named.sandbox_id);
        let rest: Vec<&MachineRow> = rest.collect();
        for machine in &rest {
            self.remove(&machine.id)?;
        }
        store.write(|db| {
            rest.iter().try_for_each(|machine| inventory::remove_machine(db, &machine.id))?;
            inventory::remove_sandbox(db, &named.sandbox_id)
        })?;
        Ok("done")
    }

    /// Removes what no open operation names any more: prepared machines and hidden folders.
    fn sweep(&self, store: &mut Store) -> Result<(), StepError> {
        let machines = store.read(|db| self.machines(db))?;
        let rows = store.read(|db| inventory::sandboxes(db, Some(self.project_id)))?;
        for machine in &machines {
            let row = rows.iter().find(|row| row.id == machine.sandbox_id);
            let unused = row.is_none_or(|row| row.applied.is_none()) || self.is_cleared(machine);
            let current = machines
                .iter()
                .any(|m| m.sandbox_id == machine.sandbox_id && m.role == Role::Current);
            let going = match machine.role {
                Role::Next => true,
                Role::Current => unused,
                Role::Previous => current,
                Role::Failed => false,
            };
            if !going || self.folder(&machine.id).look(&self.boot_id).alive {
                continue;
            }
            self.remove(&machine.id)?;
            let ended = self.is_cleared(machine);
            store.write(|db| {
                inventory::remove_machine(db, &machine.id)?;
                match row.filter(|_| ended && machine.role == Role::Current) {
                    Some(row) => inventory::remove_sandbox(db, &row.id),
                    None => Ok(()),
                }
            })?;
        }
        self.sweep_hidden();
        Ok(())
    }

    /// The runtime clears the folder of an ephemeral machine, all but its record.
    fn is_cleared(&self, machine: &MachineRow) -> bool {
        self.folder(&machine.id).is_cleared()
    }

    /// What was to be gone has no meaning left to anybody.
    fn sweep_hidden(&self) {
        let folder = self.context.home().join("machines");
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            if entry.file_name().to_string_lossy().ends_with(".gone") {
                drop(std::fs::remove_dir_all(entry.path()));
            }
        }
    }

    /// Takes what ended machines wrote of themselves into their rows.
    fn take_over_records(&self, store: &mut Store) -> Result<(), StepError> {
        let machines = store.read(|db| self.machines(db))?;
        let now_ms = self.context.clock.unix_ms();
        for machine in machines.iter().filter(|machine| machine.role == Role::Current) {
            let look = self.folder(&machine.id).look(&self.boot_id);
            let mut row = machine.clone();
            take_over(&mut row, look.record.as_ref());
            let standing = look.standing(row.phase, &self.boot_id);
            row.phase = standing.phase;
            row.reason = standing.reason.or(row.reason);
            if row == *machine {
                continue;
            }
            store.write(|db| {
                inventory::put_machine(db, &row)?;
                let Some(mut sandbox) = inventory::sandbox_by_id(db, &row.sandbox_id)? else {
                    return Ok(());
                };
                if sandbox.kind == Kind::Job && row.phase == Phase::Completed {
                    sandbox.completed_code = row.exit_code;
                    sandbox.observed = sandbox.generation;
                    return inventory::put_sandbox(db, &sandbox, now_ms);
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}
