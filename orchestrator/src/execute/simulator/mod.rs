//! A host in memory on which random things happen to random projects, and what must hold then.
//!
//! Reading, observing, planning, asking for consent and the schedule are the
//! real ones; rows, settling and machines are those of the host as values. A
//! case that breaks a law is shrunk and printed with its seed.
//!
//! `MSB_SIMULATE=N` runs so many cases, `MSB_SEED=N` begins at that one.

mod case;
mod chance;
mod file;
mod laws;
mod rows;
mod settle;
mod state;
mod world;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{Kind, Origins, Project, Volume};
use schema::units::Bytes;

use super::failpoint::Failpoint;
use super::{Ended, Hooks, LastGates, Limits, Slots, execute};
use crate::consent::{self, Consents};
use crate::engine::regained::regained;
use crate::engine::{AfterFailure, Cancel};
use crate::plan::{Goal, Inputs, Plan, Selection, StepId, Volumes, Wish, hash, plan};
use crate::store::inventory::{MachineRow, Role};
use case::{Case, Event, Up};
use chance::Chance;
use file::File;
use state::{PROJECT, State};
use world::{Fault, Sim};

/// How many cases are run where nothing is said.
const CASES: u64 = 800;

/// Few enough that a plan of this size can go beyond them.
const SLOTS: Slots = Slots { boots: 2, pulls: 1, builds: 1, stops: 2, probes: 3 };

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It did everything.
    Done,
    /// Something failed.
    Failed,
    /// It died.
    Dead,
    /// It was refused, or nobody consented.
    Refused,
}

struct Simulation {
    seed: u64,
    file: File,
    state: Rc<RefCell<State>>,
    broken: Vec<String>,
    log: Vec<String>,
    /// How many runs without faults were checked to the end.
    checked: usize,
}

impl Simulation {
    fn of(seed: u64) -> Self {
        let (file, state) = (File::default(), Rc::default());
        Self { seed, file, state, broken: Vec::new(), log: Vec::new(), checked: 0 }
    }

    /// Lets everything happen, and then nothing more until the host is quiet.
    fn run(mut self, case: &Case) -> Self {
        for event in &case.events {
            self.happen(*event);
            if !self.broken.is_empty() {
                return self;
            }
        }
        self.log.push("then nothing goes wrong any more".to_owned());
        let up = Up { loses: true, extra: true, ..Up::default() };
        self.happen(Event::Up(up));
        if self.broken.is_empty() && case.seed.is_multiple_of(3) {
            self.happen(Event::Down {
                volumes: case.seed.is_multiple_of(2),
                fault: Fault::Nothing,
            });
        }
        self
    }

    fn happen(&mut self, event: Event) {
        let before = self.state.borrow().clone();
        self.log.push(format!("{event:?}"));
        match event {
            Event::Edit(edit) => self.file.edit(edit),
            Event::Up(up) => self.up(up),
            Event::Down { volumes, fault } => {
                let mut wish = self.of_state(Goal::Down);
                wish.selection.volumes = if volumes { Volumes::Trash } else { Volumes::Stay };
                if self.command(wish, fault, volumes, None) == Outcome::Done {
                    self.broken.extend(laws::down(&self.state.borrow()));
                }
            }
            Event::Stop { node, fault } => self.by_hand(Goal::Stopped, node, fault),
            Event::Restart { node, fault } => self.by_hand(Goal::Restarted, node, fault),
            Event::Die(node) => self.with_machine(node, |state, machine| {
                // It goes without a word.
                if let Some(folder) = state.folders.get_mut(&machine.id) {
                    folder.alive = false;
                }
            }),
            Event::Idle(node) => self.with_machine(node, |state, machine| {
                let job = state.rows.get(&machine.sandbox_id).map(|row| row.kind);
                if job == Some(Kind::Service) && state.look(&machine.id).alive {
                    state.end(&machine.id, Phase::Stopped, "idle");
                }
            }),
            Event::Drift(node) => self.with_machine(node, |state, machine| {
                let folder = state.folders.get_mut(&machine.id).filter(|folder| folder.alive);
                if let Some(record) = folder.and_then(|folder| folder.record.as_mut()) {
                    record.effective.memory_bytes = 300 << 20;
                }
            }),
            Event::GoOn => self.go_on(),
        }
        self.broken.extend(laws::between(&before, &self.state.borrow()));
    }

