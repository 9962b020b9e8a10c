//! Groups of addresses that rules name by a word; `policy` knows which addresses each holds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A group of addresses. No address is in two of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// What is reached over the internet.
    Public,
    /// The networks of homes, offices and providers.
    Private,
    /// The machine itself, as it sees itself.
    Loopback,
    /// The next cable.
    LinkLocal,
    /// Where clouds hand out credentials.
    Metadata,
    /// Many at once.
    Multicast,
    /// The host that runs the machine.
    Host,
}

impl Group {
    /// Every group there is.
    pub const ALL: [Self; 7] = [
        Self::Public,
        Self::Private,
        Self::Loopback,
        Self::LinkLocal,
        Self::Metadata,
        Self::Multicast,
        Self::Host,
    ];

    /// Returns the group as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "metadata",
            Self::Multicast => "multicast",
            Self::Host => "host",
        }
    }

    /// Returns the group that the file writes so.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.as_str() == text)
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
