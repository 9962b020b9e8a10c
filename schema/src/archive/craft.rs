//! Archives for tests and fuzzers, honest and otherwise, made one header at a time.
//!
//! What is copied for people is written by [`super::write`]; here every field can be wrong.

use super::write::record;

/// An archive in the making.
#[derive(Debug, Default, Clone)]
pub struct Archive {
    bytes: Vec<u8>,
}

/// The fields of one header, to be changed before it is added.
#[derive(Debug, Clone)]
pub struct Head(pub(crate) [u8; 512]);

impl Head {
    /// Returns a header of this kind, name and size.
    #[must_use]
    pub fn new(kind: u8, name: &str, size: usize) -> Self {
        let mut head = Self([0; 512]);
        head.put(0, name.as_bytes()).put(100, b"0000644\0");
        head.put(108, b"0000000\0").put(116, b"0000000\0");
        head.put(124, format!("{size:011o}\0").as_bytes()).put(136, b"00000000000\0");
        head.put(156, &[kind]).put(257, b"ustar\x0000");
        head
    }

    /// Writes a field.
    ///
    /// # Panics
    /// When it does not fit.
    pub fn put(&mut self, at: usize, field: &[u8]) -> &mut Self {
        self.0[at..at + field.len()].copy_from_slice(field);
        self
    }

    /// Returns the bytes with their checksum.
    #[must_use]
    pub fn summed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|b| u32::from(*b)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Archive {
    /// Appends bytes as they are.
    #[must_use]
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    /// Appends a header and its data, padded.
    #[must_use]
    pub fn entry(self, head: Head, data: &[u8]) -> Self {
        let padding = vec![0; data.len().next_multiple_of(512) - data.len()];
        self.raw(&head.summed()).raw(data).raw(&padding)
    }

    /// Appends a file.
    #[must_use]
    pub fn file(self, name: &str, data: &[u8]) -> Self {
        self.entry(Head::new(b'0', name, data.len()), data)
    }

    /// Appends a folder.
    #[must_use]
    pub fn folder(self, name: &str) -> Self {
        let mut head = Head::new(b'5', name, 0);
        head.put(100, b"0000755\0");
        self.entry(head, b"")
    }

    /// Appends a symbolic link.
    #[must_use]
    pub fn symlink(self, name: &str, text: &str) -> Self {
        let mut head = Head::new(b'2', name, 0);
        head.put(157, text.as_bytes());
        self.entry(head, b"")
    }

    /// Appends a second name.
    #[must_use]
    pub fn hard_link(self, name: &str, target: &str) -> Self {
        let mut head = Head::new(b'1', name, 0);
        head.put(157, target.as_bytes());
        self.entry(head, b"")
    }

    /// Appends a device.
    #[must_use]
    pub fn device(self, kind: u8, name: &str, numbers: (u32, u32)) -> Self {
        let mut head = Head::new(kind, name, 0);
        head.put(329, format!("{:07o}\0", numbers.0).as_bytes());
        head.put(337, format!("{:07o}\0", numbers.1).as_bytes());
        self.entry(head, b"")
    }

    /// Appends an extended header.
    #[must_use]
    pub fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        records.iter().for_each(|(key, value)| record(&mut body, key.as_bytes(), value));
        self.entry(Head::new(kind, "pax", body.len()), &body)
    }

    /// Returns the archive with its end.
    #[must_use]
    pub fn end(self) -> Vec<u8> {
        self.raw(&[0; 1024]).bytes
    }

    /// Returns the archive without an end.
    #[must_use]
    pub fn unfinished(self) -> Vec<u8> {
        self.bytes
    }
}
