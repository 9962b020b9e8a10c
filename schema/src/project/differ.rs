//! Two definitions, compared field by field.
//!
//! Each definition is taken apart into its fields by destructuring, so a new
//! field does not compile until it is compared here, and does not pass its
//! tests until it has a class in [`crate::change`].

mod reach;
mod sandbox;
mod volume;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt::Display;

use serde::{Deserialize, Serialize};

/// One field that differs between two definitions, for people and for the plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The field within its definition: `memory.size`, `env.PORT`.
    pub path: String,
    /// The value before; `None` where there was none.
    pub before: Option<String>,
    /// The value after; `None` where there is none any more.
    pub after: Option<String>,
    /// Which way a quantity went.
    pub direction: Direction,
    /// Whether the texts are references to a value that is never shown.
    pub sensitive: bool,
}

/// Which way a quantity went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// It is more than before.
    Grown,
    /// It is less than before.
    Shrunk,
    /// It is no quantity, or was or is not written.
    Other,
}

/// Gathers the fields that differ, or all of them.
#[derive(Debug)]
struct Fields {
    gather: Gather,
    found: Vec<FieldChange>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gather {
    Differing,
    All,
}

impl Fields {
    fn new(gather: Gather) -> Self {
        Self { gather, found: Vec::new() }
    }

    fn sorted(mut self) -> Vec<FieldChange> {
        self.found.sort_by(|a, b| a.path.cmp(&b.path));
        self.found
    }

    /// Tells whether a pair of values is to be told.
    fn takes<T: PartialEq + ?Sized>(&self, before: &T, after: &T) -> bool {
        self.gather == Gather::All || before != after
    }

    fn push(&mut self, path: String, before: Option<String>, after: Option<String>) {
        let (direction, sensitive) = (Direction::Other, false);
        self.found.push(FieldChange { path, before, after, direction, sensitive });
    }

    /// A value that prints as people read it.
    fn value<T: PartialEq + Display>(&mut self, path: &str, before: &T, after: &T) {
        self.told(path, before, after, ToString::to_string);
    }

    /// A value, told by `tell`.
    fn told<T: PartialEq + ?Sized>(
        &mut self,
        path: &str,
        before: &T,
        after: &T,
        tell: impl Fn(&T) -> String,
    ) {
        if self.takes(before, after) {
            self.push(path.to_owned(), Some(tell(before)), Some(tell(after)));
        }
    }

    /// A value that may be absent, told by `tell`.
    fn option<T: PartialEq>(
        &mut self,
        path: &str,
        before: Option<&T>,
        after: Option<&T>,
        tell: impl Fn(&T) -> String,
    ) {
        if self.takes(&before, &after) && (before.is_some() || after.is_some()) {
            self.push(path.to_owned(), before.map(&tell), after.map(&tell));
        }
    }

    /// A quantity, which can grow and shrink.
    fn amount<T: Ord + Display>(&mut self, path: &str, before: &T, after: &T) {
        if self.takes(before, after) {
            self.push(path.to_owned(), Some(before.to_string()), Some(after.to_string()));
            self.last().direction = direction(before, after);
        }
    }

    /// A quantity that may be absent; only two that are there grow or shrink.
    fn amount_option<T: Ord + Display>(
        &mut self,
        path: &str,
        before: Option<&T>,
        after: Option<&T>,
    ) {
        let before_count = self.found.len();
        self.option(path, before, after, ToString::to_string);
        if let (Some(before), Some(after)) = (before, after)
            && self.found.len() > before_count
        {
            self.last().direction = direction(before, after);
        }
    }

    /// The entries of two maps, by key; `PREFIX.KEY` is the path.
    fn map<K: Ord + Display, V: PartialEq>(
        &mut self,
        prefix: &str,
        (before, after): (&BTreeMap<K, V>, &BTreeMap<K, V>),
        mut entry: impl FnMut(&mut Self, String, Option<&V>, Option<&V>),
    ) {
        if !self.takes(before, after) {
            return;
        }
        for (key, value) in before {
            let other = after.get(key);
            if self.gather == Gather::All || other != Some(value) {
                entry(self, format!("{prefix}.{key}"), Some(value), other);
            }
        }
        for (key, value) in after.iter().filter(|(key, _)| !before.contains_key(key)) {
            entry(self, format!("{prefix}.{key}"), None, Some(value));
        }
    }

    fn labels(
        &mut self,
        prefix: &str,
        before: &BTreeMap<String, String>,
        after: &BTreeMap<String, String>,
    ) {
        let quoted = |value: Option<&String>| value.map(|value| format!("{value:?}"));
        self.map(prefix, (before, after), |fields, path, before, after| {
            fields.push(path, quoted(before), quoted(after));
        });
    }

    /// The field that was pushed last.
    fn last(&mut self) -> &mut FieldChange {
        self.found.last_mut().expect("a field was pushed just before")
    }
}

fn direction<T: Ord>(before: &T, after: &T) -> Direction {
    match after.cmp(before) {
        Ordering::Greater => Direction::Grown,
        Ordering::Less => Direction::Shrunk,
        Ordering::Equal => Direction::Other,
    }
}

fn quoted(words: &[String]) -> String {
    words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" ")
}
