//! Stage six: from the text of a value to what its key asks for.
//!
//! A value is typed by its key, never by its looks: quoted or not, `2` is a
//! count where a count is due, and `3.10` stays `3.10` where text is due.

use super::problem::{Code, Problem, listed, nearest, shown};
use super::tree::{Scalar, ScalarKind};
use crate::units::{Bytes, Millis, Rate, UnitError, parse_count};

/// What reading one value gives.
pub type Read<T> = Result<T, Problem>;

fn fault(code: Code, value: &Scalar<'_>, message: &str) -> Problem {
    Problem::error(code, message, value.span)
}

/// Reads text of at most so many bytes.
///
/// # Errors
/// A keyword is no text, and text has a limit.
pub fn text<'v>(value: &'v Scalar<'_>, most: usize) -> Read<&'v str> {
    let word = shown(value.told());
    match value.kind {
        ScalarKind::Quoted | ScalarKind::Word | ScalarKind::Number => {}
        ScalarKind::True | ScalarKind::False => {
            let bare = word.trim_start_matches('#');
            let message = format!("`{word}` is a boolean where text is due");
            return Err(
                fault(Code::VALUE_TYPE, value, &message).help(format!("quote it: \"{bare}\""))
            );
        }
        ScalarKind::Null | ScalarKind::Nothing => {
            return Err(fault(Code::VALUE_NULL, value, "text is due").help("write a value"));
        }
    }
    if value.text.contains('\0') {
        let problem = fault(Code::VALUE_TYPE, value, "text holds no character with code zero");
        return Err(problem.help("delete it"));
    }
    if value.text.len() > most {
        let message = format!("the text has more than {most} bytes");
        return Err(fault(Code::VALUE_RANGE, value, &message).help("shorten it"));
    }
    Ok(&value.text)
}

/// Reads `true` or `false`.
///
/// # Errors
/// Any other word is no boolean.
pub fn boolean(value: &Scalar<'_>, yaml: bool) -> Read<bool> {
    let word = shown(value.told());
    match (value.kind, value.text.as_ref()) {
        (ScalarKind::True, _) | (_, "true") => return Ok(true),
        (ScalarKind::False, _) | (_, "false") => return Ok(false),
        _ => {}
    }
    let mark = if yaml { "" } else { "#" };
    let meant = match value.text.to_ascii_lowercase().as_str() {
        "yes" | "on" | "1" | "y" => "true",
        "no" | "off" | "0" | "n" => "false",
        _ => "true or false",
    };
    let meant = meant.replace("or ", &format!("or {mark}"));
    let why = if yaml { "; YAML 1.2 reads yes, no, on and off as words" } else { "" };
    let message = format!("`{word}` is not a boolean");
    Err(fault(Code::VALUE_BOOLEAN, value, &message).help(format!("write {mark}{meant}{why}")))
}

/// Reads a count within bounds.
///
/// # Errors
/// A count has no sign, fraction, base or leading zero, and has bounds.
pub fn count(value: &Scalar<'_>, (least, most): (u64, u64)) -> Read<u64> {
    let text = text(value, usize::MAX)?;
    let zeros = text.len() > 1 && text.starts_with('0');
    let number = parse_count(text).filter(|_| !zeros);
    let Some(number) = number else {
        let message = format!("`{}` is not a count", shown(value.told()));
        let bare = text.trim_start_matches('0');
        let help = if zeros && parse_count(bare).is_some() {
            format!("write {bare}")
        } else {
            "write a whole number, such as 2".to_owned()
        };
        return Err(fault(Code::VALUE_COUNT, value, &message).help(help));
    };
    if (least..=most).contains(&number) {
        return Ok(number);
    }
    let message = match &value.written {
        None => format!("{number} is out of range"),
        Some(written) => format!("`{}` is out of range", shown(written)),
    };
    let bounds = match most {
        u64::MAX => format!("{least} or more"),
        _ => format!("between {least} and {most}"),
    };
    Err(fault(Code::VALUE_RANGE, value, &message).help(format!("write a number {bounds}")))
}

