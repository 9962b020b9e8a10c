//! The tree that both formats fill: keys, scalars and fields, each with its place.

use std::borrow::Cow;

/// A stretch of one file, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// Which file, by its order of reading.
    pub file: u16,
    /// The first byte.
    pub start: u32,
    /// The byte after the last.
    pub end: u32,
}

impl Span {
    /// The place of what no file holds.
    pub const NOWHERE: Self = Self { file: u16::MAX, start: 0, end: 0 };

    /// Returns the span from the start of `self` to the end of `other`.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self { end: other.end.max(self.start), ..self }
    }
}

/// One value as it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Scalar<'a> {
    /// The value of a string; the source text of anything else.
    pub text: Cow<'a, str>,
    /// How it looks.
    pub kind: ScalarKind,
    /// Where it stands, quotes included.
    pub span: Span,
    /// The text as it was written, where variables have been put in since.
    pub written: Option<Cow<'a, str>>,
}

impl<'a> Scalar<'a> {
    /// Returns a value as it was written.
    #[must_use]
    pub const fn new(text: Cow<'a, str>, kind: ScalarKind, span: Span) -> Self {
        Self { text, kind, span, written: None }
    }

    /// Returns the text that messages may show: as it was written, never what a variable holds.
    #[must_use]
    pub fn told(&self) -> &str {
        self.written.as_deref().unwrap_or(&self.text)
    }

    /// Returns text that no file holds.
    #[must_use]
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::new(text.into(), ScalarKind::Quoted, Span::NOWHERE)
    }

    /// Returns a number that no file holds.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::new(Cow::Owned(number.to_string()), ScalarKind::Number, Span::NOWHERE)
    }

    /// Returns yes or no, as no file holds it.
    #[must_use]
    pub const fn boolean(yes: bool) -> Self {
        let (text, kind) =
            if yes { ("true", ScalarKind::True) } else { ("false", ScalarKind::False) };
        Self::new(Cow::Borrowed(text), kind, Span::NOWHERE)
    }

    /// Returns none, as no file holds it.
    #[must_use]
    pub const fn null() -> Self {
        Self::new(Cow::Borrowed("null"), ScalarKind::Null, Span::NOWHERE)
    }
}

/// How a value looks. What it means is decided by its key, never by its looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScalarKind {
    /// In quotes, or in a YAML block scalar.
    Quoted,
    /// A word without quotes, in YAML any plain text that is nothing below.
    Word,
    /// A number, by its source text.
    Number,
    /// The keyword for yes.
    True,
    /// The keyword for no.
    False,
    /// The keyword for none, written out.
    Null,
    /// Nothing at all where YAML expects a value.
    Nothing,
}

/// A key with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry<'a> {
    /// The key; empty for an element of a YAML list that is itself a map or list.
    pub key: Cow<'a, str>,
    /// Where the key stands.
    pub key_span: Span,
    /// The whole entry.
    pub span: Span,
    /// Its scalars.
    pub items: Vec<Scalar<'a>>,
    /// Its fields.
    pub fields: Vec<Self>,
    /// What it was in its format.
    pub origin: Origin,
}

impl<'a> Entry<'a> {
    /// Returns a node that no file holds: a line, or a block once it has fields.
    #[must_use]
    pub fn node(key: impl Into<Cow<'a, str>>) -> Self {
        Self {
            key: key.into(),
            key_span: Span::NOWHERE,
            span: Span::NOWHERE,
            items: Vec::new(),
            fields: Vec::new(),
            origin: Origin::Node,
        }
    }

    /// Returns the entry with one more scalar.
    #[must_use]
    pub fn with(mut self, item: Scalar<'a>) -> Self {
        self.items.push(item);
        self
    }

    /// Returns the entry with one more property on its line.
    #[must_use]
    pub fn property(mut self, key: impl Into<Cow<'a, str>>, value: Scalar<'a>) -> Self {
        self.fields.push(Self { origin: Origin::Property, ..Self::node(key).with(value) });
        self
    }

    /// Returns the entry with one more line in its braces.
    #[must_use]
    pub fn line(mut self, field: Self) -> Self {
        self.origin = Origin::Block;
        self.fields.push(field);
        self
    }
}

/// What an entry was in its format; the rules T5 and T6 alone ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A KDL property: `max=2`.
    Property,
    /// A KDL node without braces.
    Node,
    /// A KDL node with braces.
    Block,
    /// A YAML key with one scalar.
    YamlScalar,
    /// A YAML key with a list, or a list in a list.
    YamlList,
    /// A YAML key with a map, or a map in a list.
    YamlMap,
}

impl Origin {
    /// Returns whether the entry was read from YAML.
    #[must_use]
    pub const fn is_yaml(self) -> bool {
        match self {
            Self::YamlScalar | Self::YamlList | Self::YamlMap => true,
            Self::Property | Self::Node | Self::Block => false,
        }
    }
}

/// What one file says.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree<'a> {
    /// Its top-level entries, in the order they were written.
    pub entries: Vec<Entry<'a>>,
}