    fn up(&mut self, up: Up) {
        let Some(mut wish) = self.file.wish(up.extra) else {
            self.broken.push(format!("the file is not valid:\n{}", self.file.text()));
            return;
        };
        wish.selection.allow_mass_delete = true;
        if let Some((node, recreate)) = up.only {
            let names: Vec<&InstanceName> = wish.project.sandboxes.keys().collect();
            let Some(name) = names.get(usize::from(node) % names.len().max(1)) else { return };
            wish.selection.names = [(*name).clone()].into();
            wish.selection.recreate = recreate;
        }
        let calm = up.fault == Fault::Nothing && up.meanwhile.is_none();
        let outcome = self.command(wish.clone(), up.fault, up.loses, up.meanwhile.map(|e| (e, up)));
        if !calm || outcome == Outcome::Refused || !self.broken.is_empty() {
            return;
        }
        if outcome != Outcome::Done {
            self.broken.push(format!("nothing went wrong, and it {outcome:?}"));
        }
        self.checked += 1;
        wish.selection.recreate = false;
        let state = self.state.borrow();
        self.broken.extend(laws::converged(&state, &wish, &state.observe(&wish)));
    }

    fn by_hand(&mut self, goal: Goal, node: u8, fault: Fault) {
        let mut wish = self.of_state(goal);
        let names: Vec<InstanceName> =
            self.state.borrow().rows.values().map(|row| row.name.clone()).collect();
        let Some(name) = names.get(usize::from(node) % names.len().max(1)) else { return };
        wish.selection = Selection { names: [name.clone()].into(), ..Selection::default() };
        self.command(wish, fault, false, None);
    }

    /// Returns a wish without a file, as `engine::wishes` makes it.
    fn of_state(&self, goal: Goal) -> Wish {
        let state = self.state.borrow();
        let Ok(name) = schema::name::ProjectName::parse("shop") else { unreachable!() };
        let mut wanted = Project::empty(name, "/srv/shop".into());
        for row in state.rows.values().filter(|row| row.project_id == PROJECT) {
            let digest = row.desired.as_ref().or(row.applied.as_ref());
            if let Some(body) = digest.and_then(|digest| state.definitions.get(digest)) {
                wanted.sandboxes.insert(row.name.clone(), body.clone());
            }
        }
        for row in state.volumes.values() {
            let wish = Volume {
                kind: Some(row.kind),
                size: row.size_bytes.map(Bytes),
                labels: row.labels.clone(),
                protect: row.protect,
                ..Volume::unsaid()
            };
            wanted.volumes.insert(row.name.clone(), wish);
        }
        let mut wish = Wish::new(wanted, Origins::default(), Inputs::default(), "/srv/shop".into());
        wish.goal = goal;
        wish
    }

    fn with_machine(&self, node: u8, work: impl FnOnce(&mut State, &MachineRow)) {
        let mut state = self.state.borrow_mut();
        let current = state.machines.values().filter(|machine| machine.role == Role::Current);
        let machines: Vec<MachineRow> = current.cloned().collect();
        if let Some(machine) = machines.get(usize::from(node) % machines.len().max(1)) {
            work(&mut state, machine);
        }
    }

    fn go_on(&self) {
        let mut state = self.state.borrow_mut();
        let machines: Vec<MachineRow> = state.machines.values().cloned().collect();
        for machine in machines {
            let job = state.rows.get(&machine.sandbox_id).is_some_and(|row| row.kind == Kind::Job);
            state.go_on(&machine, job);
        }
    }

