//! The life of one sandbox: the states it rests in and what moves it on.
//!
//! ```text
//! (absent) ─Selected─▶ Pending ⇄ Pulling
//!                         │ Launched
//!                         ▼
//!                      Booting ─AgentReady─▶ Starting ─GatePassed─▶ Ready ⇄ Degraded
//!                         │                     │ GateTimedOut        │
//!                         │                     ▼                     │
//!                         │                  Stalled ─GatePassed──▶ Ready
//!                         └───────────┬─────────┴─────────────────────┘
//!           Booting ◀─ MachineAgain ──┤
//!          Starting ◀─ WorkloadAgain ─┤
//!           Stalled ◀─ RestartsUsedUp ┤
//!           Stopped ◀─ Stop ──────────┤
//!         Completed ◀─ JobSucceeded ──┤
//!            Failed ◀─ Died, Fact ────┘
//! ```
//!
//! What is refused changes nothing. What rests may be selected again.

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A state a sandbox is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It was never started, or its machine was removed.
    Absent,
    /// It waits for a dependency or a slot.
    Pending,
    /// Its image is being fetched or built.
    Pulling,
    /// Its machine boots.
    Booting,
    /// The agent answers; the gate has not passed.
    Starting,
    /// It does what it is for.
    Ready,
    /// It runs, and its health probe fails.
    Degraded,
    /// Its job ended well.
    Completed,
    /// It ended badly; nothing runs.
    Failed,
    /// msb has stopped trying; the machine may be up.
    Stalled,
    /// It was stopped.
    Stopped,
}

impl Phase {
    /// Every phase, in the order of a life.
    pub const ALL: [Self; 11] = [
        Self::Absent,
        Self::Pending,
        Self::Pulling,
        Self::Booting,
        Self::Starting,
        Self::Ready,
        Self::Degraded,
        Self::Completed,
        Self::Failed,
        Self::Stalled,
        Self::Stopped,
    ];

    /// Returns the name as people read it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "Absent",
            Self::Pending => "Pending",
            Self::Pulling => "Pulling",
            Self::Booting => "Booting",
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Degraded => "Degraded",
            Self::Completed => "Completed",
            Self::Failed => "Failed",
            Self::Stalled => "Stalled",
            Self::Stopped => "Stopped",
        }
    }

    /// Tells whether nothing moves it on but a new wish.
    #[must_use]
    pub const fn is_resting(self) -> bool {
        matches!(self, Self::Absent | Self::Completed | Self::Failed | Self::Stopped)
    }

    /// Tells whether a machine belongs to it.
    #[must_use]
    pub const fn has_machine(self) -> bool {
        matches!(
            self,
            Self::Booting | Self::Starting | Self::Ready | Self::Degraded | Self::Stalled
        )
    }
}

/// What moves a sandbox on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// A step of a plan selects it.
    Selected,
    /// Work on its image begins.
    ImageWorkBegan,
    /// Work on its image ended.
    ImageWorkEnded,
    /// Its runtime was started.
    Launched,
    /// The agent answers and the workload's exec succeeded.
    AgentReady,
    /// The gate passes.
    GatePassed,
    /// The gate did not pass in time; the machine is up.
    GateTimedOut,
    /// The health probe failed often enough.
    Unhealthy,
    /// The health probe passed often enough.
    Healthy,
    /// The job ended with a success code.
    JobSucceeded,
    /// The workload or the machine ended, and no policy brings it back.
    Died,
    /// Something that waiting does not mend: no image, no driver, no such user.
    Fact,
    /// The machine was stopped, for any reason.
    Stopped,
    /// The workload ended, and is started again in the same machine.
    WorkloadAgain,
    /// The machine ended, and is booted again.
    MachineAgain,
    /// The workload or the machine ended, and the restarts of its policy are used up.
    RestartsUsedUp,
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 16] = [
        Self::Selected,
        Self::ImageWorkBegan,
        Self::ImageWorkEnded,
        Self::Launched,
        Self::AgentReady,
        Self::GatePassed,
        Self::GateTimedOut,
        Self::Unhealthy,
        Self::Healthy,
        Self::JobSucceeded,
        Self::Died,
        Self::Fact,
        Self::Stopped,
        Self::WorkloadAgain,
        Self::MachineAgain,
        Self::RestartsUsedUp,
    ];
}

/// An event that a phase does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{event:?} does not apply to a sandbox that is {phase:?}")]
pub struct Rejected {
    /// The phase.
    pub phase: Phase,
    /// The event.
    pub event: Event,
}

impl Phase {
    /// Returns the phase that follows `event`.
    ///
    /// # Errors
    /// The event does not apply here; nothing changes.
    pub const fn next(self, event: Event) -> Result<Self, Rejected> {
        use Event as E;
        let next = match (self, event) {
            (
                Self::Absent | Self::Completed | Self::Failed | Self::Stalled | Self::Stopped,
                E::Selected,
            )
            | (Self::Pulling, E::ImageWorkEnded) => Self::Pending,
            (Self::Pending, E::ImageWorkBegan) => Self::Pulling,
            (Self::Pending, E::Launched) => Self::Booting,
            (Self::Booting, E::AgentReady) => Self::Starting,
            (Self::Starting | Self::Stalled, E::GatePassed)
            | (Self::Degraded | Self::Stalled, E::Healthy) => Self::Ready,
            (Self::Starting, E::GateTimedOut)
            | (
                Self::Booting | Self::Starting | Self::Ready | Self::Degraded | Self::Stalled,
                E::RestartsUsedUp,
            ) => Self::Stalled,
            (Self::Starting | Self::Ready | Self::Degraded | Self::Stalled, E::WorkloadAgain) => {
                Self::Starting
            }
            (
                Self::Booting | Self::Starting | Self::Ready | Self::Degraded | Self::Stalled,
                E::MachineAgain,
            ) => Self::Booting,
            (Self::Ready, E::Unhealthy) => Self::Degraded,
            (Self::Starting | Self::Ready, E::JobSucceeded) => Self::Completed,
            (
                Self::Booting | Self::Starting | Self::Ready | Self::Degraded | Self::Stalled,
                E::Died,
            )
            | (Self::Pending | Self::Pulling | Self::Booting | Self::Starting, E::Fact) => {
                Self::Failed
            }
            (
                Self::Booting | Self::Starting | Self::Ready | Self::Degraded | Self::Stalled,
                E::Stopped,
            ) => Self::Stopped,
            (phase, event) => return Err(Rejected { phase, event }),
        };
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// The whole matrix: a line per event that a phase knows.
    const MATRIX: &str = include_str!("lifecycle.matrix");

    #[test]
    fn the_matrix_is_the_one_that_was_reviewed() {
        let mut lines = String::new();
        for phase in Phase::ALL {
            for event in Event::ALL {
                if let Ok(next) = phase.next(event) {
                    writeln!(lines, "{phase:?} {event:?} {next:?}").unwrap();
                }
            }
        }
        assert_eq!(lines, MATRIX);
    }

    #[test]
    fn what_rests_has_no_machine() {
        assert!(Phase::ALL.iter().all(|phase| !(phase.is_resting() && phase.has_machine())));
    }
}
