//! The records of PAX headers: `LENGTH KEY=VALUE\n`, and what they say of the
//! entry that follows.

use std::collections::BTreeMap;

use super::Time;
use crate::encoding::from_base64;

/// Attributes that a record carries, by the name of the attribute.
pub(crate) type Xattrs = BTreeMap<Vec<u8>, Vec<u8>>;

/// What PAX records say of an entry; the header says the rest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    pub(crate) path: Option<Vec<u8>>,
    pub(crate) link: Option<Vec<u8>>,
    pub(crate) size: Option<u64>,
    pub(crate) uid: Option<u64>,
    pub(crate) gid: Option<u64>,
    pub(crate) mtime: Option<Time>,
    pub(crate) xattrs: Xattrs,
    pub(crate) sparse: SparseKeys,
}

/// The keys by which GNU describes a sparse file in PAX records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SparseKeys {
    pub(crate) major: Option<u64>,
    pub(crate) minor: Option<u64>,
    pub(crate) name: Option<Vec<u8>>,
    pub(crate) real_size: Option<u64>,
    pub(crate) map: Vec<u64>,
}

impl SparseKeys {
    /// Says whether any of the keys was there.
    pub(crate) fn is_present(&self) -> bool {
        *self != Self::default()
    }
}

impl Records {
    /// Adds the records in `body`, later ones over earlier ones.
    pub(crate) fn add(&mut self, body: &[u8]) -> Result<(), &'static str> {
        let mut rest = body;
        while !rest.is_empty() {
            let space = rest.iter().take(8).position(|b| *b == b' ').ok_or(MALFORMED)?;
            let length = usize::try_from(decimal(&rest[..space])?).map_err(|_| MALFORMED)?;
            if length <= space + 1 || length > rest.len() || rest[length - 1] != b'\n' {
                return Err(MALFORMED);
            }
            let record = &rest[space + 1..length - 1];
            let equals = record.iter().position(|b| *b == b'=').ok_or(MALFORMED)?;
            if equals == 0 {
                return Err(MALFORMED);
            }
            self.set(&record[..equals], &record[equals + 1..])?;
            rest = &rest[length..];
        }
        Ok(())
    }

    /// Says whether a global header may hold these: not what belongs to one entry.
    pub(crate) fn may_be_global(&self) -> bool {
        self.path.is_none()
            && self.link.is_none()
            && self.size.is_none()
            && self.xattrs.is_empty()
            && !self.sparse.is_present()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            return self.set_xattr(name.to_vec(), value.to_vec());
        }
        if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
            let value = from_base64(value).ok_or("an attribute is not base64")?;
            return self.set_xattr(percent(name).ok_or("an attribute's name is malformed")?, value);
        }
        let given = (!value.is_empty()).then_some(value);
        match key {
            b"path" => self.path = given.map(text).transpose()?,
            b"linkpath" => self.link = given.map(text).transpose()?,
            b"size" => self.size = given.map(decimal).transpose()?,
            b"uid" => self.uid = given.map(decimal).transpose()?,
            b"gid" => self.gid = given.map(decimal).transpose()?,
            b"mtime" => self.mtime = given.map(time).transpose()?,
            b"GNU.sparse.major" => self.sparse.major = Some(decimal(value)?),
            b"GNU.sparse.minor" => self.sparse.minor = Some(decimal(value)?),
            b"GNU.sparse.name" => self.sparse.name = Some(text(value)?),
            b"GNU.sparse.realsize" | b"GNU.sparse.size" => {
                self.sparse.real_size = Some(decimal(value)?);
            }
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => self.sparse.map.push(decimal(value)?),
            b"GNU.sparse.map" => {
                self.sparse.map =
                    value.split(|b| *b == b',').map(decimal).collect::<Result<_, _>>()?;
            }
            // The number of pieces is counted, not believed; other keys are nobody's business here.
            _ => {}
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: Vec<u8>, value: Vec<u8>) -> Result<(), &'static str> {
        if name.is_empty() || name.contains(&0) {
            return Err("an attribute's name is malformed");
        }
        self.xattrs.insert(name, value);
        Ok(())
    }
}

