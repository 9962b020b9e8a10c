//! Carries out a plan; makes no choices.
//!
//! Steps start when what they wait for has ended, the longest chain first. A
//! step that fails skips what depends on it and nothing else. The intent of
//! each act is written before it and its result after.

pub mod failpoint;
mod host;
#[cfg(test)]
mod model;
mod schedule;
mod settle;
#[cfg(test)]
mod simulator;
mod world;

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::{JoinSet, LocalSet};

use crate::engine::{AfterFailure, Cancel};
use crate::plan::{Action, Address, Op, Plan, Step, StepId};
use failpoint::{Failpoint, Moment};
use schedule::Schedule;

pub(crate) use host::holder;
pub use host::{Beginning, Host, HostError, build_base};
pub use settle::{Settled, is_live, settle};
pub use world::{Done, Effect, FailureKind, StepError, World};

/// How many images are fetched at once.
const PULLS: usize = 4;

/// How many steps of each kind run at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots {
    /// Machines that boot.
    pub boots: usize,
    /// Root images that are made.
    pub builds: usize,
    /// Images that are fetched.
    pub pulls: usize,
    /// Machines that stop, or are removed.
    pub stops: usize,
    /// Gates that are waited for.
    pub probes: usize,
}

impl Slots {
    /// Returns the slots of a host with so many processors, and room for so many machines.
    #[must_use]
    pub fn of(processors: usize, machines: usize) -> Self {
        let boots = (4 * processors).min(machines).max(1);
        Self { boots, pulls: PULLS, builds: processors.max(1), stops: 64, probes: 256 }
    }

    const fn of_op(self, op: Op) -> usize {
        match op {
            Op::Boot => self.boots,
            Op::Pull => self.pulls,
            Op::BuildRoot => self.builds,
            Op::Gate | Op::GateReady | Op::Listen => self.probes,
            Op::EnsureVolume
            | Op::GrowVolume
            | Op::TrashVolume
            | Op::Move
            | Op::Forget
            | Op::Prepare
            | Op::Update
            | Op::Stop
            | Op::Retire
            | Op::Discard => self.stops,
        }
    }
}

/// What a step does as it does it.
#[derive(Clone, Copy, Debug)]
pub enum Progress<'a> {
    /// It begins.
    Started(&'a Step),
    /// It ended well.
    Done(&'a Step, &'a Effect, Duration),
    /// It failed.
    Failed(&'a Step, &'a StepError, Duration),
    /// It is left out because of another.
    Skipped(&'a Step, &'a Address),
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Well.
    Done(Effect),
    /// Badly.
    Failed(StepError),
    /// It was not done because of the failure at this address.
    Skipped(Address),
    /// It was not begun, or was left, because the user asked to stop.
    Interrupted,
    /// It was left because the time of the whole run was over.
    TimedOut,
}

/// How a run is carried out.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How many steps of each kind run at once.
    pub slots: Slots,
    /// What a first failure means for the rest.
    pub after_failure: AfterFailure,
    /// How long the whole may take; `None` without limit.
    pub timeout: Option<Duration>,
    /// Whether gates that nothing waits for are waited for.
    pub last_gates: LastGates,
    /// The longest that steps may go on after the user asked to stop.
    pub grace: Duration,
    /// Hears of Ctrl-C.
    pub cancel: Cancel,
    /// Where the process is to die, for tests.
    pub failpoint: Failpoint,
}

/// Whether gates that nothing waits for are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastGates {
    /// They are.
    Await,
    /// They are not.
    Leave,
}

/// The ones who hear of a run.
pub struct Hooks {
    /// A step moved on.
    pub progress: Rc<dyn Fn(&Progress<'_>)>,
    /// From here on the run only waits; locks may go.
    pub only_waiting: Box<dyn FnMut()>,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks").finish_non_exhaustive()
    }
}

type Finished = (StepId, Done, Duration);

/// Carries out every step of `plan` that can be; returns how each ended, by step.
pub async fn execute<W: World + 'static>(
    plan: &Rc<Plan>,
    world: &Rc<W>,
    limits: Limits,
    hooks: Hooks,
) -> BTreeMap<StepId, Ended> {
    let local = LocalSet::new();
    let mut run = Run {
        schedule: Schedule::of(plan, limits.slots, limits.last_gates),
        plan: Rc::clone(plan),
        world: Rc::clone(world),
        tasks: JoinSet::new(),
        aborts: BTreeMap::new(),
        hooks,
        limits,
    };
    local.run_until(run.carry_on()).await;
    run.schedule.into_ended()
}

struct Run<W> {
    plan: Rc<Plan>,
    world: Rc<W>,
    schedule: Schedule,
    tasks: JoinSet<Finished>,
    aborts: BTreeMap<StepId, tokio::task::AbortHandle>,
    hooks: Hooks,
    limits: Limits,
}

