//! How a failure crosses a boundary: a stage, a code, causes, hints.

use serde::{Deserialize, Serialize};

/// A failure as one program tells it to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `msb::ports::in-use`.
    pub code: String,
    /// The stage of the work: `image`, `driver`, `boot`, `agent`, `ready`, `exec`, `stop`, …
    pub stage: String,
    /// What was attempted, on what.
    pub message: String,
    /// Why, outermost first, none repeated in its parent.
    pub causes: Vec<String>,
    /// The kernel's answer by name, as `EADDRINUSE`.
    pub errno: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What to do, a sentence each that starts with a verb.
    pub hints: Vec<String>,
    /// The last lines of the guest's console, for a boot.
    pub console: Vec<String>,
}

impl Report {
    /// Returns a report of a failed attempt, its causes taken from `error`'s chain.
    #[must_use]
    pub fn of(code: &str, stage: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            next = cause.source();
        }
        let (code, stage, message) = (code.to_owned(), stage.to_owned(), error.to_string());
        Self { code, stage, message, causes, ..Self::default() }
    }

    /// Returns the report with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}
