//! The one who watches a changing command for a person: plan, questions, each step as it goes.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use schema::launch::DriverName;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, ProjectName};
use schema::project::{Kind, Probe, Project, Sandbox};
use serde_json::{Value, json};

use super::asking;
use super::call::Call;
use super::failure::Failure;
use super::outcome::ms;
use crate::consent::{Answer, Need};
use crate::context::{Clock as _, SystemClock};
use crate::engine::{Options, Ui};
use crate::execute::Progress as Step;
use crate::plan::json as plan_json;
use crate::plan::show::{Detail, Layout, last_line, show};
use crate::plan::{Address, Op, Plan, Step as PlanStep, Wish};
use crate::report::progress::{Event, Follower, HEARTBEAT};
use crate::report::{Progress, Report, human, prompt, time};
use crate::store::lease::Holder;
use crate::{disks, volumes};

/// How much is said before and while it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loudness {
    /// The plan first, then every step.
    Plan,
    /// Every step.
    Steps,
    /// What repaints itself away; a command's own streams follow.
    Traceless,
}

/// See the module.
pub(super) struct Watcher {
    report: Rc<Report>,
    clock: SystemClock,
    home: PathBuf,
    loudness: Loudness,
    /// No driver was proved before, so what it promises is said.
    is_first_boot: bool,
    may_ask: bool,
    /// `None` where nothing is said at all.
    follower: RefCell<Option<Follower<SystemClock>>>,
    /// Nothing was said yet.
    is_silent: Cell<bool>,
    last: Cell<Duration>,
    /// What each sandbox is waited for at its gate, and how long.
    gates: RefCell<BTreeMap<InstanceName, Gate>>,
    phases: RefCell<BTreeMap<Address, Phase>>,
}

/// What is waited for at a gate.
#[derive(Debug, Clone, Copy)]
enum Gate {
    /// The agent, which has no time of its own here.
    Started,
    /// A probe, at most so long.
    Probe(Duration),
    /// The end of a job.
    End,
}

impl Watcher {
    pub(super) fn begin(call: &Call, wish: &Wish, options: &Options, loudness: Loudness) -> Self {
        let (report, clock) = (Rc::clone(&call.report), call.context.clock);
        let command = options.command.strip_prefix("msb ").unwrap_or(&options.command);
        // The command's own streams follow, and what is plain stays between them.
        let is_mute = loudness == Loudness::Traceless && report.form.progress == Progress::Plain;
        let name = wish.project.name.as_str();
        let follower = (!is_mute).then(|| Follower::begin(&report, clock, command, Some(name)));
        Self {
            loudness,
            is_first_boot: call.engine.remembered_driver().is_none(),
            may_ask: asking::may_ask(call),
            follower: RefCell::new(follower),
            is_silent: Cell::new(true),
            last: Cell::new(clock.elapsed()),
            gates: RefCell::default(),
            phases: RefCell::default(),
            report,
            clock,
            home: call.context.home().to_path_buf(),
        }
    }

