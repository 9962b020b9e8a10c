//! A `World` in memory that fails at one chosen step, and what must hold then.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use schema::failure::Report;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{
    Body, Dependency, ImageRef, Kind, OnChange, Origins, Project, Sandbox, Until,
};

use super::failpoint::Failpoint;
use super::{Done, Effect, Ended, Hooks, LastGates, Limits, Slots, StepError, World, execute};
use crate::engine::{AfterFailure, Cancel};
use crate::observe::{Observed, Seen, SeenMachine};
use crate::plan::{Action, Goal, Inputs, Op, Plan, Step, Wish, plan};
use crate::store::inventory::{MachineRow, ProjectRow, Role, SandboxRow};

/// One machine of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Machine {
    made_from: Body,
    phase: Phase,
}

/// The machines of one sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Place {
    current: Option<Machine>,
    next: Option<Machine>,
    previous: Option<Machine>,
    applied: Option<Body>,
}

#[derive(Default)]
struct Model {
    wish: Option<Wish>,
    places: RefCell<BTreeMap<InstanceName, Place>>,
    began: RefCell<Vec<String>>,
    open: RefCell<BTreeSet<String>>,
    most_at_once: RefCell<BTreeMap<InstanceName, usize>>,
    fails_at: Option<(Op, String)>,
}

fn word(step: &Step) -> String {
    format!("{} {}", step.op.as_str(), step.address.name())
}

impl Model {
    fn fails(&self, op: Op, name: &str) -> Result<(), StepError> {
        if self.fails_at.as_ref().is_some_and(|(at, who)| *at == op && who == name) {
            let message = format!("{} was to fail", op.as_str());
            return Err(StepError::of(Report { message, ..Report::default() }));
        }
        Ok(())
    }

    fn at<T>(&self, name: &InstanceName, work: impl FnOnce(&mut Place) -> T) -> T {
        let mut places = self.places.borrow_mut();
        let place = places.entry(name.clone()).or_default();
        let done = work(place);
        let running = [&place.current, &place.next, &place.previous];
        let running = running.iter().filter(|m| m.as_ref().is_some_and(|m| m.phase.has_machine()));
        let mut most = self.most_at_once.borrow_mut();
        let most = most.entry(name.clone()).or_default();
        *most = running.count().max(*most);
        done
    }

    fn want(&self, name: &InstanceName) -> Body {
        self.wish.as_ref().unwrap().project.sandboxes[name].clone()
    }

    /// What a next command would see.
    fn observed(&self, wish: &Wish) -> Observed {
        let places = self.places.borrow();
        let sandboxes = places.iter().map(|(name, place)| (name.clone(), seen(name, place)));
        let row = ProjectRow {
            id: "p".into(),
            name: wish.project.name.clone(),
            folder: wish.project.folder.clone(),
            files: Vec::new(),
            generation: 1,
            updated_at: String::new(),
        };
        Observed {
            project: Some(row),
            sandboxes: sandboxes.map(|(name, seen)| (name, Box::new(seen))).collect(),
            ..Observed::default()
        }
    }
}

fn seen(name: &InstanceName, place: &Place) -> Seen {
    let applied = place.applied.clone();
    let row = SandboxRow {
        id: name.to_string(),
        project_id: "p".into(),
        name: name.clone(),
        kind: applied.as_ref().map_or(Kind::Service, |applied| applied.kind),
        desired: None,
        applied: None,
        generation: 1,
        observed: 1,
        protect: false,
        keep: false,
        completed_code: None,
        created_at: String::new(),
    };
    let machine = place.current.as_ref().map(|machine| SeenMachine {
        row: MachineRow {
            id: name.to_string(),
            sandbox_id: name.to_string(),
            role: Role::Current,
            nonce: String::new(),
            driver: None,
            pid: None,
            phase: machine.phase,
            reason: None,
            exit_code: None,
            image_digest: None,
            effective: schema::record::Effective::default(),
            started_at: None,
            ended_at: None,
            stamp: None,
        },
        alive: machine.phase.has_machine(),
        phase: machine.phase,
        reason: None,
        detail: None,
        record: None,
        recreated: None,
    });
    Seen {
        row,
        desired: applied.clone(),
        applied,
        machine,
        others: Vec::new(),
        sensitive: BTreeMap::new(),
    }
}

impl World for Model {
    type Ticket = ();

    fn begin(&self, step: &Step) -> Result<(), StepError> {
        self.began.borrow_mut().push(word(step));
        self.open.borrow_mut().insert(word(step));
        Ok(())
    }

    fn close(&self, step: &Step, (): &(), done: &Done) -> Result<(), StepError> {
        self.open.borrow_mut().remove(&word(step));
        if let (Some(name), Ok(_)) = (step.address.sandbox(), done)
            && matches!(step.op, Op::Gate | Op::Update | Op::Prepare | Op::Boot)
        {
            let want = self.want(name);
            self.at(name, |place| {
                let replacing = place.next.is_some() || place.previous.is_some();
                if !replacing || step.op == Op::Gate {
                    place.applied = Some(want);
                }
            });
        }
        if step.op == Op::Discard && done.is_ok() {
            self.places.borrow_mut().remove(step.address.sandbox().unwrap());
        }
        Ok(())
    }

