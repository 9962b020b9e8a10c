//! The rows of a simulated run, written as `host::rows` and `engine::apply` write them.

use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::project::{Access, Kind, MountSource, VolumeKind};

use super::state::{ADHOC, OpRow, PROJECT, State};
use super::world::{Sim, Ticket};
use crate::engine::regained::wished;
use crate::execute::host::take_over;
use crate::execute::{Done, Effect, StepError};
use crate::observe::Observed;
use crate::plan::{Action, Address, Op, Plan, Step, Wish};
use crate::store::inventory::{MachineRow, ProjectRow, Role, SandboxRow, VolumeRow, VolumeUse};

/// Writes what is wished for; returns the number of the run.
pub(super) fn begin_run(state: &mut State, wish: &Wish, planned: &Plan, seen: &Observed) -> u64 {
    let generation = seen.project.as_ref().map_or(0, |row| row.generation) + 1;
    state.project = Some(ProjectRow {
        id: PROJECT.to_owned(),
        name: wish.project.name.clone(),
        folder: wish.project.folder.clone(),
        files: Vec::new(),
        generation,
        updated_at: String::new(),
    });
    let moved = planned.changes.iter().filter_map(|change| {
        let was = change.was.as_ref()?.sandbox()?;
        Some((change.address.sandbox()?, seen.sandboxes.get(was)?.row.id.clone()))
    });
    for (name, id) in moved {
        if let Some(row) = state.rows.get_mut(&id) {
            row.name = name.clone();
        }
    }
    for change in &planned.changes {
        let Some(name) = change.address.sandbox() else { continue };
        let was = change.was.as_ref().and_then(Address::sandbox).unwrap_or(name);
        let old = seen.sandboxes.get(was);
        let old = old.filter(|_| was != name || !planned.moves_away(name));
        let want = wish.project.sandboxes.get(name);
        let desired = match (change.action, want) {
            (Action::Forget, _) => continue,
            (Action::Destroy, _) | (_, None) => None,
            (_, Some(want)) => Some(state.put_definition(want)),
        };
        let row = match (old, want) {
            (Some(old), want) => SandboxRow {
                name: name.clone(),
                kind: want.map_or(old.row.kind, |want| want.kind),
                ..wished(change.action, old, desired)
            },
            (None, Some(want)) => {
                SandboxRow::new(state.new_id("s"), PROJECT, (name, want.kind), desired)
            }
            (None, None) => continue,
        };
        state.rows.insert(row.id.clone(), row);
    }
    let run = state.number();
    state.live_runs.insert(run);
    run
}

impl Sim {
    pub(super) fn begin_step(&self, step: &Step) -> Result<Ticket, StepError> {
        let mut ticket = Ticket::default();
        if step.op.is_wait() {
            return Ok(ticket);
        }
        let mut state = self.state.borrow_mut();
        let row = Self::sandbox_of(step).and_then(|name| state.row(name)).cloned();
        if let (Some(name), None) = (Self::sandbox_of(step), &row) {
            self.broke(format!("{name} has no row"));
            return Err(StepError::of(schema::failure::Report::default()));
        }
        match (&step.address, step.op) {
            (_, Op::Prepare) => ticket.machine = Some(state.new_id("m")),
            (Address::Sandbox(_), op) => {
                let sandbox = row.as_ref().map(|row| row.id.clone()).unwrap_or_default();
                let incoming = state.by_role(&sandbox, Role::Next).filter(|_| op == Op::Boot);
                let one = incoming.or_else(|| state.by_role(&sandbox, Role::Current));
                ticket.machine = one.map(|machine| machine.id);
                ticket.nonce = (op == Op::Boot).then(|| state.new_id("n"));
            }
            (Address::Volume(name), Op::EnsureVolume) => {
                ticket.volume = Some((state.new_id("v"), name.clone()));
            }
            (Address::Volume(name), Op::TrashVolume) => ticket.volume = own(&state, name),
            (Address::Volume(name), Op::Move) => {
                let was = self.wish.project.volumes.get(name).and_then(|v| v.moved_from.as_ref());
                ticket.volume = was.and_then(|was| own(&state, was));
            }
            (Address::Image(_) | Address::Volume(_), _) => {}
        }
        if let Some(row) = &row {
            announce(&mut state, step.op, row, &ticket);
        }
        let named = match &step.address {
            Address::Volume(name) => {
                ticket.volume.as_ref().map(|(id, _)| (id.clone(), name.clone()))
            }
            Address::Sandbox(_) | Address::Image(_) => None,
        };
        let id = state.number();
        state.ops.push(OpRow {
            id,
            run: self.run,
            op: step.op,
            open: true,
            nonce: ticket.nonce.clone(),
            machine: ticket.machine.clone(),
            volume: named,
            protect: match &step.address {
                Address::Volume(name) => {
                    self.wish.project.volumes.get(name).is_some_and(|wanted| wanted.protect)
                }
                Address::Sandbox(_) | Address::Image(_) => false,
            },
            definition: row.and_then(|row| row.desired),
        });
        ticket.op = Some(id);
        Ok(ticket)
    }