    /// Says what happens in a step; every line of a step has every key.
    fn tell(&self, step: &PlanStep, event: &Event<'_>, more: &Value) {
        self.last.set(self.clock.elapsed());
        self.is_silent.set(false);
        let mut facts = json!({
            "id": step.id.to_string(),
            "do": step.op.as_str(),
            "address": step.address.to_string(),
            "duration_ms": null,
            "error": null,
            "blocked_by": [],
        });
        for (key, value) in more.as_object().into_iter().flatten() {
            facts[key] = value.clone();
        }
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.tell(&step.address.name(), event, &facts);
        }
    }

    /// Says where a sandbox is by now, to programs.
    fn tell_phase(&self, address: &Address, phase: Option<Phase>, reason: Option<&str>) {
        let Some(to) = phase else { return };
        let from = self.phases.borrow_mut().insert(address.clone(), to);
        if from == Some(to) {
            return;
        }
        let word = |phase: Phase| phase.as_str().to_ascii_lowercase();
        let from = from.map(word);
        let facts = json!({
            "address": address.to_string(), "from": from, "to": word(to), "reason": reason,
        });
        self.say("phase", &format!("{}: {}", address.name(), to.as_str()), &facts);
    }

    fn say(&self, kind: &str, message: &str, more: &Value) {
        if let Some(follower) = self.follower.borrow().as_ref() {
            follower.say(kind, message, more);
        }
    }

    pub(super) fn first_word(&self) {
        if let Some(follower) = self.follower.borrow().as_ref().filter(|_| self.is_silent.get()) {
            follower.first_word();
        }
    }

    /// Says what a signal does: the first, and those after it.
    pub(super) fn interrupted(&self, count: u32) {
        let text = match count {
            1 => {
                "interrupted: nothing new starts, running steps are ended; \
                 once more (Ctrl-C) leaves them"
            }
            _ => "interrupted again: running steps are left; machines that run keep running",
        };
        self.report.note(text);
        self.say("interrupted", text, &json!({ "count": count }));
    }

    /// Returns what is said while a step is being done.
    fn doing(&self, step: &PlanStep) -> Event<'static> {
        if !matches!(step.op, Op::Gate | Op::GateReady) {
            return Event::Doing(doing(step.op));
        }
        let gates = self.gates.borrow();
        let gate = step.address.sandbox().and_then(|name| gates.get(name));
        match (gate.copied().unwrap_or(Gate::Started), step.op) {
            (Gate::Probe(time), _) => {
                Event::Waiting("waiting for its health check", Some(self.clock.elapsed() + time))
            }
            (Gate::End, Op::Gate) => Event::Waiting("started, waiting until completed", None),
            (Gate::End | Gate::Started, _) => Event::Doing(doing(step.op)),
        }
    }

    /// Tells whether lines are painted, and so may be painted anew.
    pub(super) fn is_painted(&self) -> bool {
        self.report.form.progress == Progress::Tty
    }

    /// Says that it is still at it, where nothing was said for a while.
    pub(super) fn beat(&self) {
        let silent = self.clock.elapsed().saturating_sub(self.last.get());
        if silent >= HEARTBEAT {
            self.heartbeat();
        }
    }

    pub(super) fn refresh(&self) {
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.refresh();
        }
    }

    fn heartbeat(&self) {
        self.last.set(self.clock.elapsed());
        if let Some(follower) = self.follower.borrow().as_ref() {
            follower.heartbeat();
        }
    }

    /// Gives the terminal back.
    pub(super) fn end(&self) {
        drop(self.follower.borrow_mut().take());
    }

    /// Returns a line for each volume: how much it holds, and when it was last written to.
    fn lost(&self, project: &ProjectName, addresses: &[Address]) -> String {
        let mut text = String::new();
        for address in addresses {
            let Address::Volume(name) = address else { continue };
            let disk = volumes::content(&self.home, &volumes::folder_name(project, name));
            let size = human::size(disks::occupied(&disk));
            let written = disks::written_ms(&disk).map(time::local).unwrap_or_default();
            let _ = writeln!(text, "  {name}  {size}, last written {written}");
        }
        text
    }

    fn ask(&self, question: &str, wanted: Option<&str>) -> Answer {
        let Some(typed) = prompt::ask(&self.report, question) else { return Answer::Ended };
        let agreed = match wanted {
            Some(name) => typed == name,
            None => matches!(typed.to_ascii_lowercase().as_str(), "y" | "yes"),
        };
        if agreed { Answer::Given } else { Answer::Denied }
    }
}

impl Ui for Watcher {
    fn waiting(&self, holder: &Holder) {
        let age = self.clock.unix_ms().saturating_sub(holder.since_ms);
        let (pid, command, age) = (holder.pid, &holder.command, human::millis(age));
        let text = format!("waiting: held by pid {pid} ({command}) for {age}");
        self.is_silent.set(false);
        self.report.note(&text);
        let since = crate::report::json::rfc3339(holder.since_ms);
        let facts = json!({ "holder": { "pid": pid, "command": command, "since": since } });
        self.say("lock-waiting", &text, &facts);
    }

    fn recovered(&self, count: usize) {
        let text = format!("recovered {}", human::count(count, "interrupted operation"));
        self.is_silent.set(false);
        self.report.note(&text);
        self.say("recovered", &text, &json!({ "count": count }));
    }

