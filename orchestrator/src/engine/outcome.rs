//! How a changing command ended: a row for each thing it touched.

use std::collections::BTreeMap;
use std::time::Duration;

use schema::change::Class;
use schema::exit::Kind;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::record::Bound;

use super::Trouble;
use crate::machines::Creator;
use crate::plan::{Address, Plan};

/// How a changing command ended.
#[derive(Debug)]
pub struct Outcome {
    /// The command: `msb up`.
    pub command: String,
    /// What was carried out.
    pub plan: Plan,
    /// The run's number; `None` where nothing was to be done.
    pub run: Option<i64>,
    /// How many operations of a killed run were settled before.
    pub recovered: usize,
    /// A row for each thing that was touched, by address.
    pub results: Vec<ResultRow>,
    /// What is not ready, and who waits for it.
    pub blockers: Vec<Blocker>,
    /// Whether the user ended it.
    pub interrupted: bool,
    /// Volumes that stay, for `down`.
    pub kept: Vec<Kept>,
    /// Volumes that went to the trash.
    pub trashed: Vec<Kept>,
    /// The pipes that keep attached machines; dropping one ends its machine.
    pub creators: BTreeMap<InstanceName, Creator>,
    /// How long it took.
    pub took: Duration,
}

/// What became of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultRow {
    /// What.
    pub address: Address,
    /// What was done.
    pub verb: Verb,
    /// What it cost.
    pub class: Class,
    /// Where it is now, for a sandbox.
    pub phase: Option<Phase>,
    /// Why.
    pub reason: Option<String>,
    /// The exit code of its workload.
    pub exit_code: Option<u8>,
    /// Whether its end needed force.
    pub forced: bool,
    /// What it publishes on the host.
    pub ports: Vec<Bound>,
    /// Whose failure left it undone.
    pub blocked_by: Option<Address>,
    /// How long its steps took.
    pub took: Duration,
    /// The gravest of its fields, for people.
    pub detail: String,
    /// Why it failed.
    pub trouble: Option<Trouble>,
}

/// What was done to one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is its own word")]
pub enum Verb {
    Created,
    Started,
    Updated,
    Restarted,
    Recreated,
    Destroyed,
    Trashed,
    Forgotten,
    Moved,
    Stopped,
    Completed,
    Unchanged,
    Failed,
    Skipped,
    Interrupted,
    NotReady,
}

impl Verb {
    /// Returns the word that tables write.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Started => "started",
            Self::Updated => "updated",
            Self::Restarted => "restarted",
            Self::Recreated => "recreated",
            Self::Destroyed => "destroyed",
            Self::Trashed => "trashed",
            Self::Forgotten => "forgotten",
            Self::Moved => "moved",
            Self::Stopped => "stopped",
            Self::Completed => "completed",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Interrupted => "interrupted",
            Self::NotReady => "not-ready",
        }
    }
}

/// Something that failed or is not ready, with nothing behind it that explains that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// What.
    pub address: Address,
    /// Whether it failed or is not ready.
    pub how: Verb,
    /// Where it is.
    pub phase: Option<Phase>,
    /// Why.
    pub reason: Option<String>,
    /// Since when, milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// The last answer of its probe.
    pub probe: Option<String>,
    /// Who waits for it, the nearest first.
    pub waiting: Vec<Address>,
    /// The longest chain of those, each waiting for the next; it ends here.
    pub chain: Vec<Address>,
}

/// A volume that stays, or can be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: VolumeName,
    /// What it occupies.
    pub bytes: u64,
}

impl Outcome {
    /// Tells whether everything is as wished.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.exit_code() == 0
    }

    /// Returns the exit code, but for a signal's own.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        let bad =
            |row: &&ResultRow| matches!(row.verb, Verb::Failed | Verb::Skipped | Verb::Interrupted);
        let failed: Vec<u8> = self
            .results
            .iter()
            .filter(bad)
            .filter_map(|row| row.trouble.as_ref())
            .map(|trouble| Kind::of_code(&trouble.report.code).code())
            .collect();
        if self.results.iter().any(|row| bad(&row)) {
            // A project's run fails as a whole; a command about one sandbox fails as that does.
            if matches!(self.command.as_str(), "msb up" | "msb down") {
                return Kind::Failed.code();
            }
            return match failed.split_first() {
                Some((first, rest)) if rest.iter().all(|code| code == first) => *first,
                _ => Kind::Failed.code(),
            };
        }
        if self.results.iter().any(|row| row.verb == Verb::NotReady) {
            return Kind::Timeout.code();
        }
        if self.interrupted { Kind::Failed.code() } else { 0 }
    }
}
