//! From an archive that nobody vouches for to files below a target.
//!
//! ```text
//! entry ─ place ─▶ below the target? ─ enter ─▶ folder ─ draft ─▶ whole? ─ rename ─▶ name
//!           └──────────── no ────────────┴──── a note, and the next entry
//! ```
//!
//! What an archive can make is a folder, a file, a link; what it replaces is
//! never a folder, nor a file by a folder. How much comes is bounded by the
//! room there is, where a reserve is to be kept.

mod room;

use std::io::{BufReader, Read};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid};
use rustix::io::Errno;
use schema::archive::{Entry, Kind, Next, Reader, TarError, Time};
use schema::wire::files::{FileNote, NoteKind, Owners};

use self::room::{Metered, Room};
use crate::beneath::{self, Beneath, Blocked, Pending};
use crate::draft::{self, Draft};
use crate::links::stays_inside;
use crate::target::{Place, Target};
use crate::{Gauge, Tell, Totals};

/// How much is read at once.
const READ_BYTES: usize = 256 * 1024;

/// Which symbolic links are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkRule {
    /// All, as they are.
    All,
    /// Those that lead nowhere but into what is copied.
    Inside,
}

/// What may be made of an archive.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whose the copies are.
    pub owners: Owners,
    /// Which links are made.
    pub links: LinkRule,
    /// The bits of a file's mode that are kept.
    pub file_bits: u16,
    /// The bits of a folder's mode that are kept.
    pub folder_bits: u16,
    /// What stays free on the file system; `None` leaves that to the kernel.
    pub reserve_bytes: Option<u64>,
}

/// Makes files of an archive, and returns what was made.
///
/// # Errors
/// The archive breaks off or is none, or the target has no room for more.
pub fn unpack(
    stream: impl Read,
    target: &Target,
    rules: Rules,
    gauge: &Gauge,
    tell: Tell<'_>,
) -> Result<Totals, FileNote> {
    draft::sweep(target.folder());
    let room = Room::of(target.folder(), rules.reserve_bytes)?;
    let stream = BufReader::with_capacity(READ_BYTES, Metered::new(stream, room.all_bytes()));
    let mut reader = Reader::new(stream).with_file_bytes_max(i64::MAX.unsigned_abs());
    let mut unpacker = Unpacker {
        target,
        rules,
        gauge,
        tell,
        beneath: Beneath::default(),
        room,
        totals: Totals::default(),
    };
    let done = unpacker.all(&mut reader);
    // What was made is finished in any case.
    unpacker.leave_all();
    done.map(|()| unpacker.totals)
}

struct Unpacker<'a> {
    target: &'a Target,
    rules: Rules,
    gauge: &'a Gauge,
    tell: Tell<'a>,
    beneath: Beneath,
    room: Room,
    totals: Totals,
}

/// Why an entry was not made.
enum Trouble {
    /// The next one may be.
    Left(FileNote),
    /// Nothing more comes.
    Over(FileNote),
}

