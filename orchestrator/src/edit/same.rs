//! What an edit must leave as it was: what the text says, and every comment.

use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::{Problem, Problems};
use schema::sandboxfile::syntax::build;
use schema::sandboxfile::syntax::kdl::{AsideKind, Placed, Sink, read_with_asides};
use schema::sandboxfile::tree::{Entry, Scalar, Span, Tree};

/// Reads a text into a tree, whatever its keys are.
///
/// # Errors
/// Everything that is no KDL of ours.
pub(super) fn read(text: &str) -> Result<Tree<'_>, Vec<Problem>> {
    let limits = Limits::again(text);
    let mut problems = Problems::new(limits.problems);
    let tree = build::kdl(text, 0, &limits, &mut problems);
    match tree.filter(|_| !problems.has_errors()) {
        Some(tree) => Ok(tree),
        None => Err(problems.into_sorted().0),
    }
}

/// Returns whether two lists of entries say the same, the order of different keys aside.
pub(super) fn entries(ones: &[Entry<'_>], others: &[Entry<'_>]) -> bool {
    let sorted = |entries: &[Entry<'_>]| {
        let mut at: Vec<usize> = (0..entries.len()).collect();
        at.sort_by(|a, b| entries[*a].key.cmp(&entries[*b].key));
        at
    };
    ones.len() == others.len()
        && sorted(ones).iter().zip(sorted(others)).all(|(one, other)| {
            let (one, other) = (&ones[*one], &others[other]);
            one.key == other.key
                && one.origin == other.origin
                && one.items.len() == other.items.len()
                && one.items.iter().zip(&other.items).all(|(a, b)| same_scalar(a, b))
                && entries(&one.fields, &other.fields)
        })
}

fn same_scalar(one: &Scalar<'_>, other: &Scalar<'_>) -> bool {
    one.kind == other.kind && one.text == other.text
}

/// Returns whether every comment of `before` stands in `after`, and nothing is hidden there that was
/// not hidden before.
///
/// # Errors
/// One of the two is no KDL.
pub(super) fn comments(before: &str, after: &str) -> Result<bool, Problem> {
    let (old, new) = (asides(before)?, asides(after)?);
    // A comment may come to stand in what is hidden, so letters are counted over both.
    let letters = |asides: &[(AsideKind, String)]| {
        let texts = asides.iter().flat_map(|(_, text)| text.chars());
        let mut letters: Vec<char> = texts.filter(|c| is_said(*c)).collect();
        letters.sort_unstable();
        letters
    };
    let stands = |(kind, text): &(AsideKind, String)| match kind {
        AsideKind::LineComment | AsideKind::BlockComment => after.contains(text),
        AsideKind::HiddenNode | AsideKind::HiddenEntry => true,
    };
    Ok(letters(&old) == letters(&new) && old.iter().all(stands))
}

/// Returns what is no part of what a text says, without blanks at the ends.
///
/// # Errors
/// It is no KDL.
pub(super) fn asides(text: &str) -> Result<Vec<(AsideKind, String)>, Problem> {
    let asides = read_with_asides(text, 0, &mut Nobody)?;
    let told = asides.iter().map(|aside| {
        let written = &text[aside.span.start as usize..aside.span.end as usize];
        (aside.kind, written.trim_end().to_owned())
    });
    Ok(told.collect())
}

/// Blanks, ends of nodes and broken lines may change in what is hidden.
fn is_said(character: char) -> bool {
    !character.is_whitespace() && !matches!(character, ';' | '\\')
}

/// Is told everything and keeps nothing.
struct Nobody;

impl<'a> Sink<'a> for Nobody {
    fn node(&mut self, _: Option<Placed<'a>>, _: Placed<'a>) -> Result<(), Problem> {
        Ok(())
    }

    fn argument(&mut self, _: Option<Placed<'a>>, _: Scalar<'a>) -> Result<(), Problem> {
        Ok(())
    }

    fn property(
        &mut self,
        _: Placed<'a>,
        _: Option<Placed<'a>>,
        _: Scalar<'a>,
    ) -> Result<(), Problem> {
        Ok(())
    }

    fn open(&mut self, _: Span) -> Result<(), Problem> {
        Ok(())
    }

    fn close(&mut self, _: Span) {}

    fn end(&mut self, _: u32) {}
}
