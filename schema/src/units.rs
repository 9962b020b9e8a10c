//! Numbers that carry their unit: sizes in bytes, rates in bytes a second, durations in milliseconds.
//!
//! Text is read once, at the border, by the grammar of the language; what
//! prints here reads back to the same value.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A size, in bytes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Bytes(pub u64);

/// A rate, in bytes a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rate(pub u64);

/// A duration, in milliseconds.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Millis(pub u64);

/// Why a text is not the quantity that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text does not start with a plain number.
    #[error("`{0}` does not start with a plain number")]
    NotANumber(String),
    /// The number stands alone.
    #[error("`{0}` has no unit")]
    NoUnit(String),
    /// The unit is not one of ours; the second text is the nearest that is.
    #[error("`{0}` has an unknown unit")]
    UnknownUnit(String, Option<String>),
    /// The unit may mean powers of 1000 or of 1024; the second text says which we have.
    #[error("the unit of `{0}` is ambiguous")]
    AmbiguousUnit(String, String),
    /// A duration names a unit twice, or a larger one after a smaller one.
    #[error("the units of `{0}` are not in order, largest first and each once")]
    Order(String),
    /// A rate does not say for how long; the second text does.
    #[error("`{0}` is not for each second")]
    NotPerSecond(String, String),
    /// The size is not a whole number of bytes.
    #[error("`{0}` is not a whole number of bytes")]
    Fraction(String),
    /// The number is beyond what can be counted.
    #[error("`{0}` is too large")]
    TooLarge(String),
}

impl UnitError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<&str> {
        match self {
            Self::UnknownUnit(_, nearest) => nearest.as_deref(),
            Self::AmbiguousUnit(_, nearest) | Self::NotPerSecond(_, nearest) => Some(nearest),
            Self::NotANumber(_)
            | Self::NoUnit(_)
            | Self::Order(_)
            | Self::Fraction(_)
            | Self::TooLarge(_) => None,
        }
    }
}

impl Bytes {
    /// One kibibyte.
    pub const KIB: u64 = 1 << 10;
    /// One mebibyte.
    pub const MIB: u64 = 1 << 20;
    /// One gibibyte.
    pub const GIB: u64 = 1 << 30;
    /// One tebibyte.
    pub const TIB: u64 = 1 << 40;

    /// Returns `count` mebibytes.
    #[must_use]
    pub const fn mib(count: u64) -> Self {
        Self(count * Self::MIB)
    }

    /// Returns `count` gibibytes.
    #[must_use]
    pub const fn gib(count: u64) -> Self {
        Self(count * Self::GIB)
    }

    /// Returns whether the size is a whole number of mebibytes.
    #[must_use]
    pub const fn is_whole_mib(self) -> bool {
        self.0.is_multiple_of(Self::MIB)
    }

    /// Reads a size such as `512MiB`, `1.5G` or `64KiB`; the unit is required.
    ///
    /// # Errors
    /// [`UnitError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let end = text.find(|c: char| !matches!(c, '0'..='9' | '_' | '.')).unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let thousandths =
            thousandths(number).ok_or_else(|| UnitError::NotANumber(text.to_owned()))?;
        let factor = Self::factor(text, number, unit)?;
        let scaled = u128::from(thousandths) * u128::from(factor);
        if !scaled.is_multiple_of(1000) {
            return Err(UnitError::Fraction(text.to_owned()));
        }
        u64::try_from(scaled / 1000)
            .ok()
            .filter(|bytes| i64::try_from(*bytes).is_ok())
            .map(Self)
            .ok_or_else(|| UnitError::TooLarge(text.to_owned()))
    }

    fn factor(text: &str, number: &str, unit: &str) -> Result<u64, UnitError> {
        Ok(match unit.to_ascii_lowercase().as_str() {
            "" => return Err(UnitError::NoUnit(text.to_owned())),
            "b" => 1,
            "k" | "kib" => Self::KIB,
            "m" | "mib" => Self::MIB,
            "g" | "gib" => Self::GIB,
            "t" | "tib" => Self::TIB,
            two @ ("kb" | "mb" | "gb" | "tb") => {
                let letter = two[..1].to_ascii_uppercase();
                let nearest = format!("{number}{letter}iB");
                return Err(UnitError::AmbiguousUnit(text.to_owned(), nearest));
            }
            other => {
                let letter = other.chars().next().filter(|c| "kmgt".contains(*c));
                let nearest = letter.map(|c| format!("{number}{}iB", c.to_ascii_uppercase()));
                return Err(UnitError::UnknownUnit(text.to_owned(), nearest));
            }
        })
    }
}