impl Unpacker<'_> {
    fn all<R: std::io::BufRead>(&mut self, reader: &mut Reader<R>) -> Result<(), FileNote> {
        while let Some(next) = reader.next_or_refused().map_err(|error| unreadable(&error))? {
            self.room.look(self.target.folder())?;
            let entry = match next {
                Next::Entry(entry) => entry,
                Next::Refused { path, why } => {
                    (self.tell)(FileNote::new(NoteKind::Unsafe, &path, why));
                    continue;
                }
            };
            match self.one(&entry, reader) {
                Ok(()) => {}
                Err(Trouble::Left(note)) => (self.tell)(note),
                Err(Trouble::Over(note)) => return Err(note),
            }
        }
        Ok(())
    }

    fn one<R: std::io::BufRead>(
        &mut self,
        entry: &Entry,
        reader: &mut Reader<R>,
    ) -> Result<(), Trouble> {
        let unsafe_because =
            |why: &str| Trouble::Left(FileNote::new(NoteKind::Unsafe, &entry.path, why));
        let target = self.target;
        let Some(place) = target.place(&entry.path) else {
            return Err(unsafe_because("it is not part of what was asked for"));
        };
        let Some((name, above)) = place.parts.split_last() else {
            let is_folder = entry.kind == Kind::Folder;
            return if is_folder { Ok(()) } else { Err(unsafe_because("the folder has no name")) };
        };
        match &entry.kind {
            Kind::Folder => return self.folder(entry, &place),
            Kind::Character(..) | Kind::Block(..) => {
                return Err(unsafe_because("a device is not copied"));
            }
            Kind::Fifo => return Err(unsafe_because("a named pipe is not copied")),
            Kind::Symlink(text) => {
                if self.rules.links == LinkRule::Inside && !stays_inside(text, place.depth) {
                    return Err(unsafe_because("the link leads out of what is copied"));
                }
            }
            Kind::File | Kind::HardLink(_) => {}
        }
        let (rules, tell) = (self.rules, &mut self.tell);
        let folder = self
            .beneath
            .enter(target.folder(), above, &mut |fd, pending| finish(fd, pending, rules, tell))
            .map_err(|blocked| of_blocked(&entry.path, blocked))?;
        if is_folder(folder, name) {
            let why = "a folder is in its way";
            return Err(Trouble::Left(FileNote::new(NoteKind::Skipped, &entry.path, why)));
        }
        let made = match &entry.kind {
            Kind::Symlink(text) => link(folder, text, name, entry, rules),
            Kind::HardLink(original) => match target.place(original) {
                Some(original) => hard_link(target.folder(), &original, folder, name),
                None => return Err(unsafe_because("it is a second name of a file elsewhere")),
            },
            _ => {
                let intake = Intake { reader, room: &mut self.room, gauge: self.gauge };
                file(folder, name, entry, rules, intake)?
            }
        };
        made.map_err(|errno| of_kernel(&entry.path, "it cannot be written", errno))?;
        self.totals.files += 1;
        self.totals.bytes += entry.size;
        self.gauge.one_more();
        Ok(())
    }

    fn folder(&mut self, entry: &Entry, place: &Place<'_>) -> Result<(), Trouble> {
        let pending = Pending { path: entry.path.clone(), entry: entry.clone() };
        let (rules, tell) = (self.rules, &mut self.tell);
        let mut finish = |fd: &OwnedFd, pending: &Pending| finish(fd, pending, rules, tell);
        self.beneath
            .make(self.target.folder(), &place.parts, pending, &mut finish)
            .map_err(|blocked| of_blocked(&entry.path, blocked))
    }

    fn leave_all(&mut self) {
        let (rules, tell) = (self.rules, &mut self.tell);
        self.beneath.leave(0, &mut |fd, pending| finish(fd, pending, rules, tell));
    }
}

/// Where a file's content comes from, and what is kept of how much it is.
struct Intake<'a, R> {
    reader: &'a mut Reader<R>,
    room: &'a mut Room,
    gauge: &'a Gauge,
}

/// Writes a file under a temporary name and renames it; a part of one never gets its name.
fn file<R: std::io::BufRead>(
    folder: BorrowedFd<'_>,
    name: &[u8],
    entry: &Entry,
    rules: Rules,
    Intake { reader, room, gauge }: Intake<'_, R>,
) -> Result<Result<(), Errno>, Trouble> {
    room.take(entry.size).map_err(Trouble::Over)?;
    let (draft, fd) = match Draft::file(folder) {
        Ok(made) => made,
        Err(errno) => return Ok(Err(errno)),
    };
    let (mut refused, mut end) = (None, 0);
    let taken = reader.take_data(|offset, _, bytes| {
        if refused.is_none() {
            refused = write_at(&fd, bytes, offset).err();
            end = offset + bytes.len() as u64;
            gauge.moved(bytes.len());
        }
        // With no room left, nothing that follows fits either.
        refused.filter(|errno| is_final(*errno)).map_or(Ok(()), |errno| Err(errno.into()))
    });
    match (taken, refused) {
        (_, Some(errno)) => return Ok(Err(errno)),
        (Err(error), None) => return Err(Trouble::Over(unreadable(&error))),
        (Ok(()), None) => {}
    }
    let whole = if end < entry.size { rustix::fs::ftruncate(&fd, entry.size) } else { Ok(()) };
    Ok(whole
        .and_then(|()| dress(&fd, entry, rules.file_bits, rules))
        .and_then(|()| draft.keep(name)))
}

