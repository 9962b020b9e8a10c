//! How a scalar looks, by the core schema of YAML 1.2: `yes`, `0755` as a mode and `22:22` are words
//! or plain numbers, never booleans, octals or minutes.

use saphyr_parser::ScalarStyle;

use crate::sandboxfile::tree::ScalarKind;

/// Resolves a plain scalar by the core schema; anything in quotes or in a block is text.
pub(super) fn kind(text: &str, style: ScalarStyle) -> ScalarKind {
    if style != ScalarStyle::Plain {
        return ScalarKind::Quoted;
    }
    match text {
        "" => ScalarKind::Nothing,
        "~" | "null" | "Null" | "NULL" => ScalarKind::Null,
        "true" | "True" | "TRUE" => ScalarKind::True,
        "false" | "False" | "FALSE" => ScalarKind::False,
        _ if is_number(text) => ScalarKind::Number,
        _ => ScalarKind::Word,
    }
}

fn is_number(text: &str) -> bool {
    let all = |digits: &str, is_digit: fn(&u8) -> bool| {
        !digits.is_empty() && digits.as_bytes().iter().all(is_digit)
    };
    if let Some(digits) = text.strip_prefix("0o") {
        return all(digits, |byte| matches!(byte, b'0'..=b'7'));
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return all(digits, u8::is_ascii_hexdigit);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    match (text, unsigned) {
        (".nan" | ".NaN" | ".NAN", _) | (_, ".inf" | ".Inf" | ".INF") => return true,
        _ => {}
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let plain = |digits: &str| all(digits, u8::is_ascii_digit);
    let mantissa = match mantissa.split_once('.') {
        None => plain(mantissa),
        Some(("", fraction)) => plain(fraction),
        Some((whole, fraction)) => plain(whole) && (fraction.is_empty() || plain(fraction)),
    };
    let unsigned = |digits: &str| plain(digits.strip_prefix(['+', '-']).unwrap_or(digits));
    mantissa && exponent.is_none_or(unsigned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sf_t10_plain_scalars_look_as_the_core_schema_says() {
        let check = |words: &[&str], expected| {
            for word in words {
                assert_eq!(kind(word, ScalarStyle::Plain), expected, "{word}");
            }
        };
        let numbers = [
            "0",
            "-19",
            "+1",
            "017",
            "0o17",
            "0x3Af",
            "0.",
            "-.5",
            "12e03",
            "-2E+05",
            ".inf",
            "-.Inf",
            "+.INF",
            ".nan",
            ".NaN",
            "1.5e-3",
            "99999999999999999999",
        ];
        check(&numbers, ScalarKind::Number);
        check(&["true", "True", "TRUE"], ScalarKind::True);
        check(&["false", "False", "FALSE"], ScalarKind::False);
        check(&["~", "null", "Null", "NULL"], ScalarKind::Null);
        check(&[""], ScalarKind::Nothing);
        let words = [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "Yes",
            "NO",
            "tRUE",
            "nULL",
            "1_000",
            "22:22",
            "0b1",
            "0o8",
            "0x",
            "0xg",
            "-0x1",
            "+0o7",
            "inf",
            "-inf",
            "nan",
            "NaN",
            "infinity",
            "-.nan",
            ".",
            "+",
            "-",
            "1e",
            "e1",
            "1.2.3",
            "1 ",
            "2001-12-14",
            "0o",
            "1e+",
            ".e1",
        ];
        check(&words, ScalarKind::Word);
        assert_eq!(kind("null", ScalarStyle::DoubleQuoted), ScalarKind::Quoted);
        assert_eq!(kind("true", ScalarStyle::Literal), ScalarKind::Quoted);
    }
}
