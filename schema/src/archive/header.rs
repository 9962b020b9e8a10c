//! One 512-byte header: its checksum, its numbers and its fields.

use super::Time;

/// The size of a header and the unit in which data is padded.
pub(crate) const BLOCK: usize = 512;

/// Who wrote the header, as its magic says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// POSIX `ustar`, which has a prefix field.
    Ustar,
    /// GNU, which uses the prefix field for other things.
    Gnu,
}

/// A header whose checksum was right.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header<'a> {
    bytes: &'a [u8; BLOCK],
    /// Which fields lie where.
    pub(crate) dialect: Dialect,
}

impl<'a> Header<'a> {
    /// Returns the header in `bytes`, or what is wrong with it.
    pub(crate) fn parse(bytes: &'a [u8; BLOCK]) -> Result<Self, &'static str> {
        let dialect = match &bytes[257..265] {
            b"ustar\x0000" => Dialect::Ustar,
            b"ustar  \0" => Dialect::Gnu,
            _ => return Err("the header is neither ustar nor GNU"),
        };
        let header = Self { bytes, dialect };
        let written = octal(&bytes[148..156])?;
        let sum: u64 = bytes[..148].iter().chain(&bytes[156..]).map(|b| u64::from(*b)).sum();
        if written != sum + 8 * u64::from(b' ') {
            return Err("the header's checksum is wrong");
        }
        Ok(header)
    }

    /// Returns the letter that says what kind of entry this is.
    pub(crate) const fn kind(&self) -> u8 {
        self.bytes[156]
    }

    /// Returns the name, with the prefix of ustar before it.
    pub(crate) fn name(&self) -> Vec<u8> {
        let name = text(&self.bytes[..100]);
        let prefix = match self.dialect {
            Dialect::Ustar => text(&self.bytes[345..500]),
            Dialect::Gnu => &[],
        };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    /// Returns the target of a link.
    pub(crate) fn link(&self) -> Vec<u8> {
        text(&self.bytes[157..257]).to_vec()
    }

    /// Returns the permission bits.
    pub(crate) fn mode(&self) -> Result<u64, &'static str> {
        number(&self.bytes[100..108])
    }

    /// Returns the owner.
    pub(crate) fn uid(&self) -> Result<u64, &'static str> {
        number(&self.bytes[108..116])
    }

    /// Returns the group.
    pub(crate) fn gid(&self) -> Result<u64, &'static str> {
        number(&self.bytes[116..124])
    }

    /// Returns the bytes that follow the header.
    pub(crate) fn size(&self) -> Result<u64, &'static str> {
        number(&self.bytes[124..136])
    }

    /// Returns when it was last changed; before 1970 is 1970.
    pub(crate) fn mtime(&self) -> Result<Time, &'static str> {
        let field = &self.bytes[136..148];
        let seconds = if field[0] == 0xff { 0 } else { number(field)? };
        Ok(Time { seconds: seconds.min(Time::SECONDS_MAX), nanos: 0 })
    }

    /// Returns the numbers of a device.
    pub(crate) fn device(&self) -> Result<(u64, u64), &'static str> {
        Ok((number(&self.bytes[329..337])?, number(&self.bytes[337..345])?))
    }

    /// Returns the part of an old GNU header that describes a sparse file.
    pub(crate) fn sparse(&self) -> &'a [u8] {
        &self.bytes[386..495]
    }
}

/// Returns the bytes before the first NUL.
fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}

/// Returns a number written in octal digits or, for large ones, in base 256.
pub(crate) fn number(field: &[u8]) -> Result<u64, &'static str> {
    match field.first() {
        Some(0x80) => {
            let (high, low) = field.split_at(field.len().saturating_sub(8));
            if high.iter().skip(1).any(|b| *b != 0) {
                return Err("a number is too large");
            }
            // An eight-byte field holds its marker among the low bytes.
            let low = if high.is_empty() { &low[1..] } else { low };
            Ok(low.iter().fold(0, |sum, b| sum << 8 | u64::from(*b)))
        }
        Some(first) if *first > 0x80 => Err("a number is negative or too large"),
        _ => octal(field),
    }
}

fn octal(field: &[u8]) -> Result<u64, &'static str> {
    let start = field.iter().position(|b| *b != b' ').unwrap_or(field.len());
    let digits = &field[start..];
    let end = digits.iter().position(|b| !b.is_ascii_digit()).unwrap_or(digits.len());
    if digits[end..].iter().any(|b| *b != 0 && *b != b' ') {
        return Err("a number is malformed");
    }
    digits[..end].iter().try_fold(0_u64, |sum, b| match b {
        b'0'..=b'7' => sum
            .checked_mul(8)
            .and_then(|sum| sum.checked_add(u64::from(b - b'0')))
            .ok_or("a number is too large"),
        _ => Err("a number is malformed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_base_256_and_never_negative() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(&[0; 8]), Ok(0));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 1, 2]), Ok(258));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Ok(2 << 32));
        number(&[0xff; 8]).unwrap_err();
        number(b"00008\0\0\0").unwrap_err();
        number(b"12 34\0\0\0").unwrap_err();
    }
}
