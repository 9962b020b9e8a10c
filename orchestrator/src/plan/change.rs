//! One definition against one observation: what to do about it, field by field.
//!
//! Three values of each field are compared: as wished, as last applied, as
//! observed. A wish that moved is an edit; a host that moved is drift.

use schema::change::{self, Class, Workload};
use schema::launch::DriverName;
use schema::lifecycle::Phase;
use schema::name::InstanceName;
use schema::project::{
    AfterRestarts, ArgumentList, Body, Definition, Direction, FieldChange, FileChange, Kind,
    MountSource, Sandbox,
};
use schema::units::{Bytes, Millis};

use super::value::{Action, Actor, Address, Cause, Drift, Field, Reason};
use super::wish::{Goal, Sleepers, Wish};
use crate::observe::{Observed, Seen, Source};
use crate::store::operations::Audit;

/// What is to be done about one sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What is done; `None` where it is in order.
    pub(super) action: Option<Action>,
    /// What that costs.
    pub(super) class: Class,
    /// Why.
    pub(super) reason: Reason,
    /// The fields that make it necessary.
    pub(super) fields: Vec<Field>,
    /// What somebody changed by hand.
    pub(super) drift: Vec<Drift>,
    /// Whether somebody wished for it.
    pub(super) cause: Cause,
}

/// Judges one sandbox of the file against what there is of it.
pub(super) fn judge(
    wish: &Wish,
    observed: &Observed,
    (name, want): (&InstanceName, &Body),
    seen: Option<&Seen>,
) -> Verdict {
    let asked = wish.selection.recreate && wish.selection_names(name);
    let Some(made) = seen.filter(|seen| is_made(want, seen)) else {
        let fields = new_fields(wish, observed, name, want);
        let reason = match (seen.is_some_and(|seen| seen.applied.is_some()), grown(observed, name))
        {
            (true, _) => because("not-running", "its machine is gone"),
            (false, true) => because("replicas", "more replicas"),
            (false, false) => because("new", "new"),
        };
        return Verdict { fields, ..Verdict::of(Action::Create, Class::Recreate, reason) };
    };
    let compared = Compared::of(wish, observed, (name, want), made);
    let mut verdict = match want.kind {
        Kind::Service => compared.service(made, asked, wish.selection.sleepers),
        Kind::Job => compared.job(made, asked),
    };
    // What only comes along is started where it rests, and is not disturbed where it runs.
    let restart = wish.goal == Goal::Restarted && made.is_alive() && wish.selection_names(name);
    if restart && verdict.action < Some(Action::Restart) {
        verdict.action = Some(Action::Restart);
        verdict.class = Class::Restart;
        verdict.reason = because("asked", "asked for");
    }
    verdict
}

/// Tells whether there is anything to compare with: a machine, or what a job came to.
const fn is_made(want: &Sandbox, seen: &Seen) -> bool {
    let is_done = matches!(want.kind, Kind::Job) && seen.row.completed_code.is_some();
    seen.applied.is_some() && (seen.machine.is_some() || is_done)
}

/// Judges a sandbox that the file does not have any more.
pub(super) fn judge_gone(wish: &Wish, name: &InstanceName, seen: &Seen) -> Verdict {
    let is_fewer = name.index.is_some() && wish.project.definitions.contains_key(&name.sandbox);
    if is_fewer {
        let reason = because("replicas", "fewer replicas; volumes stay");
        return Verdict::of(Action::Destroy, Class::Recreate, reason);
    }
    if seen.row.keep {
        let reason = because("removed", "no longer in the file; kept as it is, in project adhoc");
        return Verdict::of(Action::Forget, Class::Meta, reason);
    }
    let reason = because("removed", "no longer in the file; volumes stay");
    Verdict::of(Action::Destroy, Class::Recreate, reason)
}

/// Tells whether other instances of the same sandbox are there already.
fn grown(observed: &Observed, name: &InstanceName) -> bool {
    let all = InstanceName { index: None, ..name.clone() };
    name.index.is_some() && super::meant(&observed.sandboxes, &all).any(|(other, _)| other != name)
}

pub(super) fn because(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, text: text.into() }
}

impl Verdict {
    pub(super) fn of(action: Action, class: Class, reason: Reason) -> Self {
        let (fields, drift, cause) = (Vec::new(), Vec::new(), Cause::Wish);
        Self { action: Some(action), class, reason, fields, drift, cause }
    }
}

