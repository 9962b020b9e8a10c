//! A plan in a file: written to be looked at and carried out later, or not at all.
//!
//! The document is that of [`super::document`] with `definitions` filled: what the
//! plan's steps make machines from. It holds no value that a file only refers to.
//! Who carries it out checks first that nothing moved that it was made from.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schema::change::Class;
use schema::name::{InstanceName, ProjectName, SandboxName, SecretName, VolumeName};
use schema::project::{
    Body, Definition, DriverChoice, ImageRef, InputFile, Kind, Labels, Origins, Place, Project,
    Secret, Volume,
};
use schema::sandboxfile::image_lock::Pinned;
use schema::sandboxfile::tree::Span;
use schema::units::Millis;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::json::{self, FORMAT_VERSION};
use super::value::{
    Action, Address, Cause, Change, Drift, Edge, Field, Head, OnFailure, Op, Plan, Reason,
    Requires, Step, StepId, Widening,
};
use super::wish::{Goal, Inputs, Variable, Wish};
use crate::observe::{Observed, Source};
use crate::pins::{self, Pins};

/// A saved plan, as it was read.
#[derive(Clone, Debug)]
pub struct Saved {
    /// The plan.
    pub plan: Plan,
    /// What it was made for.
    pub wish: Wish,
    /// What its images were, by reference; what msb makes itself is not among them.
    pub images: BTreeMap<ImageRef, String>,
    /// The digests of the values that come from the host.
    pub sensitive: Sensitive,
    /// What was refused of it; it can then not be carried out.
    pub refused: Vec<String>,
}

/// Digests of values that come from the host, by instance and field.
pub type Sensitive = BTreeMap<InstanceName, BTreeMap<String, String>>;

/// Why a file is no plan to carry out.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SavedError {
    /// It is not a plan.
    #[error("it is not a plan of msb: {0}")]
    Shape(String),
    /// A later msb wrote it.
    #[error("it has format {0}, and this msb reads {FORMAT_VERSION}")]
    Newer(String),
    /// Somebody changed it.
    #[error("its digest is not that of its steps: it was changed after it was saved")]
    Changed,
}

/// What the steps make machines from.
#[derive(Debug, Serialize, Deserialize)]
struct Definitions {
    goal: String,
    folder: PathBuf,
    labels: Labels,
    wait_timeout_ms: Option<u64>,
    driver: DriverChoice,
    protect_config: bool,
    sandboxes: BTreeMap<InstanceName, String>,
    bodies: BTreeMap<String, Body>,
    names: BTreeMap<SandboxName, Definition>,
    volumes: BTreeMap<VolumeName, Volume>,
    secrets: BTreeMap<SecretName, Secret>,
    images: BTreeMap<ImageRef, String>,
    sensitive: Sensitive,
    /// Flags of state that are written, so that they may be lifted, by address.
    written: BTreeMap<String, Vec<String>>,
}

/// The flags that state keeps until a file says otherwise.
const KEPT_FLAGS: [&str; 2] = ["lifecycle.protect", "lifecycle.keep"];

/// Returns a plan as it is saved.
#[must_use]
pub fn save(wish: &Wish, observed: &Observed, plan: &Plan) -> Value {
    let project = &wish.project;
    let mut bodies = BTreeMap::new();
    let mut sandboxes = BTreeMap::new();
    for (name, body) in &project.sandboxes {
        sandboxes.insert(name.clone(), body.digest().to_owned());
        bodies.entry(body.digest().to_owned()).or_insert_with(|| body.clone());
    }
    let mut sensitive = Sensitive::new();
    for ((name, path), source) in &observed.sources {
        if let Source::Digest(digest) = source {
            sensitive.entry(name.clone()).or_default().insert(path.clone(), digest.clone());
        }
    }
    let images = observed.images.iter();
    let definitions = Definitions {
        goal: if wish.goal == Goal::Down { "down" } else { "up" }.to_owned(),
        folder: project.folder.clone(),
        labels: project.labels.clone(),
        wait_timeout_ms: project.wait_timeout.map(|time| time.0),
        driver: project.driver,
        protect_config: project.protect_config,
        sandboxes,
        bodies,
        names: project.definitions.clone(),
        volumes: project.volumes.clone(),
        secrets: project.secrets.clone(),
        images: images.filter_map(|(name, digest)| Some((name.clone(), digest.clone()?))).collect(),
        sensitive,
        written: written(wish),
    };
    let mut document = json::document(plan);
    document["definitions"] = serde_json::to_value(definitions).unwrap_or_default();
    document
}