    async fn pull(&self, _: &ImageRef) -> Done {
        Ok(Effect::default())
    }

    async fn build_root(&self, _: &ImageRef) -> Done {
        Ok(Effect::default())
    }

    async fn ensure_volume(&self, _: &VolumeName, (): &()) -> Done {
        Ok(Effect::default())
    }

    async fn change_volume(&self, _: &VolumeName) -> Done {
        Ok(Effect::default())
    }

    async fn trash_volume(&self, _: &VolumeName, (): &()) -> Done {
        Ok(Effect::default())
    }

    async fn rename_volume(&self, _: &VolumeName, (): &()) -> Done {
        Ok(Effect::default())
    }

    async fn gate_ready(&self, _: &InstanceName) -> Done {
        Ok(Effect::default())
    }

    async fn listen(&self, _: &InstanceName) -> Done {
        Ok(Effect::default())
    }

    async fn prepare(&self, name: &InstanceName, (): &()) -> Done {
        self.fails(Op::Prepare, &name.to_string())?;
        let new = Machine { made_from: self.want(name), phase: Phase::Pending };
        self.at(name, |place| match place.current {
            None => place.current = Some(new),
            Some(_) => place.next = Some(new),
        });
        Ok(Effect::default())
    }

    async fn boot(&self, name: &InstanceName, (): &()) -> Done {
        self.at(name, |place| {
            if let Some(next) = place.next.take() {
                place.previous = place.current.replace(next);
            }
            let current = place.current.as_mut().unwrap();
            current.made_from = self.want(name);
            current.phase = Phase::Failed;
        });
        self.fails(Op::Boot, &name.to_string())?;
        self.at(name, |place| place.current.as_mut().unwrap().phase = Phase::Starting);
        Ok(Effect { phase: Some(Phase::Starting), ..Effect::default() })
    }

    async fn gate(&self, name: &InstanceName) -> Done {
        self.fails(Op::Gate, &name.to_string())?;
        let job = self.want(name).kind == Kind::Job;
        let phase = if job { Phase::Completed } else { Phase::Ready };
        self.at(name, |place| place.current.as_mut().unwrap().phase = phase);
        Ok(Effect { phase: Some(phase), ..Effect::default() })
    }

    async fn update(&self, name: &InstanceName) -> Done {
        self.fails(Op::Update, &name.to_string())?;
        Ok(Effect::default())
    }

    async fn stop(&self, name: &InstanceName, (): &()) -> Done {
        self.fails(Op::Stop, &name.to_string())?;
        self.at(name, |place| place.current.as_mut().unwrap().phase = Phase::Stopped);
        Ok(Effect::default())
    }

    async fn retire(&self, name: &InstanceName, (): &()) -> Done {
        self.fails(Op::Retire, &name.to_string())?;
        self.at(name, |place| {
            if place.previous.take().is_none() {
                place.current = None;
            }
        });
        Ok(Effect::default())
    }

    async fn discard(&self, name: &InstanceName, (): &()) -> Done {
        self.fails(Op::Discard, &name.to_string())?;
        self.at(name, |place| *place = Place::default());
        Ok(Effect::default())
    }

    async fn revert(&self, name: &InstanceName) -> Done {
        self.at(name, |place| {
            place.current = place.previous.take();
            place.current.as_mut().unwrap().phase = Phase::Ready;
        });
        Ok(Effect::default())
    }
}

fn project(tag: &str) -> Wish {
    let mut project = Project::empty(ProjectName::parse("shop").unwrap(), "/srv".into());
    for (name, kind, needs) in [
        ("db", Kind::Service, None),
        ("seed", Kind::Job, Some(("db", Until::Ready))),
        ("web", Kind::Service, Some(("seed", Until::CompletedOk))),
    ] {
        let image = ImageRef::parse(&format!("app:{tag}")).unwrap();
        let mut sandbox = Sandbox::new(kind, image);
        if let Some((target, until)) = needs {
            let dependency = Dependency { until, optional: false, on_change: OnChange::Ignore };
            sandbox.depends_on.insert(InstanceName::parse(target).unwrap(), dependency);
        }
        project.sandboxes.insert(InstanceName::parse(name).unwrap(), sandbox.into());
    }
    Wish::new(project, Origins::default(), Inputs::default(), "/srv/Sandboxfile".into())
}

fn limits() -> Limits {
    Limits {
        slots: Slots::of(2, 8),
        after_failure: AfterFailure::GoOn,
        timeout: None,
        last_gates: LastGates::Await,
        grace: Duration::from_secs(1),
        cancel: Cancel::never(),
        failpoint: Failpoint::default(),
    }
}

