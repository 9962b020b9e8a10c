//! Which keys belong where, as the table of keys has them: their order, and the order of properties.

use schema::sandboxfile::keys::{self, Body, Key, Shape, TOP};
use schema::sandboxfile::print::rank;

/// What the nodes of a block are.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// Keys of the language.
    Keys(&'static [Key]),
    /// Entries with free names, or rows by tags; each is of that shape.
    Each(&'static Shape),
    /// Nothing that the table knows.
    Unknown,
}

impl Place {
    /// The top of a file.
    pub(super) const TOP: Self = Self::Keys(TOP);

    /// Returns the rank of a key here; `None` where it has none.
    pub(super) fn rank(self, name: &str) -> Option<usize> {
        match self {
            Self::Keys(keys) => rank(keys, name),
            Self::Each(_) | Self::Unknown => None,
        }
    }

    /// Returns the properties that a node here may have, and what its children are.
    pub(super) fn inside(self, name: &str) -> (&'static [Key], Self) {
        match self {
            Self::Keys(keys) => {
                keys::find(keys, name, false).map_or((&[], Self::Unknown), |key| of(&key.shape))
            }
            Self::Each(shape) => match shape {
                Shape::Tagged { attributes, .. } => (attributes, Self::Unknown),
                _ => of(shape),
            },
            Self::Unknown => (&[], Self::Unknown),
        }
    }
}

fn of(shape: &'static Shape) -> (&'static [Key], Place) {
    match shape {
        Shape::Line { attributes: keys, .. }
        | Shape::Keyed { body: Body::Line, keys, .. }
        | Shape::Rows(keys) => (keys, Place::Unknown),
        Shape::Block { keys, .. } | Shape::Keyed { body: Body::Block, keys, .. } => {
            (&[], Place::Keys(keys))
        }
        Shape::Map { value, .. } => (&[], Place::Each(value)),
        Shape::Tagged { .. } => (&[], Place::Each(shape)),
        Shape::Scalar(_) | Shape::List(_) => (&[], Place::Unknown),
    }
}