    /// One command, from settling to its last row.
    fn command(
        &mut self,
        wish: Wish,
        fault: Fault,
        may_lose: bool,
        meanwhile: Option<(file::Edit, Up)>,
    ) -> Outcome {
        let Some((sim, planned)) = self.begin(wish, fault, may_lose) else {
            return Outcome::Refused;
        };
        sim.gates_held.set(meanwhile.is_some());
        let first = run(Rc::clone(&sim), &planned);
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let Ok(runtime) = runtime else { unreachable!() };
        let ended = match meanwhile {
            None => runtime.block_on(first),
            Some((edit, up)) => runtime.block_on(async {
                let mut first = std::pin::pin!(first);
                let early = tokio::select! {
                    biased;
                    ended = &mut first => Some(ended),
                    () = until(|| sim.only_waits.get()) => None,
                };
                match early {
                    Some(ended) => ended,
                    None => {
                        self.another(edit, up).await;
                        sim.gates_held.set(false);
                        first.await
                    }
                }
            }),
        };
        self.end(&sim, &planned, ended)
    }

    /// Another command, while the first one only waits.
    async fn another(&mut self, edit: file::Edit, up: Up) {
        self.file.edit(edit);
        self.log.push(format!("  meanwhile the file reads\n{}", self.file.text()));
        let Some(mut wish) = self.file.wish(up.extra) else { return };
        wish.selection.allow_mass_delete = true;
        if let Some((sim, planned)) = self.begin(wish, Fault::Nothing, up.loses) {
            let ended = run(Rc::clone(&sim), &planned).await;
            self.end(&sim, &planned, ended);
        }
    }

    fn begin(&mut self, wish: Wish, fault: Fault, may_lose: bool) -> Option<(Rc<Sim>, Rc<Plan>)> {
        let mut state = self.state.borrow_mut();
        settle::settle(&mut state);
        if state.live_runs.is_empty() {
            self.broken.extend(laws::at_rest(&state));
        }
        let observed = state.observe(&wish);
        let planned = plan(&wish, &observed);
        let mut shuffled = observed.clone();
        shuffled.volumes.values_mut().for_each(|volume| volume.uses.reverse());
        shuffled.sandboxes.values_mut().for_each(|seen| seen.others.reverse());
        if hash(&plan(&wish, &shuffled)) != hash(&planned) {
            self.broken.push("the order of what was found changes the plan".to_owned());
        }
        let steps = planned.steps.iter();
        let steps = steps.map(|step| format!("{} {}", step.op.as_str(), step.address.name()));
        self.log.push(format!("  steps: {}", steps.collect::<Vec<_>>().join(", ")));
        let given = Consents { yes: true, delete_data: may_lose };
        let needs = consent::needed(&wish, &planned, given);
        if !planned.refused.is_empty() || !needs.is_empty() {
            let codes: Vec<&str> = planned.refused.iter().map(|refusal| refusal.code).collect();
            self.log.push(format!("  refused: {codes:?} {needs:?}"));
            return None;
        }
        let protected: BTreeSet<String> = {
            let rows = state.rows.values().filter(|row| row.protect).map(|row| row.id.clone());
            let volumes = state.volumes.values().filter(|row| row.protect);
            rows.chain(volumes.map(|row| row.id.clone())).collect()
        };
        for row in regained(&wish, &planned, &observed) {
            state.rows.insert(row.id.clone(), row);
        }
        // A run that has nothing to do writes no wishes.
        let run = match planned.steps.is_empty() {
            true => state.number(),
            false => rows::begin_run(&mut state, &wish, &planned, &observed),
        };
        let sim = Sim {
            state: Rc::clone(&self.state),
            wish,
            run,
            fault,
            slots: SLOTS,
            may_lose,
            protected,
            chance: RefCell::new(Chance::of(self.seed)),
            points: Cell::new(0),
            acts: Cell::new(0),
            dead: Cell::new(false),
            only_waits: Rc::default(),
            gates_held: Cell::new(false),
            running: RefCell::default(),
            broken: RefCell::default(),
        };
        Some((Rc::new(sim), Rc::new(planned)))
    }

