//! Carries out a wish while a person watches: progress, questions, Ctrl-C.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use schema::launch::DriverName;
use schema::lifecycle::Phase;
use schema::project::Project;
use serde_json::{Value, json};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

use super::call::Call;
use super::failure::{Failure, Failures};
use super::outcome::ms;
use crate::consent::{Answer, Need};
use crate::context::{Clock as _, Stream, SystemClock};
use crate::engine::{Cancel, Canceller, Options, Outcome, SharedUi, Ui};
use crate::execute::Progress as Step;
use crate::plan::json as plan_json;
use crate::plan::show::{Detail, Layout, last_line, show};
use crate::plan::{Address, Op, Plan, Step as PlanStep, Wish};
use crate::report::progress::{Event, Follower, HEARTBEAT, REPAINT_EVERY};
use crate::report::{Output, Progress, Report, human, prompt};
use crate::sessions::ears;
use crate::store::lease::Holder;

/// What a changing command came to, and the signal that ended it.
#[derive(Debug)]
pub(crate) struct Followed {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// The signal that asked it to end, where one did.
    pub(crate) signal: Option<i32>,
    /// The number of the last event that was written.
    pub(crate) last_event: u64,
}

/// How much is said before and while it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loudness {
    /// The plan first, then every step.
    Plan,
    /// Every step.
    Steps,
    /// What repaints itself away; a command's own streams follow.
    Traceless,
}

/// Carries out a wish and shows each step meanwhile; `up` shows the plan first.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn apply(call: &Call, wish: Wish, options: Options) -> Result<Followed, Failures> {
    let loudness = if options.command == "msb up" { Loudness::Plan } else { Loudness::Steps };
    follow(call, wish, options, loudness)
}

/// Carries out a wish and leaves stderr to the command that follows.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn apply_beside_streams(
    call: &Call,
    wish: Wish,
    options: Options,
) -> Result<Followed, Failures> {
    follow(call, wish, options, Loudness::Traceless)
}

fn follow(
    call: &Call,
    wish: Wish,
    options: Options,
    loudness: Loudness,
) -> Result<Followed, Failures> {
    call.context.prepared_home().map_err(Failure::from)?;
    let (canceller, cancel) = Cancel::pair();
    let title = options.command.strip_prefix("msb ").unwrap_or(&options.command);
    let watcher = Rc::new(Watcher {
        report: Rc::clone(&call.report),
        clock: call.context.clock,
        title: format!("{title} {}", wish.project.name),
        loudness,
        is_first_boot: call.engine.remembered_driver().is_none(),
        may_ask: call.report.form.output == Output::Text
            && call.context.terminal.is_tty(Stream::In)
            && call.context.terminal.is_tty(Stream::Err)
            && !call.context.is_ci(),
        follower: RefCell::new(None),
        last: Cell::new(call.context.clock.elapsed()),
    });
    let options = Options { cancel, ..options };
    let ui: Rc<dyn Ui> = Rc::<Watcher>::clone(&watcher);
    let signal = Cell::new(None);
    let ended = call.block_on(async {
        let listener = Listener::begin();
        let listener = listener.map_err(|e| Failure::of("msb::host::signals", "state", &e))?;
        let work = call.engine.apply(wish, options, ui);
        Ok::<_, Failure>(tokio::select! {
            ended = work => ended,
            () = listener.hear(&canceller, &signal) => unreachable!("a listener never ends"),
            () = beat(&watcher) => unreachable!("a heart never ends"),
        })
    })??;
    // What is left is to say how it ended, to a reader who may not read.
    ears::close();
    let last_event = watcher.end();
    let outcome = ended.map_err(|troubles| interrupted(troubles.into()))?;
    Ok(Followed { outcome, signal: signal.get(), last_event })
}

/// A question that was answered by Ctrl-C, or by the end of input, ends as a signal would.
fn interrupted(mut failures: Failures) -> Failures {
    for failure in &mut failures.0 {
        if failure.report.code == "msb::interrupted" {
            failure.exit_code = Some(130);
        }
    }
    failures
}