/// Prints the largest unit that divides the size: `1 GiB`, `1536 MiB`, `7 B`.
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units =
            [(Self::TIB, "TiB"), (Self::GIB, "GiB"), (Self::MIB, "MiB"), (Self::KIB, "KiB")];
        let whole = units.iter().find(|(unit, _)| self.0 != 0 && self.0.is_multiple_of(*unit));
        match whole {
            Some((unit, name)) => write!(f, "{} {name}", self.0 / unit),
            None => write!(f, "{} B", self.0),
        }
    }
}

impl Rate {
    /// Reads a rate such as `10MiB/s`; the unit and `/s` are required.
    ///
    /// # Errors
    /// [`UnitError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let Some(size) = text.strip_suffix("/s") else {
            let size = text.strip_suffix("ps").unwrap_or(text);
            return Err(match Bytes::parse(size) {
                Ok(_) => UnitError::NotPerSecond(text.to_owned(), format!("{size}/s")),
                Err(error) => Self::error(error, text),
            });
        };
        Bytes::parse(size).map(|bytes| Self(bytes.0)).map_err(|error| Self::error(error, text))
    }

    /// Says of the rate what is wrong with its size.
    fn error(error: UnitError, text: &str) -> UnitError {
        let rate = |size: String| format!("{size}/s");
        let text = text.to_owned();
        match error {
            UnitError::NotANumber(_) => UnitError::NotANumber(text),
            UnitError::NoUnit(_) => UnitError::NoUnit(text),
            UnitError::UnknownUnit(_, near) => UnitError::UnknownUnit(text, near.map(rate)),
            UnitError::AmbiguousUnit(_, near) => UnitError::AmbiguousUnit(text, rate(near)),
            UnitError::Fraction(_) => UnitError::Fraction(text),
            UnitError::TooLarge(_) => UnitError::TooLarge(text),
            UnitError::Order(_) | UnitError::NotPerSecond(..) => error,
        }
    }
}

/// Prints as a size for each second: `10 MiB/s`.
impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Bytes(self.0))
    }
}

impl Millis {
    /// The longest duration the language can write: 365 days.
    pub const MAX: Self = Self(365 * 86_400_000);

    /// Returns `count` seconds.
    #[must_use]
    pub const fn seconds(count: u64) -> Self {
        Self(count * 1000)
    }

    /// Returns the same span as the standard library counts it.
    #[must_use]
    pub const fn as_duration(self) -> std::time::Duration {
        std::time::Duration::from_millis(self.0)
    }

    /// Reads a duration such as `90s`, `1h30m` or `250ms`; the unit is required.
    ///
    /// # Errors
    /// [`UnitError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, UnitError> {
        let mut rest = text;
        let mut total: u64 = 0;
        let mut last = u64::MAX;
        while !rest.is_empty() || last == u64::MAX {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (number, tail) = rest.split_at(digits);
            if number.is_empty() {
                return Err(UnitError::NotANumber(text.to_owned()));
            }
            let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let factor = Self::factor(text, number, unit)?;
            if factor >= last {
                return Err(UnitError::Order(text.to_owned()));
            }
            let too_large = || UnitError::TooLarge(text.to_owned());
            let count: u64 = number.parse().map_err(|_| too_large())?;
            total = count
                .checked_mul(factor)
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= Self::MAX.0)
                .ok_or_else(too_large)?;
            (rest, last) = (tail, factor);
        }
        Ok(Self(total))
    }

    fn factor(text: &str, number: &str, unit: &str) -> Result<u64, UnitError> {
        Ok(match unit {
            "d" => 86_400_000,
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            "" => return Err(UnitError::NoUnit(text.to_owned())),
            other => {
                let nearest = match other.to_ascii_lowercase().as_str() {
                    "sec" | "secs" | "second" | "seconds" => Some("s"),
                    "min" | "mins" | "minute" | "minutes" => Some("m"),
                    "hr" | "hrs" | "hour" | "hours" => Some("h"),
                    "day" | "days" => Some("d"),
                    "msec" | "millis" | "milliseconds" => Some("ms"),
                    _ => None,
                };
                let nearest = nearest.map(|unit| format!("{number}{unit}"));
                return Err(UnitError::UnknownUnit(text.to_owned(), nearest));
            }
        })
    }
}

/// Prints in the grammar of the language: `10s`, `1h30m`, `1d2h`, `0s`.
impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("0s");
        }
        let mut rest = self.0;
        for (unit, name) in
            [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s"), (1, "ms")]
        {
            if rest >= unit {
                write!(f, "{}{name}", rest / unit)?;
                rest %= unit;
            }
        }
        Ok(())
    }
}

