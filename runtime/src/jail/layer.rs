//! The layers by name.

use std::fmt;
use std::io;

/// One layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    /// Own namespaces: mount, network, IPC, host name, control groups; users too, unless root.
    Namespaces,
    /// A root that holds nothing of the host's.
    Root,
    /// No capabilities; as root the three that files of others need.
    Capabilities,
    /// No debugger, no core, and an end with the parent.
    Dumpable,
    /// No core, no locked memory, and no more files, bytes in one, and addresses than it needs.
    Limits,
    /// No file but those below the folders, no network, no signal to others.
    Landlock,
    /// No system call but those of a list.
    Seccomp,
}

impl Layer {
    /// Every layer, in the order in which they are put on.
    pub const ALL: [Self; 7] = [
        Self::Namespaces,
        Self::Root,
        Self::Capabilities,
        Self::Dumpable,
        Self::Limits,
        Self::Landlock,
        Self::Seccomp,
    ];

    /// Returns its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Namespaces => "namespaces",
            Self::Root => "root",
            Self::Capabilities => "capabilities",
            Self::Dumpable => "dumpable",
            Self::Limits => "limits",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

/// A layer that the host refused.
#[derive(Debug)]
pub struct Missing {
    /// Which.
    pub layer: Layer,
    /// What the kernel said.
    pub why: io::Error,
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.layer.as_str(), self.why)
    }
}
