//! One changing command, from its lock to its last row.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use schema::failure::Report;
use schema::name::{InstanceName, ProjectName};
use schema::project::{DriverChoice, Project};

use super::options::{AskedEnd, AttachedEnd, Options, SharedUi, Wait};
use super::outcome::{Outcome, Verb};
use super::regained::{regained, wished};
use super::session::Session;
use super::{SandboxView, Trouble, Troubles, blockers, observe_with, preflight, results};
use crate::consent::{self, Answer};
use crate::context::{Clock as _, Context};
use crate::drivers::{self, Driver, Drivers};
use crate::execute::failpoint::{Failpoint, VARIABLE};
use crate::execute::{self, Beginning, Ended, Hooks, Host, LastGates, Limits, Progress, Slots};
use crate::machines::{self, process};
use crate::observe::Observed;
use crate::plan::saved::Saved;
use crate::plan::{Action, Address, Goal, Op, Plan, StepId, Wish, hash, is_preflight, plan};
use crate::store::inventory::{self, ProjectRow, SandboxRow};
use crate::store::lease::Lease;
use crate::store::operations::{self, RunRow};
use crate::store::{Store, StoreError, atomic, events, soundness};

/// The longest that steps may go on after the user asked to stop.
const INTERRUPTED_MAX: Duration = Duration::from_secs(30);

/// What a stop may need beyond its grace.
const FLUSH_MAX: Duration = Duration::from_secs(8);

pub(super) async fn apply(
    context: &Context,
    wish: Wish,
    options: Options,
    ui: SharedUi,
) -> Result<Outcome, Troubles> {
    let began = tokio::time::Instant::now();
    context
        .prepared_home()
        .map_err(|error| Troubles::of(Report::of("msb::home::foreign", "state", &error)))?;
    let mut session = Session::open(context, &wish.project.name, &options, &ui).await?;
    let settled = session.settle(context, &wish.project.name, &options).await?;
    let recovered = settled.operations;
    if recovered > 0 {
        ui.recovered(recovered);
    }
    let observed = observe_with(context, Some(&mut session.store), (&wish, settled.seen))?;
    let planned = match &options.saved {
        None => plan(&wish, &observed),
        Some(saved) => still_fits(saved, &observed)?,
    };
    refused(&planned)?;
    if !planned.steps.is_empty() {
        session.store.read(soundness::may_be_changed)?;
    }
    let drivers = match options.wait {
        // What the host lacks is a matter of who starts it.
        Wait::Recorded => BTreeMap::new(),
        Wait::Booted(_) | Wait::Settled(_) => {
            let drivers = drivers(context, &wish, &planned).await?;
            preflight::preflight(context, &wish, &planned, &observed, &drivers)?;
            drivers
        }
    };
    let said = drivers.values().next().map(|d| drivers::said(d.name, d.accelerator));
    ui.planned(&planned, &wish.project, said.as_deref());
    agreed(&wish, &planned, &options, &ui)?;
    let attach = options.attach.clone();
    let (goal, name) = (wish.goal, wish.project.name.clone());
    let run = Run { context, wish, options: options.clone(), ui, planned, observed, drivers };
    let mut outcome = run.carry_out(session).await?;
    outcome.recovered = recovered;
    outcome.took = began.elapsed();
    if let Some(attach) = attach.filter(|a| a.end == AttachedEnd::Remove && goal == Goal::Up)
        && !outcome.is_ok()
    {
        clear_away(context, &name, &attach.name, options).await;
    }
    Ok(outcome)
}

/// A sandbox that was to leave nothing behind, and did not come up, goes.
async fn clear_away(
    context: &Context,
    project: &ProjectName,
    name: &InstanceName,
    options: Options,
) {
    let engine = super::Engine::new(context.clone());
    let Ok(mut wish) = engine.wish_of_state(project, Goal::Down) else { return };
    wish.selection.names = [name.clone()].into();
    let options = Options { attach: None, ..options };
    let cleared = Box::pin(apply(context, wish, options, Rc::new(Silent))).await;
    if let Err(troubles) = cleared {
        tracing::warn!(?troubles, %name, "cannot clear away");
    }
}

