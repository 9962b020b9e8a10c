//! What belongs to the name of a sandbox or job rather than to each of its instances.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Kind;
use crate::name::SandboxName;

/// See the module. None of it is anything that a machine could notice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// What its instances are, also where there is none.
    #[serde(default)]
    pub kind: Kind,
    /// How many instances it has; `None` is one without an index.
    pub replicas: Option<u32>,
    /// It takes part where one of these is active, where it has none, or where it is named.
    pub profiles: BTreeSet<String>,
    /// What it was called before.
    pub moved_from: Option<SandboxName>,
    /// The order of making it anew.
    pub update: UpdateOrder,
    /// Paths of fields whose drift is neither shown nor undone.
    pub ignore_drift: BTreeSet<String>,
    /// The keys whose values differ from instance to instance, as they would be written again: paths
    /// of the host from the root, what has no order of its own in that of the table of keys, then of
    /// names. Where there is no instance, all keys of the body.
    pub marks: BTreeMap<String, Vec<Written>>,
}

/// A key as it would be written again, whatever it means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Written {
    /// The key.
    pub key: String,
    /// Its values; the identity of a keyed node first.
    pub words: Vec<String>,
    /// What stands in its braces or on its line.
    pub fields: Vec<Self>,
}

/// The order in which a machine is made anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The old one stops before the new one starts.
    #[default]
    StopFirst,
}

impl UpdateOrder {
    /// Returns the order as the file writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StopFirst => "stop-first",
        }
    }
}

impl Definition {
    /// Tells whether drift of a field is left alone: it is named, or a path above it is.
    #[must_use]
    pub fn ignores(&self, path: &str) -> bool {
        self.ignore_drift.iter().any(|ignored| {
            path.strip_prefix(ignored.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_ignored_by_path() {
        let definition =
            Definition { ignore_drift: ["memory".to_owned()].into(), ..Definition::default() };
        assert!(definition.ignores("memory") && definition.ignores("memory.size"));
        assert!(!definition.ignores("memory-x") && !definition.ignores("cpus.count"));
    }
}
