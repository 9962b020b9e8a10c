//! What the file server answers: FUSE, from values to bytes.
//!
//! One buffer a worker, used again for each answer. The head is written last, when the length is
//! known.

use rustix::io::Errno;

use super::wire::DATA_BYTES_MAX;

/// The bytes before every answer.
const HEAD_BYTES: usize = 16;

/// The bytes of an entry of a folder before its name, and what its name is padded to.
const DIRENT_BYTES: usize = 24;
const DIRENT_ALIGN: usize = 8;

/// An entry with its attributes, as it stands before a name.
const ENTRY_BYTES: usize = 128;

/// How long the guest's kernel believes what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Belief {
    /// Not at all.
    None,
    /// A second.
    Second,
}

impl Belief {
    const fn seconds(self) -> u64 {
        match self {
            Self::None => 0,
            Self::Second => 1,
        }
    }
}

/// What a file is, as the guest sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) blocks: u64,
    pub(super) accessed: (u64, u32),
    pub(super) modified: (u64, u32),
    pub(super) changed: (u64, u32),
    pub(super) mode: u32,
    pub(super) links: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) block_bytes: u32,
}

/// A file of which nothing is said.
pub(super) const NOTHING: Attributes = Attributes {
    ino: 0,
    size: 0,
    blocks: 0,
    accessed: (0, 0),
    modified: (0, 0),
    changed: (0, 0),
    mode: 0,
    links: 0,
    uid: 0,
    gid: 0,
    block_bytes: 0,
};

/// A node as an entry leads to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) node: u64,
    pub(super) belief: Belief,
    pub(super) attributes: Attributes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reply {
    bytes: Vec<u8>,
    /// Where bytes that were read go, without being cleared each time.
    len: usize,
}

