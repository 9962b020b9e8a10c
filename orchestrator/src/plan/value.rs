//! A plan: what would change, why, at which cost, and the steps that do it.

use std::fmt;
use std::path::PathBuf;

use schema::change::Class;
use schema::name::{InstanceName, ProjectName, VolumeName};
use schema::project::{ImageRef, Kind, Place};

use super::wish::Inputs;

/// What stands between a project's files and the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose plan it is.
    pub head: Head,
    /// What changes, sorted by address.
    pub changes: Vec<Change>,
    /// What would change and is left as it is this time; only a loop holds anything.
    pub held: Vec<Change>,
    /// What somebody changed on the host since the last apply.
    pub drift: Vec<Drift>,
    /// What opens access further than it is.
    pub widening: Vec<Widening>,
    /// What may not be done.
    pub refused: Vec<Refusal>,
    /// What is worth knowing and stops nothing.
    pub warnings: Vec<String>,
    /// Possible mistakes, with what to write.
    pub hints: Vec<String>,
    /// What is in order, by address.
    pub unchanged: Vec<Address>,
    /// The operations, in an order that respects what waits for what.
    pub steps: Vec<Step>,
}

/// Whose plan it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The project's id; `None` before its first apply.
    pub id: Option<String>,
    /// The project's name.
    pub name: ProjectName,
    /// The first of its files.
    pub path: PathBuf,
    /// What the project was read from.
    pub inputs: Inputs,
    /// The generation of the state that was compared with.
    pub generation: u64,
    /// When it was last applied, and by which run.
    pub last_applied: Option<(i64, String)>,
    /// The chosen sandboxes, where not all were.
    pub part: Option<Vec<InstanceName>>,
}

/// Something a plan is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// An image.
    Image(ImageRef),
    /// A sandbox or a job.
    Sandbox(InstanceName),
    /// A volume.
    Volume(VolumeName),
}

impl Address {
    /// Returns the word before the dot.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Image(_) => "image",
            Self::Sandbox(_) => "sandbox",
            Self::Volume(_) => "volume",
        }
    }

    /// Returns the name as people write it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Image(image) => image.short(),
            Self::Sandbox(name) => name.to_string(),
            Self::Volume(name) => name.to_string(),
        }
    }

    /// Returns the address that [`Address`] prints.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, name) = text.split_once('.')?;
        match kind {
            "image" => ImageRef::parse(name).ok().map(Self::Image),
            "sandbox" => InstanceName::parse(name).ok().map(Self::Sandbox),
            "volume" => VolumeName::parse(name).ok().map(Self::Volume),
            _ => None,
        }
    }

    /// Returns the sandbox, where it is one.
    #[must_use]
    pub const fn sandbox(&self) -> Option<&InstanceName> {
        match self {
            Self::Sandbox(name) => Some(name),
            Self::Image(_) | Self::Volume(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.kind(), self.name()))
    }
}

/// What is done to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// It is new.
    Create,
    /// It is wanted up and is not.
    Start,
    /// It changes without being stopped.
    Update,
    /// It is stopped and booted, with what it has.
    Restart,
    /// It is made anew from its image.
    Recreate,
    /// It goes.
    Destroy,
    /// It is stopped and keeps what it has.
    Stop,
    /// It goes to the trash.
    Trash,
    /// It stays as it is, and belongs to nobody's file any more.
    Forget,
    /// It has another name from here on.
    Move,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 10] = [
        Self::Create,
        Self::Start,
        Self::Update,
        Self::Restart,
        Self::Recreate,
        Self::Destroy,
        Self::Stop,
        Self::Trash,
        Self::Forget,
        Self::Move,
    ];

    /// Returns the word that plans write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Start => "start",
            Self::Update => "update",
            Self::Restart => "restart",
            Self::Recreate => "recreate",
            Self::Destroy => "destroy",
            Self::Stop => "stop",
            Self::Trash => "trash",
            Self::Forget => "forget",
            Self::Move => "move",
        }
    }

    /// Tells whether a machine is booted for it.
    #[must_use]
    pub const fn boots(self) -> bool {
        matches!(self, Self::Create | Self::Start | Self::Restart | Self::Recreate)
    }
}