fn unit_problem(code: Code, value: &Scalar<'_>, error: &UnitError, example: &str) -> Problem {
    let message = match error {
        _ if value.written.is_some() => format!("`{}` is not {example}", shown(value.told())),
        UnitError::NotANumber(_) => format!("`{}` is not {example}", shown(value.told())),
        other => shown(&other.to_string()),
    };
    let problem = fault(code, value, &message);
    if value.written.is_some() {
        return problem.help(format!("write {example}, such as {}", sample(code)));
    }
    match (error.nearest(), error) {
        (Some(near), _) => {
            let near = near.to_owned();
            let help = format!("write \"{near}\"");
            problem.nearest(Some(&near)).help(help)
        }
        (None, UnitError::NoUnit(number)) if code == Code::VALUE_RATE => {
            let number = number.strip_suffix("/s").unwrap_or(number);
            problem.help(format!("write the unit: \"{}MiB/s\"", shown(number)))
        }
        (None, UnitError::NoUnit(number)) if code == Code::VALUE_SIZE => {
            problem.help(format!("write the unit: \"{}MiB\"", shown(number)))
        }
        (None, UnitError::NoUnit(number)) => {
            let near = Millis::parse(&format!("{number}s")).ok().map(|near| near.to_string());
            let near = near.unwrap_or_else(|| "10s".to_owned());
            problem.help(format!("write the unit: \"{near}\" for seconds"))
        }
        (None, _) => problem.help(format!("write {example}, such as {}", sample(code))),
    }
}

fn sample(code: Code) -> &'static str {
    match code {
        Code::VALUE_SIZE => "\"512MiB\"",
        Code::VALUE_RATE => "\"10MiB/s\"",
        _ => "\"1m30s\"",
    }
}

/// Reads a size within bounds; whole mebibytes where the bounds are.
///
/// # Errors
/// The unit is required, and there are bounds.
pub fn size(value: &Scalar<'_>, (least, most): (u64, u64)) -> Read<Bytes> {
    let text = text(value, usize::MAX)?;
    let size = Bytes::parse(text)
        .map_err(|error| unit_problem(Code::VALUE_SIZE, value, &error, "a size"))?;
    if !(least..=most).contains(&size.0) {
        let message = match &value.written {
            None => format!("{size} is out of range"),
            Some(written) => format!("`{}` is out of range", shown(written)),
        };
        let help = format!("write a size between {} and {}", Bytes(least), Bytes(most));
        return Err(fault(Code::VALUE_RANGE, value, &message).help(help));
    }
    if least >= Bytes::MIB && !size.is_whole_mib() {
        let message = format!("{size} is not a whole number of MiB");
        let near = Bytes(size.0.div_ceil(Bytes::MIB) * Bytes::MIB);
        let near = near.to_string().replace(' ', "");
        return Err(fault(Code::VALUE_RANGE, value, &message).help(format!("write \"{near}\"")));
    }
    Ok(size)
}

/// Reads a rate; nothing at all is no rate.
///
/// # Errors
/// The unit and `/s` are required.
pub fn rate(value: &Scalar<'_>) -> Read<Rate> {
    let text = text(value, usize::MAX)?;
    let rate = Rate::parse(text)
        .map_err(|error| unit_problem(Code::VALUE_RATE, value, &error, "a rate"))?;
    if rate.0 == 0 {
        let help = "write a rate, or leave it out for none";
        return Err(fault(Code::VALUE_RANGE, value, "nothing would pass").help(help));
    }
    Ok(rate)
}

