//! From a document to text that reads back as the same document: the canonical layout.
//!
//! ```text
//! tree::Tree ──shapes──▶ document::Group ──▶ print::text ──▶ KDL, YAML
//!                                        └─▶ print::json ──▶ what the YAML reader reads too
//! ```
//!
//! The shape of each key decides how it is spelt: KDL repeats a node for each
//! entry where YAML has one map under the plural, and writes a principal before
//! the braces where YAML writes it under its name. How a value looks is kept as
//! far as the format has such looks; what it says is kept always.

mod kdl;
pub mod project;
mod string;
mod yaml;

use std::fmt::Write as _;

use super::document::{Group, Item};
use super::keys::Key;
use super::limits::Limits;
use super::problem::{Problem, Problems};
use super::shape::{NotYet, shape_with};
use super::source::Format;
use super::tree::Tree;

/// In which order keys are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As they stand in the document.
    Written,
    /// As they stand in the table of keys.
    Table,
}

/// Returns the document as text of that format, in canonical layout.
///
/// # Errors
/// The format has no spelling for something: KDL has none for a list without values.
pub fn text(document: &Group<'_>, format: Format, order: Order) -> Result<String, Problem> {
    match format {
        Format::Kdl => kdl::text(document, order),
        Format::Yaml => Ok(yaml::text(document, order)),
    }
}

/// Returns the document as one JSON value, which the YAML reader reads as the same document.
#[must_use]
pub fn json(document: &Group<'_>, order: Order) -> serde_json::Value {
    yaml::json(document, order)
}

/// Returns a tree in the form that KDL has, as text of that format.
///
/// A tree in that form has one node for each entry of a map of definitions, with its identity as
/// first value. It may be made by hand: [`super::tree::Entry::node`].
///
/// # Errors
/// What does not fit the shape of its key, or has no spelling in the format.
pub fn tree(tree: Tree<'_>, format: Format, order: Order) -> Result<String, Vec<Problem>> {
    text(&shaped(tree)?, format, order).map_err(|problem| vec![problem])
}

/// Returns a tree in the form that KDL has as one JSON value.
///
/// # Errors
/// What does not fit the shape of its key.
pub fn json_tree(tree: Tree<'_>, order: Order) -> Result<serde_json::Value, Vec<Problem>> {
    Ok(json(&shaped(tree)?, order))
}

/// Returns a JSON value as a text that may stand in a file: what is refused there is escaped.
#[must_use]
pub fn json_text(value: &serde_json::Value) -> String {
    let text = format!("{value:#}\n");
    if text.chars().all(|c| c == '\n' || string::is_plain(c)) {
        return text;
    }
    // Such characters stand inside quotes alone, and each has four digits.
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if character == '\n' || string::is_plain(character) {
            safe.push(character);
        } else {
            let _ = write!(safe, "\\u{:04x}", u32::from(character));
        }
    }
    safe
}

fn shaped(tree: Tree<'_>) -> Result<Group<'_>, Vec<Problem>> {
    let mut problems = Problems::new(Limits::default().problems);
    let document = shape_with(tree, false, NotYet::Taken, &mut problems);
    if problems.has_errors() {
        return Err(problems.into_sorted().0);
    }
    Ok(document)
}

/// Returns the place of a key among its siblings.
///
/// Sandboxes and jobs share their place, since a project may tell them as one story.
#[must_use]
pub fn rank(keys: &[Key], name: &str) -> Option<usize> {
    let name = if name == "job" && keys.iter().any(|key| key.name == "sandbox") {
        "sandbox"
    } else {
        name
    };
    keys.iter().position(|key| key.name == name)
}

/// Returns the items in that order, each once.
fn ordered<'g, 'a>(items: &'g [Item<'a>], keys: &[Key], order: Order) -> Vec<&'g Item<'a>> {
    let mut items: Vec<&Item<'_>> = items.iter().collect();
    if order == Order::Table {
        items.sort_by_key(|item| keys.iter().position(|key| key.name == item.key.name));
    }
    items
}

#[cfg(test)]
mod tests;
