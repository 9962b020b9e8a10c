//! The simulated host as a run sees it: every act can fail, and the run can die around each.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use schema::failure::Report;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::project::{Body, ImageRef, Kind, Until};

use super::chance::Chance;
use super::state::{State, effective, record};
use crate::execute::{Done, Effect, Slots, StepError, World};
use crate::plan::{Address, Op, Step, Wish};
use crate::store::inventory::{MachineRow, Role};

/// What goes wrong in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    #[default]
    Nothing,
    /// One act fails.
    Fails(u8),
    /// The command dies at one point.
    Dies(u8),
}

/// One run on the simulated host.
pub(super) struct Sim {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) wish: Wish,
    pub(super) run: u64,
    pub(super) fault: Fault,
    pub(super) slots: Slots,
    /// Whether bytes of volumes may go.
    pub(super) may_lose: bool,
    /// Ids of sandboxes and volumes that were protected before the run.
    pub(super) protected: BTreeSet<String>,
    pub(super) chance: RefCell<Chance>,
    pub(super) points: Cell<u32>,
    pub(super) acts: Cell<u32>,
    pub(super) dead: Cell<bool>,
    /// Whether nothing is left but waiting.
    pub(super) only_waits: Rc<Cell<bool>>,
    /// Whether the last gates stay closed.
    pub(super) gates_held: Cell<bool>,
    pub(super) running: RefCell<BTreeMap<Op, usize>>,
    pub(super) broken: RefCell<Vec<String>>,
}

/// What is remembered of a step between its begin and its close.
#[derive(Clone, Debug, Default)]
pub(super) struct Ticket {
    pub(super) op: Option<u64>,
    pub(super) machine: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) volume: Option<(String, VolumeName)>,
}

/// A place among those that may act at once.
struct Slot<'a>(&'a Sim, Op);

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        *self.0.running.borrow_mut().entry(self.1).or_default() -= 1;
    }
}

fn failure(text: &str) -> StepError {
    StepError::of(Report { message: text.to_owned(), ..Report::default() })
}

impl Sim {
    pub(super) fn broke(&self, text: String) {
        self.broken.borrow_mut().push(text);
    }

    /// Passes a point at which the command may die; tells whether it lives on.
    pub(super) fn lives(&self) -> bool {
        let at = self.points.get();
        self.points.set(at + 1);
        if self.fault == Fault::Dies(u8::try_from(at).unwrap_or(u8::MAX)) {
            self.dead.set(true);
        }
        !self.dead.get()
    }

    /// Passes a point, after a while in which others may act; the dead do not come back.
    async fn point(&self) {
        let times = self.chance.borrow_mut().below(3);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
        if !self.lives() {
            std::future::pending::<()>().await;
        }
    }