/// Reads `[0-9](_?[0-9])*` with up to three decimals, as thousandths.
#[must_use]
pub fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if fraction.is_empty() || fraction.len() > 3 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole = parse_count(whole)?;
    let mut part: u64 = fraction.parse().ok()?;
    for _ in fraction.len()..3 {
        part *= 10;
    }
    whole.checked_mul(1000)?.checked_add(part)
}

/// Reads a count by `[0-9](_?[0-9])*`, up to 2⁵³; leading zeros are the caller's affair.
#[must_use]
pub fn parse_count(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let edges = [*bytes.first()?, *bytes.last()?];
    if !edges.iter().all(u8::is_ascii_digit) || text.contains("__") {
        return None;
    }
    let mut value: u64 = 0;
    for byte in bytes.iter().filter(|b| **b != b'_') {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(u64::from(byte - b'0'))?;
    }
    (value <= 1 << 53).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_reads_in_every_unit_and_any_case() {
        for (text, bytes) in [
            ("7B", 7),
            ("64KiB", 64 << 10),
            ("512mib", 512 << 20),
            ("1.5G", 1536 << 20),
            ("1_024M", 1 << 30),
            ("2TiB", 2 << 40),
        ] {
            assert_eq!(Bytes::parse(text), Ok(Bytes(bytes)), "{text}");
        }
    }

    #[test]
    fn a_size_says_which_rule_it_broke() {
        let near = |text: &str| Bytes::parse(text).unwrap_err().nearest().map(str::to_owned);
        assert_eq!(near("512MB").as_deref(), Some("512MiB"));
        assert_eq!(near("512Mb").as_deref(), Some("512MiB"));
        assert_eq!(near("512Meg").as_deref(), Some("512MiB"));
        assert!(matches!(Bytes::parse("512"), Err(UnitError::NoUnit(_))));
        assert!(matches!(Bytes::parse("MiB"), Err(UnitError::NotANumber(_))));
        assert!(matches!(Bytes::parse("1 GiB"), Err(UnitError::UnknownUnit(..))));
        assert!(matches!(Bytes::parse("0.001B"), Err(UnitError::Fraction(_))));
        assert!(matches!(Bytes::parse("9000000000000TiB"), Err(UnitError::TooLarge(_))));
        assert!(matches!(Bytes::parse("8388608TiB"), Err(UnitError::TooLarge(_))));
    }

    #[test]
    fn a_size_prints_in_the_largest_unit_that_divides_it() {
        for (bytes, text) in
            [(0, "0 B"), (1 << 30, "1 GiB"), (1536 << 20, "1536 MiB"), (4097, "4097 B")]
        {
            assert_eq!(Bytes(bytes).to_string(), text);
        }
    }

    #[test]
    fn sf_3_1_a_rate_is_a_size_for_each_second() {
        assert_eq!(Rate::parse("10MiB/s"), Ok(Rate(10 << 20)));
        assert_eq!(Rate(10 << 20).to_string(), "10 MiB/s");
        let near = |text: &str| Rate::parse(text).unwrap_err().nearest().map(str::to_owned);
        assert_eq!(near("10MiB").as_deref(), Some("10MiB/s"));
        assert_eq!(near("10MB/s").as_deref(), Some("10MiB/s"));
        assert_eq!(near("10MB").as_deref(), Some("10MiB/s"));
        assert_eq!(near("10MiBps").as_deref(), Some("10MiB/s"));
        assert!(matches!(Rate::parse("10/s"), Err(UnitError::NoUnit(_))));
        assert!(matches!(Rate::parse("fast"), Err(UnitError::NotANumber(_))));
    }

    #[test]
    fn a_duration_reads_and_prints_the_same() {
        for text in ["10s", "1h30m", "250ms", "1d2h3m4s5ms", "365d"] {
            assert_eq!(Millis::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Millis::parse("0s"), Ok(Millis(0)));
        assert_eq!(Millis::parse("90s").unwrap().to_string(), "1m30s");
    }

    #[test]
    fn a_duration_says_which_rule_it_broke() {
        assert!(matches!(Millis::parse("90"), Err(UnitError::NoUnit(_))));
        assert!(matches!(Millis::parse(""), Err(UnitError::NotANumber(_))));
        assert!(matches!(Millis::parse("1m1h"), Err(UnitError::Order(_))));
        assert!(matches!(Millis::parse("1s1s"), Err(UnitError::Order(_))));
        assert!(matches!(Millis::parse("366d"), Err(UnitError::TooLarge(_))));
        assert_eq!(Millis::parse("5min").unwrap_err().nearest(), Some("5m"));
    }
}
