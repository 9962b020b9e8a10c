//! `up --watch`: round after round, the host is brought to what the files say.
//!
//! What wakes a round is a hint and no more; each looks at everything, as `up` does.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use schema::name::InstanceName;
use schema::project::EnvValue;
use serde_json::json;

use super::call::Call;
use super::ending::Ending;
use super::failure::{Failure, Failures};
use super::following::{self, Followed};
use super::outcome;
use crate::context::Clock as _;
use crate::engine::{Options, SandboxView, Verb};
use crate::plan::show::last_line;
use crate::plan::{Action, Address, Change, Hold, May, Plan, Summary, Wish};
use crate::report::human;
use crate::sessions::ears;
use crate::sessions::signals::{ENDING, Signals};
use crate::watch::backoff::{Backoff, Candidate};
use crate::watch::hints::{self, Hints, Woken};

/// The longest that nobody looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// How often is looked where the host gives no hints.
const LOOK_UNTOLD: Duration = Duration::from_secs(2);

/// What `up` is asked for in each round.
pub(super) struct Rounds<'a> {
    /// Reads the files; says nothing about what is as it was.
    pub(super) read: &'a dyn Fn(Option<&Wish>) -> Result<Wish, Failures>,
    /// Returns how the work is done.
    pub(super) options: &'a dyn Fn(&Wish) -> Options,
    /// Does what belongs to the end of a run that did something.
    pub(super) done: &'a dyn Fn(&Wish, &Followed),
    /// What is done without asking, beyond what never asks.
    pub(super) auto: &'a BTreeSet<Auto>,
}

/// What may be done without asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Auto {
    /// Nothing beyond what never asks
    None,
    /// Machines are made anew
    Recreate,
    /// What left the file goes
    Destroy,
}

/// Goes round until a signal comes; sandboxes go on.
pub(super) fn run(call: &Call, rounds: &Rounds<'_>) -> Ending {
    let wish = (rounds.read)(None)?;
    if wish.inputs.files.iter().any(|file| file.path.starts_with("<stdin>")) {
        let message = "--watch: standard input never changes";
        return Err(Failure::usage("usage::conflict", message)
            .hint("Name a file with -f, or leave --watch out.")
            .into());
    }
    let signals = Signals::catch(&ENDING);
    let signals = signals.map_err(|e| Failure::of("msb::host::signals", "state", &e))?;
    let mut watch = Watch {
        call,
        rounds,
        hints: Hints::begin(),
        signals,
        backoff: Backoff::default(),
        round: 0,
        machines: Vec::new(),
        told: Told::default(),
        wish,
    };
    call.report.note(&format!(
        "watching {}: Ctrl-C ends that; its sandboxes go on",
        watch.wish.project.name
    ));
    watch.go_round()
}

struct Watch<'a> {
    call: &'a Call,
    rounds: &'a Rounds<'a>,
    hints: Hints,
    signals: Signals,
    backoff: Backoff,
    round: u64,
    /// The files that tell of the project's machines.
    machines: Vec<PathBuf>,
    told: Told,
    wish: Wish,
}

/// What was said last, so that nothing is said twice.
#[derive(Default)]
struct Told {
    /// What is wrong with the files.
    files: Vec<String>,
    /// What no round could begin with.
    rounds: Vec<String>,
    held: Vec<String>,
    blind: bool,
}

/// What a round came to.
enum Came {
    /// Nothing was to do.
    Quiet(Box<Plan>),
    /// Something was done.
    Did(Box<Followed>),
}