/// Plans the wish against the model and carries the plan out; returns the plan and what failed.
fn run(model: Model, wish: &Wish, limits: Limits) -> (Model, Plan, usize) {
    let planned = plan(wish, &model.observed(wish));
    let model = Rc::new(Model { wish: Some(wish.clone()), ..model });
    let hooks = Hooks { progress: Rc::new(|_| {}), only_waiting: Box::new(|| {}) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let shared = Rc::new(planned.clone());
    let ended = runtime.block_on(execute(&shared, &model, limits, hooks));
    let failed = ended.values().filter(|end| !matches!(end, Ended::Done(_))).count();
    drop((shared, runtime));
    (Rc::into_inner(model).unwrap(), planned, failed)
}

fn is_settled(model: &Model, wish: &Wish) -> bool {
    plan(wish, &model.observed(wish)).is_empty()
}

#[test]
fn all_steps_are_done_in_the_order_of_dependencies() {
    let wish = project("1");
    let (model, _, failed) = run(Model::default(), &wish, limits());
    assert_eq!(failed, 0);
    let began = model.began.borrow();
    let at = |what: &str| began.iter().position(|step| step == what).unwrap();
    assert!(at("gate db") < at("boot seed") && at("gate seed") < at("boot web"), "{began:?}");
    assert!(is_settled(&model, &wish));
    assert!(model.open.borrow().is_empty());
}

#[test]
fn whichever_step_fails_the_next_run_finishes_the_work() {
    for (from, to) in [(None, "1"), (Some("1"), "2")] {
        let fresh = || match from {
            None => Model::default(),
            Some(tag) => run(Model::default(), &project(tag), limits()).0,
        };
        let wish = project(to);
        let steps = plan(&wish, &fresh().observed(&wish)).steps;
        for broken in &steps {
            let fails_at = Some((broken.op, broken.address.name()));
            let host = Model { fails_at, ..fresh() };
            let (host, _, failed) = run(host, &wish, limits());
            assert!(failed > 0, "{} was to fail", word(broken));
            let leftover = host.places.borrow().values().any(|place| place.next.is_some());
            // What was prepared and not booted is removed by settling, before the next plan.
            if leftover {
                host.places.borrow_mut().values_mut().for_each(|place| place.next = None);
            }
            let settled = |place: &mut Place| {
                if place.current.is_some() && place.previous.is_some() {
                    place.previous = None;
                }
            };
            host.places.borrow_mut().values_mut().for_each(settled);
            let host = Model { fails_at: None, ..host };
            let (host, _, failed) = run(host, &wish, limits());
            assert_eq!(failed, 0, "after {} failed", word(broken));
            assert!(is_settled(&host, &wish), "after {} failed", word(broken));
            let most = host.most_at_once.borrow();
            assert!(most.values().all(|most| *most <= 1), "two machines of one instance ran");
        }
    }
}

#[test]
fn a_failure_skips_what_depends_on_it_and_nothing_else() {
    let fails_at = Some((Op::Gate, "seed".to_owned()));
    let (model, _, _) = run(Model { fails_at, ..Model::default() }, &project("1"), limits());
    let places = model.places.borrow();
    let phase = |name: &str| {
        places[&InstanceName::parse(name).unwrap()].current.as_ref().map(|machine| machine.phase)
    };
    assert_eq!(phase("db"), Some(Phase::Ready));
    assert_eq!(phase("web"), Some(Phase::Pending), "web was prepared and never booted");
}

#[test]
fn what_does_not_get_ready_gives_way_to_what_was_there() {
    let (model, _, _) = run(Model::default(), &project("1"), limits());
    let fails_at = Some((Op::Gate, "db".to_owned()));
    let (model, planned, _) = run(Model { fails_at, ..model }, &project("2"), limits());
    let db = InstanceName::parse("db").unwrap();
    assert!(planned.changes.iter().all(|change| change.action == Action::Recreate));
    let places = model.places.borrow();
    let current = places[&db].current.as_ref().unwrap();
    assert_eq!(current.phase, Phase::Ready);
    assert_eq!(current.made_from.root.short(), "app:1");
}

#[test]
fn nothing_starts_once_the_user_asked_to_stop() {
    let (canceller, cancel) = Cancel::pair();
    canceller.ask();
    let limits = Limits { cancel, ..limits() };
    let (model, planned, failed) = run(Model::default(), &project("1"), limits);
    assert!(failed > 0 && failed <= planned.steps.len());
    assert!(!is_settled(&model, &project("1")));
}

#[test]
fn down_leaves_nothing() {
    let (model, _, _) = run(Model::default(), &project("1"), limits());
    let mut wish = project("1");
    wish.goal = Goal::Down;
    let (model, _, failed) = run(model, &wish, limits());
    assert_eq!(failed, 0);
    assert!(model.places.borrow().is_empty());
}