/// Why something changes: a code of a closed set, and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// `new`, `edited`, `removed`, `drift`, `not-running`, `image-moved`, `source-changed`,
    /// `dependency`, `replicas`, `moved`, `driver`, `asked`.
    pub code: &'static str,
    /// The same for people.
    pub text: String,
}

impl Reason {
    /// Every code.
    pub const CODES: [&'static str; 12] = [
        "new",
        "edited",
        "removed",
        "drift",
        "not-running",
        "image-moved",
        "source-changed",
        "dependency",
        "replicas",
        "moved",
        "driver",
        "asked",
    ];
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What changes.
    pub address: Address,
    /// Service or job, for a sandbox.
    pub kind: Option<Kind>,
    /// What is done to it.
    pub action: Action,
    /// What it costs.
    pub class: Class,
    /// Why.
    pub reason: Reason,
    /// The fields that make it necessary.
    pub fields: Vec<Field>,
    /// What it is called until now, where it gets another name.
    pub was: Option<Address>,
    /// Whether nobody wished for it: it only changes back what was changed by hand.
    pub cause: Cause,
    /// What the plan was made from.
    pub requires: Requires,
    /// What must be up before it.
    pub depends_on: Vec<Address>,
    /// The steps that carry it out.
    pub steps: Vec<StepId>,
    /// Where it is written.
    pub place: Option<Place>,
}

/// What makes a change necessary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The file, or the command.
    Wish,
    /// The host alone: something was changed by hand.
    Drift,
}

impl Cause {
    /// Returns the word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wish => "wish",
            Self::Drift => "drift",
        }
    }
}

/// What a change was planned against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Requires {
    /// The row's generation.
    pub generation: u64,
    /// The digest of what was observed; `None` where there was nothing.
    pub observed: Option<String>,
}

/// A field that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its path within the definition.
    pub path: String,
    /// The value before.
    pub before: Option<String>,
    /// The value after.
    pub after: Option<String>,
    /// What it costs.
    pub class: Class,
    /// Whether the values are references to what is never shown.
    pub sensitive: bool,
    /// Whether it opens access further.
    pub widens: bool,
    /// Where it is written.
    pub place: Option<Place>,
}

/// A difference that nobody wrote into the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// Where.
    pub address: Address,
    /// The field, or `phase`.
    pub path: String,
    /// As it was applied.
    pub before: String,
    /// As it is.
    pub after: String,
    /// What putting it back costs: a class, or `start`.
    pub class: &'static str,
    /// Who did it, where that is known.
    pub by: Option<Actor>,
}

/// Who did something by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The command: `msb stop`.
    pub command: String,
    /// The process and the user: `pid 4121, ana`.
    pub who: String,
    /// When, RFC 3339.
    pub at: String,
}

/// Something that opens access further than it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Widening {
    /// Whose.
    pub address: Address,
    /// The field.
    pub path: String,
    /// What is open from here on.
    pub text: String,
    /// Where it is written.
    pub place: Option<Place>,
}

/// Something that may not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// To what.
    pub address: Option<Address>,
    /// What was asked, in a word of the plan: an action or a class; empty where none fits.
    pub word: &'static str,
    /// The code of the catalogue.
    pub code: &'static str,
    /// What was asked and why it may not be.
    pub text: String,
    /// What to do instead.
    pub hint: Option<String>,
    /// The line that asks for it.
    pub place: Option<Place>,
}

/// A step's number within its plan, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its number.
    pub id: StepId,
    /// What it does.
    pub op: Op,
    /// To what.
    pub address: Address,
    /// What it waits for.
    pub after: Vec<Edge>,
}

/// An edge of the graph of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Edge {
    /// The step that comes first.
    pub step: StepId,
    /// What its failure means.
    pub on_failure: OnFailure,
}

/// What the failure of the step before means to the one after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnFailure {
    /// It is skipped.
    Skip,
    /// It goes on all the same.
    GoOn,
}

