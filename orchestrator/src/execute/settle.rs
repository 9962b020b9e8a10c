//! Operations that a dead run left open, judged by what exists.
//!
//! Nothing is asked and nothing undone that a plan would do again: what was
//! half made is removed, what was whole is taken over, what was to stop is
//! stopped.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use schema::lifecycle::Phase;
use schema::project::{Body, Kind, VolumeKind};

use super::host::{Meant, holder, remove_folder, take_over};
use super::world::StepError;
use crate::context::{Clock as _, Context};
use crate::machines::process::LookError;
use crate::machines::{Folder, Look, Looks, Machine, Shelf, names, process};
use crate::observe::JustSeen;
use crate::plan::Op;
use crate::store::events::{self, Moment};
use crate::store::inventory::{self, Inhabitant, MachineRow, Role, SandboxRow, VolumeRow};
use crate::store::journal;
use crate::store::operations::{self, Closed, OpenOp, RunRow};
use crate::store::{Rows, Store, StoreError, locks, time};
use crate::volumes;

/// How long a runtime that has only its lease may take to write its record.
const RECORD_MAX: Duration = Duration::from_secs(5);

/// How often such a record is looked for; a folder cannot be waited on with a deadline.
const RECORD_EVERY: Duration = Duration::from_millis(20);

/// The exit code that is written for a run that could not write its own: that of `kill -9`.
const KILLED: u8 = 137;

/// What settling came to.
#[derive(Debug, Default)]
pub struct Settled {
    /// How many operations were left open.
    pub operations: usize,
    /// What was seen of the project meanwhile.
    pub seen: JustSeen,
}

/// Closes what dead runs of a project left open.
///
/// # Errors
/// The state cannot be written, or a machine that was to stop does not.
pub async fn settle(
    context: &Context,
    store: &mut Store,
    project_id: &str,
) -> Result<Settled, StepError> {
    let boot_id = process::boot_id()?;
    let (open, runs) = store.read(|db| {
        Ok((operations::open_ops(db, project_id)?, operations::open_runs(db, project_id)?))
    })?;
    let (mut live, mut dead) = (Vec::new(), Vec::new());
    for run in runs {
        if is_live(&run)? { live.push(run) } else { dead.push(run) }
    }
    let settling = Settling { context, project_id, boot_id };
    let is_open = |op: &OpenOp| !live.iter().any(|run| run.id == op.run.id);
    let open: Vec<OpenOp> = open.into_iter().filter(is_open).collect();
    for op in &open {
        settling.judge(store, op).await?;
    }
    let named = settling.named_by(store, &live)?;
    settling.halfway(store, &named).await?;
    let rows = store.read(|db| inventory::inhabitants(db, Some(project_id)))?;
    let written = store.writes();
    let still = settling.still(&rows);
    settling.sweep_hidden();
    let untold = settling.untold(&rows, &still)?;
    let left = settling.sweep(store, untold, &named)?;
    let taken = settling.take_over_records(store, left)?;
    if !dead.is_empty() {
        let now_ms = context.clock.unix_ms();
        store.write(|db| {
            dead.iter().try_for_each(|run| operations::end_run(db, run.id, KILLED, now_ms))
        })?;
        for machine in store.read(|db| settling.machines(db))? {
            settling.folder(&machine.id).drop_drafts();
            names::drop_draft(context.home(), &machine.id);
        }
        locks::sweep(store, context.home(), &holder("settling", now_ms))?;
    }
    let rows = (store.writes() == written).then_some(rows);
    Ok(Settled { operations: open.len(), seen: JustSeen { rows, looks: Looks { taken, still } } })
}

/// Tells whether the process of a run lives.
///
/// # Errors
/// The host does not say.
pub fn is_live(run: &RunRow) -> Result<bool, LookError> {
    Ok(process::start_ticks(run.pid)?.is_some_and(|ticks| ticks == run.start_ticks))
}

/// Returns what belongs to whom among one sandbox's machines.
fn by_role<'a>(machines: &'a [MachineRow], sandbox: &str, role: Role) -> Option<&'a MachineRow> {
    machines.iter().find(|machine| machine.sandbox_id == sandbox && machine.role == role)
}