fn written(wish: &Wish) -> BTreeMap<String, Vec<String>> {
    let sandboxes = wish.project.definitions.keys().map(|name| format!("sandbox.{name}"));
    let volumes = wish.project.volumes.keys().map(|name| format!("volume.{name}"));
    let flags = |address: &String| {
        let flags = KEPT_FLAGS.into_iter().filter(|path| wish.origins.is_written(address, path));
        flags.map(str::to_owned).collect::<Vec<_>>()
    };
    let all = sandboxes.chain(volumes).map(|address| (flags(&address), address));
    all.filter(|(flags, _)| !flags.is_empty()).map(|(flags, address)| (address, flags)).collect()
}

/// The document, as far as it is carried out.
#[derive(Deserialize)]
struct Document {
    project: ReadProject,
    partial: bool,
    state_generation: u64,
    plan_hash: String,
    inputs: ReadInputs,
    changes: Vec<ReadChange>,
    drift: Vec<ReadDrift>,
    widening: Vec<ReadWidening>,
    refused: Vec<ReadRefusal>,
    hints: Vec<String>,
    warnings: Vec<String>,
    steps: Vec<ReadStep>,
    definitions: Definitions,
}

#[derive(Deserialize)]
struct ReadProject {
    id: Option<String>,
    name: ProjectName,
    path: PathBuf,
}

#[derive(Deserialize)]
struct ReadInputs {
    files: Vec<InputFile>,
    lock_file: Option<InputFile>,
    vars: Vec<ReadVariable>,
}

#[derive(Deserialize)]
struct ReadVariable {
    name: String,
    source: String,
    secret: bool,
}

#[derive(Deserialize)]
struct ReadChange {
    address: String,
    was: Option<String>,
    kind: String,
    action: String,
    class: String,
    reason: ReadReason,
    fields: Vec<ReadField>,
    requires: ReadRequires,
    depends_on: Vec<String>,
    steps: Vec<String>,
    source: Option<Place>,
    cause: String,
}

#[derive(Deserialize)]
struct ReadReason {
    code: String,
    text: String,
}

#[derive(Deserialize)]
struct ReadField {
    path: String,
    before: Option<String>,
    after: Option<String>,
    class: String,
    sensitive: bool,
    widens: bool,
    source: Option<Place>,
}

#[derive(Deserialize)]
struct ReadRequires {
    generation: u64,
    observed: Option<String>,
}

#[derive(Deserialize)]
struct ReadDrift {
    address: String,
    path: String,
    before: String,
    after: String,
    class: String,
}

#[derive(Deserialize)]
struct ReadWidening {
    address: String,
    path: String,
    text: String,
    source: Option<Place>,
}

#[derive(Deserialize)]
struct ReadRefusal {
    address: Option<String>,
    code: String,
    text: String,
}

#[derive(Deserialize)]
struct ReadStep {
    id: String,
    #[serde(rename = "do")]
    what: String,
    address: String,
    after: Vec<String>,
    tolerates: Vec<String>,
    until: Option<String>,
}