impl<W: World + 'static> Run<W> {
    async fn carry_on(&mut self) {
        let mut cancel = self.limits.cancel.clone();
        let mut asked = 0;
        let timeout = self.limits.timeout.unwrap_or(Duration::MAX);
        let mut deadline = std::pin::pin!(sleep_for(timeout));
        let mut told = false;
        loop {
            while let Some(id) = self.schedule.next() {
                self.start(id);
            }
            if !told && self.schedule.only_gates_are_left() {
                told = true;
                (self.hooks.only_waiting)();
            }
            if self.tasks.is_empty() {
                break;
            }
            tokio::select! {
                Some(finished) = self.tasks.join_next() => {
                    // An aborted task was taken off the schedule when it was aborted.
                    if let Ok(finished) = finished {
                        self.finish(finished);
                    }
                }
                () = cancel.reached(asked + 1) => {
                    asked = cancel.count();
                    self.interrupt(asked);
                    deadline.set(sleep_for(self.limits.grace));
                }
                () = &mut deadline => {
                    let how = if asked > 0 { Ended::Interrupted } else { Ended::TimedOut };
                    self.leave(&how, |_| true);
                    deadline.set(sleep_for(Duration::MAX));
                }
            }
        }
    }

    fn start(&mut self, id: StepId) {
        let Some(step) = self.plan.step(id).cloned() else { return };
        (self.hooks.progress)(&Progress::Started(&step));
        let reverts = self.reverts(&step);
        let (world, failpoint) = (Rc::clone(&self.world), self.limits.failpoint.clone());
        let handle = self.tasks.spawn_local(async move {
            let began = tokio::time::Instant::now();
            let done = carry_out(&*world, &step, reverts, &failpoint).await;
            (step.id, done, began.elapsed())
        });
        self.aborts.insert(id, handle);
    }

    /// Tells whether the failure of a step brings the old machine back.
    fn reverts(&self, step: &Step) -> Reverts {
        let replaced = self.plan.change(&step.address).is_some_and(|change| {
            change.action == Action::Recreate && change.kind == Some(schema::project::Kind::Service)
        });
        if replaced && matches!(step.op, Op::Boot | Op::Gate) { Reverts::Yes } else { Reverts::No }
    }

    fn finish(&mut self, (id, done, took): Finished) {
        self.aborts.remove(&id);
        let Some(step) = self.plan.step(id) else { return };
        match &done {
            Ok(effect) => (self.hooks.progress)(&Progress::Done(step, effect, took)),
            Err(error) => (self.hooks.progress)(&Progress::Failed(step, error, took)),
        }
        let failed = done.is_err();
        let mut told = std::collections::BTreeSet::new();
        for (skipped, cause) in self.schedule.finish(id, done) {
            // The first of a thing's steps speaks for the others.
            if let Some(step) = self.plan.step(skipped)
                && told.insert(step.address.clone())
            {
                (self.hooks.progress)(&Progress::Skipped(step, &cause));
            }
        }
        if failed && self.limits.after_failure == AfterFailure::Stop {
            self.schedule.stop();
        }
    }

    /// The first time nothing new starts and waits end; the second time everything is left.
    fn interrupt(&mut self, asked: u8) {
        self.schedule.stop();
        self.leave(&Ended::Interrupted, |op| asked > 1 || op.is_wait());
    }

    fn leave(&mut self, how: &Ended, which: impl Fn(Op) -> bool) {
        self.schedule.stop();
        let plan = Rc::clone(&self.plan);
        let left: Vec<StepId> = self
            .aborts
            .keys()
            .copied()
            .filter(|id| plan.step(*id).is_some_and(|step| which(step.op)))
            .collect();
        for id in left {
            if let Some(task) = self.aborts.remove(&id) {
                task.abort();
                self.schedule.leave(id, how.clone());
            }
        }
    }
}

async fn sleep_for(time: Duration) {
    match time {
        Duration::MAX => std::future::pending().await,
        time => tokio::time::sleep(time).await,
    }
}

/// What the failure of a step means for the machine that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reverts {
    /// It is put back.
    Yes,
    /// There is none.
    No,
}

/// One step, from its intent to its closed row.
async fn carry_out<W: World>(
    world: &W,
    step: &Step,
    reverts: Reverts,
    failpoint: &Failpoint,
) -> Done {
    // A wait changes nothing, so it has nothing to write down before.
    failpoint.reach(Moment::BeforeIntent, step.op);
    let ticket = world.begin(step)?;
    failpoint.reach(Moment::AfterIntent, step.op);
    let mut done = act(world, step, &ticket).await;
    failpoint.reach(Moment::AfterAct, step.op);
    world.close(step, &ticket, &done)?;
    failpoint.reach(Moment::AfterClose, step.op);
    if let (Err(error), Reverts::Yes, Some(name)) = (&mut done, reverts, step.address.sandbox()) {
        match world.revert(name).await {
            Ok(_) => error.report.notes.push("rolled back: the old machine runs again".to_owned()),
            Err(worse) => {
                let text = format!("the old machine did not come back: {}", worse.report.message);
                error.report.notes.push(text);
            }
        }
    }
    done
}

async fn act<W: World>(world: &W, step: &Step, ticket: &W::Ticket) -> Done {
    match (&step.address, step.op) {
        (Address::Image(image), Op::Pull) => world.pull(image).await,
        (Address::Image(image), _) => world.build_root(image).await,
        (Address::Volume(name), Op::EnsureVolume | Op::GrowVolume) => {
            world.ensure_volume(name, ticket).await
        }
        (Address::Volume(name), Op::Update) => world.change_volume(name).await,
        (Address::Volume(name), Op::TrashVolume) => world.trash_volume(name, ticket).await,
        (Address::Volume(name), Op::Move) => world.rename_volume(name, ticket).await,
        // What else changes of a volume is in its row alone.
        (Address::Volume(_), _) => Ok(Effect::default()),
        (Address::Sandbox(name), op) => match op {
            Op::Prepare => world.prepare(name, ticket).await,
            Op::Boot => world.boot(name, ticket).await,
            Op::Gate => world.gate(name).await,
            Op::GateReady => world.gate_ready(name).await,
            Op::Listen => world.listen(name).await,
            Op::Update => world.update(name).await,
            Op::Stop => world.stop(name, ticket).await,
            Op::Retire => world.retire(name, ticket).await,
            Op::Discard => world.discard(name, ticket).await,
            // Names and owners are in rows alone.
            Op::Move | Op::Forget => Ok(Effect::default()),
            Op::Pull | Op::BuildRoot | Op::EnsureVolume | Op::GrowVolume | Op::TrashVolume => {
                Ok(Effect::default())
            }
        },
    }
}
