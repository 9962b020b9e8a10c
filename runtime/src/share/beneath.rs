//! From a folder's descriptor and one name to the file it means, and never out of the folder.
//!
//! Every step is one component below a descriptor: no link is followed, not even the last one, so
//! nothing that a guest or somebody on the host renames meanwhile leads elsewhere. A node is held
//! by a descriptor that only names it (`O_PATH`); it is opened for reading and writing by that
//! descriptor, never by its name again.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::Errno;

use super::wire::Name;

/// How names are resolved: one component, below the folder, through nothing.
const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS).union(ResolveFlags::NO_SYMLINKS);

/// Names that every file is opened under again by the number of its descriptor.
const DESCRIPTORS: &str = "/proc/self/fd";

/// Returns a descriptor that names the entry, whatever it is.
pub(super) fn look(folder: BorrowedFd<'_>, name: Name<'_>) -> Result<OwnedFd, Errno> {
    // A link is not followed here: with NO_SYMLINKS and O_PATH it is what is returned.
    openat2(folder, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty(), RESOLVE)
}

/// Makes a file that was not there; returns it open for reading and writing.
pub(super) fn create(folder: BorrowedFd<'_>, name: Name<'_>, mode: u32) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat2(folder, name, flags, Mode::from_raw_mode(mode), RESOLVE)
}

/// Returns the path under which the kernel knows what a descriptor names.
pub(super) fn path(fd: impl AsFd) -> String {
    format!("{DESCRIPTORS}/{}", fd.as_fd().as_raw_fd())
}

/// Opens what a descriptor names; only regular files, whose opening does nothing else.
pub(super) fn open(node: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd, Errno> {
    match kind(&fstat(node)?) {
        FileType::RegularFile => {}
        FileType::Directory => return Err(Errno::ISDIR),
        _ => return Err(Errno::ACCESS),
    }
    openat(CWD, path(node), flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())
}

/// Opens a folder that a descriptor names, to list it.
pub(super) fn open_folder(node: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(node, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
}

/// Returns a descriptor that only names an open file.
pub(super) fn name_of(open: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    openat(CWD, path(open), OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// Returns what kind of file it is.
pub(super) const fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::super::scratch::Scratch;
    use super::*;

    fn named(name: &str) -> Name<'_> {
        Name::new(name.as_bytes()).unwrap()
    }

    #[test]
    fn a_link_is_found_as_a_link_and_never_opened_through() {
        let scratch = Scratch::new();
        std::fs::File::create(scratch.path().join("outside")).unwrap();
        std::fs::create_dir(scratch.path().join("share")).unwrap();
        symlink("../outside", scratch.path().join("share/link")).unwrap();
        let share = scratch.open("share");
        let link = look(share.as_fd(), named("link")).unwrap();
        assert_eq!(kind(&fstat(&link).unwrap()), FileType::Symlink);
        assert_eq!(open(link.as_fd(), OFlags::RDONLY).unwrap_err(), Errno::ACCESS);
        assert_eq!(create(share.as_fd(), named("link"), 0o600).unwrap_err(), Errno::EXIST);
    }

    #[test]
    fn a_fifo_is_named_and_never_opened() {
        let scratch = Scratch::new();
        let share = scratch.open(".");
        let mode = Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(&share, "fifo", FileType::Fifo, mode, 0).unwrap();
        let fifo = look(share.as_fd(), named("fifo")).unwrap();
        assert_eq!(open(fifo.as_fd(), OFlags::RDONLY).unwrap_err(), Errno::ACCESS);
    }

    #[test]
    fn a_file_is_opened_by_what_was_found_and_not_by_its_name() {
        let scratch = Scratch::new();
        std::fs::File::create(scratch.path().join("file")).unwrap();
        let share = scratch.open(".");
        let file = look(share.as_fd(), named("file")).unwrap();
        std::fs::remove_file(scratch.path().join("file")).unwrap();
        symlink("/etc/passwd", scratch.path().join("file")).unwrap();
        let opened = open(file.as_fd(), OFlags::RDWR).unwrap();
        assert_eq!(fstat(&opened).unwrap().st_size, 0);
    }
}
