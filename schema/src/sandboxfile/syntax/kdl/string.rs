//! Strings in quotes: plain, raw, and over several lines.

use std::borrow::Cow;

use super::characters::{blank, newline, width};

/// What is wrong with a string, at which byte.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum StringError {
    /// It never ends.
    Unclosed,
    /// A plain string meets the end of its line.
    LineEnd(usize),
    /// An escape that does not exist.
    Escape(usize),
    /// An escape names no character.
    Unicode(usize),
    /// Three quotes are not followed by a line end.
    OpeningLine(usize),
    /// The last line holds more than blanks before its quotes.
    ClosingLine(usize),
    /// A line does not start with the blanks of the last one.
    Indentation(usize),
}

type Read<'a> = Result<(Cow<'a, str>, usize), StringError>;

/// Reads the string whose first quote is at `at`; returns it with the byte after its end.
pub(super) fn quoted(text: &str, at: usize) -> Read<'_> {
    let bytes = text.as_bytes();
    if bytes[at..].starts_with(b"\"\"\"") {
        return many_lines(text, at, 0);
    }
    let start = at + 1;
    let mut here = start;
    let mut escaped = false;
    loop {
        match bytes.get(here) {
            None => return Err(StringError::Unclosed),
            Some(b'"') => break,
            Some(b'\\') => {
                escaped = true;
                (_, here) = escape(text, here)?;
            }
            Some(byte) if *byte >= 0x20 && *byte < 0x80 => here += 1,
            Some(byte) if newline(&bytes[here..]) == 0 => here += width(*byte),
            Some(_) => return Err(StringError::LineEnd(here)),
        }
    }
    let body = &text[start..here];
    let value = if escaped { Cow::Owned(unescape(body)?) } else { Cow::Borrowed(body) };
    Ok((value, here + 1))
}

/// Reads the escape at `at`; returns its character, none where it hides blanks, and the byte after.
fn escape(text: &str, at: usize) -> Result<(Option<char>, usize), StringError> {
    let rest = &text.as_bytes()[at + 1..];
    let character = match rest.first() {
        None => return Err(StringError::Unclosed),
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(b's') => ' ',
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'\\') => '\\',
        Some(b'"') => '"',
        Some(b'u') => {
            let (character, length) = unicode(&text[at + 2..]).ok_or(StringError::Unicode(at))?;
            return Ok((Some(character), at + 2 + length));
        }
        Some(_) => match blanks(rest) {
            0 => return Err(StringError::Escape(at)),
            length => return Ok((None, at + 1 + length)),
        },
    };
    Ok((Some(character), at + 2))
}

/// Returns the length of the blanks and line ends at the start of `rest`.
fn blanks(rest: &[u8]) -> usize {
    let mut here = 0;
    loop {
        match newline(&rest[here..]) + blank(&rest[here..]) {
            0 => return here,
            length => here += length,
        }
    }
}

/// Reads the raw string whose first `#` is at `at`, where a quote follows the marks.
pub(super) fn raw(text: &str, at: usize) -> Read<'_> {
    let bytes = text.as_bytes();
    let marks = bytes[at..].iter().take_while(|b| **b == b'#').count();
    let open = at + marks;
    if bytes[open..].starts_with(b"\"\"\"") {
        // `#""#` is an empty string, `#"""#` would be a lone quote and is refused.
        return many_lines(text, open, marks);
    }
    let start = open + 1;
    let mut here = start;
    loop {
        match bytes.get(here) {
            None => return Err(StringError::Unclosed),
            Some(b'"') if closes(&bytes[here + 1..], marks) => break,
            Some(byte) => match newline(&bytes[here..]) {
                0 => here += width(*byte),
                _ => return Err(StringError::LineEnd(here)),
            },
        }
    }
    Ok((Cow::Borrowed(&text[start..here]), here + 1 + marks))
}

fn closes(rest: &[u8], marks: usize) -> bool {
    rest.len() >= marks && rest[..marks].iter().all(|b| *b == b'#')
}

