//! Ports: one, a range, or a set of both in its one normal form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::units::parse_count;

/// Why a text is not a port, a range or a set of them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// It is no whole number.
    #[error("`{0}` is not a port")]
    NotAPort(String),
    /// It is a number that no port has.
    #[error("`{0}` is not a port; ports are 1 to 65535")]
    OutOfRange(String),
    /// The number has zeros before it.
    #[error("a port is written without leading zeros")]
    LeadingZero(String),
    /// The first of a range is above the last.
    #[error("a range runs from its lower port to its higher one")]
    Reversed(PortRange),
    /// There are blanks in the text.
    #[error("ports are written without blanks")]
    Blank(String),
}

impl PortError {
    /// Returns a valid text near to the one that was refused, where there is one.
    #[must_use]
    pub fn nearest(&self) -> Option<String> {
        match self {
            Self::NotAPort(_) | Self::OutOfRange(_) => None,
            Self::LeadingZero(text) | Self::Blank(text) => Some(text.clone()),
            Self::Reversed(range) => Some(range.to_string()),
        }
    }
}

/// A port, or a range of ports with both ends in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port there is.
    pub const ALL: Self = Self { first: 1, last: u16::MAX };

    /// Returns the range from `first` to `last`; `None` where it is empty or holds port 0.
    #[must_use]
    pub const fn new(first: u16, last: u16) -> Option<Self> {
        if first == 0 || first > last { None } else { Some(Self { first, last }) }
    }

    /// Reads `80` or `8080-8089`.
    ///
    /// # Errors
    /// [`PortError`] names the rule that the text broke.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if squeezed != text && Self::parse(&squeezed).is_ok() {
            return Err(PortError::Blank(squeezed));
        }
        let (first, last) = match text.split_once('-') {
            Some((first, last)) if !first.is_empty() => (port(first)?, port(last)?),
            Some(_) => return Err(PortError::NotAPort(text.to_owned())),
            None => (port(text)?, port(text)?),
        };
        Self::new(first, last).ok_or(PortError::Reversed(Self { first: last, last: first }))
    }

    /// Returns the lowest port.
    #[must_use]
    pub const fn first(self) -> u16 {
        self.first
    }

    /// Returns the highest port.
    #[must_use]
    pub const fn last(self) -> u16 {
        self.last
    }

    /// Returns how many ports there are.
    #[must_use]
    pub fn count(self) -> u32 {
        u32::from(self.last - self.first) + 1
    }

    /// Tells whether `port` is one of them.
    #[must_use]
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Returns the ports that both have.
    #[must_use]
    pub fn overlap(self, other: Self) -> Option<Self> {
        Self::new(self.first.max(other.first), self.last.min(other.last))
    }

    /// Returns `count` of the ports, from the one with number `skip` on; `None` beyond the end.
    #[must_use]
    pub fn slice(self, skip: u32, count: u32) -> Option<Self> {
        let first = u32::from(self.first).checked_add(skip)?;
        let last = first.checked_add(count.checked_sub(1)?)?;
        let range = Self::new(u16::try_from(first).ok()?, u16::try_from(last).ok()?)?;
        (range.last <= self.last).then_some(range)
    }
}

/// Reads the number of a port.
fn port(text: &str) -> Result<u16, PortError> {
    let number = parse_count(text).ok_or_else(|| PortError::NotAPort(text.to_owned()))?;
    let out_of_range = || PortError::OutOfRange(text.to_owned());
    let port = u16::try_from(number).ok().filter(|port| *port > 0).ok_or_else(out_of_range)?;
    if text.starts_with('0') {
        return Err(PortError::LeadingZero(port.to_string()));
    }
    Ok(port)
}

/// Prints as the file writes it: `80`, `8080-8089`.
impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            return write!(f, "{}", self.first);
        }
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortError;
    fn try_from(text: String) -> Result<Self, PortError> {
        Self::parse(&text)
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> Self {
        range.to_string()
    }
}

/// A set of ports that is never empty: ranges in order, which neither overlap nor touch.
///
/// Two texts that mean the same ports give equal sets.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortSet(Vec<PortRange>);

impl PortSet {
    /// Returns the set of every port.
    #[must_use]
    pub fn any() -> Self {
        Self(vec![PortRange::ALL])
    }

