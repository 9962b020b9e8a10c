//! What another sandbox must have reached before one boots.

use serde::{Deserialize, Serialize};

/// What another sandbox must have reached first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// How far the target must be.
    pub until: Until,
    /// Whether a target that fails or is left out stops us.
    pub optional: bool,
    /// What a restart of the target does to us.
    pub on_change: OnChange,
}

/// How far the target of a dependency must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// Its agent is up.
    Started,
    /// Its gate has passed.
    Ready,
    /// The job has ended.
    Completed,
    /// The job has ended well.
    CompletedOk,
    /// Its workload has written a line that matches.
    Log(String),
}

impl Until {
    /// Returns the condition as the file writes it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
            Self::CompletedOk => "completed-ok",
            Self::Log(_) => "log",
        }
    }
}

/// What a restart of a dependency's target does to the one that depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnChange {
    /// Nothing.
    #[default]
    Ignore,
    /// It restarts too, in the same plan.
    Restart,
}

impl OnChange {
    /// Returns the choice as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ignore => "ignore",
            Self::Restart => "restart",
        }
    }
}