/// The fields of one sandbox that are not as they should be.
struct Compared<'a> {
    address: Address,
    want: &'a Sandbox,
    edits: Vec<Field>,
    drift: Vec<Field>,
    raised: Option<&'static str>,
    image_moved: bool,
    driver: Option<DriverName>,
    gate: Gate,
    /// Whether its restarts are used up, and that makes it anew.
    is_spent: bool,
    audit: Option<&'a Audit>,
}

/// How a running machine stands to its gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    /// It is not through yet; another gate needs another start.
    Asked,
    /// It is through, or none runs.
    Past,
}

impl<'a> Compared<'a> {
    fn of(
        wish: &Wish,
        observed: &'a Observed,
        (name, want): (&InstanceName, &'a Body),
        seen: &Seen,
    ) -> Self {
        let address = Address::Sandbox(name.clone());
        let mut compared = Self {
            audit: match observed.audits.is_empty() {
                true => None,
                false => observed.audits.get(&address.to_string()),
            },
            is_spent: want.restart.then == AfterRestarts::Recreate && seen.is_spent(want),
            address,
            want,
            edits: Vec::new(),
            drift: Vec::new(),
            raised: None,
            image_moved: false,
            driver: seen.driver_name(),
            gate: match seen.phase() {
                Phase::Booting | Phase::Starting if seen.is_alive() => Gate::Asked,
                _ => Gate::Past,
            },
        };
        let applied = seen.applied.as_ref().unwrap_or(want);
        compared.fields(wish, (name, want), applied, seen);
        compared.image(wish, observed, name, seen);
        compared.sensitive(wish, observed, name, seen);
        compared.contents(wish, observed, name, seen);
        compared.edits.sort_by(|a, b| a.path.cmp(&b.path));
        compared
    }

    /// Compares field by field; equal bodies have no field that differs.
    fn fields(
        &mut self,
        wish: &Wish,
        (name, want): (&InstanceName, &Body),
        applied: &Body,
        seen: &Seen,
    ) {
        let actual = actual(applied, seen);
        let definition = || wish.project.definitions.get(&name.sandbox);
        let ignores = |path: &str| definition().is_some_and(|d: &Definition| d.ignores(path));
        let mut drifted = if actual == *applied { Vec::new() } else { applied.differing(&actual) };
        drifted.retain(|drift| !ignores(&drift.path));
        let edits = if want == applied { Vec::new() } else { applied.differing(want) };
        let is_mount = |edit: &FieldChange| edit.path.starts_with("mounts.");
        let renamed = edits.iter().any(is_mount).then(|| renamed(wish, applied)).flatten();
        let renamed = renamed.map(|renamed| renamed.differing(want));
        for edit in edits {
            if !lifts(wish, name, seen, &edit) {
                continue;
            }
            let is_so = drifted.iter().any(|d| d.path == edit.path && d.after == edit.after);
            let real = |real: &Vec<FieldChange>| real.iter().any(|one| one.path == edit.path);
            let is_name = renamed.as_ref().is_some_and(|renamed| !real(renamed));
            // Where the host is already so, only the record of it is not.
            let field = self.field(wish, name, &edit, (is_so || is_name).then_some(Class::Meta));
            if field.class > Class::None {
                self.edits.push(field);
            }
        }
        for drift in drifted {
            let edit = self.edits.iter().find(|edit| edit.path == drift.path);
            if edit.is_some_and(|edit| edit.after == drift.after) {
                continue;
            }
            let mut field = self.field(wish, name, &drift, None);
            field.place = None;
            self.drift.push(field);
        }
    }

    fn field(
        &mut self,
        wish: &Wish,
        name: &InstanceName,
        change: &FieldChange,
        class: Option<Class>,
    ) -> Field {
        let class = class.unwrap_or_else(|| {
            let best = change::sandbox_class(change, self.want.kind, workload(self.want));
            let (class, why) = match self.gate {
                Gate::Asked if change.path.starts_with("ready.") => {
                    (best.max(Class::Restart), Some("its present gate is still being asked"))
                }
                Gate::Asked | Gate::Past => raise(&change.path, best, self.driver),
            };
            self.raised = self.raised.or(why);
            class
        });
        Field {
            place: place(wish, name, &change.path),
            path: change.path.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
            class,
            sensitive: change.sensitive,
            widens: false,
        }
    }

    /// An image of the same name that is another one by now.
    fn image(&mut self, wish: &Wish, observed: &Observed, name: &InstanceName, seen: &Seen) {
        let Some(reference) = self.want.root.reference() else { return };
        let now = observed.images.get(reference).and_then(Option::as_ref);
        let then = seen.machine.as_ref().and_then(|machine| machine.row.image_digest.as_ref());
        let (Some(now), Some(then)) = (now, then) else { return };
        if now == then || self.edits.iter().any(|field| field.path == "image") {
            return;
        }
        self.image_moved = true;
        let short = reference.short();
        let text = |digest: &str| format!("{short} {}", short_digest(digest));
        let place = observed.locked.get(reference).cloned();
        self.edits.push(Field {
            path: "image".to_owned(),
            before: Some(text(then)),
            after: Some(short_digest(now)),
            class: Class::Recreate,
            sensitive: false,
            widens: false,
            place: place.or_else(|| self::place(wish, name, "image")),
        });
    }

    /// A value from outside the file that is another one by now.
    fn sensitive(&mut self, wish: &Wish, observed: &Observed, name: &InstanceName, seen: &Seen) {
        for (path, reference) in outside(self.want) {
            let now = observed.sources.get(&(name.clone(), path.clone()));
            let then = seen.sensitive.get(&path);
            let (Some(Source::Digest(now)), Some(then)) = (now, then) else { continue };
            if now != then && !self.edits.iter().any(|field| field.path == path) {
                let (before, after) = (Some(reference.clone()), Some(reference));
                let (direction, sensitive) = (Direction::Other, true);
                let change = FieldChange { path, before, after, direction, sensitive };
                let field = self.field(wish, name, &change, None);
                self.edits.push(field);
            }
        }
    }

    /// A mounted file that holds something else by now, where that is to do something.
    fn contents(&mut self, wish: &Wish, observed: &Observed, name: &InstanceName, seen: &Seen) {
        for mount in &self.want.mounts {
            let Some(file) = mount.followed() else { continue };
            let path = mount.content_path();
            let now = observed.sources.get(&(name.clone(), path.clone()));
            let then = seen.sensitive.get(&path);
            let (Some(Source::Digest(now)), Some(then)) = (now, then) else { continue };
            if now == then {
                continue;
            }
            let (before, after) = (Some(short_content(then)), Some(short_content(now)));
            let (direction, sensitive) = (Direction::Other, false);
            let change = FieldChange { path, before, after, direction, sensitive };
            let class = match (&file.on_change, self.want.kind) {
                (FileChange::Signal(_), _) => Class::Live,
                (_, Kind::Job) => Class::Recreate,
                (_, Kind::Service) => Class::Restart,
            };
            if class >= Class::Restart {
                self.raised = self.raised.or(Some("a mounted file has changed"));
            }
            let field = self.field(wish, name, &change, Some(class));
            self.edits.push(field);
        }
    }

    fn class(&self) -> Class {
        let fields = self.edits.iter().chain(&self.drift);
        fields.map(|field| field.class).max().unwrap_or(Class::None)
    }

    fn service(self, seen: &Seen, asked: bool, sleepers: Sleepers) -> Verdict {
        let class = self.class();
        let phase = seen.phase();
        if asked {
            let reason = Some(because("asked", "asked for"));
            return self.verdict(Some(Action::Recreate), Class::Recreate, reason);
        }
        if class >= Class::Recreate {
            return self.verdict(Some(Action::Recreate), class, None);
        }
        if self.is_spent {
            let reason = because("restarts", "its restarts are used up: made anew, once");
            return self.verdict(Some(Action::Recreate), Class::Recreate, Some(reason));
        }
        let rests = !seen.is_alive() || phase == Phase::Stalled;
        let sleeps = sleepers == Sleepers::Leave && sleeps(phase, seen);
        if rests && !sleeps {
            return self.start(seen, class);
        }
        match class {
            Class::None => self.verdict(None, class, None),
            Class::Meta | Class::Live | Class::Exec => {
                self.verdict(Some(Action::Update), class, None)
            }
            // What rests takes the change with its next start.
            Class::Restart | Class::Recreate | Class::DataLoss if sleeps => {
                self.verdict(Some(Action::Update), class, None)
            }
            Class::Restart | Class::Recreate | Class::DataLoss => {
                self.verdict(Some(Action::Restart), class, None)
            }
        }
    }

    fn start(self, seen: &Seen, class: Class) -> Verdict {
        let (phase, by) = (seen.phase(), self.audit.map(actor));
        let never = matches!(phase, Phase::Absent | Phase::Pending);
        let text = if never {
            "it has never run".to_owned()
        } else {
            format!("it is {}", said(phase, seen))
        };
        let edited = !self.edits.is_empty();
        let address = self.address.clone();
        let reason = Some(because("not-running", text));
        let mut verdict = self.verdict(Some(Action::Start), class, reason);
        if !never {
            verdict.drift.push(Drift {
                address,
                path: "phase".to_owned(),
                before: "ready".to_owned(),
                after: said(phase, seen),
                class: "start",
                by,
            });
            verdict.cause = if edited { Cause::Wish } else { Cause::Drift };
        }
        verdict
    }

    /// A job runs once per definition; nothing of it is changed while it runs.
    fn job(self, seen: &Seen, asked: bool) -> Verdict {
        let class = self.class();
        let phase = seen.phase();
        let again = |code, text: String| Some(because(code, text));
        if asked {
            let reason = again("asked", "asked for".to_owned());
            return self.verdict(Some(Action::Recreate), Class::Recreate, reason);
        }
        if class >= Class::Exec {
            let reason = if self.image_moved {
                again("image-moved", "image moved: runs again".to_owned())
            } else {
                again("edited", "runs again".to_owned())
            };
            return self.verdict(Some(Action::Recreate), Class::Recreate, reason);
        }
        if matches!(phase, Phase::Absent | Phase::Pending) {
            // It was prepared, and its first run never began.
            let reason = again("not-running", "it has not run yet".to_owned());
            return self.verdict(Some(Action::Start), class, reason);
        }
        let runs = seen.is_alive() && phase != Phase::Stalled;
        if !runs && phase != Phase::Completed {
            let reason = again("not-running", format!("runs again: it is {}", said(phase, seen)));
            return self.verdict(Some(Action::Recreate), Class::Recreate, reason);
        }
        match class {
            Class::None => self.verdict(None, class, None),
            _ => self.verdict(Some(Action::Update), class, None),
        }
    }

    fn verdict(self, action: Option<Action>, class: Class, reason: Option<Reason>) -> Verdict {
        let text = self.raised.filter(|_| class >= Class::Restart).unwrap_or("");
        let drifted_only = self.edits.is_empty() && !self.drift.is_empty();
        let edited = if self.image_moved {
            because("image-moved", "image moved")
        } else if !self.edits.is_empty() && self.edits.iter().all(is_source) {
            because("source-changed", text)
        } else if drifted_only {
            because("drift", "changed on the host")
        } else if self.edits.iter().all(|field| field.path == "driver") {
            because("driver", "another driver")
        } else {
            because("edited", text)
        };
        let by = self.audit.map(actor);
        let back = |field: &Field| Drift {
            address: self.address.clone(),
            path: field.path.clone(),
            before: field.before.clone().unwrap_or_default(),
            after: field.after.clone().unwrap_or_default(),
            class: field.class.as_str(),
            by: by.clone(),
        };
        let drift: Vec<Drift> = self.drift.iter().map(back).collect();
        let cause = if drifted_only && reason.is_none() { Cause::Drift } else { Cause::Wish };
        let reason = reason.unwrap_or(edited);
        Verdict { action, class, reason, fields: self.edits, drift, cause }
    }
}

/// Tells whether only what a value refers to is another one.
fn is_source(field: &Field) -> bool {
    field.sensitive && field.before == field.after
}

/// Returns the fields whose values come from the host, each with what it refers to.
fn outside(want: &Sandbox) -> Vec<(String, String)> {
    let values = want.env.iter().filter(|(_, value)| value.is_digested());
    let values = values.map(|(key, value)| (format!("env.{key}"), value.to_string()));
    let paths: Vec<String> = want.env_files.iter().map(|path| path.display().to_string()).collect();
    let files = (!paths.is_empty()).then(|| ("env-file".to_owned(), paths.join(" ")));
    values.chain(files).collect()
}

/// Returns what was applied with the names that volumes have by now; `None` where none moved.
fn renamed(wish: &Wish, applied: &Body) -> Option<Body> {
    let mut renamed = None;
    for (at, mount) in applied.mounts.iter().enumerate() {
        let Some(old) = mount.source.volume() else { continue };
        let new = wish.project.volumes.iter().find(|(_, v)| v.moved_from.as_ref() == Some(old));
        if let Some((new, _)) = new {
            let body = renamed.get_or_insert_with(|| applied.clone());
            body.mounts[at].source = MountSource::Named(new.clone());
        }
    }
    renamed
}

/// Tells whether a change is one: what state keeps is lifted by a written word alone.
fn lifts(wish: &Wish, name: &InstanceName, seen: &Seen, edit: &FieldChange) -> bool {
    let now = match edit.path.as_str() {
        "lifecycle.protect" => seen.row.protect,
        "lifecycle.keep" => seen.row.keep,
        _ => return true,
    };
    let wanted = edit.after.as_deref() == Some("true");
    wanted || !wish.holds(&format!("sandbox.{}", name.sandbox), &edit.path, (now, wanted))
}

fn actor(audit: &Audit) -> Actor {
    Actor { command: audit.command.clone(), who: audit.actor.clone(), at: audit.at.clone() }
}

/// Tells whether a sandbox rests because it was idle, or done.
fn sleeps(phase: Phase, seen: &Seen) -> bool {
    let reason = seen.machine.as_ref().and_then(|machine| machine.reason.as_deref());
    let own = ["idle", "max-duration", "exited", "guest-shutdown", "secret-violation"];
    phase == Phase::Stopped && reason.is_some_and(|reason| own.contains(&reason))
}

fn said(phase: Phase, seen: &Seen) -> String {
    let word = phase.as_str().to_lowercase();
    let reason = seen.machine.as_ref().and_then(|machine| machine.reason.as_deref());
    reason.map_or_else(|| word.clone(), |reason| format!("{word} ({reason})"))
}

/// Returns what the machine was launched with, and its live values as they hold.
fn actual(applied: &Body, seen: &Seen) -> Body {
    let Some(effective) = seen.effective() else { return applied.clone() };
    let count = u8::try_from(effective.cpus).unwrap_or(applied.cpus.count);
    let size = Bytes(effective.memory_bytes);
    let grace = Millis(effective.stop_grace_ms);
    if (count, size, grace) == (applied.cpus.count, applied.memory.size, applied.stop_grace) {
        return applied.clone();
    }
    let mut actual = applied.clone();
    actual.cpus.count = count;
    actual.memory.size = size;
    actual.stop_grace = grace;
    actual
}

fn workload(sandbox: &Sandbox) -> Workload {
    if sandbox.command == ArgumentList::Nothing { Workload::Absent } else { Workload::Present }
}

/// Raises the class of what a running machine cannot be told, with the reason.
fn raise(path: &str, class: Class, driver: Option<DriverName>) -> (Class, Option<&'static str>) {
    let of_network = ["ports.", "connect.", "network."].iter().any(|of| path.starts_with(of));
    let of_machine = matches!(path, "cpus.count" | "memory.size") || of_network;
    if driver == Some(DriverName::Process) && of_machine {
        return (class.max(Class::Restart), Some("the driver process has no machine to change"));
    }
    let timers = ["stop-grace", "idle-timeout", "max-duration"];
    let told = matches!(path, "cpus.count" | "memory.size" | "shell" | "health" | "success-codes")
        || timers.contains(&path)
        // The exporter reads from state how figures are labelled.
        || ["ready.", "health.", "restart.", "metrics."].iter().any(|of| path.starts_with(of))
        || (of_network && !path.starts_with("network.tls."));
    match class {
        Class::Live if !told => (Class::Restart, Some("a running machine is not told of it")),
        Class::Exec if !told => (Class::Restart, Some("a running machine is not told of it")),
        Class::Restart if path.starts_with("env.") || path == "env-file" => {
            (class, Some("a running workload does not see a new environment"))
        }
        Class::Recreate => (class, Some("its root disk is made anew")),
        _ => (class, None),
    }
}

fn place(wish: &Wish, name: &InstanceName, path: &str) -> Option<schema::project::Place> {
    wish.origins.nearest(&format!("sandbox.{}", name.sandbox), path)
}

/// Returns a digest as plans show it: its kind and the first eight digits.
fn short_digest(digest: &str) -> String {
    let (kind, hex) = digest.split_once(':').unwrap_or(("", digest));
    format!("{kind}:{}", hex.get(..8).unwrap_or(hex))
}

/// Returns a digest of content as plans show it.
fn short_content(digest: &str) -> String {
    format!("blake3:{}", digest.get(..8).unwrap_or(digest))
}

fn new_fields(wish: &Wish, observed: &Observed, name: &InstanceName, want: &Sandbox) -> Vec<Field> {
    let digest = want.root.reference().and_then(|reference| observed.images.get(reference));
    let known = match digest {
        Some(Some(digest)) => format!(" {}", short_digest(digest)),
        Some(None) => " digest unknown".to_owned(),
        None => String::new(),
    };
    vec![Field {
        path: "image".to_owned(),
        before: None,
        after: Some(format!("{}{known}", want.root.short())),
        class: Class::Recreate,
        sensitive: false,
        widens: false,
        place: place(wish, name, "image"),
    }]
}
