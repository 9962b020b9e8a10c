//! Whose figures are asked for, as long as they are.

use schema::name::{InstanceName, ProjectName};

use crate::cli::call::Call;
use crate::cli::failure::{Failure, Failures};
use crate::cli::targets::{self, Target};
use crate::sampling::Living;

/// See the module.
#[derive(Debug)]
pub(super) struct Choice {
    named: Vec<(ProjectName, InstanceName)>,
    rule: Option<Rule>,
    is_wide: bool,
}

/// Whatever has these labels, in a project or in all.
#[derive(Debug)]
struct Rule {
    project: Option<ProjectName>,
    labels: Vec<(String, Option<String>)>,
}

impl Choice {
    /// Returns what is meant: those named, those of a project or of all; by labels where there are.
    ///
    /// # Errors
    /// One that was named does not exist, or does not run.
    pub(super) fn of(
        call: &Call,
        names: &[Target],
        labels: &[(String, Option<String>)],
        all: bool,
    ) -> Result<Self, Failures> {
        let mut named = Vec::new();
        for target in names {
            let found = targets::find_all(call, target)?;
            let resting = found.iter().filter(|view| !view.alive);
            let resting: Vec<Failure> =
                resting.map(|view| not_running(&view.name, view.phase.as_str())).collect();
            if !resting.is_empty() {
                return Err(Failures(resting));
            }
            named.extend(found.into_iter().map(|view| (view.project, view.name)));
        }
        let by_rule = names.is_empty() || !labels.is_empty() || all;
        let rule = if by_rule {
            let project = if all { None } else { Some(own_project(call)?) };
            Some(Rule { project, labels: labels.to_vec() })
        } else {
            None
        };
        let several = |named: &[(ProjectName, _)]| named.iter().any(|(of, _)| *of != named[0].0);
        let is_wide = all || several(&named);
        Ok(Self { named, rule, is_wide })
    }

    /// Tells whether those of several projects may be meant.
    pub(super) const fn is_wide(&self) -> bool {
        self.is_wide
    }

    /// Tells whether a sandbox is meant.
    pub(super) fn means(&self, who: &Living) -> bool {
        self.names(who)
            || self.rule.as_ref().is_some_and(|rule| {
                rule.project.as_ref().is_none_or(|project| *project == who.project)
                    && has_labels(who, &rule.labels)
            })
    }

    /// Tells whether a sandbox was named.
    pub(super) fn names(&self, who: &Living) -> bool {
        self.named.iter().any(|(project, name)| (project, name) == (&who.project, &who.name))
    }
}

fn own_project(call: &Call) -> Result<ProjectName, Failure> {
    // A bare machine has no projects, and asking for one must not make any.
    match call.context.existing_home()? {
        Some(_) => Ok(call.own_project()?.unwrap_or_else(ProjectName::adhoc)),
        None => Ok(ProjectName::adhoc()),
    }
}

fn has_labels(who: &Living, labels: &[(String, Option<String>)]) -> bool {
    labels.iter().all(|(key, value)| {
        let has = who.definition.as_ref().and_then(|sandbox| sandbox.labels.get(key));
        has.is_some_and(|has| value.as_ref().is_none_or(|value| value == has))
    })
}

fn not_running(name: &InstanceName, phase: &str) -> Failure {
    let message = format!("{name}: it does not run, it is {phase}");
    Failure::new("metrics::not-running", "state", message)
        .hint(format!("Start it with `msb start {name}`."))
}
