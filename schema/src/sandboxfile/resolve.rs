//! Files, folder and environment → a Project, or all problems at once.
//!
//! ```text
//! files ─ gather ─► texts ─ shape ─► documents ─ layers ─► one document
//!    includes ┘                                              │ unit: templates, variables, includes
//!                                                            ▼
//!                       Project ◄─ decode ◄─ instances ◄─ one document
//! ```

mod claims;
mod connect;
mod decode;
mod disks;
mod document;
mod gather;
mod health;
mod instances;
mod lint;
mod mounts;
mod network;
mod order;
mod outcome;
mod ports;
mod process;
mod project;
mod restart;
mod root;
mod rules;
mod sandbox;
mod secrets;
mod templates;
mod unit;
mod variables;
mod volumes;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

pub use gather::{Included, Includes, NoIncludes, Refused};
pub use outcome::{Failed, Resolved};
pub use variables::{ToldVariable, VariableSource};

use self::decode::{Decoder, Findings};
use self::gather::{gather, gather_only};
use super::limits::Limits;
use super::merge::Layering;
use super::problem::Problems;
use super::source::SourceFile;
use crate::name::{InstanceName, ProjectName};
use crate::project::InputFile;

/// What a reading needs besides the files; nothing else of the host enters it.
#[derive(Clone, Debug, Default)]
pub struct ResolveInputs {
    /// The folder of the first file, absolute and canonical.
    pub folder: PathBuf,
    /// The canonical folder of each file, in the order of the files; the project's where absent.
    pub folders: Vec<PathBuf>,
    /// The name that stands in for the project's own: `-p NAME`.
    pub name: Option<ProjectName>,
    /// The user's home, for `~/`.
    pub home: PathBuf,
    /// What the command line says of variables.
    pub vars: BTreeMap<String, String>,
    /// The host variables that `from-env` of a variable may name; no other is looked at.
    pub environment: BTreeMap<String, String>,
    /// The profiles that are active.
    pub profiles: BTreeSet<String>,
    /// The sandboxes that the command names, which take part whatever the profiles are.
    pub named: BTreeSet<InstanceName>,
    /// Whose files these are.
    pub trust: Trust,
    /// What the reading may cost.
    pub limits: Limits,
    /// Whether it is remembered what higher layers beat.
    pub tracing: Tracing,
    /// Tells when the time for the reading is over.
    pub late: Late,
}

/// Whose files these are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those of somebody who may do what they ask for.
    #[default]
    Trusted,
    /// Those of a stranger: paths of the host lie below the file's folder.
    Untrusted,
}

/// Whether it is remembered what higher layers beat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tracing {
    /// It is not.
    #[default]
    Off,
    /// It is, for somebody who asks where a value came from.
    On,
}

/// Tells when the time for a reading is over; by default there is no end.
#[derive(Clone, Default)]
pub struct Late(Option<Rc<dyn Fn() -> bool>>);

impl Late {
    /// Returns one that asks `is_over` now and then.
    #[must_use]
    pub fn when(is_over: impl Fn() -> bool + 'static) -> Self {
        Self(Some(Rc::new(is_over)))
    }

    fn is_over(&self) -> bool {
        self.0.as_ref().is_some_and(|is_over| is_over())
    }
}

impl fmt::Debug for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Late").finish_non_exhaustive()
    }
}

/// Resolves files, which are layers from left to right; what they include is refused.
///
/// # Errors
/// All problems of the stages that could run, in order, with the files' text beside them.
pub fn resolve(files: &[SourceFile], inputs: &ResolveInputs) -> Result<Resolved, Box<Failed>> {
    resolve_with(files, inputs, &mut NoIncludes)
}

/// Resolves files, and the files that they include, which `includes` opens.
///
/// # Errors
/// All problems of the stages that could run, in order, with the files' text beside them.
pub fn resolve_with(
    files: &[SourceFile],
    inputs: &ResolveInputs,
    includes: &mut dyn Includes,
) -> Result<Resolved, Box<Failed>> {
    let mut problems = Problems::new(inputs.limits.problems);
    let gathered = gather(files, inputs, includes, &mut problems);
    let sources = Arc::new(gathered.sources);
    if problems.has_errors() {
        return Err(Failed::boxed(problems, sources));
    }
    let layering = match inputs.tracing {
        Tracing::Off => Layering::default(),
        Tracing::On => Layering::traced(),
    };
    let (project, findings) = {
        let mut decoder = Decoder::new(&sources, &gathered.read, inputs, &mut problems, layering);
        let document = decoder.layers(files.len());
        let project = document.and_then(|document| decoder.project(document));
        (project, decoder.into_findings())
    };
    match project {
        Some(project) if !problems.has_errors() => {
            let (warnings, _) = problems.into_sorted();
            let files: Vec<InputFile> = gathered.read.iter().map(|read| read.input()).collect();
            let Findings { origins, variables, host_variables, trace } = findings;
            Ok(Resolved {
                project,
                origins,
                files,
                variables,
                host_variables,
                trace,
                warnings,
                sources,
            })
        }
        _ => Err(Failed::boxed(problems, sources)),
    }
}

/// Returns the name of the project that files are of, whatever else stands in them.
///
/// # Errors
/// The files cannot be read, or give no name.
pub fn project_name(
    files: &[SourceFile],
    inputs: &ResolveInputs,
) -> Result<ProjectName, Box<Failed>> {
    let mut problems = Problems::new(inputs.limits.problems);
    let gathered = gather_only(files, inputs, &mut problems);
    let sources = Arc::new(gathered.sources);
    if problems.has_errors() {
        return Err(Failed::boxed(problems, sources));
    }
    let name = {
        let layering = Layering::default();
        let mut decoder = Decoder::new(&sources, &gathered.read, inputs, &mut problems, layering);
        let document = decoder.layers(files.len());
        document.and_then(|document| decoder.project_name(&document))
    };
    name.ok_or_else(|| Failed::boxed(problems, sources))
}

#[cfg(test)]
mod instances_tests;
#[cfg(test)]
mod layers_tests;
#[cfg(test)]
mod lint_tests;
#[cfg(test)]
mod network_tests;
#[cfg(test)]
mod ports_tests;
#[cfg(test)]
mod secrets_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod units_tests;
#[cfg(test)]
mod worked_example;