/// Reads a string over several lines; `marks` is 0 where escapes count.
fn many_lines(text: &str, open: usize, marks: usize) -> Read<'_> {
    let bytes = text.as_bytes();
    let first = open + 3;
    let start = match newline(&bytes[first..]) {
        0 => return Err(StringError::OpeningLine(first)),
        length => first + length,
    };
    let mut lines = Lines { text, start, piece: start, kept: String::new(), ended: Vec::new() };
    let mut here = start;
    loop {
        match bytes.get(here) {
            None => return Err(StringError::Unclosed),
            Some(b'\\') if marks == 0 => {
                let (character, after) = escape(text, here)?;
                if character.is_none() {
                    lines.hide(here, after);
                }
                here = after;
            }
            Some(b'"')
                if bytes[here..].starts_with(b"\"\"\"") && closes(&bytes[here + 3..], marks) =>
            {
                break;
            }
            Some(byte) => match newline(&bytes[here..]) {
                0 => here += width(*byte),
                length => {
                    lines.end(here, here + length);
                    here += length;
                }
            },
        }
    }
    let (_, indentation) = lines.take(here);
    if !is_blank(&indentation) {
        return Err(StringError::ClosingLine(here));
    }
    let value = dedent(&lines.ended, &indentation, marks == 0)?;
    Ok((Cow::Owned(value), here + 3 + marks))
}

/// The lines of a string as they are read, each with the byte it starts at; blanks behind a
/// backslash are taken out, line ends among them.
struct Lines<'a> {
    text: &'a str,
    /// Where the line that is being read starts.
    start: usize,
    /// Where the part of it starts that is not in `kept`.
    piece: usize,
    kept: String,
    ended: Vec<(usize, Cow<'a, str>)>,
}

impl<'a> Lines<'a> {
    /// Takes out what is between the two bytes.
    fn hide(&mut self, from: usize, to: usize) {
        self.kept.push_str(&self.text[self.piece..from]);
        self.piece = to;
    }

    /// Ends the line before `at`; the next one starts at `next`.
    fn end(&mut self, at: usize, next: usize) {
        let line = self.take(at);
        self.ended.push(line);
        (self.start, self.piece) = (next, next);
    }

    /// Returns the line that is being read, up to `at`.
    fn take(&mut self, at: usize) -> (usize, Cow<'a, str>) {
        if self.piece == self.start {
            return (self.start, Cow::Borrowed(&self.text[self.start..at]));
        }
        self.hide(at, at);
        (self.start, Cow::Owned(std::mem::take(&mut self.kept)))
    }
}

/// Takes the blanks of the last line off every line, and joins the lines by LF.
fn dedent(
    lines: &[(usize, Cow<'_, str>)],
    indentation: &str,
    escapes: bool,
) -> Result<String, StringError> {
    let mut value = String::with_capacity(lines.iter().map(|(_, line)| line.len() + 1).sum());
    for (count, (start, line)) in lines.iter().enumerate() {
        if count > 0 {
            value.push('\n');
        }
        if is_blank(line) {
            continue;
        }
        let line = line.strip_prefix(indentation).ok_or(StringError::Indentation(*start))?;
        if escapes && line.contains('\\') {
            value.push_str(&unescape(line)?);
        } else {
            value.push_str(line);
        }
    }
    Ok(value)
}

fn is_blank(line: &str) -> bool {
    let mut rest = line.as_bytes();
    while !rest.is_empty() {
        match blank(rest) {
            0 => return false,
            length => rest = &rest[length..],
        }
    }
    true
}

/// Resolves the escapes of `body`; what is no escape was refused when it was met.
fn unescape(body: &str) -> Result<String, StringError> {
    let mut value = String::with_capacity(body.len());
    let mut rest = 0;
    while let Some(offset) = body[rest..].find('\\') {
        let at = rest + offset;
        value.push_str(&body[rest..at]);
        let (character, after) = escape(body, at)?;
        value.extend(character);
        rest = after;
    }
    value.push_str(&body[rest..]);
    Ok(value)
}

/// Reads `{` with one to six hexadecimal digits and `}`.
fn unicode(rest: &str) -> Option<(char, usize)> {
    let digits = &rest.strip_prefix('{')?;
    let digits = &digits[..digits.find('}')?];
    let hex = (1..=6).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_hexdigit());
    let code = hex.then(|| u32::from_str_radix(digits, 16).ok())??;
    Some((char::from_u32(code)?, digits.len() + 2))
}
