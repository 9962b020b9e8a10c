//! SHA-256 digests, as images name their parts.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use sha2::{Digest as _, Sha256};

/// The digest of some bytes; text becomes one only after it was checked.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Returns the digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Returns the digest of a file's bytes, from its start.
    pub fn of_file(file: &File) -> io::Result<Self> {
        let (mut hasher, mut at) = (Sha256::new(), 0);
        let mut buffer = vec![0; 256 << 10];
        loop {
            match file.read_at(&mut buffer, at)? {
                0 => return Ok(hasher.into()),
                count => {
                    hasher.update(&buffer[..count]);
                    at += count as u64;
                }
            }
        }
    }

    /// Returns the digest written as `sha256:` and 64 lower-case hex digits,
    /// or `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::parse_hex(text.strip_prefix("sha256:")?)
    }

    /// Returns the digest written as 64 lower-case hex digits.
    #[must_use]
    pub fn parse_hex(hex: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        if hex.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.as_bytes().as_chunks::<2>().0) {
            let [high, low] = pair.map(|digit| match digit {
                b'0'..=b'9' => Some(digit - b'0'),
                b'a'..=b'f' => Some(digit - b'a' + 10),
                _ => None,
            });
            *byte = high? << 4 | low?;
        }
        Some(Self(bytes))
    }

    /// Returns the 64 digits alone, as they stand in file names.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }
}

impl From<Sha256> for Digest {
    fn from(hasher: Sha256) -> Self {
        Self(hasher.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Returns `bytes` as lower-case hex digits.
pub fn hex(bytes: &[u8]) -> String {
    let digit = |value: u8| char::from_digit(u32::from(value), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 15)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_its_text_and_nothing_else_is() {
        let digest = Digest::of(b"");
        assert!(digest.to_string().starts_with("sha256:e3b0c442"));
        assert_eq!(Digest::parse(&digest.to_string()), Some(digest));
        for text in ["sha256:../../x", "sha512:aa", &digest.to_string().to_uppercase(), "sha256:"] {
            assert_eq!(Digest::parse(text), None, "{text}");
        }
    }
}
