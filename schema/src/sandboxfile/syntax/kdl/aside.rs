//! What is no part of what a text says: comments, and what is behind a slashdash.

use super::{Reader, Sink};
use crate::sandboxfile::problem::Problem;
use crate::sandboxfile::tree::Span;

/// Reads `text` as [`super::read`] does, and returns what is no part of what it says, in order.
///
/// # Errors
/// The first thing that is not KDL 2, or what `sink` refused.
pub fn read_with_asides<'a>(
    text: &'a str,
    file: u16,
    sink: &mut impl Sink<'a>,
) -> Result<Vec<Aside>, Problem> {
    let mut reader = Reader::begin(text, file)?;
    reader.asides = Some(Vec::new());
    reader.document(sink)?;
    let mut asides = reader.asides.unwrap_or_default();
    // What is behind a slashdash is known once it ends, after the comments in it.
    asides.sort_by_key(|aside| (aside.span.start, std::cmp::Reverse(aside.span.end)));
    let mut end = 0;
    asides.retain(|aside| {
        let is_outermost = aside.span.start >= end;
        end = end.max(aside.span.end);
        is_outermost
    });
    Ok(asides)
}

/// Something in a text that is no part of what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aside {
    /// What it is.
    pub kind: AsideKind,
    /// Where it stands; the end of its line is not part of it.
    pub span: Span,
}

/// What is no part of what a text says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsideKind {
    /// From `//` to the end of the line.
    LineComment,
    /// From `/*` to its `*/`.
    BlockComment,
    /// A node behind a slashdash.
    HiddenNode,
    /// An argument, a property or braces behind a slashdash.
    HiddenEntry,
}

impl Reader<'_> {
    pub(super) fn aside(&mut self, kind: AsideKind, start: usize, end: usize) {
        let span = self.span(start, end);
        if let Some(asides) = &mut self.asides {
            asides.push(Aside { kind, span });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::again::Deaf;
    use super::*;

    fn check(text: &str, expected: &[(AsideKind, &str)]) {
        let asides = read_with_asides(text, 0, &mut Deaf).unwrap();
        let told = asides
            .iter()
            .map(|aside| (aside.kind, &text[aside.span.start as usize..aside.span.end as usize]));
        assert_eq!(told.collect::<Vec<_>>(), expected, "{text}");
    }

    #[test]
    fn comments_and_what_is_hidden_are_told_with_their_places() {
        use AsideKind::{BlockComment, HiddenEntry, HiddenNode, LineComment};
        check("// a\nb 1 // c\n", &[(LineComment, "// a"), (LineComment, "// c")]);
        check(
            "a /* /* b */ */ 1 { // c\n}",
            &[(BlockComment, "/* /* b */ */"), (LineComment, "// c")],
        );
        check("/- a { b /* c */ }\nd", &[(HiddenNode, "/- a { b /* c */ }")]);
        check(
            "a /-1 /-b=2 /-{ c } { d }",
            &[(HiddenEntry, "/-1"), (HiddenEntry, "/-b=2"), (HiddenEntry, "/-{ c }")],
        );
        check("a { /-b { /-c } }", &[(HiddenNode, "/-b { /-c }")]);
        check("a \"// /* /- \" \\ // b\n 1", &[(LineComment, "// b")]);
    }
}