    fn slot(&self, op: Op) -> Slot<'_> {
        let mut running = self.running.borrow_mut();
        let count = running.entry(op).or_default();
        *count += 1;
        if *count > self.slots.of_op(op) {
            self.broke(format!("{count} steps {} at once", op.as_str()));
        }
        Slot(self, op)
    }

    /// Tells whether this act is the one that fails.
    fn fails(&self) -> bool {
        let at = self.acts.get();
        self.acts.set(at + 1);
        self.fault == Fault::Fails(u8::try_from(at).unwrap_or(u8::MAX))
    }

    fn want(&self, name: &InstanceName) -> Result<Body, StepError> {
        let want = self.wish.project.sandboxes.get(name).cloned();
        want.ok_or_else(|| {
            self.broke(format!("{name} is not in the wish and is made"));
            failure("not wished for")
        })
    }

    /// Every act: a slot, a point before it, the act, a point after it.
    async fn act(&self, op: Op, work: impl FnOnce(&mut State) -> Done) -> Done {
        let _slot = self.slot(op);
        self.point().await;
        if self.fails() {
            return Err(failure("it was to fail"));
        }
        let done = work(&mut self.state.borrow_mut());
        self.point().await;
        done
    }

    /// What must hold when a machine comes to life.
    fn may_live(&self, name: &InstanceName, machine: &str, want: &Body) {
        let state = self.state.borrow();
        let Some(row) = state.machines.get(machine) else {
            return self.broke(format!("{name} boots a machine that no row tells of"));
        };
        let alive = |other: &MachineRow| state.look(&other.id).alive;
        if state.machines_of(&row.sandbox_id).iter().any(alive) {
            self.broke(format!("two machines of {name} run"));
        }
        for volume in want.mounts.iter().filter_map(|mount| mount.source.volume()) {
            let users = state.machines.values().filter(|other| {
                let made_from = state.rows.get(&other.sandbox_id).and_then(|r| r.applied.as_ref());
                let body = made_from.and_then(|digest| state.definitions.get(digest));
                let id = state.disks.get(volume);
                alive(other)
                    && state
                        .uses
                        .iter()
                        .any(|one| one.sandbox_id == other.sandbox_id && Some(&one.volume_id) == id)
                    && body.is_some()
            });
            if users.count() > 0 {
                self.broke(format!("{name} boots with {volume}, which another has open"));
            }
        }
        for (target, dependency) in want.depends_on.iter().filter(|(_, need)| !need.optional) {
            for (needed, _) in self.wish.project.meant(target) {
                self.is_met(&state, name, needed, &dependency.until);
            }
        }
    }

    fn is_met(&self, state: &State, name: &InstanceName, needed: &InstanceName, until: &Until) {
        let phase = state.current(needed).map(|machine| state.standing(&machine).phase);
        let completed = state.row(needed).is_some_and(|row| row.completed_code.is_some());
        let met = match until {
            Until::Started => phase.is_some_and(|p| p.has_machine() || p == Phase::Completed),
            Until::Completed => phase.is_some_and(Phase::is_resting) || completed,
            Until::CompletedOk => phase == Some(Phase::Completed) || completed,
            Until::Ready | Until::Log(_) => {
                matches!(phase, Some(Phase::Ready | Phase::Degraded | Phase::Completed))
            }
        };
        if !met {
            self.broke(format!("{name} started before {needed} was {until:?}: it is {phase:?}"));
        }
    }

    /// Removes a folder, where nothing lives in it.
    fn clear(&self, state: &mut State, machine: &str) -> Result<(), StepError> {
        if state.look(machine).alive {
            self.broke(format!("the folder of {machine}, which lives, is removed"));
            return Err(failure("it lives"));
        }
        state.folders.remove(machine);
        Ok(())
    }

    async fn launch(&self, name: &InstanceName, want: &Body, id: &str, nonce: &str) -> Done {
        let fails = self.fails();
        let mut volumes = want.mounts.iter().filter_map(|mount| mount.source.volume());
        if volumes.any(|volume| !self.state.borrow().disks.contains_key(volume)) {
            return Err(failure("a volume is not there"));
        }
        self.may_live(name, id, want);
        {
            let mut state = self.state.borrow_mut();
            let Some(folder) = state.folders.get_mut(id) else {
                self.broke(format!("{name} boots without a folder"));
                return Err(failure("no folder"));
            };
            (folder.alive, folder.record) = (true, Some(record(id, nonce, want)));
        }
        self.point().await;
        let mut state = self.state.borrow_mut();
        if fails {
            state.end(id, Phase::Failed, "boot");
            let mut failed = failure("the boot was to fail");
            failed.phase = Some(Phase::Failed);
            return Err(failed);
        }
        if let Some(record) = state.folders.get_mut(id).and_then(|f| f.record.as_mut()) {
            record.phase = Phase::Starting;
        }
        Ok(Effect { phase: Some(Phase::Starting), ..Effect::default() })
    }

    async fn wait(&self, op: Op, name: &InstanceName) -> Done {
        let _slot = self.slot(op);
        while self.gates_held.get() && self.only_waits.get() && !self.dead.get() {
            tokio::task::yield_now().await;
        }
        self.point().await;
        let fails = self.fails();
        let mut state = self.state.borrow_mut();
        let Some(machine) = state.current(name) else {
            return Err(failure("there is no machine to wait for"));
        };
        let job = state.row(name).is_some_and(|row| row.kind == Kind::Job);
        let alive = state.look(&machine.id).alive;
        if fails && alive {
            if job || self.chance.borrow_mut().percent(50) {
                state.end(&machine.id, Phase::Failed, "exit 1");
            } else if let Some(record) =
                state.folders.get_mut(&machine.id).and_then(|f| f.record.as_mut())
            {
                record.phase = Phase::Stalled;
            }
        } else if op == Op::GateReady {
            if let Some(record) = state.folders.get_mut(&machine.id).and_then(|f| f.record.as_mut())
            {
                record.phase = if record.phase.has_machine() { Phase::Ready } else { record.phase };
            }
        } else if alive {
            state.go_on(&machine, job);
        }
        let phase = state.standing(&machine).phase;
        let exit_code = (phase == Phase::Completed).then_some(0);
        match phase {
            Phase::Ready | Phase::Degraded if op == Op::GateReady || !job => {}
            Phase::Completed if job => {}
            _ => {
                let mut failed = failure("the gate did not open");
                failed.phase = Some(phase);
                return Err(failed);
            }
        }
        Ok(Effect { phase: Some(phase), exit_code, ..Effect::default() })
    }
}