    fn end(
        &mut self,
        sim: &Sim,
        planned: &Plan,
        ended: Option<BTreeMap<StepId, Ended>>,
    ) -> Outcome {
        self.state.borrow_mut().live_runs.remove(&sim.run);
        self.broken.extend(sim.broken.take());
        let Some(ended) = ended else { return Outcome::Dead };
        self.broken.extend(laws::siblings(planned, &ended));
        for (id, end) in &ended {
            if let (Ended::Failed(error), Some(step)) = (end, planned.step(*id)) {
                let (op, name) = (step.op.as_str(), step.address.name());
                self.log.push(format!("  {op} {name} failed: {}", error.report.message));
            }
        }
        match ended.values().all(|end| matches!(end, Ended::Done(_))) {
            true => Outcome::Done,
            false => Outcome::Failed,
        }
    }
}

async fn until(holds: impl Fn() -> bool) {
    while !holds() {
        tokio::task::yield_now().await;
    }
}

/// Carries a plan out; returns nothing where the command died.
async fn run(sim: Rc<Sim>, planned: &Rc<Plan>) -> Option<BTreeMap<StepId, Ended>> {
    let limits = Limits {
        slots: SLOTS,
        after_failure: AfterFailure::GoOn,
        timeout: None,
        last_gates: LastGates::Await,
        grace: Duration::from_secs(1),
        cancel: Cancel::never(),
        failpoint: Failpoint::default(),
    };
    let only_waits = Rc::clone(&sim.only_waits);
    let only_waiting = Box::new(move || only_waits.set(true));
    let hooks = Hooks { progress: Rc::new(|_| {}), only_waiting };
    tokio::select! {
        biased;
        () = until(|| sim.dead.get()) => None,
        ended = execute(planned, &sim, limits, hooks) => Some(ended),
    }
}

/// Returns what a case breaks; a panic breaks the law that there is none.
fn broken(case: &Case) -> Option<(Vec<String>, Vec<String>)> {
    let ran = catch_unwind(AssertUnwindSafe(|| Simulation::of(case.seed).run(case)));
    match ran {
        Ok(ran) if ran.broken.is_empty() => None,
        Ok(mut ran) => {
            ran.log.push(format!("the file at the end\n{}", ran.file.text()));
            Some((ran.broken, ran.log))
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some((vec![format!("it panics: {}", text.unwrap_or_default())], Vec::new()))
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "how much a test proves is said to the test alone")]
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[test]
fn r5_the_reconciler_converges_from_every_interleaving() {
    let (first, count) = (number("MSB_SEED").unwrap_or(1), number("MSB_SIMULATE").unwrap_or(CASES));
    for seed in first..first.saturating_add(count) {
        let case = Case::of(seed);
        if broken(&case).is_none() {
            continue;
        }
        let case = case.shrunk(|smaller| broken(smaller).is_some());
        let (laws, log) = broken(&case).unwrap_or_default();
        panic!(
            "seed {seed} breaks\n  {}\nwhen\n{}\nagain: MSB_SEED={seed} MSB_SIMULATE=1",
            laws.join("\n  "),
            log.join("\n"),
        );
    }
}

#[test]
fn the_simulation_reaches_what_it_is_to_prove() {
    let mut checked = 0;
    let mut steps: BTreeSet<String> = BTreeSet::new();
    for seed in 1..600 {
        let ran = Simulation::of(seed).run(&Case::of(seed));
        checked += ran.checked;
        let told = ran.log.iter().filter_map(|line| line.strip_prefix("  steps: "));
        steps.extend(
            told.flat_map(|told| told.split(", "))
                .filter_map(|step| step.split(' ').next().map(str::to_owned)),
        );
    }
    assert!(checked > 100, "{checked} runs without faults were checked to the end");
    let words = [
        "boot",
        "discard",
        "ensure-volume",
        "forget",
        "gate",
        "grow-volume",
        "move",
        "prepare",
        "retire",
        "stop",
        "trash-volume",
        "update",
    ];
    for word in words {
        assert!(steps.contains(word), "no case has a step {word}: {steps:?}");
    }
}
