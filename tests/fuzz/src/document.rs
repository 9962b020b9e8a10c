//! What a KDL document means, whoever read it: names and values, without places and spellings.

use std::collections::BTreeMap;

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::source::{Format, check_text};
use schema::sandboxfile::syntax::kdl::{Placed, Sink, read};
use schema::sandboxfile::tree::{Scalar, ScalarKind, Span};

/// A document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document(pub Vec<Meant>);

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meant {
    annotation: Option<String>,
    name: String,
    arguments: Vec<Typed>,
    properties: BTreeMap<String, Typed>,
    children: Vec<Self>,
}

type Typed = (Option<String>, Meaning);

/// A value as KDL means it, so that `0x10` equals `16`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    Text(String),
    True,
    False,
    Null,
    Whole(i128),
    /// By its bits, so that a number that is none equals itself.
    Real(u64),
    /// Wider than 128 bits.
    Wide(String),
}

impl Document {
    /// Returns whether a number is wider than what the package can hold.
    pub(crate) fn has_wide_numbers(&self) -> bool {
        let wide = |(_, meaning): &Typed| match meaning {
            Meaning::Wide(_) => true,
            Meaning::Real(bits) => f64::from_bits(*bits).is_infinite(),
            Meaning::Text(_) | Meaning::True | Meaning::False | Meaning::Null => false,
            Meaning::Whole(_) => false,
        };
        let mut left: Vec<&Meant> = self.0.iter().collect();
        while let Some(node) = left.pop() {
            if node.arguments.iter().chain(node.properties.values()).any(wide) {
                return true;
            }
            left.extend(&node.children);
        }
        false
    }

    /// Returns what the package read.
    pub(crate) fn of(theirs: &kdl::KdlDocument) -> Self {
        Self(theirs.nodes().iter().map(Meant::of).collect())
    }
}

impl Meant {
    /// Children are read in turn; the guard keeps them few levels deep.
    fn of(node: &kdl::KdlNode) -> Self {
        let annotation = node.ty().map(|ty| ty.value().to_owned());
        let mut meant =
            Self { annotation, name: node.name().value().to_owned(), ..Self::default() };
        for entry in node.entries() {
            let ty = entry.ty().map(|ty| ty.value().to_owned());
            let typed = (ty, Meaning::of(entry.value()));
            match entry.name() {
                None => meant.arguments.push(typed),
                Some(name) => drop(meant.properties.insert(name.value().to_owned(), typed)),
            }
        }
        let children = node.children().map(kdl::KdlDocument::nodes).unwrap_or_default();
        meant.children = children.iter().map(Self::of).collect();
        meant
    }
}

impl Meaning {
    fn of(value: &kdl::KdlValue) -> Self {
        match value {
            kdl::KdlValue::String(text) => Self::Text(text.clone()),
            kdl::KdlValue::Integer(number) => Self::Whole(*number),
            kdl::KdlValue::Float(number) => Self::real(*number),
            kdl::KdlValue::Bool(true) => Self::True,
            kdl::KdlValue::Bool(false) => Self::False,
            kdl::KdlValue::Null => Self::Null,
        }
    }

    fn of_ours(value: &Scalar<'_>) -> Self {
        match value.kind {
            ScalarKind::Quoted | ScalarKind::Word => Self::Text(value.text.to_string()),
            ScalarKind::True => Self::True,
            ScalarKind::False => Self::False,
            ScalarKind::Null => Self::Null,
            ScalarKind::Number => Self::number(&value.text.replace('_', "")),
            ScalarKind::Nothing => panic!("KDL has no value that is not written: {value:?}"),
        }
    }

    fn number(text: &str) -> Self {
        match text {
            "#inf" => return Self::real(f64::INFINITY),
            "#-inf" => return Self::real(f64::NEG_INFINITY),
            "#nan" => return Self::real(f64::NAN),
            _ => {}
        }
        let (sign, digits) = match text.as_bytes() {
            [b'-', ..] => ("-", &text[1..]),
            [b'+', ..] => ("", &text[1..]),
            _ => ("", text),
        };
        let (radix, digits) = match digits.get(..2) {
            Some("0x") => (16, &digits[2..]),
            Some("0o") => (8, &digits[2..]),
            Some("0b") => (2, &digits[2..]),
            _ => (10, digits),
        };
        if radix == 10 && digits.contains(['.', 'e', 'E']) {
            return Self::real(text.parse().expect("a decimal number of KDL is one of Rust"));
        }
        i128::from_str_radix(&format!("{sign}{digits}"), radix)
            .map_or_else(|_| Self::Wide(text.to_owned()), Self::Whole)
    }

    fn real(number: f64) -> Self {
        Self::Real(if number.is_nan() { f64::NAN.to_bits() } else { number.to_bits() })
    }
}

/// Reads bytes with our reader.
///
/// # Errors
/// What the reader refuses, or the text before it.
pub fn ours(bytes: &[u8]) -> Result<Document, Box<Problem>> {
    let text = check_text(bytes, Format::Kdl, 0, &Limits::default()).map_err(|failed| failed.1)?;
    let mut collector = Collector::default();
    read(&text, 0, &mut collector)?;
    assert!(collector.open.is_empty(), "a node never ends");
    Ok(Document(collector.done))
}

#[derive(Default)]
struct Collector {
    open: Vec<Meant>,
    done: Vec<Meant>,
}

impl Collector {
    fn top(&mut self) -> &mut Meant {
        self.open.last_mut().expect("a node is told before what is its own")
    }
}

fn annotation(placed: Option<Placed<'_>>) -> Option<String> {
    placed.map(|(text, _)| text.into_owned())
}

impl<'a> Sink<'a> for Collector {
    fn node(&mut self, ty: Option<Placed<'a>>, name: Placed<'a>) -> Result<(), Problem> {
        let name = name.0.into_owned();
        self.open.push(Meant { annotation: annotation(ty), name, ..Meant::default() });
        Ok(())
    }

    fn argument(&mut self, ty: Option<Placed<'a>>, value: Scalar<'a>) -> Result<(), Problem> {
        self.top().arguments.push((annotation(ty), Meaning::of_ours(&value)));
        Ok(())
    }

    fn property(
        &mut self,
        name: Placed<'a>,
        ty: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem> {
        let typed = (annotation(ty), Meaning::of_ours(&value));
        self.top().properties.insert(name.0.into_owned(), typed);
        Ok(())
    }

    fn open(&mut self, _brace: Span) -> Result<(), Problem> {
        Ok(())
    }

    fn close(&mut self, _brace: Span) {}

    fn end(&mut self, _byte: u32) {
        let node = self.open.pop().expect("what ends has begun");
        match self.open.last_mut() {
            Some(parent) => parent.children.push(node),
            None => self.done.push(node),
        }
    }
}
