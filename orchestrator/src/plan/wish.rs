//! What a command asks for: a project, and which part of it.

use std::collections::BTreeSet;
use std::path::PathBuf;

use schema::launch::DriverName;
use schema::name::InstanceName;
use schema::project::{InputFile, Origins, Project};

/// A project as its files read, with what one command wants of it.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The resolved files.
    pub project: Project,
    /// Where each value was written.
    pub origins: Origins,
    /// The files that were read.
    pub files: Vec<InputFile>,
    /// The first of them, as plans name it.
    pub path: PathBuf,
    /// What the command chose.
    pub selection: Selection,
    /// The driver of machines that this command boots; `None` follows the file.
    pub driver: Option<DriverName>,
    /// What is wanted of the chosen.
    pub goal: Goal,
}

/// What is wanted of the chosen sandboxes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Goal {
    /// As the file says.
    #[default]
    Up,
    /// Not to exist.
    Down,
    /// To rest, with everything they have.
    Stopped,
    /// To be booted anew, with everything they have.
    Restarted,
}

/// Which sandboxes a command is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// The chosen ones; none chosen means all.
    pub names: BTreeSet<InstanceName>,
    /// Left out.
    pub exclude: BTreeSet<InstanceName>,
    /// Whether what the chosen need, or what needs them, comes along.
    pub reach: Reach,
    /// Whether the chosen are made anew even if equal.
    pub recreate: bool,
    /// Whether most of a project may go at once.
    pub allow_mass_delete: bool,
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
    pub fn new(project: Project, origins: Origins, files: Vec<InputFile>, path: PathBuf) -> Self {
        let (selection, driver, goal) = (Selection::default(), None, Goal::Up);
        Self { project, origins, files, path, selection, driver, goal }
    }

    /// Tells whether something of the project is left out of consideration.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        !self.selection.names.is_empty() || !self.selection.exclude.is_empty()
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

    /// Returns the sandboxes of the file that the command is about.
    #[must_use]
    pub fn selected(&self) -> BTreeSet<InstanceName> {
        let wanted = &self.project.sandboxes;
        let mut chosen: BTreeSet<InstanceName> =
            wanted.keys().filter(|name| self.selection_names(name)).cloned().collect();
        if self.selection.reach == Reach::Dependencies && !self.selection.names.is_empty() {
            let mut open: Vec<InstanceName> = chosen.iter().cloned().collect();
            while let Some(name) = open.pop() {
                let needs = wanted.get(&name).into_iter().flat_map(|s| &s.depends_on);
                for (target, dependency) in needs {
                    for (needed, _) in self.project.meant(target) {
                        let left_out = self.excludes(needed) && dependency.optional;
                        if !left_out && chosen.insert(needed.clone()) {
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
