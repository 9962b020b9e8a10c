//! What a command asks for: a project, and which part of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schema::launch::DriverName;
use schema::name::{InstanceName, SandboxName};
use schema::project::{Definition, InputFile, Project};
use schema::sandboxfile::resolve::Trust;

use super::hold::Hold;
use super::places::Places;
use crate::pins::Pins;

/// A project as its files read, with what one command wants of it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The resolved files.
    pub project: Project,
    /// Where each value was written.
    pub origins: Places,
    /// What the project was read from.
    pub inputs: Inputs,
    /// The first of the files, as plans name it.
    pub path: PathBuf,
    /// What the command chose.
    pub selection: Selection,
    /// The driver of machines that this command boots; `None` follows the file.
    pub driver: Option<DriverName>,
    /// What is wanted of the chosen.
    pub goal: Goal,
    /// What its images mean.
    pub pins: Pins,
    /// Whose files these are; values of the host are not looked at for a stranger's.
    pub trust: Trust,
}

/// What a project was read from, by digest: a saved plan holds as long as none of it moves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inputs {
    /// The files, those that are included among them.
    pub files: Vec<InputFile>,
    /// The image lock, where there is one.
    pub lock: Option<InputFile>,
    /// The variables that the project declares.
    pub variables: Vec<Variable>,
}

/// A variable of a project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub source: &'static str,
    /// Whether its value is not to be shown.
    pub secret: bool,
}

/// What is wanted of the chosen sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// As the file says.
    #[default]
    Up,
    /// As it was last applied: what somebody changed by hand is changed back.
    Undrifted,
    /// Not to exist.
    Down,
    /// To rest, with everything they have.
    Stopped,
    /// To be booted anew, with everything they have.
    Restarted,
}

impl Goal {
    /// Tells whether definitions are compared, field by field.
    #[must_use]
    pub const fn compares(self) -> bool {
        matches!(self, Self::Up | Self::Undrifted)
    }
}

/// Which sandboxes a command is about, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The chosen ones; none chosen means all.
    pub names: BTreeSet<InstanceName>,
    /// Left out.
    pub exclude: BTreeSet<InstanceName>,
    /// The profiles that are active.
    pub profiles: BTreeSet<String>,
    /// Whether what the chosen need, or what needs them, comes along.
    pub reach: Reach,
    /// Whether the chosen are made anew even if equal.
    pub recreate: bool,
    /// Whether those that rest by themselves are woken.
    pub sleepers: Sleepers,
    /// Whether most of a project may go at once.
    pub allow_mass_delete: bool,
    /// Whether anything may open access further than it is.
    pub widening: MayWiden,
    /// Whether volumes go too, where sandboxes do.
    pub volumes: Volumes,
    /// What is left as it is, whatever the file says; `None` where everything may be done.
    pub hold: Option<Hold>,
}

/// Whether anything may open access further than it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MayWiden {
    /// It may, and is told.
    #[default]
    Told,
    /// It is refused.
    Never,
}

/// Whether volumes go too, where sandboxes do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Volumes {
    /// They stay.
    #[default]
    Stay,
    /// They go to the trash.
    Trash,
}

/// What becomes of those that rest because they were idle, or done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sleepers {
    /// They are started.
    #[default]
    Wake,
    /// They are in order as they are.
    Leave,
}

/// What comes along with the chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// What they need.
    #[default]
    Dependencies,
    /// What needs them.
    Dependents,
    /// Nothing.
    Alone,
}

impl Wish {
    /// Returns a wish for a whole project.
    #[must_use]
    pub fn new(
        project: Project,
        origins: impl Into<Places>,
        inputs: Inputs,
        path: PathBuf,
    ) -> Self {
        let origins = origins.into();
        let (selection, driver, goal) = (Selection::default(), None, Goal::Up);
        let (pins, trust) = (Pins::default(), Trust::Trusted);
        Self { project, origins, inputs, path, selection, driver, goal, pins, trust }
    }

    /// Tells whether a flag of state holds: a wish for it counts at once, and only a written
    /// `#false` lifts it, never a line that is gone.
    #[must_use]
    pub fn holds(&self, address: &str, path: &str, (now, wanted): (bool, bool)) -> bool {
        wanted || (now && !self.origins.is_written(address, path))
    }

    /// Tells whether something of the project is left out of consideration.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.selection.names.is_empty()
            || !self.selection.exclude.is_empty()
            || self.project.definitions.iter().any(|(name, one)| !self.takes_part(name, one))
    }

    /// Tells whether a sandbox was chosen itself, and does not only come along.
    #[must_use]
    pub fn selection_names(&self, name: &InstanceName) -> bool {
        let names = &self.selection.names;
        names.is_empty() || names.iter().any(|chosen| chosen.means(name))
    }

    /// Tells whether a sandbox was left out by name.
    #[must_use]
    pub fn excludes(&self, name: &InstanceName) -> bool {
        self.selection.exclude.iter().any(|left_out| left_out.means(name))
    }

    /// Tells whether a definition takes part: it has no profile, an active one, or was named.
    #[must_use]
    pub fn is_active(&self, name: &SandboxName) -> bool {
        let definition = self.project.definitions.get(name);
        definition.is_none_or(|definition| self.takes_part(name, definition))
    }

    fn takes_part(&self, name: &SandboxName, definition: &Definition) -> bool {
        definition.profiles.is_empty()
            || !definition.profiles.is_disjoint(&self.selection.profiles)
            || self.selection.names.iter().any(|chosen| chosen.sandbox == *name)
    }

    /// Returns the sandboxes of the file that the command is about.
    #[must_use]
    pub fn selected(&self) -> BTreeSet<InstanceName> {
        let wanted = &self.project.sandboxes;
        let chosen =
            |name: &&InstanceName| self.selection_names(name) && self.is_active(&name.sandbox);
        let mut chosen: BTreeSet<InstanceName> = wanted.keys().filter(chosen).cloned().collect();
        if self.selection.reach == Reach::Dependencies && self.is_partial() {
            let mut open: Vec<InstanceName> = chosen.iter().cloned().collect();
            while let Some(name) = open.pop() {
                let needs = wanted.get(&name).into_iter().flat_map(|s| &s.depends_on);
                for (target, dependency) in needs {
                    for (needed, _) in self.project.meant(target) {
                        let left_out = self.excludes(needed) || !self.is_active(&needed.sandbox);
                        if !(left_out && dependency.optional) && chosen.insert(needed.clone()) {
                            open.push(needed.clone());
                        }
                    }
                }
            }
        }
        chosen.retain(|name| !self.excludes(name));
        chosen
    }
}
