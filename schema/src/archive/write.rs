//! The one writer of tar archives: what is known of an entry to the bytes before its data.
//!
//! Every entry is a ustar header; what does not fit there, a time's fraction
//! among it, stands in a PAX header before it. Data follows as it is, padded
//! by [`padding`]; [`END`] closes the archive.

use super::header::BLOCK;
use super::{Entry, Kind};

/// What closes an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The longest name of an owner that is written.
const OWNER_BYTES_MAX: usize = 31;

/// Whose an entry is, by name; numbers stand in the entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner<'a> {
    /// The user, empty where it has no name.
    pub user: &'a [u8],
    /// The group, empty where it has no name.
    pub group: &'a [u8],
}

/// Appends the headers of an entry, a PAX header first where one is needed.
///
/// An entry of another kind than [`Kind::File`] has no data, whatever its size says.
pub fn head(entry: &Entry, owner: Owner<'_>, out: &mut Vec<u8>) {
    let (letter, link): (u8, &[u8]) = match &entry.kind {
        Kind::File => (b'0', b""),
        Kind::HardLink(target) => (b'1', target),
        Kind::Symlink(text) => (b'2', text),
        Kind::Character(..) => (b'3', b""),
        Kind::Block(..) => (b'4', b""),
        Kind::Folder => (b'5', b""),
        Kind::Fifo => (b'6', b""),
    };
    let size = if entry.kind == Kind::File { entry.size } else { 0 };
    let mut path = if entry.path.is_empty() { b".".to_vec() } else { entry.path.clone() };
    if entry.kind == Kind::Folder {
        path.push(b'/');
    }
    let records = records(entry, &path, link, size);
    if !records.is_empty() {
        let mut extended = Fields::new(b'x', b"pax");
        extended.number(124, 12, records.len() as u64);
        out.extend_from_slice(&extended.summed());
        out.extend_from_slice(&records);
        out.resize(out.len() + padding(records.len() as u64), 0);
    }
    let mut fields = Fields::new(letter, &path);
    fields.number(100, 8, u64::from(entry.mode));
    fields.number(108, 8, u64::from(entry.uid));
    fields.number(116, 8, u64::from(entry.gid));
    fields.number(124, 12, size);
    fields.number(136, 12, entry.mtime.seconds);
    fields.text(157, 100, link);
    fields.text(265, OWNER_BYTES_MAX, owner.user);
    fields.text(297, OWNER_BYTES_MAX, owner.group);
    if let Kind::Character(major, minor) | Kind::Block(major, minor) = entry.kind {
        fields.number(329, 8, u64::from(major));
        fields.number(337, 8, u64::from(minor));
    }
    out.extend_from_slice(&fields.summed());
}

/// Returns how many zeros follow so many bytes of data.
#[must_use]
pub const fn padding(bytes: u64) -> usize {
    // A rest below the size of a block fits any integer.
    #[expect(clippy::cast_possible_truncation, reason = "below the size of a block")]
    let rest = (bytes % BLOCK as u64) as usize;
    if rest == 0 { 0 } else { BLOCK - rest }
}

/// Returns what the ustar header cannot say.
fn records(entry: &Entry, path: &[u8], link: &[u8], size: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if path.len() > 100 {
        record(&mut out, b"path", path);
    }
    if link.len() > 100 {
        record(&mut out, b"linkpath", link);
    }
    let mut decimal = |key: &[u8], value: u64, digits: u32| {
        if value >= 1 << (3 * digits) {
            record(&mut out, key, value.to_string().as_bytes());
        }
    };
    decimal(b"size", size, 11);
    decimal(b"uid", entry.uid.into(), 7);
    decimal(b"gid", entry.gid.into(), 7);
    let time = entry.mtime;
    if time.nanos != 0 {
        let text = format!("{}.{:09}", time.seconds, time.nanos);
        record(&mut out, b"mtime", text.as_bytes());
    } else if time.seconds >= 1 << 33 {
        record(&mut out, b"mtime", time.seconds.to_string().as_bytes());
    }
    for (name, value) in &entry.xattrs {
        record(&mut out, &[b"SCHILY.xattr.", name.as_slice()].concat(), value);
    }
    out
}

