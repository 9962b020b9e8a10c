//! The next names of a folder, with small files opened and asked for before their turn.
//!
//! A disk that is told of many small files at once has them ready together; one
//! that is told of the next when the last was read is waited for each time.

use std::ffi::CString;
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use rustix::fs::{Advice, Dir, FileType, Stat, fadvise};
use rustix::io::Errno;

/// How many names are looked at together; as many files may be open at once.
pub(super) const NAMES_MAX: usize = 32;

/// The kernel itself reads ahead in files that are larger.
const FILE_BYTES_MAX: u64 = 128 * 1024;

/// A name of a folder.
#[derive(Debug)]
pub(super) struct Name {
    /// The name.
    pub(super) text: CString,
    /// Whether the folder says that it is a file.
    pub(super) is_file: bool,
}

/// Names of a folder, and why there are not more of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// At most [`NAMES_MAX`].
    pub(super) names: Vec<Name>,
    /// The folder has no more.
    pub(super) is_last: bool,
    /// What the kernel answered where it cannot be read any further.
    pub(super) error: Option<Errno>,
}

impl Batch {
    /// Reads the next names.
    pub(super) fn read(dir: &mut Dir) -> Self {
        let mut batch = Self::default();
        while batch.names.len() < NAMES_MAX {
            let found = match dir.read() {
                Some(Ok(found)) => found,
                None => return Self { is_last: true, ..batch },
                Some(Err(errno)) => return Self { is_last: true, error: Some(errno), ..batch },
            };
            if !matches!(found.file_name().to_bytes(), b"." | b"..") {
                let is_file = found.file_type() == FileType::RegularFile;
                batch.names.push(Name { text: found.file_name().to_owned(), is_file });
            }
        }
        batch
    }
}

/// Asks for the content of a small file.
pub(super) fn ask_for(fd: &OwnedFd, stat: &Stat) {
    let bytes = u64::try_from(stat.st_size).ok().and_then(NonZeroU64::new);
    if let Some(bytes) = bytes.filter(|bytes| bytes.get() <= FILE_BYTES_MAX) {
        // Where there is nothing to ask, the file is read in its turn.
        fadvise(fd, 0, Some(bytes), Advice::WillNeed).ok();
    }
}