fn write_at(fd: &OwnedFd, mut bytes: &[u8], mut offset: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, offset) {
            Ok(count) => {
                bytes = &bytes[count..];
                offset += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn link(
    folder: BorrowedFd<'_>,
    text: &[u8],
    name: &[u8],
    entry: &Entry,
    rules: Rules,
) -> Result<(), Errno> {
    let make = |draft: &str| rustix::fs::symlinkat(text, folder, draft);
    let (draft, ()) = Draft::make(folder, make)?;
    if let Some((user, group)) = owner(entry, rules) {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(folder, draft.name(), Some(user), Some(group), flags)?;
    }
    let times = times(entry.mtime);
    rustix::fs::utimensat(folder, draft.name(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
    draft.keep(name)
}

/// Gives a file of the target a second name; a second name of a link would lead elsewhere than the first.
fn hard_link(
    root: BorrowedFd<'_>,
    original: &Place<'_>,
    folder: BorrowedFd<'_>,
    name: &[u8],
) -> Result<(), Errno> {
    let (first, above) = original.parts.split_last().ok_or(Errno::ISDIR)?;
    let from = beneath::find(root, above)?;
    let stat = rustix::fs::statat(&from, *first, AtFlags::SYMLINK_NOFOLLOW)?;
    if !FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(Errno::INVAL);
    }
    let make = |draft: &str| rustix::fs::linkat(&from, *first, folder, draft, AtFlags::empty());
    let (draft, ()) = Draft::make(folder, make)?;
    let temporary = draft.name().to_owned();
    draft.keep(name)?;
    // Where both names are of one file already, a rename does nothing.
    rustix::fs::unlinkat(folder, temporary, AtFlags::empty()).or_else(|errno| match errno {
        Errno::NOENT => Ok(()),
        errno => Err(errno),
    })
}

/// Gives a new folder its owner, mode and times, once everything is in it.
fn finish(fd: &OwnedFd, pending: &Pending, rules: Rules, tell: &mut Tell<'_>) {
    if let Err(errno) = dress(fd, &pending.entry, rules.folder_bits, rules) {
        let why = "its mode and times cannot be set";
        tell(
            FileNote::new(NoteKind::Changed, &pending.path, why)
                .with_errno(Some(errno.raw_os_error())),
        );
    }
}

/// Sets owner, mode and times, in this order: a new owner clears bits of the mode.
fn dress(fd: &OwnedFd, entry: &Entry, bits: u16, rules: Rules) -> Result<(), Errno> {
    if let Some((user, group)) = owner(entry, rules) {
        rustix::fs::fchown(fd, Some(user), Some(group))?;
    }
    rustix::fs::fchmod(fd, Mode::from_raw_mode(u32::from(entry.mode & bits)))?;
    rustix::fs::futimens(fd, &times(entry.mtime))
}

/// Returns whose it becomes, where that is kept and ours to give.
fn owner(entry: &Entry, rules: Rules) -> Option<(Uid, Gid)> {
    let gives = rules.owners == Owners::Kept && rustix::process::geteuid().is_root();
    gives.then(|| (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid)))
}

fn times(changed: Time) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec {
            tv_sec: i64::try_from(changed.seconds).unwrap_or(i64::MAX),
            tv_nsec: changed.nanos.into(),
        },
    }
}

fn is_folder(folder: BorrowedFd<'_>, name: &[u8]) -> bool {
    let stat = rustix::fs::statat(folder.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW);
    stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
}

/// Tells whether nothing that follows can be written either.
fn is_final(errno: Errno) -> bool {
    matches!(errno, Errno::NOSPC | Errno::DQUOT | Errno::IO | Errno::ROFS)
}

fn of_kernel(path: &[u8], why: &str, errno: Errno) -> Trouble {
    let code = Some(errno.raw_os_error());
    if is_final(errno) {
        return Trouble::Over(FileNote::new(NoteKind::Failed, path, why).with_errno(code));
    }
    Trouble::Left(FileNote::new(NoteKind::Skipped, path, why).with_errno(code))
}

fn of_blocked(path: &[u8], blocked: Blocked) -> Trouble {
    match blocked {
        Blocked::InTheWay(why) => Trouble::Left(FileNote::new(NoteKind::Skipped, path, why)),
        Blocked::Kernel(errno) => of_kernel(path, "its folder cannot be entered", errno),
    }
}

/// Returns the note of an archive that cannot be read any further.
fn unreadable(error: &TarError) -> FileNote {
    let (why, source) = match error {
        TarError::Read(source) | TarError::Keep { source, .. } => {
            (format!("{error}: {source}"), source.raw_os_error())
        }
        TarError::Truncated { .. } | TarError::Refused { .. } => (error.to_string(), None),
    };
    FileNote::new(NoteKind::Failed, b"", why).with_errno(source)
}

#[cfg(test)]
mod tests;