/// Appends one record, whose length counts its own digits.
pub(super) fn record(out: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length += 1;
    }
    out.extend_from_slice(length.to_string().as_bytes());
    for part in [b" ", key, b"=", value, b"\n"] {
        out.extend_from_slice(part);
    }
}

/// A ustar header in the making.
struct Fields([u8; BLOCK]);

impl Fields {
    fn new(letter: u8, name: &[u8]) -> Self {
        let mut fields = Self([0; BLOCK]);
        fields.text(0, 100, name);
        fields.text(257, 8, b"ustar\x0000");
        fields.0[156] = letter;
        fields
    }

    /// Writes what fits; the rest stands in a record.
    fn text(&mut self, at: usize, bytes: usize, text: &[u8]) {
        let text = &text[..text.len().min(bytes)];
        self.0[at..at + text.len()].copy_from_slice(text);
    }

    /// Writes a number in octal; one that does not fit is zero here and stands in a record.
    fn number(&mut self, at: usize, bytes: usize, value: u64) {
        let digits = bytes - 1;
        let fits = digits * 3 >= 64 || value < 1 << (digits * 3);
        let mut rest = if fits { value } else { 0 };
        for place in self.0[at..at + digits].iter_mut().rev() {
            // Three bits are one digit.
            *place = b'0' + u8::try_from(rest & 7).unwrap_or(0);
            rest >>= 3;
        }
    }

    fn summed(mut self) -> [u8; BLOCK] {
        self.text(148, 8, b"        ");
        let sum: u64 = self.0.iter().map(|byte| u64::from(*byte)).sum();
        self.number(148, 7, sum);
        self.0[154] = 0;
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Reader, Time};
    use super::*;

    fn entry(path: &[u8], kind: Kind) -> Entry {
        Entry {
            path: path.to_vec(),
            kind,
            mode: 0o640,
            uid: 7,
            gid: 8,
            mtime: Time { seconds: 1_700_000_000, nanos: 123_456_789 },
            xattrs: vec![],
            size: 0,
        }
    }

    fn there_and_back(written: &Entry, data: &[u8]) {
        let mut archive = Vec::new();
        head(written, Owner { user: b"ana", group: b"" }, &mut archive);
        archive.extend_from_slice(data);
        archive.resize(archive.len() + padding(data.len() as u64), 0);
        archive.extend_from_slice(&END);
        let mut reader = Reader::new(archive.as_slice());
        assert_eq!(reader.next_entry().unwrap().as_ref(), Some(written));
        let mut read = Vec::new();
        reader
            .take_data(|_, _, piece| {
                read.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        assert_eq!(read, data);
        assert_eq!(reader.next_entry().unwrap(), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        there_and_back(&Entry { size: 3, ..entry(b"a/b", Kind::File) }, b"abc");
        there_and_back(&entry(b"", Kind::Folder), b"");
        there_and_back(&entry(b"dir", Kind::Folder), b"");
        there_and_back(&entry(b"l", Kind::Symlink(b"/somewhere else".to_vec())), b"");
        there_and_back(&entry(b"h", Kind::HardLink(b"a/b".to_vec())), b"");
        there_and_back(&entry(b"null", Kind::Character(1, 3)), b"");
    }

    #[test]
    fn what_does_not_fit_the_header_stands_before_it() {
        let long = b"n\n\xff/".repeat(60);
        there_and_back(&entry(&long[..long.len() - 1], Kind::File), b"");
        there_and_back(&entry(b"l", Kind::Symlink(vec![b'x'; 4000])), b"");
        let far = Time { seconds: 1 << 40, nanos: 0 };
        let foreign =
            Entry { uid: 4_000_000_000, gid: 3_000_000, mtime: far, ..entry(b"f", Kind::File) };
        there_and_back(&foreign, b"");
        let with = vec![(b"user.k".to_vec(), b"v".to_vec())];
        there_and_back(&Entry { xattrs: with, ..entry(b"x", Kind::File) }, b"");
    }

    #[test]
    fn a_size_beyond_eight_gibibytes_is_a_record() {
        let mut archive = Vec::new();
        let size = (8 << 30) + 5;
        head(&Entry { size, ..entry(b"big", Kind::File) }, Owner::default(), &mut archive);
        let mut reader = Reader::new(archive.as_slice());
        assert_eq!(reader.next_entry().unwrap().map(|entry| entry.size), Some(size));
    }
}
