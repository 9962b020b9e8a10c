//! What a guest's kernel says to a file server: FUSE, from bytes to calls.
//!
//! The shapes are those of the kernel's `include/uapi/linux/fuse.h`, version 7.31 and later, in the
//! byte order of the host, which is the guest's too. Lengths come first: nothing is read beyond
//! what a message claims, and no claim is believed beyond [`MESSAGE_BYTES_MAX`]. A message that
//! does not hold what its number asks for is refused by itself; the stream goes on.

use rustix::io::Errno;
use schema::wire::share::CALL_HEAD_BYTES;
pub use schema::wire::share::{BadLength, DATA_BYTES_MAX, MESSAGE_BYTES_MAX, OPCODE_USER};

use super::opcode;

/// The bytes before every call.
pub const HEAD_BYTES: usize = CALL_HEAD_BYTES;

/// The longest name.
pub const NAME_BYTES_MAX: usize = 255;

/// The longest target of a link.
const TARGET_BYTES_MAX: usize = 4095;

/// What stands before every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Length of the whole message.
    pub len: u32,
    /// Which call.
    pub opcode: u32,
    /// What the answer is known by.
    pub unique: u64,
    /// The node that is meant.
    pub node: u64,
    /// The caller's user.
    pub uid: u32,
    /// The caller's group.
    pub gid: u32,
}

impl Head {
    /// Reads the head of a message.
    ///
    /// # Errors
    /// No message has the length that is claimed: the stream cannot be followed any further.
    pub fn parse(bytes: &[u8; HEAD_BYTES]) -> Result<Self, BadLength> {
        let mut rest = Cursor(bytes);
        // The array is as long as what is read here.
        let head = (|| {
            let (len, opcode) = (rest.u32()?, rest.u32()?);
            let (unique, node) = (rest.u64()?, rest.u64()?);
            Ok::<_, Errno>(Self { len, opcode, unique, node, uid: rest.u32()?, gid: rest.u32()? })
        })();
        let head = head.map_err(|_| BadLength(0))?;
        match usize::try_from(head.len) {
            Ok(HEAD_BYTES..=MESSAGE_BYTES_MAX) => Ok(head),
            _ => Err(BadLength(head.len)),
        }
    }

    /// Returns how many bytes follow.
    #[must_use]
    pub fn body_bytes(&self) -> usize {
        usize::try_from(self.len).unwrap_or(usize::MAX).saturating_sub(HEAD_BYTES)
    }
}

/// One component of a path: not empty, not `.` or `..`, without a slash, at most 255 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// Takes a name that the guest said.
    ///
    /// # Errors
    /// It could mean something else than an entry of the folder it is said of.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Errno> {
        if bytes.len() > NAME_BYTES_MAX {
            return Err(Errno::NAMETOOLONG);
        }
        let is_special = matches!(bytes, b"" | b"." | b"..");
        if is_special || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(Errno::INVAL);
        }
        Ok(Self(bytes))
    }

    /// Returns the name.
    #[must_use]
    pub const fn bytes(self) -> &'a [u8] {
        self.0
    }
}

impl rustix::path::Arg for Name<'_> {
    fn as_str(&self) -> rustix::io::Result<&str> {
        std::str::from_utf8(self.0).map_err(|_| Errno::INVAL)
    }

    fn to_string_lossy(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(self.0)
    }

    fn as_cow_c_str(&self) -> rustix::io::Result<std::borrow::Cow<'_, std::ffi::CStr>> {
        let text = std::ffi::CString::new(self.0).map_err(|_| Errno::INVAL)?;
        Ok(std::borrow::Cow::Owned(text))
    }

    fn into_c_str<'b>(self) -> rustix::io::Result<std::borrow::Cow<'b, std::ffi::CStr>>
    where
        Self: 'b,
    {
        let text = std::ffi::CString::new(self.0).map_err(|_| Errno::INVAL)?;
        Ok(std::borrow::Cow::Owned(text))
    }

    fn into_with_c_str<T, F>(self, f: F) -> rustix::io::Result<T>
    where
        Self: Sized,
        F: FnOnce(&std::ffi::CStr) -> rustix::io::Result<T>,
    {
        self.0.into_with_c_str(f)
    }
}

