//! The few lines around a place, however long the file and its lines are.

use std::borrow::Cow;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};
use schema::sandboxfile::source::SourceText;

/// Of a long line, this much is shown on both sides of a place.
const NEAR_BYTES_MAX: usize = 80;

/// Places further apart are shown one after the other.
const TOGETHER_BYTES_MAX: usize = 1024;

/// A file, as excerpts are taken from it.
#[derive(Debug)]
pub(super) struct Excerpts<'a> {
    file: &'a SourceText,
    /// Its text, whose bytes stay where they are, without what could steer a terminal.
    text: Cow<'a, str>,
}

impl<'a> Excerpts<'a> {
    pub(super) fn new(file: &'a SourceText) -> Self {
        Self { file, text: shown(&file.text) }
    }

    /// Returns as much of a place as is underlined: what lies on its first line, and is not long.
    pub(super) fn underlined(&self, start: usize, end: usize) -> (usize, usize) {
        let line = self.file.line(self.file.line_at(start));
        let near = self.text.floor_char_boundary(start + NEAR_BYTES_MAX);
        (start, end.min(line.end).min(near).max(start) - start)
    }
}

impl SourceCode for Excerpts<'_> {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let (start, end) = (span.offset(), span.offset() + span.len());
        if end > self.text.len() || span.len() > TOGETHER_BYTES_MAX {
            return Err(MietteError::OutOfBounds);
        }
        let (mut from, mut to) = (start, end);
        if before + after > 0 {
            let first = self.file.line(self.file.line_at(start).saturating_sub(before));
            let last = self.file.line(self.file.line_at(end) + after);
            let near = self.text.ceil_char_boundary(start.saturating_sub(NEAR_BYTES_MAX));
            from = first.start.max(near);
            to = last.end.min(self.text.floor_char_boundary(end + NEAR_BYTES_MAX)).max(end);
        }
        let line = self.file.line_at(from);
        let column = self.file.column_at(from);
        let count = self.file.line_at(to) - line + 1;
        let (data, span) = (self.text[from..to].as_bytes(), (from, to - from).into());
        let name = self.file.name.clone();
        Ok(Box::new(MietteSpanContents::new_named(name, data, span, line, column, count)))
    }
}

/// Returns text whose bytes stay where they are, without what could steer a terminal.
fn shown(text: &str) -> Cow<'_, str> {
    let steers = |c: char| {
        let direction = matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        direction || (c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if steers(c) {
            safe.extend(std::iter::repeat_n('?', c.len_utf8()));
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}
