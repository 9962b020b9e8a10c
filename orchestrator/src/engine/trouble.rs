//! Failures on their way to the one who asked, each with whose it is.

use std::path::PathBuf;

use schema::failure::Report;

use super::SandboxView;
use crate::drivers::DriversError;
use crate::execute::HostError;
use crate::plan::{Address, Refusal};
use crate::store::StoreError;
use crate::store::lease::LeaseError;

/// One failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What was attempted, why it did not work, what to do.
    pub report: Report,
    /// Whose it is.
    pub address: Option<Address>,
    /// Where to read more.
    pub log: Option<PathBuf>,
}

/// At least one failure, the gravest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Troubles(pub Vec<Trouble>);

impl Trouble {
    /// Returns a failure of nobody in particular.
    #[must_use]
    pub const fn of(report: Report) -> Self {
        Self { report, address: None, log: None }
    }

    /// Returns the failure that a refusal is.
    #[must_use]
    pub fn refused(refusal: &Refusal) -> Self {
        let stage = if crate::plan::is_preflight(refusal) { "resolve" } else { "plan" };
        let mut report = Report {
            code: refusal.code.to_owned(),
            stage: stage.to_owned(),
            message: refusal.text.clone(),
            ..Report::default()
        };
        if let Some(place) = &refusal.place {
            report.notes.push(format!("written in {}:{}", place.file, place.line));
        }
        report.hints.extend(refusal.hint.clone());
        Self { report, address: refusal.address.clone(), log: None }
    }
}

impl Troubles {
    /// Returns one failure of nobody in particular.
    #[must_use]
    pub fn of(report: Report) -> Self {
        Self(vec![Trouble::of(report)])
    }

    /// Returns the failure of asking something of a machine that does not live.
    #[must_use]
    pub fn not_running(view: &SandboxView) -> Self {
        let address = Address::Sandbox(view.name.clone());
        let report = Report {
            code: "msb::sandbox::not-running".to_owned(),
            stage: "state".to_owned(),
            message: format!("{} is not running", view.name),
            hints: vec![format!("Start it with `msb start {}`.", view.name)],
            ..Report::default()
        };
        Self(vec![Trouble { report, address: Some(address), log: None }])
    }

    /// Returns a failure with these parts.
    #[must_use]
    pub fn plain(code: &str, stage: &str, message: impl Into<String>) -> Self {
        Self::of(Report {
            code: code.to_owned(),
            stage: stage.to_owned(),
            message: message.into(),
            ..Report::default()
        })
    }
}

impl From<StoreError> for Troubles {
    fn from(error: StoreError) -> Self {
        Self::of(error.report())
    }
}

impl From<LeaseError> for Troubles {
    fn from(error: LeaseError) -> Self {
        let code = match &error {
            LeaseError::Busy { .. } => "msb::lock::busy",
            LeaseError::Lock { .. } => "msb::state::unusable",
        };
        let report = Report::of(code, "lock", &error);
        Self::of(match error {
            LeaseError::Busy { .. } => {
                report.hint("Wait for it to end, or give `--lock-timeout` a longer time.")
            }
            LeaseError::Lock { .. } => report,
        })
    }
}

impl From<DriversError> for Troubles {
    fn from(error: DriversError) -> Self {
        Self::of(error.report())
    }
}

impl From<HostError> for Troubles {
    fn from(error: HostError) -> Self {
        Self::of(Report::of("msb::state::unusable", "state", &error))
    }
}
