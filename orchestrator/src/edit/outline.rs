//! A text as its nodes and everything that stands around them, each in its place.
//!
//! ```text
//! // lead              ┐
//! name 1 /* part */ {  │ // opening
//!     child            │ one node
//!     // end           │
//! } // tail            ┘
//! ```

use std::ops::Range;

use schema::sandboxfile::problem::Problem;
use schema::sandboxfile::syntax::kdl::{Aside, AsideKind, Placed, Sink, read_with_asides};
use schema::sandboxfile::tree::{Scalar, Span};

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

/// A block that is being read, and the node that waits in it for its end.
#[derive(Default)]
struct Open<'t> {
    block: Block<'t>,
    node: Option<Node<'t>>,
    /// Comments that wait for what follows.
    pending: Vec<Remark<'t>>,
    start: usize,
}

struct Builder<'t> {
    text: &'t str,
    open: Vec<Open<'t>>,
    /// Where the last thing ended.
    last: usize,
}

impl<'t> Builder<'t> {
    fn new(text: &'t str) -> Self {
        let start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, open: vec![Open { start, ..Open::default() }], last: start }
    }

    fn top(&mut self) -> &mut Open<'t> {
        self.open.last_mut().expect("the block of the whole text is never closed")
    }

    /// Returns how many lines end between the last thing and `start`.
    fn lines_before(&self, start: usize) -> usize {
        let gap = self.text.get(self.last..start).unwrap_or_default();
        gap.bytes().filter(|byte| *byte == b'\n').count()
    }

    fn token(&mut self, token: Token<'t>) {
        let Range { start, end } = token.at;
        let text = &self.text[start..end];
        match token.kind {
            TokenKind::Name(key) => {
                let body = Body::Said { name: text, parts: Vec::new(), children: None };
                let node = self.begin(start..end, key, body);
                self.top().node = Some(node);
            }
            TokenKind::Argument => self.part(PartKind::Argument, start, end),
            TokenKind::Property(key, name, value) => {
                self.part(PartKind::Property(key, name, value), start, end);
            }
            TokenKind::Open => self.open.push(Open { start, ..Open::default() }),
            TokenKind::Close => {
                let block = self.close(end);
                if let Some(Node { body: Body::Said { children, .. }, .. }) = &mut self.top().node {
                    *children = Some(block);
                }
            }
            TokenKind::End => {
                let end = self.text[..end].trim_end_matches([' ', '\t']).len().max(self.last);
                let top = self.top();
                if let Some(mut node) = top.node.take() {
                    node.place.end = end;
                    settle(&mut node);
                    top.block.nodes.push(node);
                }
                self.last = end;
                return;
            }
        }
        self.last = end;
    }

    /// Makes a node of what waited for it.
    fn begin(&mut self, at: Range<usize>, key: String, body: Body<'t>) -> Node<'t> {
        let lines = self.lines_before(at.start);
        let top = self.top();
        let mut lead = std::mem::take(&mut top.pending);
        if let Some(last) = lead.last_mut() {
            last.joins = lines == 0;
        }
        let blank = lines > 1;
        if top.block.nodes.is_empty() {
            // What a blank line sets apart from the first node belongs to the block.
            let apart = (1..lead.len()).rev().find(|at| lead[*at].blank);
            let apart = if blank { lead.len() } else { apart.unwrap_or(0) };
            top.block.head.extend(lead.drain(..apart));
        }
        let start = lead.first().map_or(at.start, |remark| self.offset(remark.text));
        Node { lead, blank, key, body, tail: Vec::new(), place: start..at.end }
    }

    fn offset(&self, part: &str) -> usize {
        part.as_ptr().addr() - self.text.as_ptr().addr()
    }

    fn part(&mut self, kind: PartKind<'t>, start: usize, end: usize) {
        let is_broken = self.lines_before(start) > 0;
        let text = &self.text[start..end];
        if let Some(Node { body: Body::Said { parts, .. }, .. }) = &mut self.top().node {
            parts.push(Part { kind, text, is_broken });
        }
    }

    fn aside(&mut self, aside: Aside) {
        let (start, end) = (aside.span.start as usize, aside.span.end as usize);
        let text = self.text[start..end].trim_end_matches([' ', '\t', '\r']);
        let end = start + text.len();
        let lines = self.lines_before(start);
        if self.top().node.is_some() {
            self.in_node(aside.kind, start, end);
        } else if aside.kind == AsideKind::HiddenNode {
            self.hidden(text, start, end);
        } else if lines == 0 && self.is_behind_brace() && aside.kind == AsideKind::LineComment {
            self.top().block.opening = Some(text);
        } else if lines == 0 && self.top().pending.is_empty() && !self.top().block.nodes.is_empty()
        {
            let node = self.top().block.nodes.last_mut().expect("there is one");
            node.tail.push(text);
            node.place.end = end;
        } else {
            let remark = Remark { text, blank: lines > 1, joins: false };
            let top = self.top();
            if let Some(last) = top.pending.last_mut() {
                last.joins = lines == 0;
            }
            top.pending.push(remark);
        }
        self.last = end;
    }

    fn is_behind_brace(&self) -> bool {
        let top = self.open.last();
        let empty = top.is_some_and(|top| top.block.nodes.is_empty() && top.pending.is_empty());
        self.open.len() > 1 && empty
    }

    /// Takes something that stands between the name of a node and its end.
    fn in_node(&mut self, kind: AsideKind, start: usize, end: usize) {
        let text = &self.text[start..end];
        let has_children = match &mut self.top().node {
            Some(Node { body: Body::Said { children, .. }, tail, .. }) if children.is_some() => {
                tail.push(text);
                true
            }
            Some(_) | None => false,
        };
        if !has_children {
            let kind = match kind {
                AsideKind::LineComment => PartKind::LineComment,
                AsideKind::BlockComment | AsideKind::HiddenNode | AsideKind::HiddenEntry => {
                    PartKind::Aside
                }
            };
            self.part(kind, start, end);
        }
    }

    fn hidden(&mut self, text: &'t str, start: usize, end: usize) {
        let victim = text[2..].trim_start();
        let key = outline(victim).ok().and_then(|block| {
            let mut nodes = block.nodes.into_iter();
            nodes.next().map(|node| node.key).filter(|_| nodes.next().is_none())
        });
        let key = key.unwrap_or_default();
        let first = self.open.len() == 1 && self.top().block.nodes.is_empty();
        if first && key == "kdl-version" {
            // The marker stays where it is: before everything.
            let blank = self.lines_before(start) > 1;
            let top = self.top();
            let pending = std::mem::take(&mut top.pending);
            top.block.head.extend(pending);
            top.block.head.push(Remark { text, blank, joins: false });
            return;
        }
        let node = self.begin(start..end, key, Body::Hidden(victim));
        self.top().block.nodes.push(node);
    }

    fn close(&mut self, end: usize) -> Block<'t> {
        let text = self.text;
        let Some(Open { mut block, pending, start, .. }) = self.open.pop() else {
            return Block::default();
        };
        block.end = pending;
        block.is_line = !text[start..end].contains('\n');
        block
    }

    fn finish(mut self) -> Block<'t> {
        let end = self.text.len();
        self.close(end)
    }
}

/// A comment behind the last backslash of a line is a comment behind the node.
fn settle(node: &mut Node<'_>) {
    if let Body::Said { parts, children: None, .. } = &mut node.body
        && let Some(last) = parts.pop_if(|part| part.kind == PartKind::LineComment)
    {
        node.tail.insert(0, last.text);
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
