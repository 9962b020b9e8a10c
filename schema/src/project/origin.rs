//! Where each value of a project was written.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::sandboxfile::source::Sources;
use crate::sandboxfile::tree::Span;

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

/// Where each field of a project was written, by address and path: `sandbox.web`, `memory.size`.
///
/// A path that was not written has no place of its own; [`Origins::nearest`]
/// then answers with the entry that encloses it. Lines are counted only when
/// somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Origins {
    sources: Arc<Sources>,
    addresses: HashMap<String, Fields>,
}

type Fields = Vec<(Cow<'static, str>, Span)>;

impl Origins {
    /// Returns origins in these files, none of them noted yet.
    #[must_use]
    pub fn of(sources: Arc<Sources>) -> Self {
        Self { sources, addresses: HashMap::new() }
    }

    /// Returns where the fields of one address are noted; the last word on a path counts.
    pub fn at(&mut self, address: &str) -> &mut Fields {
        if !self.addresses.contains_key(address) {
            self.addresses.insert(address.to_owned(), Fields::new());
        }
        self.addresses.get_mut(address).expect("the address was put in just before")
    }

    /// Tells whether a field was written itself.
    #[must_use]
    pub fn is_written(&self, address: &str, path: &str) -> bool {
        self.span(address, path).is_some()
    }

    /// Returns the stretch of a file in which a field was written itself.
    #[must_use]
    pub fn span(&self, address: &str, path: &str) -> Option<Span> {
        let fields = self.addresses.get(address)?;
        fields.iter().rev().find(|(known, _)| known == path).map(|(_, span)| *span)
    }

    /// Returns where a field, or the nearest entry around it, was written.
    #[must_use]
    pub fn nearest(&self, address: &str, path: &str) -> Option<Place> {
        let mut path = path;
        loop {
            if let Some(span) = self.span(address, path) {
                return Some(self.sources.place(span));
            }
            if path.is_empty() {
                return None;
            }
            path = path.rfind('.').map_or("", |dot| &path[..dot]);
        }
    }

    /// Returns every field that was written: address, path and place.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, Place)> {
        self.addresses.iter().flat_map(move |(address, fields)| {
            fields.iter().map(move |(path, span)| {
                (address.as_str(), path.as_ref(), self.sources.place(*span))
            })
        })
    }

    /// Returns the files that places are counted in.
    #[must_use]
    pub fn sources(&self) -> &Arc<Sources> {
        &self.sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unwritten_field_is_found_at_what_encloses_it() {
        let mut sources = Sources::default();
        sources.add("Sandboxfile".into(), "\n\nsandbox \"web\" {}\n".into());
        let mut origins = Origins::of(Arc::new(sources));
        let span = Span { file: 0, start: 10, end: 15 };
        origins.at("sandbox.web").push(("".into(), span));
        let place = Place { file: "Sandboxfile".into(), line: 3, column: 9 };
        assert!(!origins.is_written("sandbox.web", "memory.size"));
        assert_eq!(origins.nearest("sandbox.web", "memory.size"), Some(place));
        assert_eq!(origins.nearest("volume.data", ""), None);
    }
}
