//! A text as its nodes and everything that stands around them, each in its place.
//!
//! ```text
//! // lead              ┐
//! name 1 /* part */ {  │ // opening
//!     child            │ one node
//!     // end           │
//! } // tail            ┘
//! ```

mod builder;

use std::ops::Range;

use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::syntax::kdl::{Placed, Sink, read_with_asides};
use schema::sandboxfile::tree::{Scalar, Span};

use builder::Builder;

/// The nodes between two braces, or of a whole text.
#[derive(Debug, Default)]
pub(super) struct Block<'t> {
    /// A comment behind the opening brace.
    pub(super) opening: Option<&'t str>,
    /// Comments that belong to the block, not to its first node.
    pub(super) head: Vec<Remark<'t>>,
    /// Its nodes.
    pub(super) nodes: Vec<Node<'t>>,
    /// Comments after the last node.
    pub(super) end: Vec<Remark<'t>>,
    /// It was written on one line.
    pub(super) is_line: bool,
}

/// A node with its comments.
#[derive(Debug)]
pub(super) struct Node<'t> {
    /// Comments before it.
    pub(super) lead: Vec<Remark<'t>>,
    /// A blank line stands before its name.
    pub(super) blank: bool,
    /// Its name, as a value.
    pub(super) key: String,
    /// What it is made of.
    pub(super) body: Body<'t>,
    /// Comments behind it, on its last line.
    pub(super) tail: Vec<&'t str>,
    /// Its bytes, comments included.
    pub(super) place: Range<usize>,
}

/// What a node is made of.
#[derive(Debug)]
pub(super) enum Body<'t> {
    /// It is read.
    Said {
        /// Its name, as written.
        name: &'t str,
        /// Its arguments and properties, and what stands between them.
        parts: Vec<Part<'t>>,
        /// Its children.
        children: Option<Block<'t>>,
    },
    /// It is behind a slashdash; the text without it.
    Hidden(&'t str),
}

/// Something on the line of a node.
#[derive(Debug)]
pub(super) struct Part<'t> {
    /// What it is.
    pub(super) kind: PartKind<'t>,
    /// As it is written.
    pub(super) text: &'t str,
    /// The line was broken before it, behind a backslash.
    pub(super) is_broken: bool,
}

/// What stands on the line of a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PartKind<'t> {
    /// An argument.
    Argument,
    /// A property: name as a value, name and value as written.
    Property(String, &'t str, &'t str),
    /// A block comment, or something behind a slashdash.
    Aside,
    /// A comment to the end of the line, behind a backslash.
    LineComment,
}

/// A comment on a line of its own, or before a node on its line.
#[derive(Debug)]
pub(super) struct Remark<'t> {
    /// As it is written.
    pub(super) text: &'t str,
    /// A blank line stands before it.
    pub(super) blank: bool,
    /// Something follows on its line.
    pub(super) joins: bool,
}

/// Reads a text that is known to be KDL.
///
/// # Errors
/// It is none.
pub(super) fn outline(text: &str) -> Result<Block<'_>, Problem> {
    let mut tokens = Tokens { text, list: Vec::new() };
    let asides = read_with_asides(text, 0, &mut tokens)?;
    let mut builder = Builder::new(text);
    let mut asides = asides.into_iter().peekable();
    for token in tokens.list {
        while let Some(aside) = asides.next_if(|aside| (aside.span.start as usize) < token.at.start)
        {
            builder.aside(aside);
        }
        let end = token.at.end;
        builder.token(token);
        // A comment inside a property is part of its text.
        while asides.next_if(|aside| (aside.span.start as usize) < end).is_some() {}
    }
    asides.for_each(|aside| builder.aside(aside));
    Ok(builder.finish())
}

/// Something that the reader told, with its bytes.
struct Token<'t> {
    at: Range<usize>,
    kind: TokenKind<'t>,
}

enum TokenKind<'t> {
    Name(String),
    Argument,
    Property(String, &'t str, &'t str),
    Open,
    Close,
    End,
}

struct Tokens<'t> {
    text: &'t str,
    list: Vec<Token<'t>>,
}

impl<'t> Tokens<'t> {
    fn slice(&self, span: Span) -> &'t str {
        &self.text[span.start as usize..span.end as usize]
    }

    fn push(&mut self, start: u32, end: u32, kind: TokenKind<'t>) {
        self.list.push(Token { at: start as usize..end as usize, kind });
    }
}

/// Returns where a word begins, its annotation included.
fn first(annotation: Option<Placed<'_>>, span: Span) -> u32 {
    annotation.map_or(span.start, |(_, at)| at.start)
}

impl<'t> Sink<'t> for Tokens<'t> {
    fn node(&mut self, annotation: Option<Placed<'t>>, name: Placed<'t>) -> Result<(), Problem> {
        let (key, span) = name;
        let start = first(annotation, span);
        self.push(start, span.end, TokenKind::Name(key.into_owned()));
        Ok(())
    }

    fn argument(
        &mut self,
        annotation: Option<Placed<'t>>,
        value: Scalar<'t>,
    ) -> Result<(), Problem> {
        self.push(first(annotation, value.span), value.span.end, TokenKind::Argument);
        Ok(())
    }

    fn property(
        &mut self,
        (key, span): Placed<'t>,
        annotation: Option<Placed<'t>>,
        value: Scalar<'t>,
    ) -> Result<(), Problem> {
        let written = Span { start: first(annotation, value.span), ..value.span };
        let (name, value) = (self.slice(span), self.slice(written));
        let kind = TokenKind::Property(key.into_owned(), name, value);
        self.push(span.start, written.end, kind);
        Ok(())
    }

    fn open(&mut self, brace: Span) -> Result<(), Problem> {
        self.push(brace.start, brace.end, TokenKind::Open);
        Ok(())
    }

    fn close(&mut self, brace: Span) {
        self.push(brace.start, brace.end, TokenKind::Close);
    }

    fn end(&mut self, byte: u32) {
        self.push(byte, byte, TokenKind::End);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_in_a_text_has_its_place() {
        let text = "// head\n\n// of a\na 1 /* in */ x=2 { // open\n    b // tail\n\n    // end\n} // of \
                    a too\n/- c { d }\n";
        let block = outline(text).unwrap();
        assert_eq!(block.head[0].text, "// head");
        let a = &block.nodes[0];
        assert_eq!((a.key.as_str(), a.lead[0].text, a.blank), ("a", "// of a", false));
        assert_eq!(a.tail, ["// of a too"]);
        assert_eq!(&text[a.place.clone()], &text[text.find("// of a").unwrap()..a.place.end]);
        assert!(text[..a.place.end].ends_with("of a too"));
        let Body::Said { parts, children: Some(inner), .. } = &a.body else { panic!("{a:?}") };
        let kinds: Vec<&str> = parts.iter().map(|part| part.text).collect();
        assert_eq!(kinds, ["1", "/* in */", "x=2"]);
        assert_eq!(inner.opening, Some("// open"));
        assert_eq!(inner.nodes[0].tail, ["// tail"]);
        assert!(inner.end[0].blank && inner.end[0].text == "// end");
        let c = &block.nodes[1];
        assert!(matches!(c.body, Body::Hidden("c { d }")) && c.key == "c");
    }

    #[test]
    fn the_marker_of_the_version_stays_before_everything() {
        let block = outline("/- kdl-version 2\nsandbox \"a\" {}\n").unwrap();
        assert_eq!(block.head[0].text, "/- kdl-version 2");
        assert!(block.nodes[0].lead.is_empty());
    }
}