    fn planned(&self, plan: &Plan, project: &Project, driver: Option<&str>) {
        self.is_silent.set(false);
        let facts = json!({ "summary": plan.summary(), "plan_hash": plan_json::hash(plan) });
        self.say("plan", &last_line(&plan.summary()), &facts);
        if plan.steps.is_empty() && plan.changes.is_empty() {
            return;
        }
        match driver {
            // A driver that isolates nothing warns on every use.
            Some(driver) if driver.starts_with(DriverName::Process.as_str()) => {
                self.warn(&format!("driver {driver}"));
            }
            Some(driver) if self.is_first_boot || self.loudness == Loudness::Plan => {
                self.report.note(&format!("driver: {driver}"));
            }
            Some(_) | None => {}
        }
        if self.loudness == Loudness::Plan && self.report.is_text() {
            self.report.note(
                show(plan, project, layout(&self.report, Detail::Normal, self.clock.unix_ms()))
                    .trim_end(),
            );
        }
        *self.gates.borrow_mut() = gates(project);
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.over(plan.changes.len());
        }
    }

    fn consent(&self, plan: &Plan, needs: &[Need]) -> Answer {
        if !self.may_ask {
            return Answer::Denied;
        }
        if let Some(follower) = self.follower.borrow().as_ref() {
            follower.hide();
        }
        for need in needs {
            let answer = match need {
                Need::Replace(addresses) => {
                    let list = listed(addresses);
                    self.ask(&format!("Replace or remove {list}? [y/N] "), None)
                }
                Need::DataLoss(addresses) => {
                    let name = plan.head.name.as_str();
                    let list = self.lost(&plan.head.name, addresses);
                    let question =
                        format!("The data of these would be lost:\n{list}Type `{name}` to go on: ");
                    self.ask(&question, Some(name))
                }
            };
            if answer != Answer::Given {
                return answer;
            }
        }
        Answer::Given
    }

    fn progress(&self, progress: &Step<'_>) {
        match progress {
            Step::Started(step) => self.tell(step, &self.doing(step), &json!({})),
            Step::Done(step, effect, took) => {
                let spent = human::duration(*took);
                let text = match (step.op, effect.phase) {
                    (Op::Gate | Op::GateReady, Some(phase)) => {
                        format!("{} in {spent}", phase.as_str())
                    }
                    (op, _) => format!("{} in {spent}", done(op)),
                };
                let event = match step.op {
                    Op::Boot | Op::Prepare | Op::Pull | Op::BuildRoot => Event::Moved(&text),
                    Op::Gate
                    | Op::GateReady
                    | Op::Listen
                    | Op::TrashVolume
                    | Op::Move
                    | Op::Forget
                    | Op::Update
                    | Op::Stop
                    | Op::Retire
                    | Op::Discard
                    | Op::GrowVolume
                    | Op::EnsureVolume => Event::Done(&text),
                };
                self.tell(step, &event, &json!({ "duration_ms": ms(*took) }));
                self.tell_phase(&step.address, effect.phase, effect.reason.as_deref());
            }
            Step::Failed(step, error, took) => {
                let failure = Failure::of_report((*error.report).clone());
                let more = json!({ "duration_ms": ms(*took), "error": failure.object() });
                self.tell(step, &Event::Failed(&error.report.message), &more);
                self.tell_phase(&step.address, error.phase, error.reason.as_deref());
            }
            Step::Skipped(step, cause) => {
                let text = format!("skipped: {} failed", cause.name());
                let more = json!({ "blocked_by": [cause.to_string()] });
                self.tell(step, &Event::Skipped(&text), &more);
            }
        }
    }

    fn warn(&self, text: &str) {
        // Where events are on stderr too, the event is the warning.
        if self.report.form.progress != Progress::Json || self.report.is_told_as_events() {
            self.report.warn(text);
        }
        self.say("warning", text, &json!({}));
    }
}

/// Returns how plans are laid out for this report.
pub(crate) fn layout(report: &Report, detail: Detail, now_ms: u64) -> Layout {
    let width = report.width().unwrap_or(100).max(60);
    Layout { width, detail, style: report.form.out, now_ms }
}

fn listed(addresses: &[Address]) -> String {
    let names: Vec<String> = addresses.iter().map(Address::name).collect();
    names.join(", ")
}

const fn doing(op: Op) -> &'static str {
    match op {
        Op::Pull => "fetching it",
        Op::BuildRoot => "making its root image",
        Op::EnsureVolume => "making it",
        Op::GrowVolume => "growing its disk",
        Op::Prepare => "making its folder and upper",
        Op::Boot => "booting",
        Op::Gate | Op::GateReady => "started, waiting until ready",
        Op::Listen => "waiting for a line of what it depends on",
        Op::TrashVolume => "moving to the trash",
        Op::Move => "renaming",
        Op::Forget => "letting go",
        Op::Update => "changing",
        Op::Stop => "stopping",
        Op::Retire => "removing its predecessor",
        Op::Discard => "removing",
    }
}

const fn done(op: Op) -> &'static str {
    match op {
        Op::Pull => "fetched",
        Op::BuildRoot => "root image made",
        Op::EnsureVolume => "made",
        Op::GrowVolume => "disk grown",
        Op::Prepare => "prepared",
        Op::Boot => "booted",
        Op::Gate | Op::GateReady => "ready",
        Op::Listen => "line heard",
        Op::TrashVolume => "in the trash",
        Op::Move => "renamed",
        Op::Forget => "let go",
        Op::Update => "changed",
        Op::Stop => "stopped",
        Op::Retire => "predecessor removed",
        Op::Discard => "removed",
    }
}

/// Returns what each sandbox is waited for.
fn gates(project: &Project) -> BTreeMap<InstanceName, Gate> {
    let gate = |body: &Sandbox| match (body.kind, &body.ready.probe) {
        (Kind::Job, _) => Gate::End,
        (Kind::Service, Probe::Agent) => Gate::Started,
        (Kind::Service, _) => Gate::Probe(body.ready.timeout.as_duration()),
    };
    project.sandboxes.iter().map(|(name, body)| (name.clone(), gate(body))).collect()
}