/// What is to be changed of a file's attributes; what stays is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changes {
    /// The open file it is said through.
    pub handle: Option<u64>,
    /// The permission bits.
    pub mode: Option<u32>,
    /// The owner.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
    /// The length.
    pub size: Option<u64>,
    /// When it was read.
    pub accessed: Option<Moment>,
    /// When it was written.
    pub modified: Option<Moment>,
    /// Whether the set-id bits go.
    pub kill_set_id: bool,
}

/// A moment that a file is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The server's.
    Now,
    /// Seconds since 1970, and nanoseconds.
    At(i64, u32),
}

/// What the guest's kernel can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Greeting {
    /// Its version.
    pub major: u32,
    /// What came after it.
    pub minor: u32,
    /// How far it reads ahead.
    pub max_readahead: u32,
    /// What it offers.
    pub flags: u32,
}

/// One call, its data borrowed from the message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the kernel's call of that name, field by field")]
pub enum Call<'a> {
    User { uid: u32, gid: u32 },
    Init(Greeting),
    Destroy,
    Interrupt,
    Lookup { name: Name<'a> },
    Forget { count: u64 },
    BatchForget { pairs: &'a [u8] },
    Getattr { handle: Option<u64> },
    Setattr(Changes),
    Readlink,
    Symlink { name: Name<'a>, target: &'a [u8] },
    Mknod { name: Name<'a>, mode: u32 },
    Mkdir { name: Name<'a>, mode: u32 },
    Unlink { name: Name<'a> },
    Rmdir { name: Name<'a> },
    Rename { name: Name<'a>, to: u64, new: Name<'a>, flags: u32 },
    Link { node: u64, name: Name<'a> },
    Open { flags: u32, kill_set_id: bool },
    Create { name: Name<'a>, flags: u32, mode: u32 },
    Read { handle: u64, offset: u64, size: u32 },
    Write { handle: u64, offset: u64, data: &'a [u8], kill_set_id: bool },
    Release { handle: u64 },
    Fsync { handle: u64, data_only: bool },
    Fallocate { handle: u64, offset: u64, length: u64, mode: u32 },
    Lseek { handle: u64, offset: u64, whence: u32 },
    CopyFileRange { from: (u64, u64), to: (u64, u64, u64), length: u64 },
    Statfs,
    Setxattr { name: &'a [u8], value: &'a [u8], flags: u32 },
    Getxattr { name: &'a [u8], size: u32 },
    Listxattr { size: u32 },
    Removexattr { name: &'a [u8] },
    Opendir,
    Readdir { handle: u64, offset: u64, size: u32, plus: bool },
    Releasedir { handle: u64 },
    Fsyncdir { handle: u64 },
}

const FATTR_MODE: u32 = 1;
const FATTR_UID: u32 = 1 << 1;
const FATTR_GID: u32 = 1 << 2;
const FATTR_SIZE: u32 = 1 << 3;
const FATTR_ATIME: u32 = 1 << 4;
const FATTR_MTIME: u32 = 1 << 5;
const FATTR_FH: u32 = 1 << 6;
const FATTR_ATIME_NOW: u32 = 1 << 7;
const FATTR_MTIME_NOW: u32 = 1 << 8;
const FATTR_KILL_SUIDGID: u32 = 1 << 11;
const GETATTR_FH: u32 = 1;
const OPEN_KILL_SUIDGID: u32 = 1;
const WRITE_KILL_SUIDGID: u32 = 1 << 2;
const FSYNC_FDATASYNC: u32 = 1;

impl<'a> Call<'a> {
    /// Reads the call that `opcode` names from what follows its head.
    ///
    /// # Errors
    /// `ENOSYS` for what this server does not do, which the kernel then stops asking for;
    /// `EINVAL` for a message that does not hold what its number needs.
    pub fn parse(code: u32, body: &'a [u8]) -> Result<Self, Errno> {
        let mut rest = Cursor(body);
        match code {
            OPCODE_USER => Ok(Self::User { uid: rest.u32()?, gid: rest.u32()? }),
            opcode::INIT => Ok(Self::Init(Greeting {
                major: rest.u32()?,
                minor: rest.u32()?,
                max_readahead: rest.u32()?,
                flags: rest.u32()?,
            })),
            opcode::DESTROY => Ok(Self::Destroy),
            opcode::INTERRUPT => Ok(Self::Interrupt),
            opcode::STATFS => Ok(Self::Statfs),
            opcode::FORGET => Ok(Self::Forget { count: rest.u64()? }),
            opcode::BATCH_FORGET => Self::batch_forget(rest),
            opcode::GETATTR | opcode::SETATTR => Self::attributes(code, rest),
            opcode::SETXATTR | opcode::GETXATTR | opcode::LISTXATTR | opcode::REMOVEXATTR => {
                Self::extended(code, rest)
            }
            opcode::OPENDIR
            | opcode::READDIR
            | opcode::READDIRPLUS
            | opcode::RELEASEDIR
            | opcode::FSYNCDIR => Self::folder(code, rest),
            opcode::OPEN
            | opcode::READ
            | opcode::WRITE
            | opcode::RELEASE
            | opcode::FSYNC
            | opcode::FALLOCATE
            | opcode::LSEEK
            | opcode::COPY_FILE_RANGE => Self::file(code, rest),
            _ => Self::entry(code, rest),
        }
    }

    /// Calls about an entry of a folder.
    fn entry(code: u32, mut rest: Cursor<'a>) -> Result<Self, Errno> {
        match code {
            opcode::LOOKUP => Ok(Self::Lookup { name: rest.name()? }),
            opcode::READLINK => Ok(Self::Readlink),
            opcode::SYMLINK => Ok(Self::Symlink { name: rest.name()?, target: rest.target()? }),
            opcode::MKNOD => {
                let mode = rest.u32()?;
                rest.skip(12)?;
                Ok(Self::Mknod { name: rest.name()?, mode })
            }
            opcode::MKDIR => {
                let mode = rest.u32()?;
                rest.skip(4)?;
                Ok(Self::Mkdir { name: rest.name()?, mode })
            }
            opcode::UNLINK => Ok(Self::Unlink { name: rest.name()? }),
            opcode::RMDIR => Ok(Self::Rmdir { name: rest.name()? }),
            opcode::RENAME => {
                let to = rest.u64()?;
                Ok(Self::Rename { to, name: rest.name()?, new: rest.name()?, flags: 0 })
            }
            opcode::RENAME2 => {
                let (to, flags) = (rest.u64()?, rest.u32()?);
                rest.skip(4)?;
                Ok(Self::Rename { to, name: rest.name()?, new: rest.name()?, flags })
            }
            opcode::LINK => Ok(Self::Link { node: rest.u64()?, name: rest.name()? }),
            opcode::CREATE => {
                let (flags, mode) = (rest.u32()?, rest.u32()?);
                rest.skip(8)?;
                Ok(Self::Create { name: rest.name()?, flags, mode })
            }
            _ => Err(Errno::NOSYS),
        }
    }

    /// Calls about an open file, and the one that opens it.
    fn file(code: u32, mut rest: Cursor<'a>) -> Result<Self, Errno> {
        if code == opcode::OPEN {
            let (flags, open) = (rest.u32()?, rest.u32()?);
            return Ok(Self::Open { flags, kill_set_id: open & OPEN_KILL_SUIDGID != 0 });
        }
        let handle = rest.u64()?;
        match code {
            opcode::READ => Ok(Self::Read { handle, offset: rest.u64()?, size: rest.size()? }),
            opcode::WRITE => {
                let (offset, size, flags) = (rest.u64()?, rest.size()?, rest.u32()?);
                rest.skip(16)?;
                let data = rest.take(usize::try_from(size).unwrap_or(usize::MAX))?;
                let kill_set_id = flags & WRITE_KILL_SUIDGID != 0;
                Ok(Self::Write { handle, offset, data, kill_set_id })
            }
            opcode::FSYNC => {
                Ok(Self::Fsync { handle, data_only: rest.u32()? & FSYNC_FDATASYNC != 0 })
            }
            opcode::FALLOCATE => {
                let (offset, length) = (rest.u64()?, rest.u64()?);
                Ok(Self::Fallocate { handle, offset, length, mode: rest.u32()? })
            }
            opcode::LSEEK => Ok(Self::Lseek { handle, offset: rest.u64()?, whence: rest.u32()? }),
            opcode::COPY_FILE_RANGE => {
                let from = (handle, rest.u64()?);
                let to = (rest.u64()?, rest.u64()?, rest.u64()?);
                Ok(Self::CopyFileRange { from, to, length: rest.u64()? })
            }
            _ => Ok(Self::Release { handle }),
        }
    }

    fn folder(code: u32, mut rest: Cursor<'a>) -> Result<Self, Errno> {
        if code == opcode::OPENDIR {
            return Ok(Self::Opendir);
        }
        let handle = rest.u64()?;
        match code {
            opcode::RELEASEDIR => Ok(Self::Releasedir { handle }),
            opcode::FSYNCDIR => Ok(Self::Fsyncdir { handle }),
            _ => {
                let (offset, size) = (rest.u64()?, rest.size()?);
                Ok(Self::Readdir { handle, offset, size, plus: code == opcode::READDIRPLUS })
            }
        }
    }

    fn attributes(code: u32, mut rest: Cursor<'a>) -> Result<Self, Errno> {
        if code == opcode::GETATTR {
            let flags = rest.u32()?;
            rest.skip(4)?;
            let handle = rest.u64()?;
            return Ok(Self::Getattr { handle: (flags & GETATTR_FH != 0).then_some(handle) });
        }
        let valid = rest.u32()?;
        rest.skip(4)?;
        let (handle, size) = (rest.u64()?, rest.u64()?);
        rest.skip(8)?;
        let seconds = (rest.u64()?, rest.u64()?);
        rest.skip(8)?;
        let nanos = (rest.u32()?, rest.u32()?);
        rest.skip(4)?;
        let mode = rest.u32()?;
        rest.skip(4)?;
        let (uid, gid) = (rest.u32()?, rest.u32()?);
        let has = |flag: u32| valid & flag != 0;
        let moment = |now, at, seconds: u64, nanos| match (has(now), has(at)) {
            (true, _) => Some(Moment::Now),
            (false, true) => Some(Moment::At(seconds.cast_signed(), nanos)),
            (false, false) => None,
        };
        Ok(Self::Setattr(Changes {
            handle: has(FATTR_FH).then_some(handle),
            mode: has(FATTR_MODE).then_some(mode),
            uid: has(FATTR_UID).then_some(uid),
            gid: has(FATTR_GID).then_some(gid),
            size: has(FATTR_SIZE).then_some(size),
            accessed: moment(FATTR_ATIME_NOW, FATTR_ATIME, seconds.0, nanos.0),
            modified: moment(FATTR_MTIME_NOW, FATTR_MTIME, seconds.1, nanos.1),
            kill_set_id: has(FATTR_KILL_SUIDGID),
        }))
    }

    fn extended(code: u32, mut rest: Cursor<'a>) -> Result<Self, Errno> {
        match code {
            opcode::REMOVEXATTR => Ok(Self::Removexattr { name: rest.text()? }),
            opcode::SETXATTR => {
                let (size, flags) = (rest.size()?, rest.u32()?);
                let name = rest.text()?;
                let value = rest.take(usize::try_from(size).unwrap_or(usize::MAX))?;
                Ok(Self::Setxattr { name, value, flags })
            }
            _ => {
                let size = rest.size()?;
                rest.skip(4)?;
                match code {
                    opcode::GETXATTR => Ok(Self::Getxattr { name: rest.text()?, size }),
                    _ => Ok(Self::Listxattr { size }),
                }
            }
        }
    }

    fn batch_forget(mut rest: Cursor<'a>) -> Result<Self, Errno> {
        let count = usize::try_from(rest.u32()?).unwrap_or(usize::MAX);
        rest.skip(4)?;
        let pairs = rest.take(count.saturating_mul(16))?;
        Ok(Self::BatchForget { pairs })
    }
}

/// Returns what a batch says: each node, and how often it was named.
pub(super) fn forgotten(pairs: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    pairs.chunks_exact(16).filter_map(|pair| {
        let mut rest = Cursor(pair);
        Some((rest.u64().ok()?, rest.u64().ok()?))
    })
}

/// What is left of a message.
#[derive(Debug)]
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Errno> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, count: usize) -> Result<(), Errno> {
        self.take(count).map(drop)
    }

    fn u32(&mut self) -> Result<u32, Errno> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(u32::from_ne_bytes(*number))
    }

    fn u64(&mut self) -> Result<u64, Errno> {
        let (number, rest) = self.0.split_first_chunk().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(u64::from_ne_bytes(*number))
    }

    /// Returns a size of data, which no call has more of than fits one message.
    fn size(&mut self) -> Result<u32, Errno> {
        let size = self.u32()?;
        if usize::try_from(size).is_ok_and(|size| size <= DATA_BYTES_MAX) {
            Ok(size)
        } else {
            Err(Errno::INVAL)
        }
    }

    /// Returns a text without the zero that ends it.
    fn text(&mut self) -> Result<&'a [u8], Errno> {
        let end = self.0.iter().position(|byte| *byte == 0).ok_or(Errno::INVAL)?;
        let text = self.take(end)?;
        self.skip(1)?;
        Ok(text)
    }

    fn name(&mut self) -> Result<Name<'a>, Errno> {
        Name::new(self.text()?)
    }

    fn target(&mut self) -> Result<&'a [u8], Errno> {
        match self.text()? {
            b"" => Err(Errno::NOENT),
            target if target.len() > TARGET_BYTES_MAX => Err(Errno::NAMETOOLONG),
            target => Ok(target),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn a_name_means_one_entry_of_its_folder_or_is_refused() {
        for name in ["a", "..a", "ä b\n", &"x".repeat(255)] {
            assert_eq!(Name::new(name.as_bytes()).unwrap().bytes(), name.as_bytes());
        }
        for name in ["", ".", "..", "a/b", "/", "a\0b"] {
            assert_eq!(Name::new(name.as_bytes()), Err(Errno::INVAL), "{name:?}");
        }
        assert_eq!(Name::new(&[b'x'; 256]), Err(Errno::NAMETOOLONG));
    }

    #[test]
    fn a_length_that_no_message_has_ends_the_stream() {
        let head = |len: u32| {
            let mut bytes = [0; HEAD_BYTES];
            bytes[..4].copy_from_slice(&len.to_ne_bytes());
            Head::parse(&bytes).map(|head| head.body_bytes())
        };
        assert_eq!(head(40), Ok(0));
        assert_eq!(head(40 + 1024), Ok(1024));
        for len in [0, 39, u32::MAX, 2 << 20] {
            assert_eq!(head(len), Err(BadLength(len)));
        }
    }

    #[test]
    fn a_write_holds_what_it_claims() {
        let mut body = words(&[7, 0, 4096, 0, 3, WRITE_KILL_SUIDGID, 0, 0, 0, 0]);
        body.extend(b"abc");
        let call = Call::parse(opcode::WRITE, &body).unwrap();
        let expected = Call::Write { handle: 7, offset: 4096, data: b"abc", kill_set_id: true };
        assert_eq!(call, expected);
        body.pop();
        assert_eq!(Call::parse(opcode::WRITE, &body), Err(Errno::INVAL));
    }

    #[test]
    fn a_rename_names_two_entries() {
        let mut body = words(&[9, 0, 1, 0]);
        body.extend(b"old\0new\0");
        let call = Call::parse(opcode::RENAME2, &body).unwrap();
        let (name, new) = (Name(b"old"), Name(b"new"));
        assert_eq!(call, Call::Rename { name, to: 9, new, flags: 1 });
        body.truncate(body.len() - 1);
        assert_eq!(Call::parse(opcode::RENAME2, &body), Err(Errno::INVAL));
    }

    #[test]
    fn attributes_that_stay_are_absent() {
        let valid = FATTR_MODE | FATTR_MTIME;
        let mut body = words(&[valid, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 5, 6, 0, 0o644, 0]);
        body.extend(words(&[1000, 1000, 0]));
        let Call::Setattr(changes) = Call::parse(opcode::SETATTR, &body).unwrap() else {
            panic!("another call");
        };
        let modified = Some(Moment::At(2, 6));
        assert_eq!(changes, Changes { mode: Some(0o644), modified, ..Changes::default() });
    }

    #[test]
    fn a_batch_names_each_node_once() {
        let mut body = words(&[2, 0]);
        body.extend([5_u64, 1, 6, 2].iter().flat_map(|word| word.to_ne_bytes()));
        let Call::BatchForget { pairs } = Call::parse(opcode::BATCH_FORGET, &body).unwrap() else {
            panic!("another call");
        };
        assert_eq!(forgotten(pairs).collect::<Vec<_>>(), [(5, 1), (6, 2)]);
        let claims = words(&[u32::MAX, 0]);
        assert_eq!(Call::parse(opcode::BATCH_FORGET, &claims), Err(Errno::INVAL));
    }

    #[test]
    fn what_is_not_known_is_told_so_that_it_is_not_asked_again() {
        assert_eq!(Call::parse(51, b""), Err(Errno::NOSYS));
        assert_eq!(Call::parse(u32::MAX, b""), Err(Errno::NOSYS));
    }
}
