//! Where the agent runs: as process 1 of a machine, or as a child on a host for tests.

use std::path::{Path, PathBuf};

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A machine of its own.
    Machine,
    /// A folder of somebody else's machine; nothing outside it is changed.
    Process {
        /// The folder that stands for the root.
        root: PathBuf,
        /// The `PATH` this process was given.
        path: String,
    },
}

impl Place {
    /// Tells whether the machine is ours.
    pub(crate) const fn is_machine(&self) -> bool {
        matches!(self, Self::Machine)
    }

    /// Returns where a path of the sandbox lies.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        match self {
            Self::Machine => Path::new("/").join(path),
            Self::Process { root, .. } => match path.trim_start_matches('/') {
                "" => root.clone(),
                below => root.join(below),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_a_sandbox_without_a_machine_lies_in_its_folder() {
        let place = Place::Process { root: "/scratch".into(), path: String::new() };
        assert_eq!(place.resolve("/etc/x"), Path::new("/scratch/etc/x"));
        assert_eq!(place.resolve("/"), Path::new("/scratch"));
        assert_eq!(Place::Machine.resolve("etc/x"), Path::new("/etc/x"));
    }
}