/// Hears nothing.
struct Silent;

impl super::Ui for Silent {
    fn waiting(&self, _: &crate::store::lease::Holder) {}
    fn recovered(&self, _: usize) {}
    fn planned(&self, _: &Plan, _: &Project, _: Option<&str>) {}
    fn consent(&self, _: &Plan, _: &[consent::Need]) -> Answer {
        Answer::Denied
    }
    fn progress(&self, _: &Progress<'_>) {}
    fn warn(&self, _: &str) {}
}

/// Returns a saved plan, unless anything moved that it was made from.
fn still_fits(saved: &Saved, observed: &Observed) -> Result<Plan, Troubles> {
    let folder = &saved.wish.project.folder;
    let moved = saved.moved(observed, |file| {
        let bytes = std::fs::read(folder.join(&file.path)).ok()?;
        Some(blake3::hash(&bytes).to_hex().to_string())
    });
    if moved.is_empty() {
        return Ok(saved.plan.clone());
    }
    Err(Troubles::of(Report {
        code: "msb::plan::stale".to_owned(),
        stage: "plan".to_owned(),
        message: "the saved plan does not fit any more; nothing was done".to_owned(),
        notes: moved,
        hints: vec!["Make a new one with `msb plan --out`.".to_owned()],
        ..Report::default()
    }))
}

/// Refuses the whole plan where any part of it is refused, with every reason at once.
pub(super) fn refused(plan: &Plan) -> Result<(), Troubles> {
    if plan.refused.is_empty() {
        return Ok(());
    }
    // Where several stages refuse, the earliest decides.
    let mut refused: Vec<_> = plan.refused.iter().collect();
    refused.sort_by_key(|refusal| is_preflight(refusal));
    Err(Troubles(refused.into_iter().map(Trouble::refused).collect()))
}

/// Returns whose machines each sandbox that boots or is updated has to tell of it. One with a step of
/// its own is told by that alone, with more than what holds by now.
fn neighbours(
    wish: &Wish,
    observed: &Observed,
    plan: &Plan,
) -> BTreeMap<InstanceName, BTreeSet<InstanceName>> {
    let applied = observed.sandboxes.values().filter_map(|seen| seen.applied.as_ref());
    let mut bodies = wish.project.sandboxes.values().chain(applied);
    if bodies.all(|body| body.connect.is_empty()) {
        return BTreeMap::new();
    }
    let steps = plan.steps.iter().filter(|step| matches!(step.op, Op::Boot | Op::Update));
    let own: BTreeSet<&InstanceName> = steps.filter_map(|step| step.address.sandbox()).collect();
    let beside = |name: &&InstanceName| {
        let before = observed.sandboxes.get(*name).and_then(|seen| seen.applied.as_deref());
        let mut others = machines::neighbours(name, before, &wish.project);
        others.retain(|other| !own.contains(other));
        ((*name).clone(), others)
    };
    own.iter().map(beside).collect()
}

/// Chooses the driver of each sandbox that boots or is prepared.
pub(super) async fn drivers(
    context: &Context,
    wish: &Wish,
    plan: &Plan,
) -> Result<BTreeMap<InstanceName, Driver>, Troubles> {
    let drivers = Drivers::of(context);
    let mut chosen = BTreeMap::new();
    let mut known: BTreeMap<&str, Driver> = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.op == Op::Boot) {
        let Some(name) = step.address.sandbox() else { continue };
        let choice = wish.project.sandboxes.get(name).map_or(DriverChoice::Auto, |s| s.driver);
        let driver = match known.get(choice.as_str()) {
            Some(driver) => driver.clone(),
            None => drivers.choose(wish.driver, choice).await?,
        };
        known.insert(choice.as_str(), driver.clone());
        chosen.insert(name.clone(), driver);
    }
    Ok(chosen)
}