/// Carries out a wish without a word, for the end of something else.
///
/// # Errors
/// Nothing was changed.
pub(crate) fn quietly(call: &Call, wish: Wish, options: Options) -> Result<Followed, Failures> {
    let outcome = call.block_on(call.engine.apply(wish, options, Rc::new(Silent)))??;
    Ok(Followed { outcome, signal: None, last_event: 0 })
}

/// Returns one who says nothing, and agrees to nothing.
pub(crate) fn silent() -> SharedUi {
    Rc::new(Silent)
}

/// Says nothing, and agrees to nothing.
struct Silent;

impl Ui for Silent {
    fn waiting(&self, _: &Holder) {}
    fn recovered(&self, _: usize) {}
    fn planned(&self, _: &Plan, _: &Project, _: Option<&str>) {}
    fn consent(&self, _: &Plan, _: &[Need]) -> Answer {
        Answer::Denied
    }
    fn progress(&self, _: &Step<'_>) {}
    fn warn(&self, _: &str) {}
}

/// Passes on that the user asked to stop.
struct Listener {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Listener {
    /// Begins to listen; no signal that comes from now on is lost.
    fn begin() -> std::io::Result<Self> {
        let listener = Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        };
        // Only now: what is caught before anybody listens would be nobody's.
        ears::open()?;
        Ok(listener)
    }

    async fn hear(mut self, canceller: &Canceller, which: &Cell<Option<i32>>) {
        loop {
            let came = tokio::select! {
                _ = self.interrupt.recv() => SignalKind::interrupt(),
                _ = self.terminate.recv() => SignalKind::terminate(),
                _ = self.hangup.recv() => SignalKind::hangup(),
            };
            ears::heard();
            which.set(which.get().or(Some(came.as_raw_value())));
            canceller.ask();
        }
    }
}

/// Paints what has changed, and says now and then that it is still at it.
async fn beat(watcher: &Watcher) {
    let is_painted = watcher.report.form.progress == Progress::Tty;
    let rhythm = if is_painted { REPAINT_EVERY } else { Duration::from_secs(1) };
    loop {
        sleep(rhythm).await;
        watcher.refresh();
        let silent = watcher.clock.elapsed().saturating_sub(watcher.last.get());
        if silent >= HEARTBEAT {
            watcher.heartbeat();
        }
    }
}

/// The one who watches.
struct Watcher {
    report: Rc<Report>,
    clock: SystemClock,
    title: String,
    loudness: Loudness,
    /// No driver was proved before, so what it promises is said.
    is_first_boot: bool,
    may_ask: bool,
    follower: RefCell<Option<Follower<SystemClock>>>,
    last: Cell<Duration>,
}

impl Watcher {
    fn tell(&self, step: &PlanStep, event: &Event<'_>, more: Value) {
        self.last.set(self.clock.elapsed());
        let mut facts = more;
        facts["id"] = json!(step.id.to_string());
        facts["do"] = json!(step.op.as_str());
        facts["address"] = json!(step.address.to_string());
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.tell(&step.address.name(), event, &facts);
        }
    }

