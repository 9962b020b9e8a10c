//! Variables in values: `${NAME}`, its forms with a fallback, and `$$`.
//!
//! A value is gone through once; what a variable puts in is not looked at again.

use std::borrow::Cow;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<'v> {
    /// This value.
    Value(Cow<'v, str>),
    /// It is declared, and has no value.
    Unset,
    /// Nobody declared it.
    Undeclared,
    /// Its declaration is in disorder, which has been said.
    Poisoned,
}

/// Why a text cannot be filled in; each names the byte of the `$` in the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The braces are not closed, or hold no name.
    Syntax(usize),
    /// Interpolations stand too deep in one another.
    Depth(usize),
    /// Nobody declared the name.
    Undeclared(usize, String),
    /// The name has no value; the second text is what the author has to say, if anything.
    Unset(usize, String, Option<String>),
    /// All values together become too long.
    TooLong,
    /// There is nothing more to say.
    Poisoned,
}

const DEPTH_MAX: usize = 8;

/// Stands for the room once too much was asked of it: that has been said, and nothing is made.
const EXHAUSTED: usize = usize::MAX;

/// Fills in `text`; `room` is how many bytes may still be made, and shrinks.
///
/// # Errors
/// [`Fault`] names the interpolation that cannot be filled in; that there is no room is said once.
pub fn expand<'v>(
    text: &str,
    lookup: &impl Fn(&str) -> Lookup<'v>,
    room: &mut usize,
) -> Result<String, Fault> {
    if *room == EXHAUSTED {
        return Err(Fault::Poisoned);
    }
    let (most, depth) = (*room, DEPTH_MAX);
    let expanded = Filler { lookup, most }.fill(text, 0, depth);
    match &expanded {
        Ok(expanded) => *room -= expanded.len(),
        Err(Fault::TooLong) => *room = EXHAUSTED,
        Err(_) => {}
    }
    expanded
}

/// Returns a text that is `text` once it is filled in.
///
/// A mark of what is filled in later counts as an interpolation: it will be written as one.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 2);
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        written.push(character);
        if character == '$' && matches!(rest.peek(), Some('$' | '{' | '\0')) {
            written.push('$');
        }
    }
    Cow::Owned(written)
}

/// What every part of a text is filled in with.
struct Filler<'l, L> {
    lookup: &'l L,
    /// The most bytes of any part.
    most: usize,
}

impl<'v, L: Fn(&str) -> Lookup<'v>> Filler<'_, L> {
    fn fill(&self, text: &str, base: usize, depth: usize) -> Result<String, Fault> {
        let mut filled = String::with_capacity(text.len());
        let mut rest = 0;
        while let Some(offset) = text[rest..].find('$') {
            let at = rest + offset;
            filled.push_str(&text[rest..at]);
            rest = match text.as_bytes().get(at + 1) {
                Some(b'$') => {
                    filled.push('$');
                    at + 2
                }
                Some(b'{') => {
                    let end = closing(text, at + 2).ok_or(Fault::Syntax(base + at))?;
                    let depth = depth.checked_sub(1).ok_or(Fault::Depth(base + at))?;
                    let inner = &text[at + 2..end];
                    let value = self.one(inner, base + at, depth)?;
                    if filled.len() + value.len() > self.most {
                        return Err(Fault::TooLong);
                    }
                    filled.push_str(&value);
                    end + 1
                }
                _ => {
                    filled.push('$');
                    at + 1
                }
            };
        }
        filled.push_str(&text[rest..]);
        if filled.len() > self.most { Err(Fault::TooLong) } else { Ok(filled) }
    }

    /// Fills in one interpolation, whose `$` stands at byte `at`.
    fn one(&self, inner: &str, at: usize, depth: usize) -> Result<Cow<'v, str>, Fault> {
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        let end = inner.find(|c: char| !word(c)).unwrap_or(inner.len());
        let (name, operator) = inner.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(Fault::Syntax(at));
        }
        let (sign, body, counts_empty) = match operator.as_bytes() {
            [] => (b' ', "", false),
            [b':', sign @ (b'-' | b'?' | b'+'), ..] => (*sign, &operator[2..], true),
            [sign @ (b'-' | b'?' | b'+'), ..] => (*sign, &operator[1..], false),
            _ => return Err(Fault::Syntax(at)),
        };
        let value = match (self.lookup)(name) {
            Lookup::Undeclared => return Err(Fault::Undeclared(at, name.to_owned())),
            Lookup::Poisoned => return Err(Fault::Poisoned),
            Lookup::Unset => None,
            Lookup::Value(value) if value.is_empty() && counts_empty => None,
            Lookup::Value(value) => Some(value),
        };
        let base = at + 2 + inner.len() - body.len();
        match (sign, value) {
            (b'+', Some(_)) | (b'-', None) => self.fill(body, base, depth).map(Cow::Owned),
            (b'+', None) => Ok(Cow::Borrowed("")),
            (_, Some(value)) => Ok(value),
            (b'?', None) => {
                let said = self.fill(body, base, depth)?;
                Err(Fault::Unset(at, name.to_owned(), Some(said).filter(|said| !said.is_empty())))
            }
            (_, None) => Err(Fault::Unset(at, name.to_owned(), None)),
        }
    }
}

