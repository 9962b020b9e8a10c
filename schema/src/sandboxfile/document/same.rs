//! Whether two documents say the same, wherever and however it was written.

use super::{Content, Group, Item, Member};
use crate::sandboxfile::tree::{Scalar, ScalarKind};

impl Group<'_> {
    /// Returns whether both say the same: places, looks of values and the order of keys aside.
    #[must_use]
    pub fn says_the_same(&self, other: &Group<'_>) -> bool {
        let (ours, theirs) = (said(&self.items), said(&other.items));
        same_value(self.principal.as_ref(), other.principal.as_ref())
            && ours.len() == theirs.len()
            && ours.iter().all(|item| {
                let twin = theirs.iter().find(|twin| twin.key.name == item.key.name);
                twin.is_some_and(|twin| same_content(&item.content, &twin.content))
            })
    }
}

/// Returns the items that say something; an empty map of definitions does not.
fn said<'g, 'a>(items: &'g [Item<'a>]) -> Vec<&'g Item<'a>> {
    let speaks = |item: &&Item<'_>| match &item.content {
        Content::Keyed(members) => !members.is_empty(),
        Content::Rows(rows) => !rows.is_empty(),
        _ => true,
    };
    items.iter().filter(speaks).collect()
}

fn same_content(one: &Content<'_>, other: &Content<'_>) -> bool {
    match (one, other) {
        (Content::Scalar(one), Content::Scalar(other)) => same_scalar(one, other),
        (Content::List(ones), Content::List(others)) => all(ones, others, same_scalar),
        (Content::Null(_), Content::Null(_)) => true,
        (Content::Group(one), Content::Group(other)) => one.says_the_same(other),
        (Content::Rows(ones), Content::Rows(others)) => {
            all(ones, others, |one, other| one.says_the_same(other))
        }
        (Content::Map(ones), Content::Map(others))
        | (Content::Keyed(ones), Content::Keyed(others))
        | (Content::Tagged(ones), Content::Tagged(others)) => all(ones, others, same_member),
        _ => false,
    }
}

fn same_member(one: &Member<'_>, other: &Member<'_>) -> bool {
    one.name == other.name && same_content(&one.content, &other.content)
}

fn all<T, U>(ones: &[T], others: &[U], same: impl Fn(&T, &U) -> bool) -> bool {
    ones.len() == others.len() && ones.iter().zip(others).all(|(one, other)| same(one, other))
}

fn same_value(one: Option<&Scalar<'_>>, other: Option<&Scalar<'_>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => same_scalar(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// A value is typed by its key, so only its text counts; keywords are none.
fn same_scalar(one: &Scalar<'_>, other: &Scalar<'_>) -> bool {
    match (keyword(one.kind), keyword(other.kind)) {
        (None, None) => one.text == other.text,
        (one, other) => one == other,
    }
}

const fn keyword(kind: ScalarKind) -> Option<&'static str> {
    match kind {
        ScalarKind::Quoted | ScalarKind::Word | ScalarKind::Number => None,
        ScalarKind::True => Some("true"),
        ScalarKind::False => Some("false"),
        ScalarKind::Null | ScalarKind::Nothing => Some("null"),
    }
}
