//! Text that a guest or an image wrote, made safe for a terminal.
//!
//! Whole escape sequences vanish, unfinished ones go to the end of the line,
//! every other control and every direction mark becomes a visible escape. No
//! byte of ESC that msb did not write itself reaches a terminal.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::iter::Peekable;
use std::str::Chars;

const ESC: char = '\u{1b}';

/// Returns one line of text without what could steer a terminal.
#[must_use]
pub fn clean(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            ESC => skip_sequence(&mut rest),
            '\u{9b}' => skip_control_sequence(&mut rest),
            '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}' => skip_string(&mut rest),
            '\0'..='\u{8}' | '\n'..='\u{1f}' | '\u{7f}'..='\u{9f}' if (c as u32) < 0x100 => {
                let _ = write!(safe, "\\x{:02x}", c as u32);
            }
            c if is_direction(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", c as u32);
            }
            c => safe.push(c),
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    (c.is_control() && c != '\t') || is_direction(c)
}

/// Marks that turn the direction of what follows, and so hide what stands there.
const fn is_direction(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Drops what follows an ESC, as far as it belongs to it.
fn skip_sequence(rest: &mut Peekable<Chars<'_>>) {
    match rest.peek() {
        Some('[') => {
            rest.next();
            skip_control_sequence(rest);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            rest.next();
            skip_string(rest);
        }
        Some('\u{20}'..='\u{2f}') => {
            while rest.next_if(|c| matches!(c, '\u{20}'..='\u{2f}')).is_some() {}
            rest.next_if(|c| matches!(c, '\u{30}'..='\u{7e}'));
        }
        Some('\u{30}'..='\u{7e}') => {
            rest.next();
        }
        Some(_) | None => {}
    }
}

/// Drops parameters and the final byte; a byte that fits neither ends the sequence and stays.
fn skip_control_sequence(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| matches!(c, '\u{20}'..='\u{3f}')).is_some() {}
    rest.next_if(|c| matches!(c, '\u{40}'..='\u{7e}'));
}

/// Drops a string up to BEL or ST; one without an end takes the rest of the line.
fn skip_string(rest: &mut Peekable<Chars<'_>>) {
    while let Some(c) = rest.next() {
        match c {
            '\u{7}' | '\u{9c}' => return,
            ESC if rest.next_if_eq(&'\\').is_some() => return,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_is_not_touched() {
        assert!(matches!(clean("a\tb → ü 漢"), Cow::Borrowed("a\tb → ü 漢")));
    }

    #[test]
    fn sequences_vanish_and_controls_become_visible() {
        for (text, expected) in [
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "ab"),
            ("a\u{1b}]8;;http://x\u{1b}\\b", "ab"),
            ("a\u{1b}]never ended", "a"),
            ("a\u{1b}Pq\u{9c}b", "ab"),
            ("a\u{1b}(Bb", "ab"),
            ("a\u{1b}cb", "ab"),
            ("a\u{1b}", "a"),
            ("a\u{9b}2Jb", "ab"),
            ("bell\u{7} nul\0 del\u{7f} cr\r", "bell\\x07 nul\\x00 del\\x7f cr\\x0d"),
            ("\u{85}", "\\x85"),
            ("a\u{202e}b\u{2066}", "a\\u{202e}b\\u{2066}"),
            ("\u{1b}\u{1b}[31mx", "x"),
        ] {
            assert_eq!(clean(text), expected, "{text:?}");
        }
    }

    #[test]
    fn no_escape_survives_whatever_stands_around_it() {
        for first in 0..=0xffu8 {
            for second in [b'[', b']', b'P', 0x1b, b'm', 0x07, b' ', b'\\'] {
                let text = format!("{ESC}{}{}{ESC}", char::from(first), char::from(second));
                let safe = clean(&text).into_owned();
                assert!(!safe.chars().any(is_unsafe), "{text:?} became {safe:?}");
            }
        }
    }
}