    /// Returns the set of these ports; `None` where there are none.
    #[must_use]
    pub fn of(ranges: impl IntoIterator<Item = PortRange>) -> Option<Self> {
        let mut ranges: Vec<PortRange> = ranges.into_iter().collect();
        ranges.sort_unstable();
        let mut joined: Vec<PortRange> = Vec::with_capacity(ranges.len());
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last);
                }
                Some(_) | None => joined.push(range),
            }
        }
        (!joined.is_empty()).then_some(Self(joined))
    }

    /// Reads ports and ranges joined by commas, or `any`.
    ///
    /// # Errors
    /// [`PortError`] names the rule that the text broke; its nearest text is of the whole set.
    pub fn parse(text: &str) -> Result<Self, PortError> {
        if text == "any" {
            return Ok(Self::any());
        }
        let squeezed: String = text.chars().filter(|c| !c.is_whitespace()).collect();
        if squeezed != text && Self::parse(&squeezed).is_ok() {
            return Err(PortError::Blank(squeezed));
        }
        let ranges: Result<Vec<PortRange>, PortError> =
            text.split(',').map(PortRange::parse).collect();
        let set = Self::of(ranges?);
        set.ok_or_else(|| PortError::NotAPort(text.to_owned()))
    }

    /// Tells whether every port is in it.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.0 == [PortRange::ALL]
    }

    /// Tells whether `port` is in it.
    #[must_use]
    pub fn contains(&self, port: u16) -> bool {
        let after = self.0.partition_point(|range| range.last < port);
        self.0.get(after).is_some_and(|range| range.contains(port))
    }

    /// Returns the ports that are not in `other`; `None` where there are none.
    #[must_use]
    pub fn without(&self, other: &Self) -> Option<Self> {
        let mut rest = Vec::new();
        for range in &self.0 {
            let mut first = u32::from(range.first);
            for cut in other.0.iter().filter(|cut| range.overlap(**cut).is_some()) {
                let before = u16::try_from(first).ok().zip(cut.first.checked_sub(1));
                rest.extend(before.and_then(|(first, last)| PortRange::new(first, last)));
                first = u32::from(cut.last) + 1;
            }
            let end = u16::try_from(first).ok();
            rest.extend(end.and_then(|first| PortRange::new(first, range.last)));
        }
        Self::of(rest)
    }

    /// Returns its ranges, lowest first.
    #[must_use]
    pub fn ranges(&self) -> &[PortRange] {
        &self.0
    }
}

/// Prints as the file writes it: `any`, `443`, `443,8000-8009`.
impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_any() {
            return f.write_str("any");
        }
        for (index, range) in self.0.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            write!(f, "{comma}{range}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for PortSet {
    type Error = PortError;
    fn try_from(text: String) -> Result<Self, PortError> {
        Self::parse(&text)
    }
}

impl From<PortSet> for String {
    fn from(set: PortSet) -> Self {
        set.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_port_or_two_in_order() {
        for (text, count) in [("1", 1), ("65535", 1), ("8080-8089", 10), ("80-80", 1)] {
            assert_eq!(PortRange::parse(text).unwrap().count(), count, "{text}");
        }
        assert_eq!(PortRange::parse("80-80").unwrap().to_string(), "80");
        for (text, near) in [
            ("0", None),
            ("65536", None),
            ("", None),
            ("-80", None),
            ("80-", None),
            ("8080:80", None),
            ("http", None),
            ("+80", None),
            ("080", Some("80")),
            ("90-80", Some("80-90")),
            (" 80", Some("80")),
            ("80 - 90", Some("80-90")),
        ] {
            let error = PortRange::parse(text).unwrap_err();
            assert_eq!(error.nearest().as_deref(), near, "{text}");
        }
    }

    #[test]
    fn sf_r1_a_set_has_one_normal_form() {
        for (text, normal) in [
            ("any", "any"),
            ("1-65535", "any"),
            ("443", "443"),
            ("8443,443", "443,8443"),
            ("80,80-90,85-95", "80-95"),
            ("80,81", "80-81"),
            ("65535,1-3,2", "1-3,65535"),
        ] {
            let set = PortSet::parse(text).unwrap();
            assert_eq!(set.to_string(), normal);
            assert_eq!(PortSet::parse(normal).unwrap(), set);
        }
        assert_eq!(PortSet::parse("443, 8443").unwrap_err().nearest().unwrap(), "443,8443");
        for text in ["", "80,", ",80", "any,80", "80;90", "Any"] {
            assert!(PortSet::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_set_knows_its_ports() {
        let set = PortSet::parse("80,8000-8009").unwrap();
        let inside: Vec<u16> = (1..=u16::MAX).filter(|port| set.contains(*port)).collect();
        assert_eq!(inside.len(), 11);
        assert!(set.contains(80) && set.contains(8009) && !set.contains(8010));
    }

    #[test]
    fn what_is_in_one_set_alone_is_a_set_or_nothing() {
        let set = |text: &str| PortSet::parse(text).unwrap();
        for (one, other, rest) in [
            ("any", "443", Some("1-442,444-65535")),
            ("80-90", "85", Some("80-84,86-90")),
            ("80-90", "70-85,88-95", Some("86-87")),
            ("80,443", "443", Some("80")),
            ("1,65535", "any", None),
            ("1-10,20-30", "5-25", Some("1-4,26-30")),
            ("443", "80", Some("443")),
        ] {
            let found = set(one).without(&set(other)).map(|set| set.to_string());
            assert_eq!(found.as_deref(), rest, "{one} without {other}");
        }
    }

    #[test]
    fn a_slice_stays_within_its_range() {
        let range = PortRange::parse("8080-8085").unwrap();
        let slice = |skip, count| range.slice(skip, count).map(|slice| slice.to_string());
        assert_eq!(slice(0, 2).as_deref(), Some("8080-8081"));
        assert_eq!(slice(4, 2).as_deref(), Some("8084-8085"));
        assert_eq!((slice(5, 2), slice(0, 0), slice(u32::MAX, 1)), (None, None, None));
        let high = PortRange::parse("65535").unwrap();
        assert_eq!(high.slice(1, 1), None);
    }
}