struct Settling<'a> {
    context: &'a Context,
    project_id: &'a str,
    boot_id: String,
}

impl Settling<'_> {
    async fn judge(&self, store: &mut Store, op: &OpenOp) -> Result<(), StepError> {
        let meant: Meant = serde_json::from_str(&op.intent).unwrap_or_default();
        let found = match Op::parse(&op.kind) {
            Some(Op::EnsureVolume) => self.volume(store, (&meant, &op.run.command))?,
            Some(Op::Boot) => self.boot(store, op, &meant).await?,
            Some(Op::Stop) => self.stop(&meant).await?,
            Some(begun @ (Op::Prepare | Op::Retire)) => {
                self.remove_machine(store, &meant, begun)?
            }
            Some(Op::Discard) => self.discard(store, &meant)?,
            Some(Op::TrashVolume) => self.trash(store, &meant)?,
            Some(Op::Move) => self.renamed(store, &meant)?,
            Some(
                Op::Pull
                | Op::BuildRoot
                | Op::GrowVolume
                | Op::Update
                | Op::Gate
                | Op::GateReady
                | Op::Listen
                | Op::Forget,
            )
            | None => "left to the plan",
        };
        let now_ms = self.context.clock.unix_ms();
        let closed = Closed::Settled(found.to_owned());
        store.write(|db| operations::close_op(db, op.id, &closed, now_ms))?;
        Ok(())
    }

    /// What is found happened in the course of nothing that is known.
    fn moment(&self) -> Moment<'_> {
        let home = self.context.home();
        Moment { run: None, now_ms: self.context.clock.unix_ms(), home }
    }

    fn folder(&self, id: &str) -> Folder {
        Folder::of(self.context.home(), id)
    }

    fn machines(&self, db: &Rows) -> Result<Vec<MachineRow>, StoreError> {
        inventory::machines(db, self.project_id)
    }

    /// A volume is there when its marker is: it has its name only when it is whole.
    fn volume(
        &self,
        store: &mut Store,
        (meant, command): (&Meant, &str),
    ) -> Result<&'static str, StepError> {
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
            kind: marker.kind,
            size_bytes: (marker.kind == VolumeKind::Disk).then_some(marker.size_bytes),
            quota_bytes: marker.quota_bytes,
            protect: meant.protect,
            labels: meant.labels.clone(),
            created_at: time::rfc3339(self.context.clock.unix_ms()),
            trashed_at: None,
        };
        store.write(|db| inventory::put_volume(db, &row, command))?;
        Ok("done")
    }

    /// A volume is in the trash once its folder is.
    fn trash(&self, store: &mut Store, meant: &Meant) -> Result<&'static str, StepError> {
        let (Some(folder), Some(id)) = (&meant.folder, &meant.volume) else { return Ok("nothing") };
        if !volumes::is_trashed(self.context.home(), id) {
            return Ok("left to the plan");
        }
        let now_ms = self.context.clock.unix_ms();
        store.write(|db| {
            inventory::trash_volume(db, id, (folder, &volumes::trash_name(id)), now_ms)
        })?;
        Ok("done")
    }

    /// A volume has its new name, and its new owner, once its folder has the name.
    fn renamed(&self, store: &mut Store, meant: &Meant) -> Result<&'static str, StepError> {
        let (Some(folder), Some(id)) = (&meant.folder, &meant.volume) else { return Ok("done") };
        let there = volumes::marker(self.context.home(), folder);
        let Some(marker) = there.filter(|marker| marker.id == *id) else {
            return Ok("left to the plan");
        };
        store.write(|db| match &meant.project {
            Some(to) => inventory::give_volume(db, id, to, (&marker.name, folder)),
            None => inventory::rename_volume(db, id, &marker.name, folder),
        })?;
        Ok("done")
    }

    /// A machine that lives with the launch's nonce is taken over.
    async fn boot(
        &self,
        store: &mut Store,
        op: &OpenOp,
        meant: &Meant,
    ) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        let alive = self.comes_up(id, op.nonce.as_deref()).await?;
        let machines = store.read(|db| inventory::machine_and_siblings(db, id))?;
        let Some(new) = machines.iter().find(|machine| machine.id == *id) else {
            return Ok("nothing");
        };
        if by_role(&machines, &new.sandbox_id, Role::Previous).is_some() {
            return Ok("one of two machines");
        }
        let mut new = new.clone();
        if !alive {
            self.folder(id).tidy();
            (new.phase, new.reason) = (Phase::Failed, Some("boot".to_owned()));
            take_over(&mut new, self.folder(id).record()?.as_ref());
            store.write(|db| events::put_machine(db, &new, self.moment()))?;
            return Ok("failed");
        }
        let record = self.folder(id).record()?;
        take_over(&mut new, record.as_ref());
        store.write(|db| {
            events::put_machine(db, &new, self.moment())?;
            let ports = record.map(|record| record.ports).unwrap_or_default();
            inventory::put_chosen_ports(db, &new.sandbox_id, &ports)?;
            self.now_applied(db, &new.sandbox_id, meant.definition.as_ref())
        })?;
        Ok("done")
    }

    /// Of two machines of one instance the new one stays if it is ready, else the old one counts.
    async fn halfway(&self, store: &mut Store, named: &BTreeSet<String>) -> Result<(), StepError> {
        let machines = store.read(|db| inventory::machines_beside(db, self.project_id))?;
        for old in machines.iter().filter(|machine| machine.role == Role::Previous) {
            let Some(new) = by_role(&machines, &old.sandbox_id, Role::Current) else { continue };
            if named.contains(&new.id) || named.contains(&old.id) {
                continue;
            }
            let look = self.folder(&new.id).look(&self.boot_id)?;
            let phase = look.standing(new.phase, &self.boot_id).phase;
            let ready = look.alive && matches!(phase, Phase::Ready | Phase::Degraded);
            let goes = if ready { old } else { new };
            self.stop_if_alive(&goes.id).await?;
            self.remove(store, &goes.id)?;
            store.write(|db| {
                inventory::remove_machine(db, &goes.id)?;
                if !ready {
                    let counts = MachineRow { role: Role::Current, ..old.clone() };
                    return inventory::put_machine(db, &counts);
                }
                let row = inventory::sandbox_by_id(db, &new.sandbox_id)?;
                let wanted = row.and_then(|row| row.desired);
                self.now_applied(db, &new.sandbox_id, wanted.as_ref())
            })?;
        }
        Ok(())
    }

    /// Returns the machines that live runs work on.
    fn named_by(&self, store: &mut Store, live: &[RunRow]) -> Result<BTreeSet<String>, StepError> {
        let mut named = BTreeSet::new();
        for run in live {
            for intent in store.read(|db| operations::intents(db, run.id))? {
                let meant: Meant = serde_json::from_str(&intent).unwrap_or_default();
                named.extend(meant.machine);
            }
        }
        Ok(named)
    }

    fn now_applied(
        &self,
        db: &Rows,
        sandbox: &str,
        definition: Option<&String>,
    ) -> Result<(), StoreError> {
        let Some(row) = inventory::sandbox_by_id(db, sandbox)? else { return Ok(()) };
        let body = definition.map(|digest| inventory::definition_of(db, digest)).transpose()?;
        let row = applied_as(row, (definition, body.flatten().as_ref()));
        inventory::put_sandbox(db, &row, self.context.clock.unix_ms())
    }

    /// Waits for the record of a runtime that has its lease, and tells whether it is this launch.
    async fn comes_up(&self, id: &str, nonce: Option<&str>) -> Result<bool, LookError> {
        let folder = self.folder(id);
        let found = async {
            loop {
                let look = folder.look(&self.boot_id)?;
                if look.alive && look.record.is_some_and(|r| Some(r.nonce.as_str()) == nonce) {
                    return Ok(true);
                }
                // Our own run is dead, so nobody else takes this lease.
                if !folder.is_leased()? {
                    return Ok(false);
                }
                tokio::time::sleep(RECORD_EVERY).await;
            }
        };
        tokio::time::timeout(RECORD_MAX, found).await.unwrap_or(Ok(false))
    }

    async fn stop(&self, meant: &Meant) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        self.stop_if_alive(id).await
    }

    async fn stop_if_alive(&self, id: &str) -> Result<&'static str, StepError> {
        let folder = self.folder(id);
        let look = folder.look(&self.boot_id)?;
        let (true, Some(record)) = (look.alive, look.record) else { return Ok("done") };
        let machine = Machine::new(folder, id.to_owned(), record.nonce);
        let ended = machine.stop(None, "settling").await;
        ended.map_err(|error| StepError::from("msb::stop::timeout", "stop", &error))?;
        Ok("stopped again")
    }

    /// Removes the folder of a machine that does not live, once all it has to tell is told.
    fn remove(&self, store: &mut Store, id: &str) -> Result<(), StepError> {
        let folder = self.folder(id);
        if folder.look(&self.boot_id)?.alive {
            return Ok(());
        }
        if folder.journal_mark().is_some() {
            store.write(|db| journal::take(db, id, self.moment()))?;
        }
        remove_folder(self.context.home(), id)
            .map_err(|error| StepError::from("msb::state::unusable", "remove", &error))
    }

    /// What was being made, or was being removed after another took over, goes.
    fn remove_machine(
        &self,
        store: &mut Store,
        meant: &Meant,
        op: Op,
    ) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("nothing") };
        let machines = store.read(|db| inventory::machine_and_siblings(db, id))?;
        let Some(named) = machines.iter().find(|machine| machine.id == *id) else {
            self.remove(store, id)?;
            return Ok("removed");
        };
        let sandbox = store.read(|db| inventory::sandbox_by_id(db, &named.sandbox_id))?;
        let going = going(op, named, &machines, sandbox.as_ref().map(|row| row.kind));
        for machine in &going {
            self.remove(store, &machine.id)?;
        }
        store.write(|db| going.iter().try_for_each(|m| inventory::remove_machine(db, &m.id)))?;
        Ok("removed")
    }

    fn discard(&self, store: &mut Store, meant: &Meant) -> Result<&'static str, StepError> {
        let Some(id) = &meant.machine else { return Ok("left to the plan") };
        if self.folder(id).look(&self.boot_id)?.alive {
            return Ok("it still lives");
        }
        self.remove(store, id)?;
        let machines = store.read(|db| inventory::machine_and_siblings(db, id))?;
        let Some(first) = machines.first() else { return Ok("done") };
        for machine in &machines {
            self.remove(store, &machine.id)?;
        }
        store.write(|db| {
            machines.iter().try_for_each(|machine| inventory::remove_machine(db, &machine.id))?;
            events::remove_sandbox(db, &first.sandbox_id, self.moment())
        })?;
        Ok("done")
    }

    /// Returns the machines that have ended and whose rows say so: there is no news of them.
    fn still(&self, rows: &[Inhabitant]) -> HashSet<String> {
        let shelf = Shelf::of(self.context.home());
        let machines = rows.iter().flat_map(Inhabitant::machines);
        let still = machines.filter(|machine| {
            machine.stamp.as_ref().is_some_and(|stamp| shelf.is_still(&machine.id, stamp))
        });
        still.map(|machine| machine.id.clone()).collect()
    }

    /// Looks at the machines of which there may be news.
    fn untold<'r>(
        &self,
        rows: &'r [Inhabitant],
        still: &HashSet<String>,
    ) -> Result<Vec<Untold<'r>>, StepError> {
        let mut untold = Vec::new();
        for of in rows {
            for machine in of.machines().filter(|machine| !still.contains(&machine.id)) {
                let look = self.folder(&machine.id).look(&self.boot_id)?;
                untold.push(Untold { of: &of.row, machine, look });
            }
        }
        Ok(untold)
    }

    /// Removes what no open operation names any more: machines that were prepared, and those that
    /// nothing was applied to. Returns the others.
    fn sweep<'r>(
        &self,
        store: &mut Store,
        untold: Vec<Untold<'r>>,
        named: &BTreeSet<String>,
    ) -> Result<Vec<Untold<'r>>, StepError> {
        let mut left = Vec::new();
        for one in untold {
            let machine = one.machine;
            // Its record says so, and goes with the folder.
            let ended = one.look.rests() && self.folder(&machine.id).is_cleared();
            let going = match machine.role {
                Role::Next => true,
                Role::Current => ended || one.of.applied.is_none(),
                Role::Previous | Role::Failed => false,
            };
            if !going || named.contains(&machine.id) || one.look.alive {
                left.push(one);
                continue;
            }
            self.remove(store, &machine.id)?;
            store.write(|db| {
                inventory::remove_machine(db, &machine.id)?;
                if ended && machine.role == Role::Current {
                    events::remove_sandbox(db, &one.of.id, self.moment())?;
                }
                Ok(())
            })?;
        }
        Ok(left)
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
    fn take_over_records(
        &self,
        store: &mut Store,
        untold: Vec<Untold<'_>>,
    ) -> Result<BTreeMap<String, Look>, StepError> {
        let now_ms = self.context.clock.unix_ms();
        let (mut news, mut looks) = (Vec::new(), BTreeMap::new());
        for Untold { of, machine, look } in untold {
            let folder = self.folder(&machine.id);
            if !look.alive && folder.is_untidy() && !folder.is_leased().unwrap_or(true) {
                folder.tidy();
            }
            if machine.role != Role::Current {
                continue;
            }
            let mut row = machine.clone();
            take_over(&mut row, look.record.as_ref());
            row.stamp = look.stamp.clone().filter(|_| row.ended_at.is_some());
            let standing = look.standing(row.phase, &self.boot_id);
            row.phase = standing.phase;
            row.reason = standing.reason.or(row.reason);
            looks.insert(machine.id.clone(), look);
            let sandbox = carried_out(of, &row);
            if row != *machine || sandbox.is_some() {
                news.push((row, sandbox));
            }
        }
        if !news.is_empty() {
            store.write(|db| {
                news.iter().try_for_each(|(row, sandbox)| {
                    events::put_machine(db, row, self.moment())?;
                    let Some(sandbox) = sandbox else { return Ok(()) };
                    inventory::put_sandbox(db, sandbox, now_ms)
                })
            })?;
        }
        Ok(looks)
    }
}