fn shape(why: impl Into<String>) -> SavedError {
    SavedError::Shape(why.into())
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn unread(error: serde_json::Error) -> SavedError {
    SavedError::Shape(error.to_string())
}

/// Reads a saved plan.
///
/// # Errors
/// It is not one, or it was changed since.
pub fn read(bytes: &[u8]) -> Result<Saved, SavedError> {
    let value: Value = serde_json::from_slice(bytes).map_err(unread)?;
    let format = value.get("format_version").and_then(Value::as_str);
    let format = format.ok_or_else(|| shape("there is no `format_version`"))?;
    let major = |format: &str| format.split('.').next().map(str::to_owned);
    if major(format) != major(FORMAT_VERSION) {
        return Err(SavedError::Newer(format.to_owned()));
    }
    if value.get("definitions").and_then(Value::as_object).is_none_or(serde_json::Map::is_empty) {
        return Err(shape("it was printed, not saved; save it with `msb plan --out`"));
    }
    let read: Document = serde_json::from_value(value).map_err(unread)?;
    let mut wish = wish(&read)?;
    let images = read.definitions.images;
    wish.pins = pins(&wish.project, &images);
    let changes = read.changes.into_iter().map(change).collect::<Result<Vec<_>, _>>()?;
    let steps = steps(read.steps, &changes)?;
    let drift = read.drift.into_iter().map(drift).collect::<Result<Vec<_>, _>>()?;
    let widening = read.widening.into_iter().map(widening).collect::<Result<Vec<_>, _>>()?;
    let plan = Plan {
        head: Head {
            id: read.project.id,
            name: wish.project.name.clone(),
            path: read.project.path,
            inputs: wish.inputs.clone(),
            generation: read.state_generation,
            last_applied: None,
            part: read.partial.then(|| {
                let changed = changes.iter().filter_map(|change| change.address.sandbox());
                changed.cloned().collect()
            }),
        },
        changes,
        held: Vec::new(),
        drift,
        widening,
        refused: Vec::new(),
        warnings: read.warnings,
        hints: read.hints,
        unchanged: Vec::new(),
        steps,
    };
    if json::hash(&plan) != read.plan_hash {
        return Err(SavedError::Changed);
    }
    let refused = read.refused.into_iter().map(|refusal| {
        let address = refusal.address.map_or_else(String::new, |address| format!("{address}: "));
        format!("{address}{} ({})", refusal.text, refusal.code)
    });
    let (refused, sensitive) = (refused.collect(), read.definitions.sensitive);
    Ok(Saved { plan, wish, images, sensitive, refused })
}

fn wish(read: &Document) -> Result<Wish, SavedError> {
    let made = &read.definitions;
    let body = |(name, digest): (&InstanceName, &String)| {
        let body = made.bodies.get(digest).ok_or_else(|| shape(format!("{name} has no body")))?;
        if body.digest() != digest {
            return Err(SavedError::Changed);
        }
        Ok((name.clone(), body.clone()))
    };
    let project = Project {
        name: read.project.name.clone(),
        folder: made.folder.clone(),
        labels: made.labels.clone(),
        sandboxes: made.sandboxes.iter().map(body).collect::<Result<_, _>>()?,
        definitions: made.names.clone(),
        volumes: made.volumes.clone(),
        secrets: made.secrets.clone(),
        wait_timeout: made.wait_timeout_ms.map(Millis),
        driver: made.driver,
        protect_config: made.protect_config,
    };
    let mut origins = Origins::default();
    for (address, paths) in &made.written {
        let written = paths.iter().map(|path| (path.clone().into(), Span::NOWHERE));
        origins.at(address).extend(written);
    }
    let variables = read.inputs.vars.iter().map(|read| Variable {
        name: read.name.clone(),
        source: word(&["command-line", "environment", "include", "default"], &read.source)
            .unwrap_or("none"),
        secret: read.secret,
    });
    let inputs = Inputs {
        files: read.inputs.files.clone(),
        lock: read.inputs.lock_file.clone(),
        variables: variables.collect(),
    };
    let mut wish = Wish::new(project, origins, inputs, read.project.path.clone());
    wish.goal = match made.goal.as_str() {
        "up" => Goal::Up,
        "down" => Goal::Down,
        other => return Err(shape(format!("there is no goal `{other}`"))),
    };
    Ok(wish)
}

/// Pins every image to what it was, whatever the store calls so by now.
fn pins(project: &Project, images: &BTreeMap<ImageRef, String>) -> Pins {
    let mut pins = Pins::default();
    for key in pins::used(project) {
        let Some(digest) = images.get(&key.0).cloned() else { continue };
        let (config, at, place) = (String::new(), String::new(), None);
        pins.lock.entries.insert(key, Pinned { digest, config, bytes: 0, at, place });
    }
    pins
}

fn word(known: &[&'static str], text: &str) -> Option<&'static str> {
    known.iter().copied().find(|known| *known == text)
}

fn class(text: &str) -> Result<Class, SavedError> {
    let found = Class::ALL.into_iter().find(|class| class.as_str() == text);
    found.ok_or_else(|| shape(format!("there is no class `{text}`")))
}

fn address(text: &str) -> Result<Address, SavedError> {
    Address::parse(text).ok_or_else(|| shape(format!("`{text}` is no address")))
}

fn id(text: &str) -> Result<StepId, SavedError> {
    let number = text.strip_prefix('s').and_then(|number| number.parse().ok());
    number.map(StepId).ok_or_else(|| shape(format!("`{text}` is no step")))
}

fn change(read: ReadChange) -> Result<Change, SavedError> {
    let action = Action::ALL.into_iter().find(|action| action.as_str() == read.action);
    let field = |read: ReadField| {
        Ok(Field {
            class: class(&read.class)?,
            path: read.path,
            before: read.before,
            after: read.after,
            sensitive: read.sensitive,
            widens: read.widens,
            place: read.source,
        })
    };
    Ok(Change {
        address: address(&read.address)?,
        kind: match read.kind.as_str() {
            "service" => Some(Kind::Service),
            "job" => Some(Kind::Job),
            _ => None,
        },
        action: action.ok_or_else(|| shape(format!("there is no action `{}`", read.action)))?,
        class: class(&read.class)?,
        reason: Reason {
            code: word(&Reason::CODES, &read.reason.code).unwrap_or("edited"),
            text: read.reason.text,
        },
        fields: read.fields.into_iter().map(field).collect::<Result<_, _>>()?,
        was: read.was.as_deref().map(address).transpose()?,
        cause: if read.cause == Cause::Drift.as_str() { Cause::Drift } else { Cause::Wish },
        requires: Requires {
            generation: read.requires.generation,
            observed: read.requires.observed,
        },
        depends_on: read.depends_on.iter().map(|one| address(one)).collect::<Result<_, _>>()?,
        steps: read.steps.iter().map(|one| id(one)).collect::<Result<_, _>>()?,
        place: read.source,
    })
}

fn steps(read: Vec<ReadStep>, changes: &[Change]) -> Result<Vec<Step>, SavedError> {
    let mut steps = Vec::with_capacity(read.len());
    for (number, read) in (1..).zip(read) {
        let address = address(&read.address)?;
        let change = changes.iter().find(|change| change.address == address);
        let op = Op::parse(&read.what);
        let op = op.ok_or_else(|| shape(format!("there is no operation `{}`", read.what)))?;
        let is_job = change.is_some_and(|change| change.kind == Some(Kind::Job));
        let op = match op {
            Op::Discard if change.is_some_and(|c| c.action == Action::Recreate) => Op::Retire,
            Op::Gate if read.until.as_deref() == Some("log") => Op::Listen,
            Op::Gate if is_job && read.until.as_deref() == Some("ready") => Op::GateReady,
            other => other,
        };
        let edge = |text: &String| {
            let step = id(text)?;
            // Each step comes after what it waits for, so nothing waits in a circle.
            if step.0 >= number {
                return Err(shape(format!("{} waits for {text}, which comes later", read.id)));
            }
            let goes_on = read.tolerates.contains(text);
            let on_failure = if goes_on { OnFailure::GoOn } else { OnFailure::Skip };
            Ok(Edge { step, on_failure })
        };
        let after = read.after.iter().map(edge).collect::<Result<Vec<_>, _>>()?;
        if id(&read.id)? != StepId(number) {
            return Err(shape(format!("step {} stands at place {number}", read.id)));
        }
        steps.push(Step { id: StepId(number), op, address, after });
    }
    Ok(steps)
}

fn drift(read: ReadDrift) -> Result<Drift, SavedError> {
    let known = Class::ALL.map(Class::as_str);
    Ok(Drift {
        address: address(&read.address)?,
        path: read.path,
        before: read.before,
        after: read.after,
        class: word(&known, &read.class).unwrap_or("start"),
        by: None,
    })
}

fn widening(read: ReadWidening) -> Result<Widening, SavedError> {
    let address = address(&read.address)?;
    Ok(Widening { address, path: read.path, text: read.text, place: read.source })
}

impl Saved {
    /// Returns what is not as it was when the plan was made; `input` is today's digest of a file.
    #[must_use]
    pub fn moved(
        &self,
        observed: &Observed,
        input: impl Fn(&InputFile) -> Option<String>,
    ) -> Vec<String> {
        let mut moved = Vec::new();
        let today = observed.project.as_ref().map(|row| &row.id);
        if today != self.plan.head.id.as_ref() {
            moved.push(format!("project {} is another one", self.wish.project.name));
        }
        let inputs = &self.wish.inputs;
        // What came on standard input cannot be read again.
        let files = inputs.files.iter().filter(|file| !file.path.starts_with("<stdin>"));
        for file in files.chain(&inputs.lock) {
            let path = file.path.display();
            match input(file) {
                Some(digest) if digest == file.blake3 => {}
                Some(_) => moved.push(format!("{path} has changed")),
                None => moved.push(format!("{path} cannot be read any more")),
            }
        }
        for change in &self.plan.changes {
            let at = change.was.as_ref().unwrap_or(&change.address);
            if super::requires(observed, at) != change.requires {
                moved.push(format!("{at} is not as it was"));
            }
        }
        moved.extend(self.moved_values(observed));
        moved
    }

    fn moved_values(&self, observed: &Observed) -> Vec<String> {
        // Who is told of a file's content while it runs is told of what was planned, or of nothing.
        let told = |change: &Change| {
            let want = change.address.sandbox().and_then(|n| self.wish.project.sandboxes.get(n));
            let followed =
                want.is_some_and(|want| want.mounts.iter().any(|m| m.followed().is_some()));
            followed && change.action == Action::Update
        };
        let acts = self.plan.changes.iter().filter(|it| it.action.boots() || told(it));
        let mut moved = Vec::new();
        for name in acts.filter_map(|change| change.address.sandbox()) {
            for (path, digest) in self.sensitive.get(name).into_iter().flatten() {
                let now = observed.sources.get(&(name.clone(), path.clone()));
                if now != Some(&Source::Digest(digest.clone())) {
                    moved.push(format!("{name}: the value of {path} has changed"));
                }
            }
            let want = self.wish.project.sandboxes.get(name);
            let Some(reference) = want.and_then(|want| want.root.reference()) else { continue };
            let now = observed.images.get(reference).and_then(Option::as_ref);
            if let Some(then) = self.images.get(reference)
                && now != Some(then)
            {
                moved.push(format!("{name}: image {} is another one", reference.short()));
            }
        }
        moved
    }
}
