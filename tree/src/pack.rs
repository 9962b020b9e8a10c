//! From a path to an archive, in one pass and with one buffer.
//!
//! A folder is told before what it holds; of some names that the file system gives
//! together, files come first.
//! A file has the size in the archive that it had when it was opened: one that
//! shrinks meanwhile is filled up with zeros and told, one that grows is cut.

mod ahead;

use std::io::{self, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use schema::archive::{DEPTH_MAX, Entry, Kind, PATH_BYTES_MAX, Time, write};
use schema::wire::files::{FileNote, Links, NoteKind};

use self::ahead::{Batch, Name};
use crate::out::Out;
use crate::owners::Owners;
use crate::{Gauge, Tell, Totals, noted};

/// What is copied.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Where it is.
    pub path: &'a Path,
    /// What it is called in the archive; empty for a folder whose content alone is wanted.
    pub name: &'a [u8],
    /// What becomes of links.
    pub links: Links,
}

/// Writes an archive of a source to `stream`, and returns what is in it.
///
/// # Errors
/// The source is not there, or the stream takes nothing more; the archive then has no end.
pub fn pack(
    source: Source<'_>,
    stream: impl Write,
    gauge: &Gauge,
    tell: Tell<'_>,
) -> Result<Totals, FileNote> {
    let mut path = source.name.to_vec();
    let mut packer = Packer {
        out: Out::new(stream),
        links: source.links,
        gauge,
        tell,
        owners: Owners::read(),
        head: Vec::new(),
        above: Vec::new(),
        totals: Totals::default(),
    };
    let asked = source.path.as_os_str().as_bytes();
    // A slash at the end says that it is a folder, and to the kernel that a link is followed.
    let stat = packer.stat(CWD, source.path).map_err(|error| {
        let kind = if error == Errno::NOENT { NoteKind::Missing } else { NoteKind::Failed };
        noted(kind, asked, "it cannot be read", &error.into())
    })?;
    packer.any(CWD, source.path, &mut path, &stat)?;
    let end = packer.out.put(&write::END).and_then(|()| packer.out.flush());
    end.map_err(|error| broken(&error))?;
    Ok(packer.totals)
}

fn broken(error: &io::Error) -> FileNote {
    noted(NoteKind::Failed, b"", "the stream takes nothing more", error)
}

struct Packer<'a, W> {
    out: Out<W>,
    links: Links,
    gauge: &'a Gauge,
    tell: Tell<'a>,
    owners: Owners,
    /// The headers of one entry, before they are put.
    head: Vec<u8>,
    /// The folders that are being read, so that a link to one of them does not go round.
    above: Vec<(u64, u64)>,
    totals: Totals,
}

