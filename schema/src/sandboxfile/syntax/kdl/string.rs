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
                here = after_escape(bytes, here);
            }
            Some(byte) if *byte >= 0x20 && *byte < 0x80 => here += 1,
            Some(byte) if newline(&bytes[here..]) == 0 => here += width(*byte),
            Some(_) => return Err(StringError::LineEnd(here)),
        }
    }
    let body = &text[start..here];
    let value = if escaped { Cow::Owned(unescape(body, start)?) } else { Cow::Borrowed(body) };
    Ok((value, here + 1))
}

/// Returns the byte after the escape at `at`; after a blank escape, the byte after its blanks.
fn after_escape(bytes: &[u8], at: usize) -> usize {
    let mut here = at + 1;
    while let Some(rest) = bytes.get(here..) {
        match newline(rest) + blank(rest) {
            0 => break,
            length => here += length,
        }
    }
    if here > at + 1 {
        return here;
    }
    (at + 1 + bytes.get(at + 1).map_or(0, |byte| width(*byte))).min(bytes.len())
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
    let mut here = start;
    loop {
        match bytes.get(here) {
            None => return Err(StringError::Unclosed),
            Some(b'\\') if marks == 0 => here = after_escape(bytes, here),
            Some(b'"')
                if bytes[here..].starts_with(b"\"\"\"") && closes(&bytes[here + 3..], marks) =>
            {
                break;
            }
            Some(byte) => here += width(*byte),
        }
    }
    let body = &text[start..here];
    let body = if marks == 0 { without_blank_escapes(body) } else { Cow::Borrowed(body) };
    let value = dedent(&body, marks == 0, start, here)?;
    Ok((Cow::Owned(value), here + 3 + marks))
}

/// Takes each `\` with the blanks and line ends after it out of the text.
fn without_blank_escapes(body: &str) -> Cow<'_, str> {
    let bytes = body.as_bytes();
    if !bytes.contains(&b'\\') {
        return Cow::Borrowed(body);
    }
    let mut kept = String::with_capacity(body.len());
    let (mut from, mut here) = (0, 0);
    while here < bytes.len() {
        if bytes[here] != b'\\' {
            here += 1;
            continue;
        }
        let after = after_escape(bytes, here);
        let next = &bytes[here + 1..];
        if newline(next) + blank(next) > 0 {
            kept.push_str(&body[from..here]);
            from = after;
        }
        here = after;
    }
    kept.push_str(&body[from..]);
    Cow::Owned(kept)
}

/// Takes the blanks of the last line off every line, and joins the lines by LF.
fn dedent(body: &str, escapes: bool, start: usize, end: usize) -> Result<String, StringError> {
    let bytes = body.as_bytes();
    let mut lines = Vec::new();
    let (mut from, mut here) = (0, 0);
    while here < bytes.len() {
        match newline(&bytes[here..]) {
            0 => here += width(bytes[here]),
            length => {
                lines.push(&body[from..here]);
                here += length;
                from = here;
            }
        }
    }
    let indentation = &body[from..];
    if !is_blank(indentation) {
        return Err(StringError::ClosingLine(end));
    }
    let mut value = String::with_capacity(body.len());
    for (count, line) in lines.iter().enumerate() {
        if count > 0 {
            value.push('\n');
        }
        if is_blank(line) {
            continue;
        }
        let line = line.strip_prefix(indentation).ok_or(StringError::Indentation(start))?;
        if escapes && line.contains('\\') {
            value.push_str(&unescape(line, start)?);
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

/// Resolves the escapes of `body`, which starts at byte `start` of the file.
fn unescape(body: &str, start: usize) -> Result<String, StringError> {
    let bytes = body.as_bytes();
    let mut value = String::with_capacity(body.len());
    let mut rest = 0;
    while let Some(offset) = body[rest..].find('\\') {
        let at = rest + offset;
        value.push_str(&body[rest..at]);
        rest = after_escape(bytes, at);
        let next = &bytes[at + 1..];
        if newline(next) + blank(next) > 0 {
            continue;
        }
        value.push(match next.first() {
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b's') => ' ',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'\\') => '\\',
            Some(b'"') => '"',
            Some(b'u') => {
                let (character, length) =
                    unicode(&body[at + 2..]).ok_or(StringError::Unicode(start + at))?;
                rest = at + 2 + length;
                character
            }
            _ => return Err(StringError::Escape(start + at)),
        });
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
