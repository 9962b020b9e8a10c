//! Which step is next: counts of what each still waits for, and free slots.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Done, Ended, LastGates, Slots};
use crate::plan::{self, Address, OnFailure, Op, Plan, StepId};

/// See the module.
#[derive(Debug)]
pub(super) struct Schedule {
    nodes: BTreeMap<StepId, Node>,
    free: BTreeSet<(Reverse<usize>, Address, StepId)>,
    running: BTreeMap<StepId, Op>,
    ended: BTreeMap<StepId, Ended>,
    slots: Slots,
    stopped: bool,
    /// How steps end that never begin.
    rest: Ended,
}

#[derive(Debug)]
struct Node {
    op: Op,
    address: Address,
    depth: usize,
    waits_for: usize,
    then: Vec<(StepId, OnFailure)>,
}

impl Schedule {
    /// Returns the schedule of a plan's steps.
    pub(super) fn of(plan: &Plan, slots: Slots, last_gates: LastGates) -> Self {
        let depths = plan::depths(&plan.steps);
        let mut nodes: BTreeMap<StepId, Node> = plan
            .steps
            .iter()
            .zip(depths)
            .map(|(step, depth)| {
                let node = Node {
                    op: step.op,
                    address: step.address.clone(),
                    depth,
                    waits_for: step.after.len(),
                    then: Vec::new(),
                };
                (step.id, node)
            })
            .collect();
        for step in &plan.steps {
            for edge in &step.after {
                if let Some(before) = nodes.get_mut(&edge.step) {
                    before.then.push((step.id, edge.on_failure));
                }
            }
        }
        let mut schedule = Self {
            nodes,
            free: BTreeSet::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            slots,
            stopped: false,
            rest: Ended::Interrupted,
        };
        if last_gates == LastGates::Leave {
            schedule.leave_last_gates();
        }
        schedule.free_what_waits_for_nothing();
        schedule
    }

    fn leave_last_gates(&mut self) {
        let last: Vec<StepId> = self
            .nodes
            .iter()
            .filter(|(_, node)| node.op.is_wait() && node.then.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for id in last {
            self.nodes.remove(&id);
        }
        let known: BTreeSet<StepId> = self.nodes.keys().copied().collect();
        for node in self.nodes.values_mut() {
            node.then.retain(|(id, _)| known.contains(id));
        }
    }

    fn free_what_waits_for_nothing(&mut self) {
        let free = self.nodes.iter().filter(|(_, node)| node.waits_for == 0);
        self.free =
            free.map(|(id, node)| (Reverse(node.depth), node.address.clone(), *id)).collect();
    }

    /// Takes the next step that may start now, longest chain first.
    pub(super) fn next(&mut self) -> Option<StepId> {
        if self.stopped {
            return None;
        }
        let taken = |op: Op| {
            let limit = self.slots.of_op(op);
            self.running.values().filter(|other| **other == op).count() >= limit
        };
        let key = self
            .free
            .iter()
            .find(|(_, _, id)| self.nodes.get(id).is_some_and(|node| !taken(node.op)))?
            .clone();
        self.free.remove(&key);
        let op = self.nodes.get(&key.2)?.op;
        self.running.insert(key.2, op);
        Some(key.2)
    }

    /// Takes the end of a step; returns what is skipped because of it, with the cause.
    pub(super) fn finish(&mut self, id: StepId, done: Done) -> Vec<(StepId, Address)> {
        self.running.remove(&id);
        match done {
            Ok(effect) => {
                self.ended.insert(id, Ended::Done(effect));
                self.release(id);
                Vec::new()
            }
            Err(error) => {
                self.ended.insert(id, Ended::Failed(error));
                self.skip_after(id)
            }
        }
    }

    /// Leaves a running step; what waits for it stays undone.
    pub(super) fn leave(&mut self, id: StepId, how: Ended) {
        self.running.remove(&id);
        if how == Ended::TimedOut {
            self.rest = Ended::TimedOut;
        }
        self.ended.insert(id, how);
    }

    /// Starts nothing further.
    pub(super) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Tells whether nothing is left but waiting.
    pub(super) fn only_gates_are_left(&self) -> bool {
        let unfinished = self.nodes.iter().filter(|(id, _)| !self.ended.contains_key(*id));
        unfinished
            .into_iter()
            .all(|(id, node)| node.op.is_wait() || (self.stopped && !self.running.contains_key(id)))
    }

    /// Returns how each step ended; what never began shares the fate of what was left.
    pub(super) fn into_ended(mut self) -> BTreeMap<StepId, Ended> {
        for id in self.nodes.keys() {
            self.ended.entry(*id).or_insert_with(|| self.rest.clone());
        }
        self.ended
    }

    fn release(&mut self, id: StepId) {
        let then: Vec<StepId> = self
            .nodes
            .get(&id)
            .map_or_else(Vec::new, |node| node.then.iter().map(|t| t.0).collect());
        for next in then {
            self.one_less(next);
        }
    }

    fn one_less(&mut self, id: StepId) {
        if self.ended.contains_key(&id) {
            return;
        }
        if let Some(node) = self.nodes.get_mut(&id) {
            node.waits_for = node.waits_for.saturating_sub(1);
            if node.waits_for == 0 {
                self.free.insert((Reverse(node.depth), node.address.clone(), id));
            }
        }
    }

    fn skip_after(&mut self, failed: StepId) -> Vec<(StepId, Address)> {
        let Some(cause) = self.nodes.get(&failed).map(|node| node.address.clone()) else {
            return Vec::new();
        };
        let mut skipped = Vec::new();
        let mut open = vec![failed];
        while let Some(id) = open.pop() {
            let then = self.nodes.get(&id).map_or_else(Vec::new, |node| node.then.clone());
            for (next, on_failure) in then {
                match on_failure {
                    OnFailure::GoOn => self.one_less(next),
                    OnFailure::Skip if self.ended.contains_key(&next) => {}
                    OnFailure::Skip => {
                        self.ended.insert(next, Ended::Skipped(cause.clone()));
                        skipped.push((next, cause.clone()));
                        open.push(next);
                    }
                }
            }
        }
        skipped
    }
}