impl<W: Write> Packer<'_, W> {
    fn stat(&self, folder: BorrowedFd<'_>, name: impl rustix::path::Arg) -> Result<Stat, Errno> {
        let flags = match self.links {
            Links::Kept => AtFlags::SYMLINK_NOFOLLOW,
            Links::Followed => AtFlags::empty(),
        };
        rustix::fs::statat(folder, name, flags)
    }

    fn open(
        &self,
        folder: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        flags: OFlags,
    ) -> Result<OwnedFd, Errno> {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        let flags = match self.links {
            Links::Kept => flags | OFlags::NOFOLLOW,
            Links::Followed => flags,
        };
        rustix::fs::openat(folder, name, flags, Mode::empty())
    }

    /// Tells that something is left out.
    fn leave(&mut self, kind: NoteKind, path: &[u8], why: &str, errno: Option<Errno>) {
        (self.tell)(FileNote::new(kind, path, why).with_errno(errno.map(Errno::raw_os_error)));
    }

    fn any<P: rustix::path::Arg + Copy>(
        &mut self,
        folder: BorrowedFd<'_>,
        name: P,
        path: &mut Vec<u8>,
        stat: &Stat,
    ) -> Result<(), FileNote> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => self.folder(folder, name, path),
            FileType::RegularFile => {
                let opened = self.open_file(folder, name);
                self.opened(opened, path)
            }
            FileType::Symlink => self.link(folder, name, path, stat),
            other => {
                self.leave(NoteKind::Unsafe, path, special(other), None);
                Ok(())
            }
        }
    }

    fn folder(
        &mut self,
        folder: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        path: &mut Vec<u8>,
    ) -> Result<(), FileNote> {
        let opened = self.open(folder, name, OFlags::DIRECTORY).and_then(|fd| {
            let stat = rustix::fs::fstat(&fd)?;
            Ok((Dir::new(fd)?, stat))
        });
        let (mut dir, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.leave(NoteKind::Skipped, path, "the folder cannot be read", Some(errno));
                return Ok(());
            }
        };
        let identity = (stat.st_dev, stat.st_ino);
        if self.above.contains(&identity) {
            self.leave(NoteKind::Skipped, path, "the link leads back to a folder above it", None);
            return Ok(());
        }
        self.say(path, Kind::Folder, &stat, 0)?;
        self.above.push(identity);
        loop {
            let batch = Batch::read(&mut dir);
            let (files, others): (Vec<_>, Vec<_>) =
                batch.names.into_iter().partition(|name| name.is_file);
            self.files(&dir, files, path)?;
            // None of the files is open any more: folders may lie as deep as they like.
            for name in others {
                self.child(&dir, &name, path)?;
            }
            if batch.error.is_some() {
                let why = "the folder cannot be read to its end";
                self.leave(NoteKind::Skipped, path, why, batch.error);
            }
            if batch.is_last {
                break;
            }
        }
        self.above.pop();
        Ok(())
    }

    /// Opens some files and asks for what they hold, then reads one after the other.
    fn files(&mut self, dir: &Dir, names: Vec<Name>, path: &mut Vec<u8>) -> Result<(), FileNote> {
        let open = |name: Name| {
            let opened = dir.fd().and_then(|folder| self.open_file(folder, &name.text));
            if let Ok((fd, stat)) = &opened {
                ahead::ask_for(fd, stat);
            }
            (name, opened)
        };
        let opened: Vec<_> = names.into_iter().map(open).collect();
        for (name, opened) in opened {
            self.below(&name, path, |packer, path| packer.opened(opened, path))?;
        }
        Ok(())
    }

    fn child(&mut self, dir: &Dir, name: &Name, path: &mut Vec<u8>) -> Result<(), FileNote> {
        self.below(name, path, |packer, path| {
            let found = dir.fd().and_then(|folder| Ok((folder, packer.stat(folder, &*name.text)?)));
            match found {
                Ok((folder, stat)) => packer.any(folder, &*name.text, path, &stat),
                Err(errno) => {
                    packer.leave(NoteKind::Skipped, path, "it cannot be read", Some(errno));
                    Ok(())
                }
            }
        })
    }

    /// Does something with the path of a name below a folder.
    fn below(
        &mut self,
        name: &Name,
        path: &mut Vec<u8>,
        work: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<(), FileNote>,
    ) -> Result<(), FileNote> {
        let length = path.len();
        if length > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.text.to_bytes());
        let done = if self.is_too_long(path) { Ok(()) } else { work(self, path) };
        path.truncate(length);
        done
    }

    /// Leaves out what lies too deep.
    fn is_too_long(&mut self, path: &[u8]) -> bool {
        let is_too_long = path.len() > PATH_BYTES_MAX || self.above.len() > DEPTH_MAX;
        if is_too_long {
            self.leave(NoteKind::Skipped, path, "its path is too long", None);
        }
        is_too_long
    }

    fn link(
        &mut self,
        folder: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), FileNote> {
        match rustix::fs::readlinkat(folder, name, Vec::new()) {
            Ok(text) => {
                self.totals.files += 1;
                self.gauge.one_more();
                self.say(path, Kind::Symlink(text.into_bytes()), stat, 0)
            }
            Err(errno) => {
                self.leave(NoteKind::Skipped, path, "the link cannot be read", Some(errno));
                Ok(())
            }
        }
    }

    fn open_file(
        &self,
        folder: BorrowedFd<'_>,
        name: impl rustix::path::Arg,
    ) -> Result<(OwnedFd, Stat), Errno> {
        let fd = self.open(folder, name, OFlags::empty())?;
        let stat = rustix::fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    /// Packs a file that was to be opened.
    fn opened(
        &mut self,
        opened: Result<(OwnedFd, Stat), Errno>,
        path: &[u8],
    ) -> Result<(), FileNote> {
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(errno) => {
                self.leave(NoteKind::Skipped, path, "the file cannot be read", Some(errno));
                return Ok(());
            }
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        if !kind.is_file() {
            // It was a file a moment ago.
            self.leave(NoteKind::Unsafe, path, special(kind), None);
            return Ok(());
        }
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.say(path, Kind::File, &stat, size)?;
        self.content(&fd, path, size)?;
        self.totals.files += 1;
        self.totals.bytes += size;
        self.gauge.one_more();
        Ok(())
    }

    fn content(&mut self, fd: &OwnedFd, path: &[u8], size: u64) -> Result<(), FileNote> {
        let mut left = size;
        while left > 0 {
            let space = self.out.space(left).map_err(|error| broken(&error))?;
            match rustix::io::read(fd, space) {
                Ok(count) if count > 0 => {
                    self.out.filled(count);
                    self.gauge.moved(count);
                    left -= count as u64;
                }
                Err(Errno::INTR) => {}
                other => {
                    let why = match other {
                        Ok(_) => "it became shorter while it was read; zeros are in its place",
                        Err(_) => "it cannot be read to its end; zeros are in its place",
                    };
                    self.leave(NoteKind::Changed, path, why, other.err());
                    break;
                }
            }
        }
        let zeros = left + write::padding(size) as u64;
        self.out.zeros(zeros).map_err(|error| broken(&error))
    }

    /// Puts the headers of an entry.
    fn say(&mut self, path: &[u8], kind: Kind, stat: &Stat, size: u64) -> Result<(), FileNote> {
        let entry = Entry {
            path: path.to_vec(),
            kind,
            mode: u16::try_from(stat.st_mode & 0o7777).unwrap_or(0),
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: changed(stat),
            xattrs: Vec::new(),
            size,
        };
        self.head.clear();
        write::head(&entry, self.owners.of(stat.st_uid, stat.st_gid), &mut self.head);
        self.out.put(&self.head).map_err(|error| broken(&error))
    }
}

/// Returns when a file was last changed; what lies before 1970 is 1970.
fn changed(stat: &Stat) -> Time {
    match u64::try_from(stat.st_mtime) {
        Ok(seconds) => Time { seconds, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or(0) },
        Err(_) => Time::default(),
    }
}

fn special(kind: FileType) -> &'static str {
    match kind {
        FileType::Fifo => "a named pipe is not copied",
        FileType::Socket => "a socket is not copied",
        FileType::CharacterDevice | FileType::BlockDevice => "a device is not copied",
        FileType::RegularFile | FileType::Directory | FileType::Symlink | FileType::Unknown => {
            "it is not what it was"
        }
    }
}