fn agreed(wish: &Wish, plan: &Plan, options: &Options, ui: &SharedUi) -> Result<(), Troubles> {
    let needs = consent::needed(wish, plan, options.consents);
    let Some(first) = needs.first() else { return Ok(()) };
    let report = |code: &str, message: String| Report {
        code: code.to_owned(),
        stage: "consent".to_owned(),
        message,
        ..Report::default()
    };
    match ui.consent(plan, &needs) {
        Answer::Given => Ok(()),
        Answer::Denied => {
            let flag = first.flag();
            let report = report(first.code(), "this needs your consent".to_owned());
            Err(Troubles::of(report.hint(format!("Look at `msb diff`, then say `{flag}`."))))
        }
        Answer::Ended => Err(Troubles::of(report("msb::interrupted", "interrupted".to_owned()))),
    }
}

/// Returns the row of a run of this process.
pub(super) fn run_row(options: &Options) -> Result<RunRow, StoreError> {
    // Without it another command would take this run for a dead one.
    let start_ticks = process::own_start_ticks()?;
    let (pid, command) = (std::process::id(), options.command.clone());
    Ok(RunRow { id: 0, pid, start_ticks, command })
}

/// Everything that carrying out needs.
struct Run<'a> {
    context: &'a Context,
    wish: Wish,
    options: Options,
    ui: SharedUi,
    planned: Plan,
    observed: Observed,
    drivers: BTreeMap<InstanceName, Driver>,
}

