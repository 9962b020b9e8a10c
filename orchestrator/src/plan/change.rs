//! One definition against one observation: what to do about it, field by field.
//!
//! Three values of each field are compared: as wished, as last applied, as
//! observed. A wish that moved is an edit; a host that moved is drift.

use schema::change::{self, Class, Workload};
use schema::launch::DriverName;
use schema::name::InstanceName;
use schema::project::{ArgumentList, Body, FieldChange, Kind, Sandbox};
use schema::units::{Bytes, Millis};

use super::value::{Action, Address, Drift, Field, Reason};
use super::wish::{Goal, Wish};
use crate::observe::{Observed, Seen, Source};
use schema::lifecycle::Phase;

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
}

/// Judges one sandbox of the file.
pub(super) fn judge(wish: &Wish, observed: &Observed, name: &InstanceName) -> Verdict {
    let Some(want) = wish.project.sandboxes.get(name) else {
        return Verdict::of(Action::Destroy, Class::Recreate, removed());
    };
    let asked = wish.selection.recreate && wish.selection_names(name);
    match observed.sandboxes.get(name) {
        Some(seen) if seen.applied.is_some() => {
            let compared = Compared::of(wish, observed, (name, want), seen);
            let mut verdict = match want.kind {
                Kind::Service => compared.service(seen, asked),
                Kind::Job => compared.job(seen, asked),
            };
            if wish.goal == Goal::Restarted
                && seen.is_alive()
                && verdict.action < Some(Action::Restart)
            {
                verdict.action = Some(Action::Restart);
                verdict.class = Class::Restart;
                verdict.reason = because("asked", "asked for");
            }
            verdict
        }
        _ => {
            let fields = new_fields(wish, observed, name, want);
            Verdict {
                fields,
                ..Verdict::of(Action::Create, Class::Recreate, because("new", "new"))
            }
        }
    }
}

fn because(code: &'static str, text: impl Into<String>) -> Reason {
    Reason { code, text: text.into() }
}

fn removed() -> Reason {
    because("removed", "no longer in the file; volumes stay")
}

