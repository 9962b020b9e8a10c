//! A name as the DNS carries it: labels of any bytes, each behind its length.

use std::net::IpAddr;

/// Bytes of a name, lengths and the root included.
pub(super) const NAME_BYTES_MAX: usize = 255;

/// Bytes of one label.
pub(super) const LABEL_BYTES_MAX: usize = 63;

/// A whole name, as it was written; case counts only where it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Name(Vec<u8>);

impl Name {
    /// Takes labels that end with the root, and were counted.
    pub(super) const fn of_labels(wire: Vec<u8>) -> Self {
        Self(wire)
    }

    /// Reads `a.example`; `None` where that is no name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            let length =
                u8::try_from(label.len()).ok().filter(|n| usize::from(*n) <= LABEL_BYTES_MAX);
            wire.push(length.filter(|length| *length > 0)?);
            wire.extend_from_slice(label.as_bytes());
        }
        wire.push(0);
        (wire.len() <= NAME_BYTES_MAX).then_some(Self(wire))
    }

    /// Returns the bytes as a message carries them.
    pub(super) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Returns the labels, the root left out.
    pub(super) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first()?;
            let (label, after) = behind.split_at_checked(usize::from(*length))?;
            rest = after;
            (!label.is_empty()).then_some(label)
        })
    }

    /// Returns the name as rules are asked about it: in lower case, without a dot at its end.
    ///
    /// `None` where a label holds what cannot be told from the text of another name: a dot, a
    /// backslash, or what is not printed. The name of the root is empty.
    pub(super) fn text(&self) -> Option<String> {
        let plain = |b: &u8| b.is_ascii_graphic() && !matches!(b, b'.' | b'\\');
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            if !label.iter().all(plain) {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.extend(label.iter().map(|b| char::from(b.to_ascii_lowercase())));
        }
        Some(text)
    }

    /// Returns the same name in lower case.
    pub(super) fn lowered(&self) -> Self {
        // Lengths are below 64, and so no letters.
        Self(self.0.to_ascii_lowercase())
    }

    /// Returns the same name with the case of each letter as `chance` has it.
    pub(super) fn shuffled(&self, chance: &mut dyn FnMut() -> u64) -> Self {
        let (mut bits, mut left) = (0, 0);
        let turned = self.0.iter().map(|byte| {
            if !byte.is_ascii_alphabetic() {
                return *byte;
            }
            if left == 0 {
                (bits, left) = (chance(), 64);
            }
            let upper = bits & 1 == 1;
            (bits, left) = (bits >> 1, left - 1);
            if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() }
        });
        Self(turned.collect())
    }

    /// Returns the name above; the root is above itself.
    pub(super) fn parent(&self) -> Self {
        let skip = self.0.first().map_or(0, |length| 1 + usize::from(*length));
        match self.0.get(skip..) {
            Some(rest) if !rest.is_empty() => Self(rest.to_vec()),
            _ => Self(vec![0]),
        }
    }

    /// Tells whether both are the same name; case does not count.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Tells whether this is `other` or a name below it; case does not count.
    pub(super) fn is_within(&self, other: &Self) -> bool {
        let mut at = 0;
        loop {
            let rest = self.0.get(at..).unwrap_or_default();
            if rest.eq_ignore_ascii_case(&other.0) {
                return true;
            }
            match rest.first() {
                None | Some(0) => return false,
                Some(length) => at += 1 + usize::from(*length),
            }
        }
    }
}

/// Returns the address that a name of `in-addr.arpa` or `ip6.arpa` stands for; `None` where it is
/// not one whole address.
pub(super) fn reversed(text: &str) -> Option<IpAddr> {
    if let Some(parts) = text.strip_suffix(".in-addr.arpa") {
        let plain = |part: &str| part == "0" || !part.starts_with('0');
        let parts: Vec<&str> = parts.split('.').filter(|part| plain(part)).collect();
        let [d, c, b, a] = parts.as_slice() else { return None };
        return format!("{a}.{b}.{c}.{d}").parse().ok();
    }
    let nibbles = text.strip_suffix(".ip6.arpa")?;
    let mut value = 0_u128;
    let mut count = 0;
    for nibble in nibbles.rsplit('.') {
        let [digit] = nibble.as_bytes() else { return None };
        value = value << 4 | u128::from(char::from(*digit).to_digit(16)?);
        count += 1;
    }
    (count == 32).then(|| IpAddr::V6(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_printed() {
        let long = format!("{}.example", "a".repeat(63));
        for text in
            ["a.example", "localhost", "_sip._tcp.a.example", "0/25.2.0.192.in-addr.arpa", &long]
        {
            assert_eq!(Name::parse(text).unwrap().text().as_deref(), Some(text));
        }
        assert_eq!(Name::parse("A.Example.").unwrap().text().as_deref(), Some("a.example"));
        for text in ["", ".", "a..b", ".a", &format!("{}.a", "a".repeat(64)), &"a.".repeat(128)] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
        assert_eq!(Name::of_labels(vec![0]).text().as_deref(), Some(""));
    }

    #[test]
    fn a_name_that_reads_like_another_has_no_text() {
        for label in [&b"x.a"[..], b"a b", b"a\\", b"\0", b"\xff"] {
            let mut wire = vec![u8::try_from(label.len()).unwrap()];
            wire.extend(label);
            wire.push(0);
            assert_eq!(Name::of_labels(wire).text(), None, "{label:?}");
        }
    }

    #[test]
    fn a_name_is_within_itself_and_what_is_above() {
        let name = |text| Name::parse(text).unwrap();
        let inner = name("x.A.example");
        for outer in ["x.a.example", "a.EXAMPLE", "example"] {
            assert!(inner.is_within(&name(outer)), "{outer}");
        }
        assert!(inner.is_within(&Name::of_labels(vec![0])));
        for other in ["y.x.a.example", "b.example", "ample"] {
            assert!(!inner.is_within(&name(other)), "{other}");
        }
    }

    #[test]
    fn a_shuffled_name_is_the_same_but_for_its_case() {
        let name = Name::parse("abcdefgh.example").unwrap();
        let other = name.shuffled(&mut || 0b0101);
        assert!(other.is_same(&name) && other != name);
        assert!(other.wire().starts_with(b"\x08AbCdefgh"));
    }

    #[test]
    fn a_reversed_name_stands_for_one_whole_address() {
        let at = |text: &str| text.parse::<IpAddr>().ok();
        assert_eq!(reversed("1.0.18.198.in-addr.arpa"), at("198.18.0.1"));
        let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.6.3.7.d.6.d.f.ip6.arpa";
        assert_eq!(reversed(nibbles), at("fd6d:7362::1"));
        for text in [
            "18.198.in-addr.arpa",
            "256.0.18.198.in-addr.arpa",
            "01.0.18.198.in-addr.arpa",
            "9.1.0.18.198.in-addr.arpa",
            "1.0.ip6.arpa",
            "a.example",
            "in-addr.arpa",
        ] {
            assert_eq!(reversed(text), None, "{text}");
        }
    }
}