impl Run<'_> {
    async fn carry_out(self, mut session: Session) -> Result<Outcome, Troubles> {
        if self.planned.steps.is_empty() {
            let run = match &session.project_id {
                Some(id) => Some(self.empty_run(&mut session.store, id)?),
                None => None,
            };
            return Ok(self.outcome(run, &BTreeMap::new(), &BTreeMap::new()));
        }
        let (project_id, run) = self.begin(&mut session)?;
        if self.options.wait == Wait::Recorded {
            return self.recorded(&mut session.store, run);
        }
        let parts =
            match self.drivers.values().any(|d| d.name != schema::launch::DriverName::Process) {
                true => Some(Drivers::of(self.context).parts().await?),
                false => None,
            };
        let host = Rc::new(Host::begin_run(Beginning {
            context: self.context.clone(),
            wish: self.wish.clone(),
            options: self.options.clone(),
            project_id,
            run,
            drivers: self.drivers.clone(),
            neighbours: neighbours(&self.wish, &self.observed, &self.planned),
            parts,
            store: session.store,
            warnings: super::Warnings::of(Rc::clone(&self.ui)),
        }));
        let times: Rc<RefCell<BTreeMap<StepId, Duration>>> = Rc::default();
        let planned = Rc::new(self.planned.clone());
        let hooks = self.hooks(Rc::clone(&times), session.leases, Rc::clone(&host));
        let ended = execute::execute(&planned, &host, self.limits(), hooks).await;
        let creators = host.take_creators();
        let now_ms = self.context.clock.unix_ms();
        let times = times.take();
        let mut outcome = self.outcome(Some(run), &ended, &times);
        let code = outcome.exit_code();
        host.with_store(|store| {
            store.write(|db| {
                self.audited(db, &ended, now_ms)?;
                operations::end_run(db, run, code, now_ms)
            })
        })?;
        outcome.creators = creators;
        blockers::find(self.context, &mut outcome).await;
        Ok(outcome)
    }

    /// Ends a run that was to write down what is wished for, and to do no step of it.
    fn recorded(mut self, store: &mut Store, run: i64) -> Result<Outcome, Troubles> {
        let now_ms = self.context.clock.unix_ms();
        store.write(|db| operations::end_run(db, run, 0, now_ms))?;
        self.planned.steps.clear();
        self.planned.changes.clear();
        Ok(self.outcome(Some(run), &BTreeMap::new(), &BTreeMap::new()))
    }

    fn limits(&self) -> Limits {
        let memory = |name: &InstanceName| {
            self.wish.project.sandboxes.get(name).map_or(0, |want| want.memory.max.0)
        };
        let largest = self.drivers.keys().map(memory).max().unwrap_or(0).max(1);
        let machines =
            usize::try_from(preflight::memory_available() / largest).unwrap_or(usize::MAX);
        let mut slots = Slots::of(processors(), machines);
        if let Some(boots) = self.options.parallel {
            slots.boots = boots.max(1);
        }
        if let Some(pulls) = self.options.pulls {
            slots.pulls = pulls.max(1);
        }
        let grace = self.wish.project.sandboxes.values().map(|want| want.stop_grace.as_duration());
        let grace = grace.max().unwrap_or_default() + FLUSH_MAX;
        let (timeout, last_gates) = match self.options.wait {
            Wait::Booted(timeout) => (timeout, LastGates::Leave),
            Wait::Settled(timeout) => (timeout, LastGates::Await),
            Wait::Recorded => (None, LastGates::Leave),
        };
        Limits {
            slots,
            after_failure: self.options.after_failure,
            timeout,
            last_gates,
            grace: grace.max(INTERRUPTED_MAX),
            cancel: self.options.cancel.clone(),
            failpoint: Failpoint::parse(self.context.environment.get(VARIABLE)),
        }
    }

    fn hooks(
        &self,
        times: Rc<RefCell<BTreeMap<StepId, Duration>>>,
        leases: Vec<Lease>,
        host: Rc<Host>,
    ) -> Hooks {
        let ui = Rc::clone(&self.ui);
        let progress = move |progress: &Progress<'_>| {
            if let Progress::Done(step, _, took) | Progress::Failed(step, _, took) = progress {
                times.borrow_mut().insert(step.id, *took);
            }
            ui.progress(progress);
        };
        let mut leases = Some(leases);
        let only_waiting = move || {
            drop(leases.take());
            host.leaves_images();
        };
        Hooks { progress: Rc::new(progress), only_waiting: Box::new(only_waiting) }
    }

    /// Writes what is wished for, and that this run begins; all or nothing of it.
    fn begin(&self, session: &mut Session) -> Result<(String, i64), Troubles> {
        let now_ms = self.context.clock.unix_ms();
        let id = session.id_or_new(self.context, &self.options)?;
        let run = session.store.write(|db| {
            let generation = self.observed.project.as_ref().map_or(0, |row| row.generation) + 1;
            let old = self.observed.project.as_ref();
            let files = &self.wish.inputs.files;
            let from_files = self.wish.goal == Goal::Up && !files.is_empty();
            let row = ProjectRow {
                id: id.clone(),
                name: self.wish.project.name.clone(),
                folder: old
                    .map_or_else(|| self.wish.project.folder.clone(), |row| row.folder.clone()),
                files: match old.filter(|_| !from_files) {
                    Some(row) => row.files.clone(),
                    None => files.clone(),
                },
                generation,
                updated_at: String::new(),
            };
            inventory::put_project(db, &row, now_ms)?;
            self.put_wishes(db, &id, now_ms)?;
            self.put_ignored(db, &id)?;
            let digest = hash(&self.planned);
            let run = operations::begin_run(db, &id, &self.run_row()?, &digest, now_ms)?;
            events::drift(db, run, &self.planned.drift, now_ms)?;
            Ok(run)
        })?;
        session.known_by_id(self.context, &self.wish.project.name, &self.options)?;
        Ok((id, run))
    }

    /// Writes the wish for each sandbox that changes.
    fn put_wishes(
        &self,
        db: &crate::store::Rows,
        project_id: &str,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        self.put_names(db, now_ms)?;
        self.put_regained(db, now_ms)?;
        for change in &self.planned.changes {
            let Some(name) = change.address.sandbox() else { continue };
            let was = change.was.as_ref().and_then(Address::sandbox).unwrap_or(name);
            let seen = self.observed.sandboxes.get(was);
            let seen = seen.filter(|_| was != name || !self.planned.moves_away(name));
            let want = self.wish.project.sandboxes.get(name);
            let desired = match (change.action, want) {
                (Action::Forget, _) => continue,
                (Action::Destroy, _) | (_, None) => None,
                (_, Some(want)) => Some(inventory::put_definition(db, want)?),
            };
            let row = match seen {
                Some(seen) => {
                    // A row that changed since it was looked at belongs to somebody else's plan.
                    let now = inventory::sandbox_by_id(db, &seen.row.id)?;
                    if now.is_none() && change.action == Action::Destroy {
                        continue;
                    }
                    if now.is_none_or(|now| now.generation != seen.row.generation) {
                        return Err(StoreError::Raced(name.to_string()));
                    }
                    let kind = want.map_or(seen.row.kind, |want| want.kind);
                    let name = name.clone();
                    SandboxRow { name, kind, ..wished(change.action, seen, desired) }
                }
                None => {
                    let Some(want) = want else { continue };
                    new_sandbox(project_id, name, want.kind, desired)?
                }
            };
            inventory::put_sandbox(db, &row, now_ms)?;
        }
        Ok(())
    }

    /// Writes what is wished for again, and holds still.
    fn put_regained(&self, db: &crate::store::Rows, now_ms: u64) -> Result<(), StoreError> {
        for row in regained(&self.wish, &self.planned, &self.observed) {
            let now = inventory::sandbox_by_id(db, &row.id)?;
            if now.is_some_and(|now| now.generation + 1 == row.generation) {
                inventory::put_sandbox(db, &row, now_ms)?;
            }
        }
        Ok(())
    }

    /// Writes which fields of each chosen sandbox may drift; no step carries that out.
    fn put_ignored(&self, db: &crate::store::Rows, project_id: &str) -> Result<(), StoreError> {
        if self.wish.goal != Goal::Up {
            return Ok(());
        }
        let known = inventory::ignored(db, project_id)?;
        let mut definitions = self.wish.project.definitions.values();
        if known.is_empty() && definitions.all(|definition| definition.ignore_drift.is_empty()) {
            return Ok(());
        }
        for row in inventory::sandboxes(db, Some(project_id))? {
            let definition = self.wish.project.definitions.get(&row.name.sandbox);
            let Some(definition) = definition.filter(|_| self.wish.selection_names(&row.name))
            else {
                continue;
            };
            if known.get(&row.id).cloned().unwrap_or_default() != definition.ignore_drift {
                inventory::put_ignored(db, &row.id, &definition.ignore_drift)?;
            }
        }
        Ok(())
    }

    /// Gives those that are renamed their new names, by way of names that nobody has.
    fn put_names(&self, db: &crate::store::Rows, now_ms: u64) -> Result<(), StoreError> {
        let moved: Vec<(&InstanceName, &SandboxRow)> = self
            .planned
            .changes
            .iter()
            .filter_map(|change| {
                let was = change.was.as_ref()?.sandbox()?;
                Some((change.address.sandbox()?, &self.observed.sandboxes.get(was)?.row))
            })
            .collect();
        for (_, row) in &moved {
            inventory::park_sandbox(db, &row.id)?;
        }
        for (name, row) in moved {
            let row = SandboxRow { name: name.clone(), ..row.clone() };
            inventory::put_sandbox(db, &row, now_ms)?;
        }
        Ok(())
    }

    fn run_row(&self) -> Result<RunRow, StoreError> {
        run_row(&self.options)
    }

    /// A run that found nothing to do.
    fn empty_run(&self, store: &mut Store, project_id: &str) -> Result<i64, Troubles> {
        let now_ms = self.context.clock.unix_ms();
        Ok(store.write(|db| {
            self.put_regained(db, now_ms)?;
            self.put_ignored(db, project_id)?;
            let digest = hash(&self.planned);
            let run = operations::begin_run(db, project_id, &self.run_row()?, &digest, now_ms)?;
            operations::end_run(db, run, 0, now_ms)?;
            Ok(run)
        })?)
    }

    /// Notes what was done by hand, so that a later plan can say who did it.
    fn audited(
        &self,
        db: &crate::store::Rows,
        ended: &BTreeMap<StepId, Ended>,
        now_ms: u64,
    ) -> Result<(), StoreError> {
        if self.wish.goal != Goal::Stopped {
            return Ok(());
        }
        let done = |id: &StepId| matches!(ended.get(id), Some(Ended::Done(_)));
        for step in self.planned.steps.iter().filter(|step| done(&step.id)) {
            let address = format!("{}/{}", self.wish.project.name, step.address);
            let actor = actor(self.context);
            let what = ("phase", Some("ready"), Some("stopped"));
            operations::put_audit(db, (&actor, &self.options.command), &address, what, now_ms)?;
        }
        Ok(())
    }

    fn outcome(
        &self,
        run: Option<i64>,
        ended: &BTreeMap<StepId, Ended>,
        times: &BTreeMap<StepId, Duration>,
    ) -> Outcome {
        let results = results::rows(self.context, &self.planned, &self.observed, (ended, times));
        let own = match self.wish.goal {
            Goal::Down => results::kept(self.context, &self.observed, &self.wish.project.name),
            Goal::Up | Goal::Undrifted | Goal::Stopped | Goal::Restarted => Vec::new(),
        };
        let (trashed, kept) = own.into_iter().partition(|volume| {
            let address = Address::Volume(volume.name.clone());
            results.iter().any(|row| row.address == address && row.verb == Verb::Trashed)
        });
        Outcome {
            command: self.options.command.clone(),
            plan: self.planned.clone(),
            run,
            recovered: 0,
            results,
            blockers: Vec::new(),
            interrupted: self.options.cancel.count() > 0,
            kept,
            trashed,
            creators: BTreeMap::new(),
            took: Duration::ZERO,
        }
    }
}