/// The operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Op {
    /// The image is fetched from its registry.
    Pull,
    /// The root image is made.
    BuildRoot,
    /// The volume is made.
    EnsureVolume,
    /// The volume is made larger.
    GrowVolume,
    /// The machine's folder and upper are made.
    Prepare,
    /// The runtime is started, until the agent answers.
    Boot,
    /// The gate is waited for.
    Gate,
    /// A job is waited for while it works, until it is ready.
    GateReady,
    /// Lines of what it depends on are waited for, before it boots.
    Listen,
    /// Live values and state are changed.
    Update,
    /// The machine is stopped.
    Stop,
    /// The predecessor of a new machine is removed.
    Retire,
    /// The machine and its rows are removed.
    Discard,
    /// The volume goes to the trash.
    TrashVolume,
    /// The rows get another name.
    Move,
    /// The rows go to the imperative project.
    Forget,
}

impl Op {
    /// Every operation.
    pub const ALL: [Self; 16] = [
        Self::Pull,
        Self::BuildRoot,
        Self::EnsureVolume,
        Self::GrowVolume,
        Self::Prepare,
        Self::Boot,
        Self::Gate,
        Self::GateReady,
        Self::Listen,
        Self::Update,
        Self::Stop,
        Self::Retire,
        Self::Discard,
        Self::TrashVolume,
        Self::Move,
        Self::Forget,
    ];

    /// Returns the word that plans and operation rows write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::BuildRoot => "build-root",
            Self::EnsureVolume => "ensure-volume",
            Self::GrowVolume => "grow-volume",
            Self::Prepare => "prepare",
            Self::Boot => "boot",
            Self::Gate | Self::GateReady | Self::Listen => "gate",
            Self::Update => "update",
            Self::Stop => "stop",
            Self::Retire => "retire",
            Self::Discard => "discard",
            Self::TrashVolume => "trash-volume",
            Self::Move => "move",
            Self::Forget => "forget",
        }
    }

    /// Tells whether it only waits.
    #[must_use]
    pub const fn is_wait(self) -> bool {
        matches!(self, Self::Gate | Self::GateReady | Self::Listen)
    }

    /// Returns the operation that [`Op::as_str`] names.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|op| op.as_str() == word)
    }
}

/// How many of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[expect(missing_docs, reason = "each is the count of the class, action or block of its name")]
pub struct Summary {
    pub create: u32,
    pub start: u32,
    pub meta: u32,
    pub live: u32,
    pub exec: u32,
    pub restart: u32,
    pub recreate: u32,
    pub destroy: u32,
    pub data_loss: u32,
    pub drift: u32,
    pub refused: u32,
    pub unchanged: u32,
}

impl Plan {
    /// Tells whether the host is as the files say.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.drift.is_empty() && self.refused.is_empty()
    }

    /// Returns the step of this number.
    #[must_use]
    pub fn step(&self, id: StepId) -> Option<&Step> {
        self.steps.get(id.0.checked_sub(1)? as usize)
    }

    /// Returns the change at `address`.
    #[must_use]
    pub fn change(&self, address: &Address) -> Option<&Change> {
        let at = self.changes.binary_search_by(|change| change.address.cmp(address)).ok()?;
        self.changes.get(at)
    }

    /// Tells whether what has this name until now gets another one.
    #[must_use]
    pub fn moves_away(&self, name: &InstanceName) -> bool {
        let old = |change: &Change| change.was.as_ref().and_then(Address::sandbox) == Some(name);
        self.changes.iter().any(old)
    }

    /// Returns how many of each there are.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let mut counts = Summary::default();
        for change in &self.changes {
            *match change.action {
                Action::Create => &mut counts.create,
                Action::Start => &mut counts.start,
                Action::Restart => &mut counts.restart,
                Action::Recreate if change.class == Class::DataLoss => &mut counts.data_loss,
                Action::Recreate => &mut counts.recreate,
                Action::Destroy => &mut counts.destroy,
                Action::Stop => &mut counts.live,
                Action::Trash => &mut counts.data_loss,
                Action::Forget | Action::Move => &mut counts.meta,
                Action::Update => match change.class {
                    Class::None | Class::Meta => &mut counts.meta,
                    Class::Live => &mut counts.live,
                    Class::Exec => &mut counts.exec,
                    Class::Restart => &mut counts.restart,
                    Class::Recreate => &mut counts.recreate,
                    Class::DataLoss => &mut counts.data_loss,
                },
            } += 1;
        }
        let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        counts.drift = count(self.drift.len());
        counts.refused = count(self.refused.len());
        counts.unchanged = count(self.unchanged.len());
        counts
    }
}
