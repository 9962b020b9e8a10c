//! What to say when a text is not KDL 2: the mistakes that people make, by name.

use super::characters::{blank, newline, width};
use super::string::StringError;
use crate::sandboxfile::problem::{Code, Problem, shown};
use crate::sandboxfile::source::saturate;
use crate::sandboxfile::tree::{Scalar, Span};

fn span(file: u16, start: usize, end: usize) -> Span {
    Span { file, start: saturate(start), end: saturate(end) }
}

/// Refuses a file that says it is KDL 1.
pub(super) fn version(text: &str, at: usize, file: u16) -> Result<(), Problem> {
    let head = text[at..].split(['\n', '\r']).next().unwrap_or_default();
    let mut words = head.strip_prefix("/-").unwrap_or_default().split_whitespace();
    if words.next() != Some("kdl-version") || words.next() != Some("1") {
        return Ok(());
    }
    let message = "the file says that it is KDL 1";
    Err(Problem::error(Code::SYNTAX_KDL_V1, message, span(file, at, at + head.len()))
        .help("write /- kdl-version 2, or delete the line; msb reads KDL 2"))
}

/// Looks at a word for what KDL 1 would have read, and for what is no word.
pub(super) fn word(text: &str, start: usize, end: usize, file: u16) -> Option<Problem> {
    let word = &text[start..end];
    let next = text.as_bytes().get(end);
    let v1 = |message: String, end: usize, help: String| {
        Some(Problem::error(Code::SYNTAX_KDL_V1, message, span(file, start, end)).help(help))
    };
    match word {
        "true" | "false" | "null" => v1(
            format!("`{word}` is KDL 1"),
            end,
            format!("write #{word}; in KDL 2 words that start with # are keywords"),
        ),
        "inf" | "-inf" | "nan" => {
            let problem = Problem::error(
                Code::SYNTAX_KDL,
                format!("`{word}` needs a # before it, or quotes around it"),
                span(file, start, end),
            );
            Some(problem.help(format!("write \"{word}\"")))
        }
        "r" if matches!(next, Some(b'"' | b'#')) => v1(
            "a raw string with `r` is KDL 1".to_owned(),
            end + 1,
            "write #\"…\"#; in KDL 2 a raw string has # on both sides and no r".to_owned(),
        ),
        _ if is_almost_number(word) => Some(needs_quotes(text, start, file)),
        _ if matches!(next, Some(b'/')) && runs_into_path(text, end) => {
            Some(needs_quotes(text, start, file))
        }
        _ => None,
    }
}

/// A word may not look like the start of a number: `.5`, `+.5`.
fn is_almost_number(word: &str) -> bool {
    let rest = word.strip_prefix(['+', '-']).unwrap_or(word);
    rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}

/// Tells `./x` and `a/b` from a word with a comment behind it.
fn runs_into_path(text: &str, slash: usize) -> bool {
    !matches!(text.as_bytes().get(slash + 1), Some(b'/' | b'*' | b'-'))
}

/// The words that need quotes: `8080:80`, `512MiB`, `10.0.0.0/8`, `./x`, `a/b:1`.
pub(super) fn needs_quotes(text: &str, start: usize, file: u16) -> Problem {
    let bytes = text.as_bytes();
    let mut end = start;
    while let Some(byte) = bytes.get(end) {
        let rest = &bytes[end..];
        let stops = matches!(byte, b';' | b'{' | b'}' | b'"' | b'\\');
        if stops || newline(rest) + blank(rest) > 0 {
            break;
        }
        end += width(*byte);
    }
    let word = shown(&text[start..end.min(text.len())]);
    let why = if word.contains('/') {
        "in KDL a word without quotes cannot hold a slash"
    } else {
        "in KDL a word that starts with a digit is a number"
    };
    let message = format!("`{word}` must be quoted");
    Problem::error(Code::SYNTAX_NEEDS_QUOTES, message, span(file, start, end))
        .help(format!("write \"{word}\"; {why}"))
}

/// A token that runs into the next one.
pub(super) fn runs_on(text: &str, start: usize, at: usize, file: u16) -> Problem {
    let quoted = text.as_bytes()[..at].ends_with(b"\"") || text.as_bytes()[..at].ends_with(b"#");
    let next = text[at..].chars().next().unwrap_or(' ');
    if !quoted && next == '/' {
        return needs_quotes(text, start, file);
    }
    let message = match next {
        '=' => "a property has a name before `=`".to_owned(),
        _ => format!("`{}` follows without a blank", shown(&next.to_string())),
    };
    let problem = Problem::error(Code::SYNTAX_KDL, message, span(file, at, at + next.len_utf8()));
    match next {
        '[' | ']' | '(' | ')' | ',' => problem.help("put the whole value in quotes"),
        _ => problem.help("write a blank between the two, or put both in one pair of quotes"),
    }
}

