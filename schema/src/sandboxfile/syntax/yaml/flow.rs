//! What braces and brackets hold is counted before the parser sees it.
//!
//! The parser cannot tell a map in braces from a key before it has seen where the map ends, so it
//! holds every token in between: a megabyte of `a,` became 187 MB. A file that holds more values
//! in braces than a file may is refused here; most files have too few commas to be looked at.

use crate::sandboxfile::source::saturate;
use crate::sandboxfile::tree::Span;

/// Returns the separator inside braces or brackets that is one more than `most`.
///
/// Each comma follows a value, and each colon a key, so there are at least as many of them.
pub(super) fn excess(text: &str, file: u16, most: usize) -> Option<Span> {
    let separators = text.bytes().filter(|byte| matches!(byte, b',' | b':')).count();
    if separators <= most {
        return None;
    }
    let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut lexer = Lexer { bytes: text.as_bytes(), at, level: 0, found: 0, most };
    let at = lexer.walk()?;
    Some(Span { file, start: saturate(at), end: saturate(at + 1) })
}

/// Walks from token to token, as far as it takes to tell text from structure.
struct Lexer<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Braces and brackets that are open.
    level: usize,
    found: usize,
    most: usize,
}

impl Lexer<'_> {
    fn walk(&mut self) -> Option<usize> {
        while let Some(byte) = self.bytes.get(self.at).copied() {
            let starts_word = matches!(self.before(), None | Some(b' ' | b'\t' | b'\n' | b'\r'));
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                b'#' if starts_word => self.skip_line(),
                b'"' | b'\'' => self.quoted(byte),
                b'[' | b'{' => self.step(1),
                b']' | b'}' if self.level > 0 => self.step(-1),
                b',' | b':' if self.level > 0 => {
                    self.found += 1;
                    if self.found > self.most {
                        return Some(self.at);
                    }
                    self.at += 1;
                }
                b'|' | b'>' if self.level == 0 => self.block(),
                b'&' | b'*' | b'!' => self.property(),
                b'-' | b'?' | b':' if self.level == 0 && self.blank_follows() => self.at += 1,
                _ => self.word(),
            }
        }
        None
    }

    fn before(&self) -> Option<u8> {
        self.at.checked_sub(1).and_then(|at| self.bytes.get(at)).copied()
    }

    fn blank_follows(&self) -> bool {
        matches!(self.bytes.get(self.at + 1), None | Some(b' ' | b'\t' | b'\n' | b'\r'))
    }

    fn step(&mut self, by: isize) {
        self.level = self.level.saturating_add_signed(by);
        self.at += 1;
    }

    fn skip_line(&mut self) {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
        self.at += length.unwrap_or(rest.len());
    }

    fn quoted(&mut self, quote: u8) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            self.at += if *byte == b'\\' && quote == b'"' { 2 } else { 1 };
            if *byte == quote {
                return;
            }
        }
    }

    /// Skips a block of text: the lines that are indented further than the one it begins on.
    fn block(&mut self) {
        let line = self.bytes[..self.at].iter().rposition(|byte| matches!(byte, b'\n' | b'\r'));
        let outer = indentation(&self.bytes[line.map_or(0, |at| at + 1)..]);
        loop {
            self.skip_line();
            let ends = self.bytes[self.at..].iter();
            self.at += ends.take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
            let rest = &self.bytes[self.at..];
            let inner = indentation(rest);
            let is_blank = matches!(rest.get(inner), Some(b'\n' | b'\r'));
            if rest.is_empty() || (inner <= outer && !is_blank) {
                return;
            }
        }
    }

    /// Skips an anchor, an alias or a tag.
    fn property(&mut self) {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || b",[]{}".contains(byte);
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(ends).unwrap_or(rest.len());
    }

    /// Skips text without quotes: to a separator, to a comment, or to the end of its line.
    fn word(&mut self) {
        self.at += 1;
        while let Some(byte) = self.bytes.get(self.at) {
            let ends = match byte {
                b'\n' | b'\r' => true,
                b',' | b'[' | b']' | b'{' | b'}' => self.level > 0,
                b':' => {
                    let next = self.bytes.get(self.at + 1);
                    let indicator = matches!(next, Some(b',' | b'[' | b']' | b'{' | b'}'));
                    self.blank_follows() || (self.level > 0 && indicator)
                }
                b'#' => matches!(self.before(), Some(b' ' | b'\t')),
                _ => false,
            };
            if ends {
                return;
            }
            self.at += 1;
        }
    }
}

fn indentation(line: &[u8]) -> usize {
    line.iter().take_while(|byte| **byte == b' ').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what a text has in braces and brackets.
    fn count(text: &str) -> usize {
        (0..)
            .find(|most| {
                let mut lexer =
                    Lexer { bytes: text.as_bytes(), at: 0, level: 0, found: 0, most: *most };
                lexer.walk().is_none()
            })
            .unwrap_or_default()
    }

    #[test]
    fn sf_f11_values_in_braces_are_counted_and_text_is_not() {
        for (text, expected) in [
            ("a: [b, c, d]", 2),
            ("{a: b, c: d}", 3),
            ("{\"a\":[1,2],\"b\":{}}", 4),
            ("a: b, c, d\nb: 1:2:3\n", 0),
            ("a: \"[x, y, z\"\nb: '[x, y'\n", 0),
            ("a: [\"x, y\", 'z, w', it's, b]", 3),
            ("a: |\n  [x, y\n\n  {z: w,\nb: [c, d]\n", 1),
            ("- >-\n  [x, y\n- [a, b]\n", 1),
            ("# [a, b\nc: d # [e, f\n", 0),
            ("a: [b, # c, d\n  e]\nf: g, h\n", 1),
            ("a: b[c, d\ne: -[f, g\n", 0),
            ("? [a, b]\n: [c, d]\n", 2),
            ("a: [http://x:80, b]", 1),
            ("- - [a, b]\n- &x [c, d]\n", 2),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }

    #[test]
    fn sf_f11_the_first_separator_too_many_is_the_place() {
        assert_eq!(excess("[a, b, c]", 0, 2), None);
        assert_eq!(excess("[a, b, c]", 0, 1), Some(Span { file: 0, start: 5, end: 6 }));
        assert_eq!(excess("a: b, c, d", 0, 1), None, "text");
    }
}