/// A machine of which there may be news.
struct Untold<'r> {
    of: &'r SandboxRow,
    machine: &'r MachineRow,
    look: Look,
}

/// Returns the row of a sandbox whose machine was found as a definition says.
///
/// What the definition holds is held from here on. Whether it was to lift what the row holds, only
/// its file tells: that waits for the plan.
pub(super) fn applied_as(
    row: SandboxRow,
    (digest, body): (Option<&String>, Option<&Body>),
) -> SandboxRow {
    let life = body.map(|body| body.lifecycle).unwrap_or_default();
    SandboxRow {
        applied: digest.cloned().or_else(|| row.applied.clone()),
        protect: row.protect || life.protect,
        keep: row.keep || life.keep,
        ..row
    }
}

/// Returns the machines that go with what was begun for `named`.
///
/// To retire is written with the machine that stays; what goes are the others, and of a job, whose
/// last run is nothing to go back to, that one too.
pub(super) fn going<'a>(
    op: Op,
    named: &MachineRow,
    machines: &'a [MachineRow],
    kind: Option<Kind>,
) -> Vec<&'a MachineRow> {
    let goes = |machine: &MachineRow| match (op, kind) {
        (Op::Retire, Some(Kind::Job)) => true,
        (Op::Retire, _) => machine.role != Role::Current,
        _ => machine.id == named.id,
    };
    let mine = machines.iter().filter(|machine| machine.sandbox_id == named.sandbox_id);
    mine.filter(|machine| goes(machine)).collect()
}

/// Returns the row of a sandbox whose machine came by itself where the wish wanted it; `None`
/// where the row tells so already, or it did not.
pub(super) fn carried_out(sandbox: &SandboxRow, machine: &MachineRow) -> Option<SandboxRow> {
    let is_applied = sandbox.applied.is_some() && sandbox.applied == sandbox.desired;
    let generation = if is_applied { sandbox.generation } else { sandbox.observed };
    let now = match (sandbox.kind, machine.phase) {
        (Kind::Job, Phase::Completed) => {
            let completed_code = machine.exit_code;
            SandboxRow { completed_code, observed: generation, ..sandbox.clone() }
        }
        (Kind::Service, Phase::Ready | Phase::Degraded) => {
            SandboxRow { observed: generation, ..sandbox.clone() }
        }
        _ => return None,
    };
    (now != *sandbox).then_some(now)
}