/// Reads a duration of at least so many milliseconds.
///
/// # Errors
/// The unit is required, and there is a least.
pub fn duration(value: &Scalar<'_>, least: u64) -> Read<Millis> {
    let text = text(value, usize::MAX)?;
    let duration = Millis::parse(text)
        .map_err(|error| unit_problem(Code::VALUE_DURATION, value, &error, "a duration"))?;
    if duration.0 < least {
        let message = format!("{duration} is out of range");
        let help = format!("write {} or more", Millis(least));
        return Err(fault(Code::VALUE_RANGE, value, &message).help(help));
    }
    Ok(duration)
}

/// Reads one of `words`, and returns which.
///
/// # Errors
/// Any other word is none of them.
pub fn choice(value: &Scalar<'_>, key: &str, words: &'static [&'static str]) -> Read<&'static str> {
    let word = match value.kind {
        // `no` and `off` are words of ours; `false` is not.
        ScalarKind::True | ScalarKind::False => shown(value.told()),
        _ => text(value, usize::MAX)?.to_owned(),
    };
    if let Some(known) = words.iter().find(|known| **known == word) {
        return Ok(known);
    }
    let near = nearest(&word, words.iter().copied());
    let message = format!("`{}` is not one of the words of `{key}`", shown(value.told()));
    let list = words.join(", ");
    let help = match near {
        Some(near) => format!("write \"{near}\"; the words here are {list}"),
        None => format!("write one of {list}"),
    };
    Err(fault(Code::VALUE_CHOICE, value, &message).nearest(near).help(help))
}

/// Reads a value by a rule of its own, whose refusal is a sentence.
///
/// # Errors
/// What the rule refuses.
pub fn checked<T, E: std::fmt::Display>(
    value: &Scalar<'_>,
    code: Code,
    rule: impl FnOnce(&str) -> Result<T, E>,
    help: &str,
) -> Read<T> {
    let text = text(value, usize::MAX)?;
    rule(text).map_err(|error| {
        // What a rule has to say quotes the text; of a variable's value nothing is shown.
        let message = match &value.written {
            None => shown(&error.to_string()),
            Some(written) => format!("what `{}` becomes does not fit here", shown(written)),
        };
        fault(code, value, &message).help(help)
    })
}

/// Reads a value by a rule that knows a valid text near to what it refuses; `help` is for where it
/// knows none.
///
/// # Errors
/// What the rule refuses.
pub fn near<T, E: std::fmt::Display>(
    value: &Scalar<'_>,
    code: Code,
    rule: impl FnOnce(&str) -> Result<T, E>,
    nearest: impl FnOnce(&E) -> Option<String>,
    help: &str,
) -> Read<T> {
    let mut near = None;
    let read = checked(value, code, |text| rule(text).inspect_err(|e| near = nearest(e)), help);
    read.map_err(|problem| match near.filter(|_| value.written.is_none()) {
        Some(near) => problem.nearest(Some(&near)).help(format!("write \"{}\"", shown(&near))),
        None => problem,
    })
}

/// Returns the problem of a name that refers to nothing, with the nearest that exists.
#[must_use]
pub fn unknown_reference<'n>(
    kind: &str,
    value: &Scalar<'_>,
    known: impl IntoIterator<Item = &'n str> + Clone,
) -> Problem {
    let name = shown(value.told());
    let message = format!("there is no {kind} `{name}`");
    let near = nearest(&value.text, known.clone());
    let problem = fault(Code::REF_UNKNOWN, value, &message);
    match near {
        Some(near) => problem.nearest(Some(near)).help(format!("write \"{near}\"")),
        None => {
            let all = listed(known);
            if all.is_empty() {
                problem.help(format!("define {kind} \"{name}\""))
            } else {
                problem.help(format!("there are {all}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::sandboxfile::tree::Span;

    fn scalar(text: &str, kind: ScalarKind) -> Scalar<'_> {
        let span = Span { file: 0, start: 0, end: 0 };
        Scalar::new(Cow::Borrowed(text), kind, span)
    }

    /// Returns what a value is by its key, or the code of the problem; in quotes and without alike.
    fn each<T: std::fmt::Debug + PartialEq>(
        written: &str,
        read: impl Fn(&Scalar<'_>) -> Read<T>,
    ) -> Result<T, Code> {
        let kinds = [ScalarKind::Quoted, ScalarKind::Word, ScalarKind::Number];
        let found = kinds.map(|kind| read(&scalar(written, kind)).map_err(|problem| problem.code));
        assert!(found.iter().all(|one| *one == found[0]), "{written}: {found:?}");
        found.into_iter().next().unwrap()
    }

    #[test]
    fn sf_t4_a_text_keeps_its_source_and_takes_no_keyword() {
        for written in ["3.10", "0755", "1_000", "yes", "22:22", "0x1F", "1e3", "2001-12-14"] {
            let read = |value: &Scalar<'_>| text(value, 64).map(str::to_owned);
            assert_eq!(each(written, read), Ok(written.to_owned()));
        }
        for (written, kind) in [("true", ScalarKind::True), ("#false", ScalarKind::False)] {
            let problem = text(&scalar(written, kind), 64).unwrap_err();
            assert_eq!(problem.code, Code::VALUE_TYPE, "{written}");
            assert!(problem.help.unwrap().starts_with("quote it: \""), "{written}");
        }
        let code = |value: &str| each(value, |value| text(value, 3).map(str::to_owned));
        assert_eq!((code("a\0"), code("abcd")), (Err(Code::VALUE_TYPE), Err(Code::VALUE_RANGE)));
    }

    #[test]
    fn sf_t4_a_count_is_digits_quoted_or_not() {
        let read = |value: &Scalar<'_>| count(value, (0, 1 << 53));
        for (written, number) in
            [("0", 0), ("2", 2), ("1_000", 1000), ("9007199254740992", 1 << 53)]
        {
            assert_eq!(each(written, read), Ok(number), "{written}");
        }
        for written in [
            "02",
            "00",
            "+2",
            "-2",
            "2.0",
            "0x2",
            "0b1",
            "0o7",
            "1e3",
            "1__0",
            "_1",
            "1_",
            "",
            "two",
            "9007199254740993",
            "#inf",
            ".inf",
            "２",
        ] {
            assert_eq!(each(written, read), Err(Code::VALUE_COUNT), "{written}");
        }
        let help = count(&scalar("0755", ScalarKind::Number), (0, 9)).unwrap_err().help;
        assert_eq!(help.as_deref(), Some("write 755"));
        let huge = "9".repeat(200_000);
        assert_eq!(each(&huge, read), Err(Code::VALUE_COUNT));
    }

    #[test]
    fn a_number_without_its_unit_is_told_with_one_that_it_can_have() {
        for (written, near) in [("90", "\"1m30s\""), ("333333333333333333", "\"10s\"")] {
            let problem = duration(&scalar(written, ScalarKind::Number), 0).unwrap_err();
            assert_eq!(problem.code, Code::VALUE_DURATION, "{written}");
            assert!(problem.help.as_deref().unwrap().contains(near), "{problem:?}");
        }
    }

    #[test]
    fn sf_t4_a_boolean_is_true_or_false() {
        for (written, kind, expected) in [
            ("#true", ScalarKind::True, true),
            ("False", ScalarKind::False, false),
            ("true", ScalarKind::Quoted, true),
        ] {
            assert_eq!(boolean(&scalar(written, kind), false), Ok(expected), "{written}");
        }
        for (written, meant) in
            [("yes", "write true;"), ("OFF", "write false;"), ("2", "write true or false;")]
        {
            let problem = boolean(&scalar(written, ScalarKind::Word), true).unwrap_err();
            assert_eq!(problem.code, Code::VALUE_BOOLEAN, "{written}");
            assert!(problem.help.as_deref().unwrap().starts_with(meant), "{problem:?}");
        }
        let problem = boolean(&scalar("on", ScalarKind::Word), false).unwrap_err();
        assert_eq!(problem.help.as_deref(), Some("write #true"));
    }
}