fn new_sandbox(
    project_id: &str,
    name: &InstanceName,
    kind: schema::project::Kind,
    desired: Option<String>,
) -> Result<SandboxRow, StoreError> {
    let id = atomic::random_hex(8)
        .map_err(|source| StoreError::Prepare { path: "/dev/urandom".into(), source })?;
    Ok(SandboxRow::new(id, project_id, (name, kind), desired))
}

/// Returns who runs this process: `pid 4121, ana`.
fn actor(context: &Context) -> String {
    let user = ["USER", "LOGNAME"].iter().find_map(|key| context.environment.get(key));
    let uid = || format!("uid {}", rustix::process::getuid().as_raw());
    format!("pid {}, {}", std::process::id(), user.map_or_else(uid, str::to_owned))
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

pub(super) async fn kill(view: &SandboxView) -> Result<(), Troubles> {
    let machine = view.machine().ok_or_else(|| Troubles::not_running(view))?;
    machine.kill(&asker("msb kill")).await.map(|_| ()).map_err(|error| not_ended(&error))
}

/// Asks a machine to end, and waits for nothing more.
pub(super) async fn ask_to_end(view: &SandboxView, how: AskedEnd) -> Result<(), Troubles> {
    let machine = view.machine().ok_or_else(|| Troubles::not_running(view))?;
    let asked = match how {
        AskedEnd::Stop(grace) => machine.ask_to_stop(grace, &asker("msb stop")).await,
        AskedEnd::Kill => machine.ask_to_die(&asker("msb kill")).await,
    };
    asked.map_err(|error| not_ended(&error))
}

fn asker(command: &str) -> String {
    format!("{command}, pid {}", std::process::id())
}

fn not_ended(error: &machines::ControlError) -> Troubles {
    let code = match error {
        machines::ControlError::LivesOn { .. } => "msb::stop::timeout",
        _ => "msb::agent::lost",
    };
    Troubles::of(Report::of(code, "stop", error))
}