    fn refresh(&self) {
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.refresh();
        }
    }

    fn heartbeat(&self) {
        self.last.set(self.clock.elapsed());
        if let Some(follower) = self.follower.borrow_mut().as_mut() {
            follower.heartbeat();
        }
    }

    /// Gives the terminal back.
    fn end(&self) -> u64 {
        self.follower.borrow_mut().take().map_or(0, |follower| follower.last_event())
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
        self.report.note(&format!("waiting: held by pid {pid} ({command}) for {age}"));
    }

    fn recovered(&self, count: usize) {
        let what = human::count(count, "interrupted operation");
        self.report.note(&format!("recovered {what}"));
    }

    fn planned(&self, plan: &Plan, project: &Project, driver: Option<&str>) {
        if plan.steps.is_empty() && plan.changes.is_empty() {
            return;
        }
        match driver {
            // A driver that isolates nothing warns on every use.
            Some(driver) if driver.starts_with(DriverName::Process.as_str()) => {
                self.report.warn(&format!("driver {driver}"));
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
        if self.loudness == Loudness::Traceless && self.report.form.progress == Progress::Plain {
            return;
        }
        let count = plan.changes.len();
        let mut follower = Follower::begin(&self.report, self.clock, &self.title, count);
        let facts = json!({ "summary": plan.summary(), "plan_hash": plan_json::hash(plan) });
        follower.say("plan", &last_line(&plan.summary()), &facts);
        *self.follower.borrow_mut() = Some(follower);
    }

    fn consent(&self, plan: &Plan, needs: &[Need]) -> Answer {
        if !self.may_ask {
            return Answer::Denied;
        }
        for need in needs {
            let answer = match need {
                Need::Replace(addresses) => {
                    let list = listed(addresses);
                    self.ask(&format!("Replace or remove {list}? [y/N] "), None)
                }
                Need::DataLoss(addresses) => {
                    let name = plan.head.name.as_str();
                    let list = listed(addresses);
                    let question =
                        format!("The data of {list} would be lost. Type `{name}` to go on: ");
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
            Step::Started(step) => self.tell(step, &Event::Doing(doing(step.op)), json!({})),
            Step::Phase(step, phase) => {
                let to = phase.as_str().to_ascii_lowercase();
                self.tell(step, &Event::Phase(phase_text(*phase)), json!({ "to": to }));
            }
            Step::Done(step, effect, took) => {
                let spent = human::duration(*took);
                let text = match (step.op, effect.phase) {
                    (Op::Gate | Op::GateReady, Some(phase)) => {
                        format!("{} in {spent}", phase.as_str())
                    }
                    (op, _) => format!("{} in {spent}", done(op)),
                };
                let event = match step.op {
                    Op::Boot | Op::Prepare | Op::BuildRoot => Event::Moved(&text),
                    Op::Gate
                    | Op::GateReady
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
                self.tell(step, &event, json!({ "duration_ms": ms(*took) }));
            }
            Step::Failed(step, error, took) => {
                let failure = Failure::of_report((*error.report).clone());
                let more = json!({ "duration_ms": ms(*took), "error": failure.object() });
                self.tell(step, &Event::Failed(&error.report.message), more);
            }
            Step::Skipped(step, cause) => {
                let text = format!("skipped: {} failed", cause.name());
                let more = json!({ "blocked_by": [cause.to_string()] });
                self.tell(step, &Event::Skipped(&text), more);
            }
        }
    }

    fn warn(&self, text: &str) {
        self.report.warn(text);
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
        Op::BuildRoot => "making its root image",
        Op::EnsureVolume => "making its disk",
        Op::GrowVolume => "growing its disk",
        Op::Prepare => "making its folder and upper",
        Op::Boot => "booting",
        Op::Gate | Op::GateReady => "started, waiting until ready",
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
        Op::BuildRoot => "root image made",
        Op::EnsureVolume => "disk made",
        Op::GrowVolume => "disk grown",
        Op::Prepare => "prepared",
        Op::Boot => "booted",
        Op::Gate | Op::GateReady => "ready",
        Op::TrashVolume => "in the trash",
        Op::Move => "renamed",
        Op::Forget => "let go",
        Op::Update => "changed",
        Op::Stop => "stopped",
        Op::Retire => "predecessor removed",
        Op::Discard => "removed",
    }
}

const fn phase_text(phase: Phase) -> &'static str {
    match phase {
        Phase::Absent => "absent",
        Phase::Pending => "waiting for what it depends on",
        Phase::Pulling => "fetching its image",
        Phase::Booting => "booting",
        Phase::Starting => "started, waiting until ready",
        Phase::Ready => "ready",
        Phase::Degraded => "running, its health check fails",
        Phase::Completed => "completed",
        Phase::Failed => "failed",
        Phase::Stalled => "stalled",
        Phase::Stopped => "stopped",
    }
}

/// Returns options that every changing command shares.
pub(crate) fn options(call: &Call, command: &str) -> Options {
    Options {
        command: format!("msb {command}"),
        lock_timeout: call.settings.lock_timeout,
        consents: crate::consent::Consents { yes: call.settings.yes, delete_data: false },
        log_level: call.settings.level.unwrap_or("info").to_owned(),
        require_jail: call.settings.require_jail,
        ..Options::default()
    }
}
