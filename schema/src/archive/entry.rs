//! What one entry of an archive says, checked.

/// A time as file systems keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970, never before.
    pub seconds: u64,
    /// What comes after the second, below a billion.
    pub nanos: u32,
}

impl Time {
    /// The last second that a kernel's signed clock can hold.
    pub const SECONDS_MAX: u64 = i64::MAX as u64;
}

/// Where a piece of stored data belongs in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The first byte in the file.
    pub offset: u64,
    /// How many bytes.
    pub bytes: u64,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A second name of the entry at this path.
    HardLink(Vec<u8>),
    /// A symbolic link with this text.
    Symlink(Vec<u8>),
    /// A folder.
    Folder,
    /// A character device with its major and minor number.
    Character(u32, u32),
    /// A block device with its major and minor number.
    Block(u32, u32),
    /// A named pipe.
    Fifo,
}

/// One entry, without its data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path without a leading slash; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky.
    pub mode: u16,
    /// The owner.
    pub uid: u32,
    /// The group.
    pub gid: u32,
    /// When its content was last changed.
    pub mtime: Time,
    /// Extended attributes, sorted by name.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The apparent size of a regular file.
    pub size: u64,
}

/// The longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 4095;
/// The longest component of a path, in bytes.
pub const NAME_BYTES_MAX: usize = 255;
/// The most components of a path.
pub const DEPTH_MAX: usize = 256;

/// Returns `path` without leading slash and empty or `.` components, or why
/// it is not allowed.
///
/// # Errors
/// It leads out, or is longer or deeper than paths may be.
pub fn normal(path: &[u8]) -> Result<Vec<u8>, &'static str> {
    if path.contains(&0) {
        return Err("the path holds a NUL");
    }
    let mut normal = Vec::with_capacity(path.len());
    let parts = path.split(|b| *b == b'/').filter(|part| !part.is_empty() && *part != b".");
    for (depth, part) in parts.enumerate() {
        if part == b".." {
            return Err("the path holds `..`");
        }
        if part.len() > NAME_BYTES_MAX {
            return Err("a component of the path is longer than 255 bytes");
        }
        if depth == DEPTH_MAX {
            return Err("the path has more than 256 components");
        }
        if depth > 0 {
            normal.push(b'/');
        }
        normal.extend_from_slice(part);
    }
    if normal.len() > PATH_BYTES_MAX {
        return Err("the path is longer than 4,095 bytes");
    }
    Ok(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_made_plain_or_refused() {
        assert_eq!(normal(b"./a//b/./c/").unwrap(), b"a/b/c");
        assert_eq!(normal(b"/etc/passwd").unwrap(), b"etc/passwd");
        assert_eq!(normal(b"./").unwrap(), b"");
        assert_eq!(normal(b"a\xff").unwrap(), b"a\xff");
        for path in [&b"../a"[..], b"a/../b", b"./../a", b"a/..", b"a\0b", &[b'a'; 256]] {
            assert!(normal(path).is_err(), "{}", path.escape_ascii());
        }
        normal(&b"a/".repeat(256)).unwrap();
        normal(&b"a/".repeat(257)).unwrap_err();
        normal(&[&[b'a'; 250][..], b"/"].concat().repeat(17)).unwrap_err();
    }
}
