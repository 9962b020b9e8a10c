//! What each character means to KDL.

/// Returns the length of the line end at the start of `rest`, or 0.
pub(super) fn newline(rest: &[u8]) -> usize {
    match rest {
        [b'\r', b'\n', ..] => 2,
        [b'\n' | b'\r' | 0xb | 0xc, ..] => 1,
        [0xc2, 0x85, ..] => 2,
        [0xe2, 0x80, 0xa8 | 0xa9, ..] => 3,
        _ => 0,
    }
}

/// Returns the length of the blank at the start of `rest`, or 0.
pub(super) fn blank(rest: &[u8]) -> usize {
    match rest {
        [b' ' | b'\t', ..] => 1,
        [0xc2, 0xa0, ..] => 2,
        [0xe1, 0x9a, 0x80, ..]
        | [0xe2, 0x80, 0x80..=0x8a | 0xaf, ..]
        | [0xe2, 0x81, 0x9f, ..]
        | [0xe3, 0x80, 0x80, ..] => 3,
        _ => 0,
    }
}

/// Returns whether a byte below 0x80 may be part of a word without quotes.
const fn is_word_byte(byte: u8) -> bool {
    byte > 0x20
        && byte < 0x7f
        && !matches!(
            byte,
            b'\\' | b'/' | b'(' | b')' | b'{' | b'}' | b';' | b'[' | b']' | b'"' | b'#' | b'='
        )
}

const WORD_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = is_word_byte(byte);
        byte += 1;
    }
    table
};

/// Returns the length of the word at the start of `rest`.
pub(super) fn word(rest: &[u8]) -> usize {
    let mut at = 0;
    while let Some(byte) = rest.get(at) {
        if WORD_BYTES[usize::from(*byte)] {
            at += 1;
            continue;
        }
        let tail = &rest[at..];
        let is_mark = tail.starts_with(&[0xef, 0xbb, 0xbf]);
        if *byte < 0x80 || newline(tail) > 0 || blank(tail) > 0 || is_mark {
            break;
        }
        at += width(*byte);
    }
    at.min(rest.len())
}

/// Returns how many bytes the character that starts with `byte` has.
pub(super) const fn width(byte: u8) -> usize {
    match byte {
        0..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0.. => 4,
    }
}