/// Finds the brace that closes the one before `start`.
fn closing(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut at, mut depth) = (start, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
            }
            b'$' if bytes.get(at + 1) == Some(&b'$') => at += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(text: &str) -> Result<String, Fault> {
        let lookup = |name: &str| match name {
            "A" => Lookup::Value("a".into()),
            "E" => Lookup::Value("".into()),
            "D" => Lookup::Value("${A}".into()),
            "U" => Lookup::Unset,
            "sandbox.name" => Lookup::Value("web".into()),
            _ => Lookup::Undeclared,
        };
        expand(text, &lookup, &mut 1000)
    }

    #[test]
    fn sf_m1_every_form_fills_in() {
        for (text, expected) in [
            ("x${A}y", "xay"),
            ("${sandbox.name}", "web"),
            ("$$", "$"),
            ("$${A}", "${A}"),
            ("$HOME $", "$HOME $"),
            ("${U:-d}", "d"),
            ("${U-d}", "d"),
            ("${E:-d}", "d"),
            ("${E-d}", ""),
            ("${A:+alt}", "alt"),
            ("${U+alt}", ""),
            ("${E+alt}", "alt"),
            ("${E:+alt}", ""),
            ("${U:-${A}-${U:-x}}", "a-x"),
            ("${U:-a:b}", "a:b"),
            ("${D}", "${A}"),
        ] {
            assert_eq!(filled(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn an_escaped_text_is_itself_again() {
        let letters = ['$', '{', '}', 'A', ':'];
        let mut texts = vec![String::new()];
        for _ in 0..6 {
            let longer =
                texts.iter().flat_map(|text| letters.map(|letter| format!("{text}{letter}")));
            texts = longer.collect();
            for text in &texts {
                let written = escaped(text);
                assert_eq!(filled(&written).as_deref(), Ok(text.as_str()), "{written}");
            }
        }
        assert_eq!(escaped("plain $HOME $"), "plain $HOME $");
    }

    #[test]
    fn sf_m1_what_cannot_be_filled_in_is_named() {
        for (text, fault) in [
            ("ab${A", Fault::Syntax(2)),
            ("${}", Fault::Syntax(0)),
            ("${A B}", Fault::Syntax(0)),
            ("${1}", Fault::Syntax(0)),
            ("x ${B}", Fault::Undeclared(2, "B".into())),
            ("${U}", Fault::Unset(0, "U".into(), None)),
            ("${U:?say it}", Fault::Unset(0, "U".into(), Some("say it".into()))),
            ("${U:-${B}}", Fault::Undeclared(5, "B".into())),
        ] {
            assert_eq!(filled(text), Err(fault), "{text}");
        }
        let deep = format!("{}x{}", "${U:-".repeat(9), "}".repeat(9));
        assert!(matches!(filled(&deep), Err(Fault::Depth(_))));
        let lookup = |_: &str| Lookup::Value("x".repeat(600).into());
        let mut room = 1000;
        assert_eq!(expand("${A}${A}", &lookup, &mut room), Err(Fault::TooLong));
        assert_eq!(expand("${A}", &lookup, &mut room), Err(Fault::Poisoned), "said once");
    }
}
