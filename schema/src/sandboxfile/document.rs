//! The file as it was written, by the shapes of its keys: nothing filled in, every value with its place.
//!
//! Layers and templates are merged in this form, and variables are put in.

mod same;

use std::borrow::Cow;

use super::keys::Key;
use super::limits::Limits;
use super::problem::{Problem, Problems};
use super::shape::{NotYet, shape_with};
use super::source::Format;
use super::syntax::{build, yaml};
use super::tree::{Scalar, Span};

/// A key with what was written for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Item<'a> {
    /// The key.
    pub key: &'static Key,
    /// Where the key stands.
    pub at: Span,
    /// What was written.
    pub content: Content<'a>,
}

/// What was written for a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Content<'a> {
    /// One value.
    Scalar(Scalar<'a>),
    /// A list.
    List(Vec<Scalar<'a>>),
    /// Explicitly none.
    Null(Span),
    /// A line or a block.
    Group(Group<'a>),
    /// A map with free keys.
    Map(Vec<Member<'a>>),
    /// Entries told apart by their identity.
    Keyed(Vec<Member<'a>>),
    /// Rows of properties.
    Rows(Vec<Group<'a>>),
    /// Rows that begin with a tag and its target.
    Tagged(Vec<Member<'a>>),
}

/// A line or a block: perhaps a value, and keys.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group<'a> {
    /// The value it begins with.
    pub principal: Option<Scalar<'a>>,
    /// Its keys.
    pub items: Vec<Item<'a>>,
    /// Keys that were written and have been reported; nothing more is said about them.
    pub dropped: Vec<&'static str>,
}

/// An entry of a map, by its free key.
#[derive(Clone, Debug, PartialEq)]
pub struct Member<'a> {
    /// The key, the identity or the tag.
    pub name: Cow<'a, str>,
    /// Where it stands.
    pub at: Span,
    /// What belongs to it.
    pub content: Content<'a>,
}

impl<'a> Group<'a> {
    /// Reads `text` as the keys of a file, those that are not supported yet included.
    ///
    /// # Errors
    /// What is no text of that format, and what does not fit the shape of its key.
    pub fn read(text: &'a str, format: Format, limits: &Limits) -> Result<Self, Vec<Problem>> {
        let mut problems = Problems::new(limits.problems);
        let tree = match format {
            Format::Kdl => build::kdl(text, 0, limits, &mut problems),
            Format::Yaml => yaml::yaml(text, 0, limits, &mut problems),
        };
        let is_yaml = format == Format::Yaml;
        let group = tree.map(|tree| shape_with(tree, is_yaml, NotYet::Taken, &mut problems));
        match group.filter(|_| !problems.has_errors()) {
            Some(group) => Ok(group),
            None => Err(problems.into_sorted().0),
        }
    }

    /// Returns the item of that key.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Item<'a>> {
        self.items.iter().find(|item| item.key.name == name)
    }

    /// Returns whether the key is written, or was and has been reported.
    #[must_use]
    pub fn mentions(&self, name: &str) -> bool {
        self.get(name).is_some() || self.dropped.contains(&name)
    }

    /// Returns the members of that keyed item or map; none where it is not written.
    #[must_use]
    pub fn members(&self, name: &str) -> &[Member<'a>] {
        match self.get(name).map(|item| &item.content) {
            Some(Content::Keyed(members) | Content::Map(members)) => members,
            _ => &[],
        }
    }

    /// Returns the group of that item.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<(&Item<'a>, &Self)> {
        let item = self.get(name)?;
        match &item.content {
            Content::Group(group) => Some((item, group)),
            _ => None,
        }
    }
}

impl<'a> Member<'a> {
    /// Returns the group of the member.
    #[must_use]
    pub fn group(&self) -> Option<&Group<'a>> {
        match &self.content {
            Content::Group(group) => Some(group),
            _ => None,
        }
    }
}