const MALFORMED: &str = "a PAX record is malformed";

fn text(value: &[u8]) -> Result<Vec<u8>, &'static str> {
    if value.contains(&0) { Err("a name holds a NUL") } else { Ok(value.to_vec()) }
}

/// Returns a number in decimal digits and nothing else.
pub(crate) fn decimal(digits: &[u8]) -> Result<u64, &'static str> {
    if digits.is_empty() {
        return Err(MALFORMED);
    }
    digits.iter().try_fold(0_u64, |sum, b| match b {
        b'0'..=b'9' => sum
            .checked_mul(10)
            .and_then(|sum| sum.checked_add(u64::from(b - b'0')))
            .ok_or(MALFORMED),
        _ => Err(MALFORMED),
    })
}

/// Returns seconds with a fraction; what lies outside is moved to the nearest end.
fn time(value: &[u8]) -> Result<Time, &'static str> {
    let (negative, value) = value.strip_prefix(b"-").map_or((false, value), |rest| (true, rest));
    let mut parts = value.splitn(2, |b| *b == b'.');
    let whole = parts.next().unwrap_or_default();
    let fraction = parts.next().unwrap_or_default();
    if whole.is_empty() || !whole.iter().chain(fraction).all(u8::is_ascii_digit) {
        return Err(MALFORMED);
    }
    if negative {
        return Ok(Time::default());
    }
    // All digits were checked: what does not parse is too large.
    let seconds = decimal(whole).unwrap_or(u64::MAX);
    if seconds > Time::SECONDS_MAX {
        return Ok(Time { seconds: Time::SECONDS_MAX, nanos: 0 });
    }
    let digits = fraction.iter().copied().chain(std::iter::repeat(b'0')).take(9);
    Ok(Time { seconds, nanos: digits.fold(0, |sum, b| sum * 10 + u32::from(b - b'0')) })
}

fn percent(name: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            let digits = std::str::from_utf8(digits).ok().filter(|d| !d.starts_with('+'))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Result<Records, &'static str> {
        let mut records = Records::default();
        records.add(body).map(|()| records)
    }

    #[test]
    fn records_are_read_to_the_byte() {
        let records = read(b"12 path=a b\n12 size=345\n20 mtime=12.0500000\n").unwrap();
        assert_eq!(records.path.unwrap(), b"a b");
        assert_eq!(records.size, Some(345));
        assert_eq!(records.mtime, Some(Time { seconds: 12, nanos: 50_000_000 }));
    }

    #[test]
    fn malformed_records_are_refused() {
        for body in [
            &b"12 path=ab\n"[..],
            b"9 path=abc\n",
            b"x path=a\n",
            b"5 =a\n",
            b"11 size=-12\n",
            b"99999999999999 path=a\n",
            b"10 path=\0a\n",
            b"4 a\n",
        ] {
            assert!(read(body).is_err(), "{}", body.escape_ascii());
        }
    }

    #[test]
    fn times_outside_go_to_the_nearest_end() {
        assert_eq!(time(b"-5.5"), Ok(Time::default()));
        let last = time(b"1267650600228229401496703205377").unwrap();
        assert_eq!(last.seconds, Time::SECONDS_MAX);
        assert_eq!(time(b"7.1234567899"), Ok(Time { seconds: 7, nanos: 123_456_789 }));
    }

    #[test]
    fn both_spellings_of_an_attribute_are_read() {
        let records = read(b"26 SCHILY.xattr.user.a=\x00\x01\n34 LIBARCHIVE.xattr.user.%62=AAE=\n");
        let xattrs = records.unwrap().xattrs;
        assert_eq!(xattrs[&b"user.a"[..]], [0, 1]);
        assert_eq!(xattrs[&b"user.b"[..]], [0, 1]);
    }
}
