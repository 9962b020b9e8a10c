//! Our reader of KDL 2: one pass, no recursion, a stack of at most `depth` frames.
//!
//! ```text
//! nodes ──name──▶ entries ──`{`──▶ nodes (one frame more)
//!   ▲ │ `}`          │ line end, `;`, `}` or end of file
//!   │ └─▶ entries of the node that opened the braces, where only braces may follow
//!   └────────────────┘
//! ```
//!
//! What is behind a slashdash is read like anything else, and told to nobody.

mod again;
mod aside;
mod blanks;
mod characters;
mod hint;
pub(in crate::sandboxfile) mod number;
mod string;

use std::borrow::Cow;

pub use self::again::wrong_on_line;
pub use self::aside::{Aside, AsideKind, read_with_asides};
use self::characters::{blank, newline};
use self::string::StringError;
use crate::sandboxfile::limits::Limits;
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::source::saturate;
use crate::sandboxfile::tree::{Scalar, ScalarKind, Span};

/// A text with its place.
pub type Placed<'a> = (Cow<'a, str>, Span);

/// What is told what the reader found, in the order of the file.
pub trait Sink<'a> {
    /// A node begins.
    ///
    /// # Errors
    /// A problem ends the reading, as from each of these.
    fn node(&mut self, annotation: Option<Placed<'a>>, name: Placed<'a>) -> Result<(), Problem>;
    /// The node has an argument.
    ///
    /// # Errors
    /// A problem ends the reading.
    fn argument(
        &mut self,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem>;
    /// The node has a property.
    ///
    /// # Errors
    /// A problem ends the reading.
    fn property(
        &mut self,
        name: Placed<'a>,
        annotation: Option<Placed<'a>>,
        value: Scalar<'a>,
    ) -> Result<(), Problem>;
    /// The node has children; they follow.
    ///
    /// # Errors
    /// A problem ends the reading.
    fn open(&mut self, brace: Span) -> Result<(), Problem>;
    /// The children end with this brace.
    fn close(&mut self, brace: Span);
    /// The node ends before this byte.
    fn end(&mut self, byte: u32);
}

/// Reads `text`, which is file number `file`, and tells `sink` what it says.
///
/// # Errors
/// The first thing that is not KDL 2, or what `sink` refused.
pub fn read<'a>(text: &'a str, file: u16, sink: &mut impl Sink<'a>) -> Result<(), Problem> {
    Reader::begin(text, file)?.document(sink)
}

/// A node whose entries are being read.
#[derive(Clone, Copy)]
struct Node {
    /// It, or something around it, is behind a slashdash.
    muted: bool,
    /// Its own slashdash.
    slashdash: Option<usize>,
    /// Which braces were seen.
    braces: Braces,
}

/// Which braces a node has had so far.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Braces {
    /// None.
    None,
    /// Only some behind a slashdash; entries may no longer follow.
    Hidden,
    /// Its children; no others may follow.
    Children,
}

/// Braces that are open, and the node they belong to.
struct Frame {
    brace: Span,
    muted: bool,
    /// Their own slashdash.
    slashdash: Option<usize>,
    node: Node,
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    file: u16,
    frames: Vec<Frame>,
    /// What is no part of what the text says, where somebody wants to know.
    asides: Option<Vec<Aside>>,
}

