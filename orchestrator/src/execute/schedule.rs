//! Which step is next: counts of what each still waits for, and free slots.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Done, Ended, LastGates, Slots};
use crate::plan::{self, Address, OnFailure, Op, Plan, StepId};

/// See the module.
#[derive(Debug)]
pub(super) struct Schedule {
    nodes: BTreeMap<StepId, Node>,
    /// What may start, longest chain first, by operation: each has slots of its own.
    free: BTreeMap<Op, BTreeSet<Key>>,
    running: BTreeMap<StepId, Op>,
    busy: BTreeMap<Op, usize>,
    ended: BTreeMap<StepId, Ended>,
    /// How many steps that do something have not ended.
    acts_left: usize,
    slots: Slots,
    stopped: bool,
    /// How steps end that never begin.
    rest: Ended,
}

type Key = (Reverse<usize>, Address, StepId);

#[derive(Debug)]
struct Node {
    op: Op,
    address: Address,
    depth: usize,
    waits_for: usize,
    then: Vec<(StepId, OnFailure)>,
}

impl Node {
    fn key(&self, id: StepId) -> Key {
        (Reverse(self.depth), self.address.clone(), id)
    }
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
            free: BTreeMap::new(),
            running: BTreeMap::new(),
            busy: BTreeMap::new(),
            ended: BTreeMap::new(),
            acts_left: 0,
            slots,
            stopped: false,
            rest: Ended::Interrupted,
        };
        if last_gates == LastGates::Leave {
            schedule.leave_last_gates();
        }
        schedule.acts_left = schedule.nodes.values().filter(|node| !node.op.is_wait()).count();
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
        for (id, node) in self.nodes.iter().filter(|(_, node)| node.waits_for == 0) {
            self.free.entry(node.op).or_default().insert(node.key(*id));
        }
    }

    /// Takes the next step that may start now, longest chain first.
    pub(super) fn next(&mut self) -> Option<StepId> {
        if self.stopped {
            return None;
        }
        let has_slot = |op: Op| self.busy.get(&op).is_none_or(|busy| *busy < self.slots.of_op(op));
        let open = self.free.iter().filter(|(op, _)| has_slot(**op));
        let (_, op) = open.filter_map(|(op, keys)| Some((keys.first()?, *op))).min()?;
        let (_, _, id) = self.free.get_mut(&op)?.pop_first()?;
        self.running.insert(id, op);
        *self.busy.entry(op).or_default() += 1;
        Some(id)
    }

    /// Notes how a step ended; the last word about one counts.
    fn end(&mut self, id: StepId, how: Ended) {
        if let Some(busy) = self.running.remove(&id).and_then(|op| self.busy.get_mut(&op)) {
            *busy -= 1;
        }
        let acts = self.nodes.get(&id).is_some_and(|node| !node.op.is_wait());
        if self.ended.insert(id, how).is_none() && acts {
            self.acts_left -= 1;
        }
    }

    /// Takes the end of a step; returns what is skipped because of it, with the cause.
    pub(super) fn finish(&mut self, id: StepId, done: Done) -> Vec<(StepId, Address)> {
        match done {
            Ok(effect) => {
                self.end(id, Ended::Done(effect));
                self.release(id);
                Vec::new()
            }
            Err(error) => {
                self.end(id, Ended::Failed(error));
                self.skip_after(id)
            }
        }
    }

    /// Leaves a running step; what waits for it stays undone.
    pub(super) fn leave(&mut self, id: StepId, how: Ended) {
        if how == Ended::TimedOut {
            self.rest = Ended::TimedOut;
        }
        self.end(id, how);
    }

    /// Starts nothing further.
    pub(super) const fn stop(&mut self) {
        self.stopped = true;
    }

    /// Tells whether nothing is left but waiting.
    pub(super) fn only_gates_are_left(&self) -> bool {
        match self.stopped {
            true => self.running.values().all(|op| op.is_wait()),
            false => self.acts_left == 0,
        }
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
                let key = node.key(id);
                self.free.entry(node.op).or_default().insert(key);
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
                        self.end(next, Ended::Skipped(cause.clone()));
                        skipped.push((next, cause.clone()));
                        open.push(next);
                    }
                }
            }
        }
        skipped
    }
}
