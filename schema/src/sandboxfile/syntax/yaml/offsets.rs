//! From the parser's characters to bytes of the file.

use saphyr_parser::Span as Marks;

use crate::sandboxfile::source::saturate;
use crate::sandboxfile::tree::Span;

/// Knows the byte of every character, by a mark at each [`STRIDE`]th.
#[derive(Debug)]
pub(super) struct Offsets<'a> {
    text: &'a str,
    file: u16,
    /// Bytes of the byte-order mark, which the parser does not see.
    skipped: usize,
    /// The byte of each [`STRIDE`]th character; empty for a file of ASCII alone.
    marks: Vec<u32>,
}

const STRIDE: usize = 64;

impl<'a> Offsets<'a> {
    pub(super) fn new(text: &'a str, file: u16) -> Self {
        let skipped = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let body = &text[skipped..];
        if body.is_ascii() {
            return Self { text: body, file, skipped, marks: Vec::new() };
        }
        let marks = body.char_indices().step_by(STRIDE).map(|(byte, _)| saturate(byte)).collect();
        Self { text: body, file, skipped, marks }
    }

    /// Returns the byte of character `index`, at most the end of the file.
    pub(super) fn byte(&self, index: usize) -> u32 {
        let byte = if self.marks.is_empty() {
            index.min(self.text.len())
        } else {
            match self.marks.get(index / STRIDE) {
                None => self.text.len(),
                Some(mark) => {
                    let mark = *mark as usize;
                    let mut rest = self.text[mark..].char_indices();
                    rest.nth(index % STRIDE).map_or(self.text.len(), |(byte, _)| mark + byte)
                }
            }
        };
        saturate(byte + self.skipped)
    }

    pub(super) fn span(&self, marks: Marks) -> Span {
        let start = self.byte(marks.start.index());
        let end = self.byte(marks.end.index()).max(start);
        Span { file: self.file, start, end }
    }

    /// Returns the span of a value without what the parser takes along behind its closing quote.
    pub(super) fn up_to_quote(&self, span: Span) -> Span {
        let (start, end) = (span.start as usize - self.skipped, span.end as usize - self.skipped);
        let written = &self.text.as_bytes()[start..end];
        let Some(quote @ (b'"' | b'\'')) = written.first() else { return span };
        let mut at = 1;
        while at < written.len() {
            match &written[at..] {
                [b'\\', _, ..] if *quote == b'"' => at += 2,
                [b'\'', b'\'', ..] if *quote == b'\'' => at += 2,
                [byte, ..] if byte == quote => {
                    return Span { end: span.start + saturate(at + 1), ..span };
                }
                _ => at += 1,
            }
        }
        span
    }

    /// Returns the span of one character, by its byte in the file.
    pub(super) fn at(&self, byte: usize) -> Span {
        let here = self.text.get(byte.saturating_sub(self.skipped)..);
        let length = here.and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        Span { file: self.file, start: saturate(byte), end: saturate(byte + length) }
    }
}