impl Verdict {
    pub(super) fn of(action: Action, class: Class, reason: Reason) -> Self {
        Self { action: Some(action), class, reason, fields: Vec::new(), drift: Vec::new() }
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
    by: Option<String>,
}

impl<'a> Compared<'a> {
    fn of(
        wish: &Wish,
        observed: &Observed,
        (name, want): (&InstanceName, &'a Body),
        seen: &Seen,
    ) -> Self {
        let address = Address::Sandbox(name.clone());
        let audit = observed.audits.get(&address.to_string());
        let mut compared = Self {
            by: audit.map(|audit| format!("{} {}", audit.command, audit.at)),
            address,
            want,
            edits: Vec::new(),
            drift: Vec::new(),
            raised: None,
            image_moved: false,
            driver: seen.driver().map(|(name, _)| name),
        };
        let applied = seen.applied.as_ref().unwrap_or(want);
        let actual = actual(applied, seen);
        let drifted = applied.differing(&actual);
        for edit in applied.differing(want) {
            if drifted.iter().any(|d| d.path == edit.path && d.after == edit.after) {
                // The host is already so; only the record of it is not.
                compared.push(wish, name, &edit, Some(Class::Meta));
            } else {
                compared.push(wish, name, &edit, None);
            }
        }
        for drift in drifted {
            if compared
                .edits
                .iter()
                .any(|edit| edit.path == drift.path && edit.after == drift.after)
            {
                continue;
            }
            let mut field = compared.field(wish, name, &drift, None);
            field.place = None;
            compared.drift.push(field);
        }
        compared.image(wish, observed, name, seen);
        compared.sensitive(wish, observed, name, seen);
        compared.edits.sort_by(|a, b| a.path.cmp(&b.path));
        compared
    }

    fn push(
        &mut self,
        wish: &Wish,
        name: &InstanceName,
        change: &FieldChange,
        class: Option<Class>,
    ) {
        let field = self.field(wish, name, change, class);
        if field.class > Class::None {
            self.edits.push(field);
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
            let (class, why) = raise(&change.path, best, self.driver);
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
        let text = |digest: &str| format!("{} {}", reference.short(), short_digest(digest));
        self.edits.push(Field {
            path: "image".to_owned(),
            before: Some(text(then)),
            after: Some(text(now)),
            class: Class::Recreate,
            sensitive: false,
            place: place(wish, name, "image"),
        });
    }

    /// A value from outside the file that is another one by now.
    fn sensitive(&mut self, wish: &Wish, observed: &Observed, name: &InstanceName, seen: &Seen) {
        for (key, value) in self.want.env.iter().filter(|(_, value)| value.is_sensitive()) {
            let path = format!("env.{key}");
            let now = observed.sources.get(&(name.clone(), path.clone()));
            let then = seen.sensitive.get(&path);
            let (Some(Source::Digest(now)), Some(then)) = (now, then) else { continue };
            if now != then && !self.edits.iter().any(|field| field.path == path) {
                let reference = value.to_string();
                let change = FieldChange {
                    path,
                    before: Some(reference.clone()),
                    after: Some(format!("{reference} (changed)")),
                    direction: schema::project::Direction::Other,
                    sensitive: true,
                };
                self.push(wish, name, &change, None);
            }
        }
    }

    fn class(&self) -> Class {
        let fields = self.edits.iter().chain(&self.drift);
        fields.map(|field| field.class).max().unwrap_or(Class::None)
    }

    fn service(self, seen: &Seen, asked: bool) -> Verdict {
        let class = self.class();
        let phase = seen.phase();
        if asked {
            return self.verdict(
                Some(Action::Recreate),
                Class::Recreate,
                Some(because("asked", "asked for")),
            );
        }
        if class >= Class::Recreate {
            return self.verdict(Some(Action::Recreate), class, None);
        }
        if !seen.is_alive() || phase == Phase::Stalled {
            let text = format!("it is {}", said(phase, seen));
            let mut verdict =
                self.verdict(Some(Action::Start), class, Some(because("not-running", text)));
            if !matches!(phase, Phase::Absent | Phase::Pending) {
                verdict.drift.push(Drift {
                    address: verdict_address(seen),
                    path: "phase".to_owned(),
                    before: "ready".to_owned(),
                    after: said(phase, seen),
                    class: "start",
                    by: None,
                });
            }
            return verdict;
        }
        match class {
            Class::None => self.verdict(None, class, None),
            Class::Meta | Class::Live | Class::Exec => {
                self.verdict(Some(Action::Update), class, None)
            }
            Class::Restart | Class::Recreate | Class::DataLoss => {
                self.verdict(Some(Action::Restart), class, None)
            }
        }
    }

    /// A job runs once per definition; nothing of it is changed while it runs.
    fn job(self, seen: &Seen, asked: bool) -> Verdict {
        let class = self.class();
        let phase = seen.phase();
        if asked {
            return self.verdict(
                Some(Action::Recreate),
                Class::Recreate,
                Some(because("asked", "asked for")),
            );
        }
        if class >= Class::Exec {
            let reason = if self.image_moved {
                because("image-moved", "image moved: runs again")
            } else {
                because("edited", "runs again")
            };
            return self.verdict(Some(Action::Recreate), Class::Recreate, Some(reason));
        }
        if matches!(phase, Phase::Absent | Phase::Pending) {
            // It was prepared, and its first run never began.
            let reason = Some(because("not-running", "it has not run yet"));
            return self.verdict(Some(Action::Start), class, reason);
        }
        let runs = seen.is_alive() && phase != Phase::Stalled;
        if !runs && phase != Phase::Completed {
            let text = format!("runs again: it is {}", said(phase, seen));
            let reason = Some(because("not-running", text));
            return self.verdict(Some(Action::Recreate), Class::Recreate, reason);
        }
        match class {
            Class::None => self.verdict(None, class, None),
            _ => self.verdict(Some(Action::Update), class, None),
        }
    }

    fn verdict(self, action: Option<Action>, class: Class, reason: Option<Reason>) -> Verdict {
        let text = self.raised.filter(|_| class >= Class::Restart).unwrap_or("");
        let edited = if self.image_moved {
            because("image-moved", "image moved")
        } else if self.edits.is_empty() && !self.drift.is_empty() {
            because("drift", "changed on the host")
        } else {
            because("edited", text)
        };
        let back = |field: &Field| Drift {
            address: self.address.clone(),
            path: field.path.clone(),
            before: field.before.clone().unwrap_or_default(),
            after: field.after.clone().unwrap_or_default(),
            class: field.class.as_str(),
            by: self.by.clone(),
        };
        let drift: Vec<Drift> = self.drift.iter().map(back).collect();
        Verdict { action, class, reason: reason.unwrap_or(edited), fields: self.edits, drift }
    }
}

fn verdict_address(seen: &Seen) -> Address {
    Address::Sandbox(seen.row.name.clone())
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
    if driver == Some(DriverName::Process) && matches!(path, "cpus.count" | "memory.size") {
        return (class.max(Class::Restart), Some("the driver process has no machine to change"));
    }
    let told = matches!(path, "cpus.count" | "memory.size" | "stop-grace" | "shell")
        || path.starts_with("ready.");
    match class {
        Class::Live if !told => (Class::Restart, Some("a running machine is not told of it")),
        Class::Exec if !told => (Class::Restart, Some("a running machine is not told of it")),
        Class::Restart if path.starts_with("env.") => {
            (class, Some("a running workload does not see a new environment"))
        }
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
        place: place(wish, name, "image"),
    }]
}
