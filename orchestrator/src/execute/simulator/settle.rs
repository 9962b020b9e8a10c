//! What a command does first with what dead runs left open, as `execute::settle` does it.

use std::collections::BTreeSet;

use schema::lifecycle::Phase;

use super::rows::new_volume;
use super::state::{OpRow, State};
use crate::execute::host::take_over;
use crate::execute::settle::{applied_as, carried_out, going};
use crate::plan::Op;
use crate::store::inventory::{MachineRow, Role, VolumeRow};

pub(super) fn settle(state: &mut State) {
    let is_dead = |op: &OpRow| op.open && !state.live_runs.contains(&op.run);
    let open: Vec<OpRow> = state.ops.iter().filter(|op| is_dead(op)).cloned().collect();
    for op in open {
        judge(state, &op);
        for row in state.ops.iter_mut().filter(|row| row.id == op.id) {
            row.open = false;
        }
    }
    let live = state.ops.iter().filter(|op| state.live_runs.contains(&op.run));
    let named: BTreeSet<String> = live.filter_map(|op| op.machine.clone()).collect();
    halfway(state, &named);
    sweep(state, &named);
    take_over_records(state);
}

fn judge(state: &mut State, op: &OpRow) {
    match op.op {
        Op::EnsureVolume => {
            let Some((id, name)) = &op.volume else { return };
            if state.disks.get(name) == Some(id) {
                let row = VolumeRow { protect: op.protect, ..new_volume(id, name, Some(1)) };
                state.volumes.insert(id.clone(), row);
            }
        }
        Op::Boot => boot(state, op),
        Op::Stop => {
            if let Some(id) = &op.machine {
                stop_if_alive(state, id);
            }
        }
        Op::Prepare | Op::Retire => remove_machine(state, op),
        Op::Discard => discard(state, op),
        Op::TrashVolume => {
            let Some((id, _)) = &op.volume else { return };
            if state.trash.contains(id) {
                state.uses.retain(|one| one.volume_id != *id);
                state.volumes.remove(id);
            }
        }
        Op::Move => {
            let Some((id, name)) = &op.volume else { return };
            if state.disks.get(name) == Some(id)
                && let Some(row) = state.volumes.get_mut(id)
            {
                row.name = name.clone();
            }
        }
        Op::Pull
        | Op::BuildRoot
        | Op::GrowVolume
        | Op::Update
        | Op::Gate
        | Op::GateReady
        | Op::Listen
        | Op::Forget => {}
    }
}

fn boot(state: &mut State, op: &OpRow) {
    let Some(mut new) = op.machine.as_ref().and_then(|id| state.machines.get(id)).cloned() else {
        return;
    };
    if state.by_role(&new.sandbox_id, Role::Previous).is_some() {
        return;
    }
    let look = state.look(&new.id);
    let fits = look.record.as_ref().is_some_and(|record| Some(&record.nonce) == op.nonce.as_ref());
    if !(look.alive && fits) {
        (new.phase, new.reason) = (Phase::Failed, Some("boot".to_owned()));
        take_over(&mut new, look.record.as_ref());
        return state.put_machine(new);
    }
    take_over(&mut new, look.record.as_ref());
    let sandbox = new.sandbox_id.clone();
    state.put_machine(new);
    now_applied(state, &sandbox, op.definition.as_ref());
}

fn now_applied(state: &mut State, sandbox: &str, definition: Option<&String>) {
    let body = definition.and_then(|digest| state.definitions.get(digest));
    if let Some(row) = state.rows.get_mut(sandbox) {
        *row = applied_as(row.clone(), (definition, body));
    }
}

fn stop_if_alive(state: &mut State, machine: &str) {
    if state.look(machine).alive {
        state.end(machine, Phase::Stopped, "requested");
    }
}

fn remove(state: &mut State, machine: &str) {
    if !state.look(machine).alive {
        state.folders.remove(machine);
    }
}

fn remove_machine(state: &mut State, op: &OpRow) {
    let Some(id) = &op.machine else { return };
    let Some(named) = state.machines.get(id).cloned() else {
        return remove(state, id);
    };
    let machines = state.machines_of(&named.sandbox_id);
    let kind = state.rows.get(&named.sandbox_id).map(|row| row.kind);
    let going: Vec<MachineRow> =
        going(op.op, &named, &machines, kind).into_iter().cloned().collect();
    for machine in going {
        remove(state, &machine.id);
        state.machines.remove(&machine.id);
    }
}

fn discard(state: &mut State, op: &OpRow) {
    let Some(id) = &op.machine else { return };
    if state.look(id).alive {
        return;
    }
    remove(state, id);
    let Some(named) = state.machines.get(id).cloned() else { return };
    for machine in state.machines_of(&named.sandbox_id) {
        remove(state, &machine.id);
    }
    state.remove_sandbox(&named.sandbox_id);
}

fn halfway(state: &mut State, named: &BTreeSet<String>) {
    let old: Vec<MachineRow> =
        state.machines.values().filter(|m| m.role == Role::Previous).cloned().collect();
    for old in old {
        let Some(new) = state.by_role(&old.sandbox_id, Role::Current) else { continue };
        if named.contains(&new.id) || named.contains(&old.id) {
            continue;
        }
        let (alive, phase) = (state.look(&new.id).alive, state.standing(&new).phase);
        let ready = alive && matches!(phase, Phase::Ready | Phase::Degraded);
        let goes = if ready { &old } else { &new };
        stop_if_alive(state, &goes.id);
        remove(state, &goes.id);
        state.machines.remove(&goes.id);
        if ready {
            let wanted = state.rows.get(&new.sandbox_id).and_then(|row| row.desired.clone());
            now_applied(state, &new.sandbox_id, wanted.as_ref());
        } else {
            state.put_machine(MachineRow { role: Role::Current, ..old });
        }
    }
}

fn sweep(state: &mut State, named: &BTreeSet<String>) {
    let machines: Vec<MachineRow> = state.machines.values().cloned().collect();
    for machine in machines {
        let row = state.rows.get(&machine.sandbox_id);
        let unused = row.is_none_or(|row| row.applied.is_none());
        let going = match machine.role {
            Role::Next => true,
            Role::Current => unused,
            Role::Previous | Role::Failed => false,
        };
        if !going || named.contains(&machine.id) || state.look(&machine.id).alive {
            continue;
        }
        remove(state, &machine.id);
        state.machines.remove(&machine.id);
    }
}

fn take_over_records(state: &mut State) {
    let current: Vec<MachineRow> =
        state.machines.values().filter(|m| m.role == Role::Current).cloned().collect();
    for machine in current {
        let mut row = machine.clone();
        take_over(&mut row, state.look(&machine.id).record.as_ref());
        let standing = state.standing(&row);
        row.phase = standing.phase;
        row.reason = standing.reason.or(row.reason);
        let sandbox =
            state.rows.get(&row.sandbox_id).and_then(|sandbox| carried_out(sandbox, &row));
        state.put_machine(row);
        if let Some(sandbox) = sandbox {
            state.rows.insert(sandbox.id.clone(), sandbox);
        }
    }
}
