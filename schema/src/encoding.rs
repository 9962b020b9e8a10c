//! Bytes that are no text, as text: base 64.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// What others wrote has its padding, or has not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Returns `bytes` in base 64, with padding.
#[must_use]
pub fn base64(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

/// Returns the bytes that `text` is in base 64, with or without padding; `None` where it is not.
#[must_use]
pub fn from_base64(text: impl AsRef<[u8]>) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold_with_padding_and_without() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foobar", "Zm9vYmFy"),
            (b"\xff\x00\xfe\x01", "/wD+AQ=="),
        ] {
            assert_eq!(base64(bytes), text);
            assert_eq!(from_base64(text).unwrap(), bytes);
            assert_eq!(from_base64(text.trim_end_matches('=')).unwrap(), bytes);
        }
    }

    #[test]
    fn what_is_something_else_has_no_bytes() {
        for text in ["a", "!!", "Zm 9", "Zg==Zg==", "Zh==", "_w"] {
            assert_eq!(from_base64(text), None, "{text}");
        }
    }
}