impl World for Sim {
    type Ticket = Ticket;

    fn begin(&self, step: &Step) -> Result<Ticket, StepError> {
        if !self.lives() {
            return Err(failure("dead"));
        }
        self.begin_step(step)
    }

    fn close(&self, step: &Step, ticket: &Ticket, done: &Done) -> Result<(), StepError> {
        if !self.lives() {
            return Err(failure("dead"));
        }
        self.close_step(step, ticket, done);
        self.lives();
        Ok(())
    }

    async fn pull(&self, _: &ImageRef) -> Done {
        self.act(Op::Pull, |_| Ok(Effect::default())).await
    }

    async fn build_root(&self, _: &ImageRef) -> Done {
        self.act(Op::BuildRoot, |_| Ok(Effect::default())).await
    }

    async fn ensure_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        let Some((id, _)) = ticket.volume.clone() else {
            let in_use = self.is_open(name);
            return self
                .act(Op::GrowVolume, |_| {
                    if in_use {
                        self.broke(format!("{name} grows while it is open"));
                    }
                    Ok(Effect::default())
                })
                .await;
        };
        self.act(Op::EnsureVolume, |state| {
            if let Some(there) = state.disks.insert(name.clone(), id) {
                self.broke(format!("volume {name} is made over {there}"));
            }
            Ok(Effect::default())
        })
        .await
    }

    async fn change_volume(&self, _: &VolumeName) -> Done {
        self.act(Op::Update, |_| Ok(Effect::default())).await
    }

    async fn trash_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        let Some((id, _)) = ticket.volume.clone() else { return Err(failure("no volume")) };
        if !self.may_lose || self.protected.contains(&id) {
            self.broke(format!("volume {name} goes, and nobody may take it"));
        }
        if self.is_open(name) {
            self.broke(format!("volume {name} goes while it is open"));
        }
        self.act(Op::TrashVolume, |state| {
            state.disks.retain(|_, disk| *disk != id);
            state.trash.insert(id);
            Ok(Effect::default())
        })
        .await
    }

    async fn rename_volume(&self, name: &VolumeName, ticket: &Ticket) -> Done {
        let Some((id, from)) = ticket.volume.clone() else { return Err(failure("no volume")) };
        self.act(Op::Move, |state| {
            if state.disks.get(&from) == Some(&id) {
                state.disks.remove(&from);
                if let Some(there) = state.disks.insert(name.clone(), id) {
                    self.broke(format!("volume {name} is moved over {there}"));
                }
            }
            Ok(Effect::default())
        })
        .await
    }

    async fn prepare(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        self.want(name)?;
        let id = ticket.machine.clone().unwrap_or_default();
        self.act(Op::Prepare, |state| {
            let sandbox = state.row(name).map(|row| row.id.clone()).unwrap_or_default();
            if self.protected.contains(&sandbox)
                && state.machines_of(&sandbox).iter().any(|m| m.role == Role::Current && m.id != id)
            {
                self.broke(format!("{name} is protected and made anew"));
            }
            for failed in state.machines_of(&sandbox).iter().filter(|m| m.role == Role::Failed) {
                self.clear(state, &failed.id)?;
            }
            state.folders.insert(id, super::state::Folder::default());
            Ok(Effect { phase: Some(Phase::Pending), ..Effect::default() })
        })
        .await
    }

    async fn boot(&self, name: &InstanceName, ticket: &Ticket) -> Done {
        let want = self.want(name)?;
        let _slot = self.slot(Op::Boot);
        self.point().await;
        let (Some(id), Some(nonce)) = (&ticket.machine, &ticket.nonce) else {
            self.broke(format!("there is no machine of {name} to boot"));
            return Err(failure("there is no machine to boot"));
        };
        self.launch(name, &want, id, nonce).await
    }

    async fn gate(&self, name: &InstanceName) -> Done {
        self.wait(Op::Gate, name).await
    }

    async fn gate_ready(&self, name: &InstanceName) -> Done {
        self.wait(Op::GateReady, name).await
    }

    async fn listen(&self, _: &InstanceName) -> Done {
        Ok(Effect::default())
    }

    async fn update(&self, name: &InstanceName) -> Done {
        let want = self.want(name)?;
        self.act(Op::Update, |state| {
            let machine = state.current(name).filter(|machine| state.look(&machine.id).alive);
            let folder = machine.and_then(|machine| state.folders.get_mut(&machine.id));
            if let Some(record) = folder.and_then(|folder| folder.record.as_mut()) {
                record.effective = effective(&want);
            }
            Ok(Effect::default())
        })
        .await
    }

    async fn stop(&self, name: &InstanceName, _: &Ticket) -> Done {
        self.act(Op::Stop, |state| {
            let Some(machine) = state.current(name).filter(|m| state.look(&m.id).alive) else {
                return Ok(Effect::default());
            };
            state.end(&machine.id, Phase::Stopped, "requested");
            Ok(Effect { phase: Some(Phase::Stopped), ..Effect::default() })
        })
        .await
    }

    async fn retire(&self, name: &InstanceName, _: &Ticket) -> Done {
        let job = self.want(name)?.kind == Kind::Job;
        self.remove(Op::Retire, name, |machine| job || machine.role != Role::Current).await
    }

    async fn discard(&self, name: &InstanceName, _: &Ticket) -> Done {
        let protected = self.state.borrow().row(name).map(|row| row.id.clone());
        if protected.is_some_and(|id| self.protected.contains(&id)) {
            self.broke(format!("{name} is protected and goes"));
        }
        self.remove(Op::Discard, name, |_| true).await
    }

    async fn revert(&self, name: &InstanceName) -> Done {
        let (old, want, nonce) = {
            let mut state = self.state.borrow_mut();
            let Some(sandbox) = state.row(name).cloned() else { return Ok(Effect::default()) };
            let (Some(new), Some(old)) = (
                state.by_role(&sandbox.id, Role::Current),
                state.by_role(&sandbox.id, Role::Previous),
            ) else {
                return Ok(Effect::default());
            };
            if state.look(&new.id).alive {
                state.end(&new.id, Phase::Stopped, "requested");
            }
            (old, (sandbox, new), state.new_id("nonce"))
        };
        self.point().await;
        let (sandbox, new) = want;
        let want = {
            let mut state = self.state.borrow_mut();
            state.put_machine(MachineRow { role: Role::Failed, ..new });
            let (role, nonce) = (Role::Current, nonce.clone());
            state.put_machine(MachineRow { role, nonce, ..old.clone() });
            let applied =
                sandbox.applied.and_then(|digest| state.definitions.get(&digest).cloned());
            applied.ok_or_else(|| failure("the old definition is gone"))?
        };
        self.point().await;
        self.launch(name, &want, &old.id, &nonce).await
    }
}

impl Sim {
    async fn remove(
        &self,
        op: Op,
        name: &InstanceName,
        goes: impl Fn(&MachineRow) -> bool,
    ) -> Done {
        let sandbox = self.state.borrow().row(name).map(|row| row.id.clone()).unwrap_or_default();
        self.act(op, |state| {
            for machine in state.machines_of(&sandbox).iter().filter(|machine| goes(machine)) {
                self.clear(state, &machine.id)?;
            }
            Ok(Effect::default())
        })
        .await
    }

    /// Tells whether a machine that lives has a volume open.
    fn is_open(&self, name: &VolumeName) -> bool {
        let state = self.state.borrow();
        let Some(id) = state.disks.get(name) else { return false };
        let lives = |sandbox: &str| {
            state.machines_of(sandbox).iter().any(|machine| state.look(&machine.id).alive)
        };
        state.uses.iter().any(|one| one.volume_id == *id && lives(&one.sandbox_id))
    }

    /// Returns the address of a step's sandbox, where it is one.
    pub(super) fn sandbox_of(step: &Step) -> Option<&InstanceName> {
        match &step.address {
            Address::Sandbox(name) => Some(name),
            Address::Image(_) | Address::Volume(_) => None,
        }
    }
}