/// Something where an argument is due, without a blank before it.
pub(super) fn no_gap(text: &str, at: usize, file: u16) -> Problem {
    if text[at..].starts_with('=') {
        return equals_sign(text, at, file);
    }
    runs_on(text, at, at, file)
}

/// `memory = "1GiB"`: a node is no assignment.
fn equals_sign(text: &str, at: usize, file: u16) -> Problem {
    let line = text[..at].rfind(['\n', '\r', '{', ';']).map_or(0, |end| end + 1);
    let key = text[line..at].trim();
    let value: String = text[at + 1..].split(['\n', '\r', ';', '}']).next().unwrap_or("").into();
    let message = "`=` stands between a key and its value";
    Problem::error(Code::SYNTAX_EQUALS_SIGN, message, span(file, at, at + 1)).help(format!(
        "write {} {}",
        shown(key),
        shown(value.trim())
    ))
}

/// Something else than was wanted.
pub(super) fn unexpected(text: &str, at: usize, file: u16, wanted: &str) -> Problem {
    let Some(found) = text[at..].chars().next() else {
        let message = format!("the file ends where {wanted} is due");
        return Problem::error(Code::SYNTAX_KDL, message, span(file, at, at))
            .help("write it, or delete what is not finished");
    };
    if found == '=' {
        return equals_sign(text, at, file);
    }
    if found == '/' && runs_into_path(text, at) {
        return needs_quotes(text, at, file);
    }
    let message = format!("`{}` where {wanted} is due", shown(&found.to_string()));
    let problem = Problem::error(Code::SYNTAX_KDL, message, span(file, at, at + found.len_utf8()));
    match found {
        '[' | ']' => problem.help("KDL has no brackets; write the values one after the other"),
        '\\' => problem.help("put the value in quotes"),
        _ => problem.help("put text with such characters in quotes"),
    }
}

/// A word behind `#` that is no keyword.
pub(super) fn keyword(text: &str, at: Span) -> Problem {
    let message = format!("`{}` is no keyword", shown(text));
    let help = "the keywords are #true, #false and #null; comments begin with //";
    Problem::error(Code::SYNTAX_KDL, message, at).help(help)
}

/// A number or keyword where a name is due.
pub(super) fn value_as_name(value: &Scalar<'_>) -> Problem {
    let text = shown(&value.text);
    let message = format!("`{text}` is no name");
    Problem::error(Code::SYNTAX_KDL, message, value.span)
        .help(format!("write \"{text}\" if that is its name"))
}

/// A type before the name of a property.
pub(super) fn annotated_property(at: Span) -> Problem {
    let message = "a type annotation cannot stand before the name of a property";
    Problem::error(Code::SYNTAX_TYPE_ANNOTATION, message, at).help("delete it")
}

/// A string that is not in order.
pub(super) fn string(error: &StringError, text: &str, start: usize, file: u16) -> Problem {
    let at = |at: usize| {
        let length = text.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        span(file, at, at + length)
    };
    let (message, place, help) = match error {
        StringError::Unclosed => ("a string never ends", at(start), "write the closing quote"),
        StringError::LineEnd(end) => (
            "a string ends with its line",
            at(*end),
            "write the closing quote, or use three quotes for text over several lines",
        ),
        StringError::Escape(place) => (
            "there is no such escape",
            span(file, *place, at(*place + 1).end as usize),
            "write \\\\ for a backslash; the escapes are \\\" \\\\ \\b \\f \\n \\r \\s \\t \\u{…}",
        ),
        StringError::Unicode(place) => (
            "this escape names no character",
            span(file, *place, at(*place + 1).end as usize),
            "write one to six hexadecimal digits, as in \\u{e9}",
        ),
        StringError::OpeningLine(place) => (
            "text over several lines begins on the line after its quotes",
            at(*place),
            "break the line after the three quotes",
        ),
        StringError::ClosingLine(place) => (
            "the closing quotes of text over several lines stand on a line of their own",
            at(*place),
            "break the line before the three quotes",
        ),
        StringError::Indentation(place) => (
            "a line is not indented like the line of the closing quotes",
            at(*place),
            "indent every line at least as far, with the same blanks",
        ),
    };
    let problem = Problem::error(Code::SYNTAX_KDL, message, place).help(help);
    if place.start == saturate(start) {
        problem
    } else {
        problem.related(span(file, start, start + 1), "the string begins here")
    }
}