/// A value, or a word that may turn out to be the name of a property.
enum Token<'a> {
    Text(Placed<'a>, ScalarKind),
    Value(Scalar<'a>),
}

impl<'a> Reader<'a> {
    fn begin(text: &'a str, file: u16) -> Result<Self, Problem> {
        let at = if text.starts_with('\u{feff}') { 3 } else { 0 };
        hint::version(text, at, file)?;
        Ok(Self { text, bytes: text.as_bytes(), at, file, frames: Vec::new(), asides: None })
    }

    fn document(&mut self, sink: &mut impl Sink<'a>) -> Result<(), Problem> {
        loop {
            self.skip_lines()?;
            let outer = self.frames.last().is_some_and(|frame| frame.muted);
            let node = match self.peek() {
                None => return self.finish(),
                Some(b'}') => self.close(sink)?,
                Some(_) => Some(self.name(outer, sink)?),
            };
            if let Some(node) = node {
                self.entries(node, sink)?;
            }
        }
    }

    fn finish(&self) -> Result<(), Problem> {
        let Some(frame) = self.frames.last() else { return Ok(()) };
        let end = self.span(self.bytes.len(), self.bytes.len());
        let message = "the file ends inside braces";
        Err(Problem::error(Code::SYNTAX_KDL, message, end)
            .related(frame.brace, "these were opened here")
            .help("write } where the block ends"))
    }

    /// Ends the children of a node, and returns the node.
    fn close(&mut self, sink: &mut impl Sink<'a>) -> Result<Option<Node>, Problem> {
        let brace = self.span(self.at, self.at + 1);
        let Some(frame) = self.frames.pop() else {
            let message = "`}` closes nothing";
            return Err(Problem::error(Code::SYNTAX_KDL, message, brace).help("delete it"));
        };
        self.at += 1;
        if let Some(start) = frame.slashdash {
            self.aside(AsideKind::HiddenEntry, start, self.at);
        }
        if !frame.muted {
            sink.close(brace);
        }
        Ok(Some(frame.node))
    }

    fn name(&mut self, outer: bool, sink: &mut impl Sink<'a>) -> Result<Node, Problem> {
        let slashdash = self.slashdash()?;
        let annotation = self.annotation()?;
        let start = self.at;
        let muted = outer || slashdash.is_some();
        let node = Node { muted, slashdash, braces: Braces::None };
        match self.token("the name of a node")? {
            Token::Text(name, _) if node.muted => drop(name),
            Token::Text(name, _) => sink.node(annotation, name)?,
            Token::Value(value) => return Err(hint::value_as_name(&value)),
        }
        self.check_gap(start)?;
        Ok(node)
    }

    /// Reads what follows a name, up to the end of the node or into its children.
    fn entries(&mut self, node: Node, sink: &mut impl Sink<'a>) -> Result<(), Problem> {
        let mut gap = false;
        loop {
            gap |= self.skip_blanks()?;
            let start = self.at;
            match self.peek() {
                None | Some(b';' | b'}') => return self.end(node, start, sink),
                Some(b'/') if self.starts_with("//") => return self.end(node, start, sink),
                Some(_) if newline(&self.bytes[start..]) > 0 => return self.end(node, start, sink),
                Some(b'{') => return self.open(node, None, sink),
                Some(_) => {}
            }
            if !gap {
                return Err(hint::no_gap(self.text, start, self.file));
            }
            let slashdash = self.slashdash()?;
            if self.peek() == Some(b'{') {
                return self.open(node, slashdash, sink);
            }
            if node.braces != Braces::None {
                let message = "nothing but braces can follow braces on a line";
                return Err(self.error(message, "end the line, or write a semicolon"));
            }
            gap = self.entry(node, slashdash, sink)?;
        }
    }

    /// Reads one argument or property; returns whether blanks were skipped behind it.
    fn entry(
        &mut self,
        node: Node,
        slashdash: Option<usize>,
        sink: &mut impl Sink<'a>,
    ) -> Result<bool, Problem> {
        let muted = node.muted || slashdash.is_some();
        let start = self.at;
        let annotation = self.annotation()?;
        let token = self.token("a value")?;
        self.check_gap(start)?;
        let end = self.at;
        let gap = self.skip_blanks()?;
        if self.peek() != Some(b'=') {
            if let Some(start) = slashdash {
                self.aside(AsideKind::HiddenEntry, start, end);
            }
            if !muted {
                sink.argument(annotation, token.into_scalar())?;
            }
            return Ok(gap);
        }
        let name = match (token, annotation) {
            (Token::Text(name, _), None) => name,
            (Token::Text(..), Some((_, at))) => return Err(hint::annotated_property(at)),
            (Token::Value(value), _) => return Err(hint::value_as_name(&value)),
        };
        self.at += 1;
        self.skip_blanks()?;
        let start = self.at;
        let annotation = self.annotation()?;
        let value = self.token("a value after `=`")?.into_scalar();
        self.check_gap(start)?;
        if let Some(start) = slashdash {
            self.aside(AsideKind::HiddenEntry, start, self.at);
        }
        if !muted {
            sink.property(name, annotation, value)?;
        }
        Ok(false)
    }

    /// Enters the braces at the cursor.
    fn open(
        &mut self,
        mut node: Node,
        slashdash: Option<usize>,
        sink: &mut impl Sink<'a>,
    ) -> Result<(), Problem> {
        let hidden = slashdash.is_some();
        let brace = self.span(self.at, self.at + 1);
        if node.braces == Braces::Children && !hidden {
            let message = "a node has one block of children";
            return Err(Problem::error(Code::SYNTAX_KDL, message, brace).help("join the two"));
        }
        if self.frames.len() >= Limits::DEPTH {
            let message = format!("more than {} braces are open here", Limits::DEPTH);
            return Err(Problem::error(Code::LIMIT_DEPTH, message, brace)
                .help("a file this deep is refused"));
        }
        node.braces = match node.braces {
            Braces::None | Braces::Hidden if hidden => Braces::Hidden,
            Braces::None | Braces::Hidden | Braces::Children => Braces::Children,
        };
        let muted = node.muted || hidden;
        if !muted {
            sink.open(brace)?;
        }
        self.frames.push(Frame { brace, muted, slashdash, node });
        self.at += 1;
        Ok(())
    }

    /// Ends a node, and takes what ended it unless that is a brace.
    fn end(&mut self, node: Node, at: usize, sink: &mut impl Sink<'a>) -> Result<(), Problem> {
        if let Some(start) = node.slashdash {
            let end = self.text[..at].trim_end_matches([' ', '\t']).len();
            self.aside(AsideKind::HiddenNode, start, end);
        }
        if !node.muted {
            sink.end(saturate(at));
        }
        if self.peek() == Some(b';') {
            self.at += 1;
        }
        Ok(())
    }

    /// Takes a slashdash and what may stand between it and its victim.
    fn slashdash(&mut self) -> Result<Option<usize>, Problem> {
        if !self.starts_with("/-") {
            return Ok(None);
        }
        let start = self.at;
        let mark = self.span(self.at, self.at + 2);
        self.at += 2;
        self.skip_lines()?;
        if matches!(self.peek(), None | Some(b'}' | b';')) {
            let message = "`/-` has nothing behind it to take out";
            return Err(Problem::error(Code::SYNTAX_KDL, message, mark).help("delete it"));
        }
        Ok(Some(start))
    }

    fn annotation(&mut self) -> Result<Option<Placed<'a>>, Problem> {
        if self.peek() != Some(b'(') {
            return Ok(None);
        }
        let start = self.at;
        self.at += 1;
        self.skip_blanks()?;
        let Token::Text((name, _), _) = self.token("the name of a type")? else {
            return Err(self.error("a type is a word", "delete it; msb has no types"));
        };
        self.skip_blanks()?;
        if self.peek() != Some(b')') {
            let open = self.span(start, start + 1);
            let problem = self.error("a type ends with `)`", "delete it; msb has no types");
            return Err(problem.related(open, "it begins here"));
        }
        self.at += 1;
        let span = self.span(start, self.at);
        self.skip_blanks()?;
        Ok(Some((name, span)))
    }

    fn token(&mut self, wanted: &str) -> Result<Token<'a>, Problem> {
        let (text, start) = (self.text, self.at);
        match self.bytes.get(start..).unwrap_or_default() {
            [b'"', ..] => {
                let read = string::quoted(text, start);
                self.string(start, read)
            }
            [b'#', b'"' | b'#', ..] => {
                let marks = self.bytes[start..].iter().take_while(|b| **b == b'#').count();
                if self.bytes.get(start + marks) != Some(&b'"') {
                    let message = "after `#` comes a keyword or text in quotes";
                    let help = "write #true, #false, #null, or #\"…\"#; comments begin with //";
                    return Err(self.error(message, help));
                }
                let read = string::raw(text, start);
                self.string(start, read)
            }
            [b'#', ..] => self.keyword(),
            [b'0'..=b'9', ..] | [b'+' | b'-', b'0'..=b'9', ..] => self.number(),
            _ => self.word(wanted),
        }
    }

    fn string(
        &mut self,
        start: usize,
        read: Result<(Cow<'a, str>, usize), StringError>,
    ) -> Result<Token<'a>, Problem> {
        let (value, end) =
            read.map_err(|error| hint::string(&error, self.text, start, self.file))?;
        self.at = end;
        Ok(Token::Text((value, self.span(start, end)), ScalarKind::Quoted))
    }

    fn keyword(&mut self) -> Result<Token<'a>, Problem> {
        let start = self.at;
        let end = start + 1 + characters::word(&self.bytes[start + 1..]);
        let text = &self.text[start..end];
        let kind = match text {
            "#true" => ScalarKind::True,
            "#false" => ScalarKind::False,
            "#null" => ScalarKind::Null,
            "#inf" | "#-inf" | "#nan" => ScalarKind::Number,
            _ => return Err(hint::keyword(text, self.span(start, end))),
        };
        self.at = end;
        Ok(Token::Value(Scalar::new(Cow::Borrowed(text), kind, self.span(start, end))))
    }

    fn number(&mut self) -> Result<Token<'a>, Problem> {
        let start = self.at;
        let end = start + characters::word(&self.bytes[start..]);
        let text = &self.text[start..end];
        if !number::is_number(text) {
            return Err(hint::needs_quotes(self.text, start, self.file));
        }
        self.at = end;
        let span = self.span(start, end);
        Ok(Token::Value(Scalar::new(Cow::Borrowed(text), ScalarKind::Number, span)))
    }

    fn word(&mut self, wanted: &str) -> Result<Token<'a>, Problem> {
        let start = self.at;
        let end = start + characters::word(&self.bytes[start..]);
        let text = &self.text[start..end];
        if let Some(problem) = hint::word(self.text, start, end, self.file) {
            return Err(problem);
        }
        if text.is_empty() {
            return Err(hint::unexpected(self.text, start, self.file, wanted));
        }
        self.at = end;
        Ok(Token::Text((Cow::Borrowed(text), self.span(start, end)), ScalarKind::Word))
    }

    /// Refuses a token that runs into the next one; `start` is where it began.
    fn check_gap(&self, start: usize) -> Result<(), Problem> {
        let rest = &self.bytes[self.at..];
        let fine = match rest.first() {
            None | Some(b' ' | b';' | b'{' | b'}' | b'=' | b'\\') => true,
            Some(b'/') => matches!(rest.get(1), Some(b'/' | b'*')),
            Some(_) => newline(rest) + blank(rest) > 0,
        };
        if fine { Ok(()) } else { Err(hint::runs_on(self.text, start, self.at, self.file)) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.bytes[self.at..].starts_with(prefix.as_bytes())
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: saturate(start), end: saturate(end) }
    }

    fn error(&self, message: &str, help: &str) -> Problem {
        let end = self.at + self.peek().map_or(0, characters::width);
        let here = self.span(self.at, end.min(self.bytes.len()));
        Problem::error(Code::SYNTAX_KDL, message, here).help(help)
    }
}

impl<'a> Token<'a> {
    fn into_scalar(self) -> Scalar<'a> {
        match self {
            Self::Text((text, span), kind) => Scalar::new(text, kind, span),
            Self::Value(value) => value,
        }
    }
}

#[cfg(test)]
mod tests;
