//! One line read again, by itself: what we would say where another reader says that it is wrong.

use super::{Placed, Reader, Sink};
use crate::sandboxfile::problem::Problem;
use crate::sandboxfile::tree::{Scalar, Span};

/// Returns what is wrong on the line of `byte`, if it shows on that line alone.
#[must_use]
pub fn wrong_on_line(text: &str, byte: usize, file: u16) -> Option<Problem> {
    let bytes = text.as_bytes();
    let byte = byte.min(bytes.len());
    let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let start = bytes[..byte].iter().rposition(is_end).map_or(0, |at| at + 1);
    let end = bytes[byte..].iter().position(is_end).map_or(bytes.len(), |length| byte + length);
    let text = &text[..text.floor_char_boundary(end + READ_ON_BYTES)];
    // What closes a block of the lines above is no mistake here.
    let closing = |byte: &u8| matches!(byte, b' ' | b'\t' | b'}' | b';');
    let at = start + bytes[start..end].iter().take_while(|byte| closing(byte)).count();
    let bytes = text.as_bytes();
    let mut reader = Reader { text, bytes, at, file, frames: Vec::new(), asides: None };
    let problem = reader.document(&mut Deaf).err()?;
    (start..=end).contains(&(problem.span().start as usize)).then_some(problem)
}

/// How far behind its line a mistake may show: a text over several lines is known by its end.
const READ_ON_BYTES: usize = 4096;

/// Is told everything and keeps nothing.
pub(super) struct Deaf;

impl<'a> Sink<'a> for Deaf {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_judged_without_the_lines_around_it() {
        let text = "a {\n    memory 512MiB\n} b true\nc \"x\" }\nd 1\n";
        let at = |word: &str| text.find(word).unwrap();
        let said =
            |word: &str| wrong_on_line(text, at(word), 0).map(|problem| problem.code.as_str());
        assert_eq!(said("512"), Some("msb::syntax::needs-quotes"));
        assert_eq!(said("true"), Some("msb::syntax::kdl-v1"));
        assert_eq!(said("d 1"), None);
        assert_eq!(wrong_on_line(text, 9999, 0), None);
    }
}