    pub(super) fn close_step(&self, step: &Step, ticket: &Ticket, done: &Done) {
        let mut state = self.state.borrow_mut();
        match &step.address {
            Address::Sandbox(name) => self.close_sandbox(&mut state, (step.op, name), ticket, done),
            Address::Volume(name) if done.is_ok() => {
                self.close_volume(&mut state, (step.op, name), ticket);
            }
            Address::Volume(_) | Address::Image(_) => {}
        }
        let id = ticket.op;
        for op in state.ops.iter_mut().filter(|op| Some(op.id) == id) {
            op.open = false;
        }
    }

    fn close_sandbox(
        &self,
        state: &mut State,
        (op, name): (Op, &InstanceName),
        ticket: &Ticket,
        done: &Done,
    ) {
        let Some(mut row) = state.row(name).cloned() else { return };
        let mine = state.machines_of(&row.id);
        let id = ticket.machine.as_ref();
        let one =
            mine.iter().find(|m| Some(&m.id) == id || (id.is_none() && m.role == Role::Current));
        let replacing = mine.iter().any(|machine| machine.role == Role::Previous);
        match (op, done) {
            (Op::Prepare, Err(_)) => {
                state.machines.remove(id.map_or("", String::as_str));
            }
            (Op::Prepare, Ok(_)) => {
                if one.is_some_and(|machine| machine.role == Role::Current) {
                    self.applied(state, name, &mut row, false);
                }
                for failed in mine.iter().filter(|machine| machine.role == Role::Failed) {
                    state.machines.remove(&failed.id);
                }
            }
            (Op::Boot | Op::Gate | Op::Stop, done) => {
                if let Some(machine) = one {
                    let told = told(state, machine, done);
                    state.put_machine(told);
                }
                match (op, done) {
                    (Op::Boot, Ok(_)) if !replacing => self.applied(state, name, &mut row, false),
                    (Op::Gate, Ok(effect)) => {
                        row.completed_code = effect.exit_code.filter(|_| row.kind == Kind::Job);
                        self.applied(state, name, &mut row, true);
                    }
                    _ => {}
                }
            }
            (Op::Update, Ok(_)) => self.applied(state, name, &mut row, true),
            (Op::Retire, Ok(_)) => {
                let job = row.kind == Kind::Job;
                for old in mine.iter().filter(|m| job || m.role != Role::Current) {
                    state.machines.remove(&old.id);
                }
            }
            (Op::Forget, Ok(_)) => {
                let row = SandboxRow { project_id: ADHOC.to_owned(), keep: false, ..row };
                state.rows.insert(row.id.clone(), row);
            }
            (Op::Discard, Ok(_)) => state.remove_sandbox(&row.id),
            _ => {}
        }
    }

    fn applied(&self, state: &mut State, name: &InstanceName, row: &mut SandboxRow, out: bool) {
        let Some(want) = self.wish.project.sandboxes.get(name) else { return };
        let digest = want.digest().to_owned();
        if row.desired.as_ref() != Some(&digest) {
            return;
        }
        row.applied = Some(digest);
        let at = format!("sandbox.{}", name.sandbox);
        let holds = |path, now, wanted| self.wish.holds(&at, path, (now, wanted));
        row.protect = holds("lifecycle.protect", row.protect, want.lifecycle.protect);
        row.keep = holds("lifecycle.keep", row.keep, want.lifecycle.keep);
        match out {
            false => row.completed_code = None,
            true => row.observed = row.generation,
        }
        state.uses.retain(|one| one.sandbox_id != row.id);
        for mount in &want.mounts {
            let MountSource::Named(volume) = &mount.source else { continue };
            let Some(volume) = state.volumes.values().find(|row| row.name == *volume) else {
                continue;
            };
            let read_only = mount.options.access == Access::ReadOnly;
            state.uses.push(VolumeUse {
                volume_id: volume.id.clone(),
                sandbox_id: row.id.clone(),
                destination: mount.destination.to_string(),
                mode: if read_only { "ro" } else { "rw" }.to_owned(),
            });
        }
        state.rows.insert(row.id.clone(), row.clone());
    }

