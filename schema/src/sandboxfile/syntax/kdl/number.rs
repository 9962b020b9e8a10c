//! Which texts are numbers.

/// Returns whether `text` is a number by the grammar of KDL, keywords aside.
pub(in crate::sandboxfile) fn is_number(text: &str) -> bool {
    let bytes = text.as_bytes();
    let bytes = match bytes {
        [b'+' | b'-', rest @ ..] => rest,
        _ => bytes,
    };
    match bytes {
        [b'0', b'x', rest @ ..] => digits(rest, |b| b.is_ascii_hexdigit()),
        [b'0', b'o', rest @ ..] => digits(rest, |b| matches!(b, b'0'..=b'7')),
        [b'0', b'b', rest @ ..] => digits(rest, |b| matches!(b, b'0' | b'1')),
        _ => decimal(bytes),
    }
}

fn decimal(bytes: &[u8]) -> bool {
    let (mantissa, exponent) = match bytes.iter().position(|b| matches!(b, b'e' | b'E')) {
        Some(at) => (&bytes[..at], Some(&bytes[at + 1..])),
        None => (bytes, None),
    };
    let (whole, fraction) = match mantissa.iter().position(|b| *b == b'.') {
        Some(at) => (&mantissa[..at], Some(&mantissa[at + 1..])),
        None => (mantissa, None),
    };
    let plain = |part: &[u8]| digits(part, |b| b.is_ascii_digit());
    let exponent = exponent.map(|part| match part {
        [b'+' | b'-', rest @ ..] => rest,
        _ => part,
    });
    plain(whole) && fraction.is_none_or(plain) && exponent.is_none_or(plain)
}

/// One digit, then digits and underscores.
fn digits(bytes: &[u8], is_digit: impl Fn(u8) -> bool) -> bool {
    bytes.first().is_some_and(|b| is_digit(*b)) && bytes.iter().all(|b| *b == b'_' || is_digit(*b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_words() {
        for yes in ["0", "-1_000", "+1.5e-3", "0xAf_1", "0o17", "0b1_0", "1e10", "007"] {
            assert!(is_number(yes), "{yes}");
        }
        for no in ["", "-", "1.", ".1", "1e", "0x", "0x_1", "0b2", "1.2.3", "1_.e", "1._2", "5s"] {
            assert!(!is_number(no), "{no}");
        }
    }
}
