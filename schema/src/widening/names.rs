//! Classes of names: within one, no rule tells two names apart.

use std::collections::BTreeSet;

use crate::project::network::HostPattern;

/// A class of names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NameClass {
    /// What it is called.
    pub(super) label: String,
    /// One of its names. Where that is any below a suffix, its first label is a star, which no
    /// pattern can name.
    pub(super) name: String,
}

/// Returns the classes that these patterns make, but for the names that none of them means.
pub(super) fn classes<'p>(
    patterns: impl IntoIterator<Item = &'p HostPattern>,
) -> BTreeSet<NameClass> {
    let class = |label: &str| NameClass { label: label.to_owned(), name: label.to_owned() };
    let mut classes = BTreeSet::new();
    for pattern in patterns {
        classes.insert(class(pattern.name()));
        classes.insert(class(pattern.as_str()));
    }
    classes
}

/// Returns the class of all names that no pattern means.
pub(super) fn others() -> NameClass {
    NameClass { label: "any other name".to_owned(), name: "*".to_owned() }
}

/// Returns labels in order; a suffix whose own name is there too stands for both.
pub(super) fn joined(labels: &BTreeSet<String>) -> Vec<&str> {
    let apart = |label: &&String| !labels.contains(&format!("*.{label}"));
    labels.iter().filter(apart).map(String::as_str).collect()
}