    fn close_volume(&self, state: &mut State, (op, name): (Op, &VolumeName), ticket: &Ticket) {
        match (op, &ticket.volume) {
            (Op::TrashVolume, Some((id, _))) => {
                state.uses.retain(|one| one.volume_id != *id);
                state.volumes.remove(id);
                return;
            }
            (Op::Move, Some((id, _))) => {
                if let Some(row) = state.volumes.get_mut(id) {
                    row.name = name.clone();
                }
            }
            _ => {}
        }
        let Some(want) = self.wish.project.volumes.get(name) else { return };
        let known = state.volumes.values().find(|row| row.name == *name).cloned();
        let row = match (known, &ticket.volume) {
            (Some(row), _) => row,
            (None, Some((id, _))) => new_volume(id, name, want.size.map(|size| size.0)),
            (None, None) => return,
        };
        let size_bytes = match op {
            Op::Move => row.size_bytes,
            _ => want.size.map_or(row.size_bytes, |size| Some(size.0)),
        };
        let at = format!("volume.{name}");
        let protect = self.wish.holds(&at, "lifecycle.protect", (row.protect, want.protect));
        let labels = want.labels.clone();
        state.volumes.insert(row.id.clone(), VolumeRow { size_bytes, protect, labels, ..row });
    }
}

/// Returns the row of a volume that nobody has told more of.
pub(super) fn new_volume(id: &str, name: &VolumeName, size_bytes: Option<u64>) -> VolumeRow {
    VolumeRow {
        id: id.to_owned(),
        project_id: Some(PROJECT.to_owned()),
        name: name.clone(),
        folder: format!("shop.{name}"),
        kind: VolumeKind::Disk,
        size_bytes,
        quota_bytes: None,
        protect: false,
        labels: std::collections::BTreeMap::new(),
        created_at: String::new(),
        trashed_at: None,
    }
}

fn own(state: &State, name: &VolumeName) -> Option<(String, VolumeName)> {
    let row = state.volumes.values().find(|row| row.name == *name)?;
    Some((row.id.clone(), name.clone()))
}

fn announce(state: &mut State, op: Op, row: &SandboxRow, ticket: &Ticket) {
    let Some(id) = &ticket.machine else { return };
    let mine = state.machines_of(&row.id);
    match op {
        Op::Prepare => {
            let taken = mine.iter().any(|machine| machine.role == Role::Current);
            let role = if taken { Role::Next } else { Role::Current };
            state.put_machine(MachineRow::new(id, &row.id, role));
        }
        Op::Boot => {
            let Some(next) = mine.iter().find(|machine| machine.id == *id) else { return };
            if next.role == Role::Next {
                for old in mine.iter().filter(|machine| machine.role == Role::Current) {
                    state.put_machine(MachineRow { role: Role::Previous, ..old.clone() });
                }
            }
            state.put_machine(MachineRow {
                role: Role::Current,
                nonce: ticket.nonce.clone().unwrap_or_default(),
                phase: Phase::Booting,
                reason: None,
                exit_code: None,
                ..next.clone()
            });
        }
        _ => {}
    }
}

/// Returns a machine's row with what its record tells, else with what the step tells.
fn told(state: &State, machine: &MachineRow, done: &Done) -> MachineRow {
    let mut row = machine.clone();
    let (phase, reason, exit_code) = match done {
        Ok(Effect { phase, reason, exit_code, .. }) => (*phase, reason.clone(), *exit_code),
        Err(error) => (error.phase, error.reason.clone(), error.exit_code),
    };
    row.phase = phase.unwrap_or(row.phase);
    row.reason = reason;
    row.exit_code = exit_code;
    take_over(&mut row, state.look(&machine.id).record.as_ref());
    row
}
