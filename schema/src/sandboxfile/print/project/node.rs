//! A node while it is written: what holds anyway is left out.

use std::collections::BTreeMap;

use super::values::{boolean, text};
use super::{Fields, Paths, marks};
use crate::project::{Lifecycle, Written};
use crate::sandboxfile::tree::{Entry, Origin, Scalar};

/// See the module.
pub(super) struct Node {
    fields: Fields,
    entry: Entry<'static>,
    stands: Stands,
}

/// How the keys of a node stand.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stands {
    /// In braces.
    Lines,
    /// On its line.
    Properties,
}

impl Node {
    /// Returns a node whose keys stand in braces.
    pub(super) fn block(fields: Fields, key: &'static str) -> Self {
        let entry = Entry { origin: Origin::Block, ..Entry::node(key) };
        Self { fields, entry, stands: Stands::Lines }
    }

    /// Returns a node whose keys stand on its line.
    pub(super) fn line(fields: Fields, key: &'static str) -> Self {
        Self { fields, entry: Entry::node(key), stands: Stands::Properties }
    }

    /// Gives the node the value that it begins with.
    pub(super) fn value(&mut self, value: Scalar<'static>) {
        self.entry.items.push(value);
    }

    /// Adds a line as it is.
    pub(super) fn add(&mut self, line: Entry<'static>) {
        self.entry.fields.push(line);
    }

    /// Adds a key with its value.
    pub(super) fn key(&mut self, key: &'static str, value: Scalar<'static>) {
        let origin = match self.stands {
            Stands::Lines => Origin::Node,
            Stands::Properties => Origin::Property,
        };
        self.entry.fields.push(Entry { origin, ..line(key, value) });
    }

    /// Adds a key unless its value is what holds anyway.
    pub(super) fn unless<T: PartialEq>(
        &mut self,
        key: &'static str,
        value: &T,
        usual: &T,
        write: impl FnOnce(&T) -> Scalar<'static>,
    ) {
        if self.says(value, usual) {
            self.key(key, write(value));
        }
    }

    /// Tells whether a value is to be written.
    pub(super) fn says<T: PartialEq>(&self, value: &T, usual: &T) -> bool {
        self.fields == Fields::All || value != usual
    }

    /// Adds a key that has a value.
    pub(super) fn some<T>(
        &mut self,
        key: &'static str,
        value: Option<&T>,
        write: impl FnOnce(&T) -> Scalar<'static>,
    ) {
        if let Some(value) = value {
            self.key(key, write(value));
        }
    }

    /// Adds a list that has values.
    pub(super) fn list(
        &mut self,
        key: &'static str,
        values: impl Iterator<Item = Scalar<'static>>,
    ) {
        let items: Vec<Scalar<'static>> = values.collect();
        if !items.is_empty() {
            self.entry.fields.push(Entry { items, ..Entry::node(key) });
        }
    }

    /// Adds a list unless it is what holds anyway.
    pub(super) fn unless_list<T: PartialEq>(
        &mut self,
        key: &'static str,
        values: &Vec<T>,
        usual: &Vec<T>,
        write: impl Fn(&T) -> Scalar<'static>,
    ) {
        if self.says(values, usual) {
            self.list(key, values.iter().map(write));
        }
    }

    /// Adds a map of texts that has entries.
    pub(super) fn labels<'l>(
        &mut self,
        key: &'static str,
        labels: impl Iterator<Item = (&'l String, &'l String)>,
    ) {
        let mut map = Self::block(self.fields, key);
        for (key, value) in labels {
            map.entry.fields.push(Entry::node(key.clone()).with(text(value)));
        }
        self.block_of(map);
    }

    /// Adds a block that has something in it.
    pub(super) fn block_of(&mut self, block: Self) {
        self.entry.fields.extend(block.unless_empty());
    }

    /// Adds what may not be done to a sandbox.
    pub(super) fn lifecycle(&mut self, lifecycle: Lifecycle) {
        let Lifecycle { protect, keep } = lifecycle;
        self.unless("protect", &protect, &false, |yes| boolean(*yes));
        self.unless("keep", &keep, &false, |yes| boolean(*yes));
    }

    /// Writes the keys that differ from instance to instance as they were written.
    pub(super) fn replace(&mut self, marks: &BTreeMap<String, Vec<Written>>, paths: Paths<'_>) {
        self.entry.fields.retain(|line| !marks.contains_key(line.key.as_ref()));
        self.entry
            .fields
            .extend(marks.values().flatten().filter_map(|node| marks::node(node, paths)));
    }

    /// Returns the node.
    pub(super) fn done(self) -> Entry<'static> {
        self.entry
    }

    /// Returns the node if it says anything.
    pub(super) fn unless_empty(self) -> Option<Entry<'static>> {
        let empty = self.entry.fields.is_empty() && self.entry.items.is_empty();
        (!empty).then_some(self.entry)
    }
}

/// Returns a line with one value.
pub(super) fn line(key: &'static str, value: Scalar<'static>) -> Entry<'static> {
    Entry::node(key).with(value)
}