impl Reply {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; HEAD_BYTES + DATA_BYTES_MAX], len: HEAD_BYTES }
    }

    /// Begins an answer.
    pub(super) const fn begin(&mut self) {
        self.len = HEAD_BYTES;
    }

    /// Returns the bytes of the answer to the call known by `unique`.
    pub(super) fn finish(&mut self, unique: u64, answer: Result<(), Errno>) -> &[u8] {
        let error = answer.err().map_or(0, |errno| -errno.raw_os_error());
        if error != 0 {
            self.len = HEAD_BYTES;
        }
        self.head(error, unique)
    }

    /// Returns the bytes of what is said without having been asked.
    pub(super) fn finish_notice(&mut self, code: i32) -> &[u8] {
        self.head(code, 0)
    }

    fn head(&mut self, error: i32, unique: u64) -> &[u8] {
        let len = u32::try_from(self.len).unwrap_or(u32::MAX);
        let (head, _) = self.bytes.split_at_mut(HEAD_BYTES);
        head[..4].copy_from_slice(&len.to_ne_bytes());
        head[4..8].copy_from_slice(&error.to_ne_bytes());
        head[8..].copy_from_slice(&unique.to_ne_bytes());
        &self.bytes[..self.len]
    }

    /// Tells how many bytes the answer has so far, without its head.
    pub(super) const fn filled(&self) -> usize {
        self.len - HEAD_BYTES
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.len..end].copy_from_slice(bytes);
        self.len = end;
    }

    fn u32(&mut self, number: u32) {
        self.push(&number.to_ne_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.push(&number.to_ne_bytes());
    }

    /// Returns room for `size` bytes; [`Reply::took`] says how many of them were used.
    pub(super) fn room(&mut self, size: usize) -> &mut [u8] {
        let end = (self.len + size).min(self.bytes.len());
        &mut self.bytes[self.len..end]
    }

    pub(super) fn took(&mut self, count: usize) {
        self.len = (self.len + count).min(self.bytes.len());
    }

    pub(super) fn attributes(&mut self, belief: Belief, attributes: &Attributes) {
        self.u64(belief.seconds());
        self.u64(0);
        self.bare(attributes);
    }

    pub(super) fn entry(&mut self, entry: &Entry) {
        let seconds = entry.belief.seconds();
        for number in [entry.node, 0, seconds, seconds, 0] {
            self.u64(number);
        }
        self.bare(&entry.attributes);
    }

    fn bare(&mut self, it: &Attributes) {
        for number in [it.ino, it.size, it.blocks, it.accessed.0, it.modified.0, it.changed.0] {
            self.u64(number);
        }
        let nanos = [it.accessed.1, it.modified.1, it.changed.1];
        let rest = [it.mode, it.links, it.uid, it.gid, 0, it.block_bytes, 0];
        nanos.into_iter().chain(rest).for_each(|number| self.u32(number));
    }

    /// Answers with an open file.
    pub(super) fn opened(&mut self, handle: u64) {
        self.u64(handle);
        self.u64(0);
    }

    /// Answers with how many bytes were written.
    pub(super) fn count(&mut self, count: u32) {
        self.u32(count);
        self.u32(0);
    }

    /// Answers the greeting.
    pub(super) fn greeting(&mut self, it: &super::greeting::Agreed) {
        [7, it.minor, it.max_readahead, it.flags].into_iter().for_each(|word| self.u32(word));
        self.push(&it.background.to_ne_bytes());
        self.push(&it.congestion.to_ne_bytes());
        self.u32(it.max_write);
        self.u32(1);
        self.push(&it.max_pages.to_ne_bytes());
        self.push(&0_u16.to_ne_bytes());
        (0..8).for_each(|_| self.u32(0));
    }

    /// Answers with the figures of a file system.
    pub(super) fn figures(&mut self, it: &super::quota::Figures) {
        let blocks = [it.blocks, it.free, it.available, it.files, it.files_free];
        blocks.into_iter().for_each(|number| self.u64(number));
        [it.block_bytes, it.name_max, it.block_bytes].into_iter().for_each(|word| self.u32(word));
        (0..7).for_each(|_| self.u32(0));
    }

    /// Adds an entry of a folder; tells whether it fitted into `size` bytes.
    ///
    /// With `plus`, the node it leads to stands before it; none for `.` and `..`.
    pub(super) fn dirent(&mut self, size: usize, plus: Option<&Entry>, it: &Dirent<'_>) -> bool {
        let padded = it.name.len().next_multiple_of(DIRENT_ALIGN);
        let before = if plus.is_some() { ENTRY_BYTES } else { 0 };
        if self.filled() + before + DIRENT_BYTES + padded > size {
            return false;
        }
        if let Some(entry) = plus {
            self.entry(entry);
        }
        self.u64(it.ino);
        self.u64(it.next);
        self.u32(u32::try_from(it.name.len()).unwrap_or(0));
        self.u32(it.kind);
        self.push(it.name);
        self.push(&[0; DIRENT_ALIGN][..padded - it.name.len()]);
        true
    }
}

/// An entry of a folder, by name alone.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dirent<'a> {
    pub(super) ino: u64,
    /// Where the next one is asked for.
    pub(super) next: u64,
    /// The upper bits of a mode, shifted down; 0 is not known.
    pub(super) kind: u32,
    pub(super) name: &'a [u8],
}

/// An entry that says nothing of a node.
pub(super) const NO_ENTRY: Entry = Entry { node: 0, belief: Belief::None, attributes: NOTHING };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_has_the_length_its_head_says() {
        let mut reply = Reply::new();
        reply.begin();
        reply.entry(&Entry { node: 9, ..NO_ENTRY });
        let bytes = reply.finish(0x1122, Ok(())).to_vec();
        assert_eq!(bytes.len(), HEAD_BYTES + ENTRY_BYTES);
        assert_eq!(bytes[..4], 144_u32.to_ne_bytes());
        assert_eq!(bytes[8..16], 0x1122_u64.to_ne_bytes());
        let error = reply.finish(5, Err(Errno::NOENT)).to_vec();
        assert_eq!(error.len(), HEAD_BYTES);
        assert_eq!(error[4..8], (-2_i32).to_ne_bytes());
    }

    #[test]
    fn an_entry_that_does_not_fit_is_left_out_whole() {
        let mut reply = Reply::new();
        reply.begin();
        let entry = Dirent { ino: 1, next: 2, kind: 8, name: b"name" };
        assert!(reply.dirent(64, None, &entry));
        assert_eq!(reply.filled(), 32);
        assert!(reply.dirent(64, None, &entry));
        assert!(!reply.dirent(64, None, &entry));
        assert_eq!(reply.filled(), 64);
    }
}