impl Watch<'_> {
    fn go_round(&mut self) -> Ending {
        loop {
            self.round += 1;
            let began = self.call.context.clock.elapsed();
            let sees_all = self.look_at_files();
            let came = self.once();
            // The work has closed the ears behind itself.
            ears::open().map_err(|e| Failure::of("msb::host::signals", "state", &e))?;
            let took = self.call.context.clock.elapsed().saturating_sub(began);
            let clean = self.tell(&came, took);
            if let Ok(Came::Did(followed)) = &came {
                self.machines = self.files_of_machines();
                if followed.signal.is_some() {
                    return Ok(u8::from(!clean));
                }
            } else if self.round == 1 {
                self.machines = self.files_of_machines();
            }
            let now = self.call.context.clock.elapsed();
            let often = if sees_all { LOOK_EVERY } else { LOOK_UNTOLD };
            let most = self.backoff.next(now).map_or(often, |due| due.min(often));
            self.look_at_files();
            let woken = self.hints.wait(&mut self.signals, most, &self.call.context.clock);
            match woken.map_err(|e| Failure::of("msb::host::event-loop", "state", &e))? {
                Woken::Signal(_) => return Ok(u8::from(!clean)),
                Woken::Hint | Woken::Time => self.read_again(),
            }
        }
    }

    /// Takes the files as they are now; where they are wrong, the last good ones stay in force.
    fn read_again(&mut self) {
        match (self.rounds.read)(Some(&self.wish)) {
            Ok(wish) => {
                self.wish = wish;
                self.told.files.clear();
            }
            Err(failures) => tell_once(self.call, &failures, &mut self.told.files),
        }
    }

    /// Looks, plans, and does what may be done without asking.
    fn once(&mut self) -> Result<Came, Failures> {
        let auto = |what: Auto| match self.rounds.auto.contains(&what) {
            true => May::Do,
            false => May::Not,
        };
        let (recreate, destroy) = (auto(Auto::Recreate), auto(Auto::Destroy));
        let mut hold = Hold { recreate, destroy, ..Hold::default() };
        self.wish.selection.hold = Some(hold.clone());
        let plan = self.call.engine.diff(&self.wish)?;
        hold.resting = self.resting(&plan);
        let is_left = |change: &&Change| {
            change.address.sandbox().is_none_or(|name| !hold.resting.contains(name))
        };
        // What only starts up is left to itself: its end is a hint.
        let does = plan.changes.iter().any(|change| is_left(&change));
        if !does && plan.refused.is_empty() {
            return Ok(Came::Quiet(Box::new(plan)));
        }
        self.wish.selection.hold = Some(hold);
        let mut options = (self.rounds.options)(&self.wish);
        // Whatever would have to be asked for is held, or was agreed to with --auto.
        options.consents.yes = true;
        options.consents.delete_data = false;
        let followed = following::apply(self.call, self.wish.clone(), options)?;
        let now = self.call.context.clock.elapsed();
        let failed = followed.outcome.results.iter().filter(|row| row.verb == Verb::Failed);
        for name in failed.filter_map(|row| row.address.sandbox()) {
            self.backoff.failed(name, digest(&self.wish, name), now);
        }
        (self.rounds.done)(&self.wish, &followed);
        Ok(Came::Did(Box::new(followed)))
    }

    /// Returns who is not tried yet, and who needs one of them.
    fn resting(&mut self, plan: &Plan) -> BTreeSet<InstanceName> {
        let comes_up = |change: &&Change| {
            !matches!(change.action, Action::Destroy | Action::Forget | Action::Move | Action::Stop)
        };
        let has_failed = |address: &Address| {
            let phase = |drift: &&crate::plan::Drift| drift.path == "phase";
            let of_it = plan.drift.iter().filter(phase).filter(|drift| drift.address == *address);
            of_it.into_iter().any(|drift| drift.after.starts_with("failed"))
        };
        let candidates: Vec<Candidate<'_>> = plan
            .changes
            .iter()
            .filter(comes_up)
            .filter_map(|change| {
                let name = change.address.sandbox()?;
                let (definition, failed) = (digest(&self.wish, name), has_failed(&change.address));
                Some(Candidate { name, definition, failed })
            })
            .collect();
        let mut resting = self.backoff.resting(&candidates, self.call.context.clock.elapsed());
        let mut open: Vec<InstanceName> = resting.iter().cloned().collect();
        while let Some(one) = open.pop() {
            for change in &plan.changes {
                let needs = change.depends_on.iter().filter_map(Address::sandbox);
                if let Some(name) = change.address.sandbox()
                    && needs.into_iter().any(|needed| *needed == one)
                    && resting.insert(name.clone())
                {
                    open.push(name.clone());
                }
            }
        }
        resting
    }

    /// Watches everything that the project is made of; tells whether the host can do that.
    fn look_at_files(&mut self) -> bool {
        let wish = &self.wish;
        let folder = &wish.project.folder;
        let inputs = wish.inputs.files.iter().map(|file| folder.join(&file.path));
        let of_values = wish.project.sandboxes.values().flat_map(|sandbox| {
            let files = sandbox.env.values().filter_map(|value| match value {
                EnvValue::FromFile(path) => Some(path),
                EnvValue::Literal(_) | EnvValue::FromEnv(_) | EnvValue::Secret(_) => None,
            });
            let mounts = sandbox.mounts.iter().filter_map(|mount| Some(&mount.followed()?.path));
            let files = sandbox.env_files.iter().chain(files).chain(mounts);
            files.map(|path| folder.join(path))
        });
        let lock = wish.pins.path.iter().map(|path| self.call.context.absolute(path));
        let files = inputs.chain(of_values).chain(lock).chain(self.machines.iter().cloned());
        let sees_all = self.hints.watch(files);
        if !sees_all && !self.told.blind {
            self.told.blind = true;
            self.call.report.warn(
                "the host watches no more files (see fs.inotify.max_user_watches); \
                 they are looked at every 2s instead",
            );
        }
        sees_all
    }

    fn files_of_machines(&self) -> Vec<PathBuf> {
        let views = self.call.engine.sandboxes(Some(&self.wish.project.name)).unwrap_or_default();
        let folders = views.iter().filter_map(SandboxView::folder);
        folders.flat_map(|folder| hints::of_machine(&folder)).collect()
    }

    /// Says what a round did or found, and nothing where it was neither; tells whether all is well.
    fn tell(&mut self, came: &Result<Came, Failures>, took: Duration) -> bool {
        let (plan, rows) = match came {
            Err(failures) => {
                tell_once(self.call, failures, &mut self.told.rounds);
                return false;
            }
            Ok(Came::Quiet(plan)) => (&**plan, &[][..]),
            Ok(Came::Did(followed)) => (&followed.outcome.plan, &followed.outcome.results[..]),
        };
        self.told.rounds.clear();
        self.tell_held(&plan.held);
        let failures: Vec<Failure> = rows.iter().filter_map(outcome::failure).collect();
        failures.iter().for_each(|failure| self.call.report.failure(failure));
        let failed = rows.iter().filter(|row| is_bad(row.verb)).count();
        let did = matches!(came, Ok(Came::Did(_)));
        if did || self.round == 1 {
            self.tell_round(&plan.summary(), failed, took);
        }
        failed == 0
    }

    fn tell_round(&self, summary: &Summary, failed: usize, took: Duration) {
        let report = &self.call.report;
        let (round, spent) = (self.round, human::duration(took));
        if report.is_text() {
            let counts = last_line(summary);
            let counts = counts.trim_start_matches("Plan: ");
            let counts = counts.split_once(" (").map_or(counts, |(counts, _)| counts);
            let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
            report.line(&format!("round {round}: {counts}{failed} in {spent}"));
        } else {
            let message = format!("round {round} in {spent}");
            let facts = json!({
                "type": "round",
                "round": round,
                "ok": failed == 0,
                "summary": summary,
                "failed": failed,
                "held": self.told.held,
                "duration_ms": outcome::ms(took),
            });
            if report.is_told_as_events() {
                let now_ms = self.call.context.clock.unix_ms();
                report.event(now_ms, ("round", &message), &facts);
            } else {
                report.document(&facts);
            }
        }
    }

    /// Says once what is left undone.
    fn tell_held(&mut self, held: &[Change]) {
        let resting = self.wish.selection.hold.as_ref().map(|hold| hold.resting.clone());
        let rests = |change: &&Change| {
            let name = change.address.sandbox();
            name.zip(resting.as_ref()).is_some_and(|(name, resting)| resting.contains(name))
        };
        let lines = held.iter().filter(|change| !rests(change)).map(|change| {
            let paths: Vec<&str> = change.fields.iter().map(|field| field.path.as_str()).collect();
            let why = if paths.is_empty() { change.reason.text.clone() } else { paths.join(", ") };
            format!("{} of {}: {why}", change.action.as_str(), change.address)
        });
        let lines: Vec<String> = lines.collect();
        if lines != self.told.held {
            for line in &lines {
                self.call.report.note(&format!("left undone: {line}"));
            }
            if !lines.is_empty() {
                self.call.report.note("do it with `msb up`, or watch with --auto recreate,destroy");
            }
            self.told.held = lines;
        }
    }
}

/// Says what is wrong, unless it was the last that was said.
fn tell_once(call: &Call, failures: &Failures, told: &mut Vec<String>) {
    let texts = failures.0.iter().map(|f| format!("{} {}", f.report.code, f.report.message));
    let texts: Vec<String> = texts.collect();
    if texts != *told {
        failures.0.iter().for_each(|failure| call.report.failure(failure));
        *told = texts;
    }
}

const fn is_bad(verb: Verb) -> bool {
    matches!(verb, Verb::Failed | Verb::NotReady | Verb::Skipped)
}

fn digest<'a>(wish: &'a Wish, name: &InstanceName) -> &'a str {
    wish.project.sandboxes.get(name).map_or("", |body| body.digest())
}
