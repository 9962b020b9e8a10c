//! Where each value of a project was written.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A place in a file, as people count: from one, in characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The file, as it was given.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
}

/// Where each field of a project was written, by path: `sandbox.web.memory.size`.
///
/// A path that was not written has no place of its own; [`Origins::nearest`]
/// then answers with the entry that encloses it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins {
    places: BTreeMap<String, Place>,
}

impl Origins {
    /// Notes that `path` was written at `place`; the last word on a path counts.
    pub fn insert(&mut self, path: String, place: Place) {
        self.places.insert(path, place);
    }

    /// Returns where `path` itself was written.
    #[must_use]
    pub fn place(&self, path: &str) -> Option<&Place> {
        self.places.get(path)
    }

    /// Returns where `path`, or the nearest entry around it, was written.
    #[must_use]
    pub fn nearest(&self, path: &str) -> Option<&Place> {
        let mut path = path;
        loop {
            if let Some(place) = self.places.get(path) {
                return Some(place);
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// Returns every path that was written, with its place, in the order of the paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Place)> {
        self.places.iter().map(|(path, place)| (path.as_str(), place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritten_field_is_found_at_what_encloses_it() {
        let place = Place { file: "Sandboxfile".into(), line: 3, column: 1 };
        let mut origins = Origins::default();
        origins.insert("sandbox.web".into(), place.clone());
        assert_eq!(origins.place("sandbox.web.memory.size"), None);
        assert_eq!(origins.nearest("sandbox.web.memory.size"), Some(&place));
        assert_eq!(origins.nearest("volume.data"), None);
    }
}
