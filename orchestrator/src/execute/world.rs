//! The dozen things that a plan can do to a host.

use std::future::Future;

use schema::failure::Report;
use schema::lifecycle::Phase;
use schema::name::{InstanceName, VolumeName};
use schema::project::ImageRef;
use schema::record::Bound;

use crate::plan::Step;

/// What a step left behind, for its row and for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Where the sandbox is now.
    pub phase: Option<Phase>,
    /// Why.
    pub reason: Option<String>,
    /// How its workload ended.
    pub exit_code: Option<u8>,
    /// Whether its end needed force.
    pub forced: bool,
    /// What it publishes on the host.
    pub ports: Vec<Bound>,
}

/// Why a step failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    /// What was attempted and why it did not work.
    pub report: Box<Report>,
    /// Whether a wait ran out, or something did not work.
    pub kind: FailureKind,
    /// Where the sandbox is now.
    pub phase: Option<Phase>,
    /// Why, from a closed set.
    pub reason: Option<String>,
    /// The exit code of its workload.
    pub exit_code: Option<u8>,
}

/// Whether a wait ran out, or something did not work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// It was tried and did not work.
    Failed,
    /// It may yet come; the wait for it ended.
    NotReady,
}

impl StepError {
    /// Returns the failure that `report` tells.
    #[must_use]
    pub fn of(report: Report) -> Self {
        let report = Box::new(report);
        let kind = FailureKind::Failed;
        Self { report, kind, phase: None, reason: None, exit_code: None }
    }

    /// Returns the failure of a stage, with its causes taken from `error`'s chain.
    #[must_use]
    pub fn from(code: &str, stage: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::of(Report::of(code, stage, error))
    }
}

/// What a step does, as its future.
pub type Done = Result<Effect, StepError>;

/// A host, or a model of one.
///
/// Each act is begun before and closed after; what was begun and never closed
/// is judged by a later run, so an act may be cut off anywhere. An act that is
/// done again on what it has done already changes nothing.
pub trait World {
    /// What is remembered of a step between its begin and its close.
    type Ticket: Clone;

    /// Writes down what is about to be done.
    ///
    /// # Errors
    /// It could not be written; the step must not be done.
    fn begin(&self, step: &Step) -> Result<Self::Ticket, StepError>;

    /// Writes down what came of it.
    ///
    /// # Errors
    /// It could not be written; the step counts as failed.
    fn close(&self, step: &Step, ticket: &Self::Ticket, done: &Done) -> Result<(), StepError>;

    /// Fetches an image from its registry, and makes its root.
    fn pull(&self, image: &ImageRef) -> impl Future<Output = Done>;

    /// Makes the root image that comes with msb.
    fn build_root(&self, image: &ImageRef) -> impl Future<Output = Done>;

    /// Makes a volume, or makes it as large as it is wished for.
    fn ensure_volume(&self, name: &VolumeName, ticket: &Self::Ticket)
    -> impl Future<Output = Done>;

    /// Changes what of a volume holds while it is used: how much a folder may hold.
    fn change_volume(&self, name: &VolumeName) -> impl Future<Output = Done>;

    /// Puts a volume into the trash.
    fn trash_volume(&self, name: &VolumeName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Gives a volume the name that it is wished for.
    fn rename_volume(&self, name: &VolumeName, ticket: &Self::Ticket)
    -> impl Future<Output = Done>;

    /// Makes a machine's folder and upper.
    fn prepare(&self, name: &InstanceName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Starts a machine and waits until its agent answers.
    fn boot(&self, name: &InstanceName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Waits until a sandbox is ready, or a job has ended.
    fn gate(&self, name: &InstanceName) -> impl Future<Output = Done>;

    /// Waits until a job is ready, and goes on while it works.
    fn gate_ready(&self, name: &InstanceName) -> impl Future<Output = Done>;

    /// Waits for the lines of others that a sandbox depends on.
    fn listen(&self, name: &InstanceName) -> impl Future<Output = Done>;

    /// Changes live values.
    fn update(&self, name: &InstanceName) -> impl Future<Output = Done>;

    /// Stops a machine.
    fn stop(&self, name: &InstanceName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Removes the machine that another one took over from.
    fn retire(&self, name: &InstanceName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Removes a sandbox's machines.
    fn discard(&self, name: &InstanceName, ticket: &Self::Ticket) -> impl Future<Output = Done>;

    /// Puts back the machine that a new one was to take over from.
    fn revert(&self, name: &InstanceName) -> impl Future<Output = Done>;
}
