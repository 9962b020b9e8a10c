//! Paths of a share that the guest may not change, as a tree of names.

use std::collections::BTreeMap;
use std::sync::Arc;

/// A name on the way to a protected file, or the file itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Guard {
    is_file: bool,
    children: BTreeMap<Vec<u8>, Arc<Self>>,
}

impl Guard {
    /// Returns the tree of these paths, relative to the share.
    pub(super) fn new<'a>(paths: impl IntoIterator<Item = &'a str>) -> Self {
        let mut split: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for path in paths {
            let path = path.trim_matches('/');
            let (name, rest) = path.split_once('/').unwrap_or((path, ""));
            if !name.is_empty() {
                split.entry(name).or_default().push(rest);
            }
        }
        let children = split.into_iter().map(|(name, rest)| {
            let is_file = rest.contains(&"");
            let below = if is_file { Self::default() } else { Self::new(rest) };
            (name.as_bytes().to_vec(), Arc::new(Self { is_file, ..below }))
        });
        Self { is_file: false, children: children.collect() }
    }

    /// Returns what a name means, where it is on the way.
    pub(super) fn child(&self, name: &[u8]) -> Option<&Arc<Self>> {
        self.children.get(name)
    }

    /// Tells whether this is a protected file, not a folder above one.
    pub(super) const fn is_file(&self) -> bool {
        self.is_file
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_on_the_way_and_the_file_itself_are_known() {
        let guard = Guard::new(["Sandboxfile", "ops/env/web.env", "ops/Sandboxfile"]);
        assert!(guard.child(b"Sandboxfile").unwrap().is_file());
        let ops = guard.child(b"ops").unwrap();
        assert!(!ops.is_file() && ops.child(b"Sandboxfile").unwrap().is_file());
        assert!(ops.child(b"env").unwrap().child(b"web.env").unwrap().is_file());
        assert!(guard.child(b"other").is_none());
        assert!(!Guard::new([]).is_file(), "nothing is protected where nothing is named");
    }
}
