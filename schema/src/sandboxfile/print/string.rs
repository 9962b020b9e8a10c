//! How text is quoted in each format, so that it reads back as itself.

use std::fmt::Write as _;

/// The widest line that is not broken.
pub(super) const COLUMNS: usize = 80;

/// Returns whether a character may stand for itself inside quotes in both formats.
pub(super) fn is_plain(character: char) -> bool {
    let hidden = character.is_control()
        || matches!(
            character,
            '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2066}'..='\u{2069}'
                | '\u{feff}'
                | '\u{fffe}'..='\u{ffff}'
        );
    !hidden
}

/// Returns text in quotes, as KDL reads it on one line.
pub(super) fn kdl(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            plain if is_plain(plain) => quoted.push(plain),
            hidden => quoted.extend(hidden.escape_unicode()),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns the name of a node, quoted where it must be.
pub(super) fn kdl_name(name: &str) -> String {
    let mut letters = name.chars();
    let starts = letters.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let bare = starts && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    let keyword = matches!(name, "true" | "false" | "null" | "inf" | "nan");
    if bare && !keyword { name.to_owned() } else { kdl(name) }
}

/// Returns text of several lines between three quotes; `None` where one line tells it better.
pub(super) fn kdl_lines(text: &str, indent: usize) -> Option<String> {
    if !has_readable_lines(text) {
        return None;
    }
    let raw = text.contains('\\') || text.contains("\"\"\"");
    if raw && text.contains("\"\"\"#") {
        return None;
    }
    let marks = if raw { "#" } else { "" };
    let blanks = " ".repeat(indent);
    let mut quoted = format!("{marks}\"\"\"\n");
    for line in text.split('\n') {
        if !line.is_empty() {
            quoted.extend([&blanks, line]);
        }
        quoted.push('\n');
    }
    quoted.extend([&blanks, "\"\"\"", marks]);
    Some(quoted)
}

/// Returns whether text has several lines that may stand as they are.
pub(super) fn has_readable_lines(text: &str) -> bool {
    // A line of blanks alone, or blanks at its end, would be lost or overlooked.
    let reads_back = |line: &str| line.trim_end() == line;
    text.trim_matches('\n').contains('\n')
        && text.chars().all(|c| is_plain(c) || matches!(c, '\n' | '\t'))
        && text.split('\n').all(reads_back)
}

/// Returns text as a YAML scalar on one line, in quotes where it would be read as something else.
pub(super) fn yaml(text: &str) -> String {
    if is_plain_yaml(text) {
        return text.to_owned();
    }
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            plain if is_plain(plain) => quoted.push(plain),
            hidden => {
                let code = u32::from(hidden);
                let (mark, digits) = if code < 0x100 { ('x', 2) } else { ('u', 4) };
                write!(quoted, "\\{mark}{code:0digits$x}").expect("text grows");
            }
        }
    }
    quoted.push('"');
    quoted
}

/// Returns whether text stands for itself without quotes, for YAML 1.2 and for older readers.
fn is_plain_yaml(text: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '+' | '-');
    let inner = |c: char| safe(c) || matches!(c, ':' | '@' | '=' | '%' | '~');
    let mut letters = text.chars();
    letters.next().is_some_and(|first| safe(first) && first != '+')
        && letters.all(inner)
        && text.chars().any(|c| c.is_ascii_alphanumeric())
        && !text.ends_with(':')
        && !is_word_of_yaml(text)
        && !looks_like_a_number(text)
}

/// The words that some reader of YAML takes for more than a word.
fn is_word_of_yaml(text: &str) -> bool {
    let word = text.to_ascii_lowercase();
    matches!(
        word.as_str(),
        "true"
            | "false"
            | "null"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | "inf"
            | "nan"
            | ".inf"
            | ".nan"
            | "infinity"
    ) || word.strip_prefix(['-', '+']).is_some_and(is_word_of_yaml)
}

/// Numbers of any version: `8080`, `1_000`, `0x10`, `1e3`, `12:30`, and dates.
fn looks_like_a_number(text: &str) -> bool {
    let body = text.strip_prefix(['-', '+']).unwrap_or(text);
    let numeric = |c: char| {
        c.is_ascii_digit() || matches!(c, '_' | '.' | ':' | '-' | '+' | 'e' | 'E' | 'T' | 'Z')
    };
    let based = ["0x", "0o", "0b", "0X"].iter().any(|base| body.starts_with(base));
    let date = body.len() > 7 && body.as_bytes()[4] == b'-' && body.as_bytes()[7] == b'-';
    let ports = body.split('-').count() == 2 && body.split('-').all(is_digits);
    let dotted = body.matches('.').count() > 1 && !body.contains(['e', 'E']);
    let starts = body.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    based || date || (starts && body.chars().all(numeric) && !ports && !dotted)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns a number as both YAML and JSON read it; `None` where it must be quoted.
pub(super) fn number(text: &str) -> Option<&str> {
    let body = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match body.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (body, None),
    };
    let fits = is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(is_digits);
    fits.then_some(text)
}
