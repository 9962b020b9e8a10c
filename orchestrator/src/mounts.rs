//! What mounts show of the host: looked at before a plan acts, made where that is asked for, opened
//! once and from then on meant by that descriptor.
//!
//! A path is opened without following a link in its last place, so what was checked is what is
//! mounted, whoever renames what meanwhile.

use std::fs::{DirBuilder, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, FileType, Mode, OFlags, accessat, fstat, openat};
use rustix::io::Errno;
use schema::project::{DirMount, DiskMount, FileMount, HostEnsure, MountSource};
use thiserror::Error;

/// Folders that are the host's own.
const HOSTS_OWN: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Below them, what is anybody's.
const MEMORY: &str = "/dev/shm";

/// The folder of the home whose contents may be mounted.
const VOLUMES: &str = "volumes";

/// Why something of the host is not mounted.
#[derive(Debug, Error)]
pub enum SourceError {
    /// It is not there.
    #[error("{} does not exist", .0.display())]
    Missing(PathBuf),
    /// It is something else than the file says.
    #[error("{} is {is}, the file says {wanted}", path.display())]
    Kind {
        /// What is meant.
        path: PathBuf,
        /// What it is.
        is: &'static str,
        /// What it should be.
        wanted: &'static str,
    },
    /// It is a link.
    #[error("{} is a link, and links are not followed", .0.display())]
    Link(PathBuf),
    /// Nothing of it can be seen.
    #[error("{} cannot be used", path.display())]
    Access {
        /// What is meant.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
    /// It is not for mounting.
    #[error("{} is {why}, which no guest is shown", path.display())]
    Forbidden {
        /// What is meant.
        path: PathBuf,
        /// What it is.
        why: &'static str,
    },
    /// It could not be made.
    #[error("cannot make {}", path.display())]
    Make {
        /// What was to be made.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    /// Returns the code of the failure.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Missing(_) => "msb::mount::source",
            Self::Kind { .. } => "msb::mount::kind",
            Self::Link(_) => "msb::mount::link",
            Self::Access { .. } | Self::Forbidden { .. } | Self::Make { .. } => {
                "msb::mount::access"
            }
        }
    }

    /// Returns what to do about it.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Missing(_) => "Make it, or write ensure=\"ensure\" to have it made, empty.",
            Self::Kind { .. } => "Write the kind of mount that it is, or another path.",
            Self::Link(_) => "Write the path that it leads to, or follow-symlink=#true for a dir.",
            Self::Access { .. } => "Give yourself the rights to it, or choose another path.",
            Self::Forbidden { .. } => "Choose a folder of your own.",
            Self::Make { .. } => "Make it yourself, or choose another path.",
        }
    }
}

/// A source that was opened.
#[derive(Debug)]
pub struct Opened {
    /// The folder, the folder of the file, or the disk.
    pub fd: OwnedFd,
    /// The name of the file in the folder.
    pub file: Option<String>,
}

/// Tells why a source could not be opened, without making or opening anything for good.
///
/// # Errors
/// See [`SourceError`]; what is absent and is to be made is in order.
pub fn look(source: &MountSource, writable: bool, home: &Path) -> Result<(), SourceError> {
    match open_as_is(source, writable, home) {
        Err(SourceError::Missing(_)) if ensure(source) == HostEnsure::Ensure => Ok(()),
        looked => looked.map(drop),
    }
}

/// Opens a source; makes it where it is absent and that is asked for.
///
/// # Errors
/// See [`SourceError`].
pub fn open(source: &MountSource, writable: bool, home: &Path) -> Result<Opened, SourceError> {
    match open_as_is(source, writable, home) {
        Err(SourceError::Missing(path)) if ensure(source) == HostEnsure::Ensure => {
            let is_folder = matches!(source, MountSource::Dir(_));
            make(&path, is_folder).map_err(|source| SourceError::Make { path, source })?;
            open_as_is(source, writable, home)
        }
        opened => opened,
    }
}

fn ensure(source: &MountSource) -> HostEnsure {
    match source {
        MountSource::Dir(DirMount { ensure, .. }) | MountSource::File(FileMount { ensure, .. }) => {
            *ensure
        }
        MountSource::Disk(_) | MountSource::Named(_) | MountSource::Tmpfs { .. } => {
            HostEnsure::MustExist
        }
    }
}

/// Makes a folder or an empty file for its owner alone, and the folders that lead to it.
fn make(path: &Path, is_folder: bool) -> io::Result<()> {
    let mut folders = DirBuilder::new();
    folders.recursive(true).mode(0o700);
    if is_folder {
        return folders.create(path);
    }
    path.parent().map_or(Ok(()), |parent| folders.create(parent))?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map(drop)
}

fn open_as_is(source: &MountSource, writable: bool, home: &Path) -> Result<Opened, SourceError> {
    match source {
        MountSource::Dir(dir) => open_folder(dir, writable, home),
        MountSource::File(file) => open_file(file, writable, home),
        MountSource::Disk(disk) => open_disk(disk, writable, home),
        // Neither lies where the file says.
        MountSource::Named(_) | MountSource::Tmpfs { .. } => {
            Err(SourceError::Missing(PathBuf::new()))
        }
    }
}

fn open_folder(dir: &DirMount, writable: bool, home: &Path) -> Result<Opened, SourceError> {
    let path = &dir.path;
    let follow = if dir.follow_symlink { OFlags::empty() } else { OFlags::NOFOLLOW };
    let fd = open_name(path, OFlags::PATH | follow)?;
    is_kind(path, &fd, "`dir`", |kind| kind == FileType::Directory)?;
    is_allowed(&fd, path, home)?;
    // A folder is listed and entered; in one that is written, names are made.
    let wanted = Access::READ_OK | Access::EXEC_OK;
    let wanted = if writable { wanted | Access::WRITE_OK } else { wanted };
    accessat(&fd, ".", wanted, AtFlags::EACCESS).map_err(|errno| refused(path, errno))?;
    Ok(Opened { fd, file: None })
}

fn open_file(mount: &FileMount, writable: bool, home: &Path) -> Result<Opened, SourceError> {
    let path = &mount.path;
    let missing = || SourceError::Missing(path.clone());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
    let parent = path.parent().ok_or_else(missing)?;
    let folder = match open_name(parent, OFlags::PATH | OFlags::DIRECTORY) {
        // It is the file that is missing, with the folder it would be in.
        Err(SourceError::Missing(_)) => return Err(missing()),
        folder => folder?,
    };
    is_allowed(&folder, path, home)?;
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&folder, name, flags, Mode::empty()).map_err(|errno| refused(path, errno))?;
    is_kind(path, &file, "`file`", |kind| kind == FileType::RegularFile)?;
    let wanted = if writable { Access::READ_OK | Access::WRITE_OK } else { Access::READ_OK };
    accessat(&folder, name, wanted, AtFlags::EACCESS).map_err(|errno| refused(path, errno))?;
    Ok(Opened { fd: folder, file: Some(name.to_owned()) })
}

fn open_disk(disk: &DiskMount, writable: bool, home: &Path) -> Result<Opened, SourceError> {
    let path = &disk.path;
    // Looked at before it is opened: what is no disk may do something when it is.
    let named = open_name(path, OFlags::PATH | OFlags::NOFOLLOW)?;
    let is_disk = |kind| matches!(kind, FileType::RegularFile | FileType::BlockDevice);
    is_kind(path, &named, "`disk`", is_disk)?;
    let is_device = FileType::from_raw_mode(stat(path, &named)?.st_mode) == FileType::BlockDevice;
    if !is_device {
        is_allowed(&named, path, home)?;
    }
    let access = if writable { OFlags::RDWR } else { OFlags::RDONLY };
    let again = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&named));
    let fd = openat(CWD, again, access | OFlags::CLOEXEC, Mode::empty());
    Ok(Opened { fd: fd.map_err(|errno| refused(path, errno))?, file: None })
}

fn open_name(path: &Path, flags: OFlags) -> Result<OwnedFd, SourceError> {
    let opened = openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|errno| refused(path, errno))
}

fn stat(path: &Path, fd: &OwnedFd) -> Result<rustix::fs::Stat, SourceError> {
    fstat(fd).map_err(|errno| refused(path, errno))
}

fn refused(path: &Path, errno: Errno) -> SourceError {
    let path = path.to_owned();
    match errno {
        Errno::NOENT => SourceError::Missing(path),
        Errno::LOOP => SourceError::Link(path),
        errno => SourceError::Access { path, source: errno.into() },
    }
}

fn is_kind(
    path: &Path,
    fd: &OwnedFd,
    wanted: &'static str,
    is_right: impl FnOnce(FileType) -> bool,
) -> Result<(), SourceError> {
    let kind = FileType::from_raw_mode(stat(path, fd)?.st_mode);
    if is_right(kind) {
        return Ok(());
    }
    let is = match kind {
        FileType::Symlink => return Err(SourceError::Link(path.to_owned())),
        FileType::RegularFile => "a file",
        FileType::Directory => "a directory",
        FileType::BlockDevice | FileType::CharacterDevice => "a device",
        FileType::Fifo => "a fifo",
        FileType::Socket => "a socket",
        FileType::Unknown => "something else",
    };
    Err(SourceError::Kind { path: path.to_owned(), is, wanted })
}

/// Refuses what is the host's own, wherever a path led to it.
fn is_allowed(fd: &OwnedFd, path: &Path, home: &Path) -> Result<(), SourceError> {
    let number = std::os::fd::AsRawFd::as_raw_fd(fd);
    let real = std::fs::read_link(format!("/proc/self/fd/{number}"));
    let real = real.map_err(|source| SourceError::Access { path: path.to_owned(), source })?;
    let home = std::fs::canonicalize(home).unwrap_or_else(|_| home.to_owned());
    let forbidden = |why| Err(SourceError::Forbidden { path: path.to_owned(), why });
    if real.components().all(|part| part == Component::RootDir) {
        return forbidden("the root of the host");
    }
    let is_memory = real.starts_with(MEMORY) && real != Path::new(MEMORY);
    if !is_memory && HOSTS_OWN.iter().any(|own| real.starts_with(own)) {
        return forbidden("the host's own");
    }
    if real.starts_with(&home) && !real.starts_with(home.join(VOLUMES)) {
        return forbidden("where msb keeps what it remembers");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use schema::project::{FileChange, HostPerms, StatVirt};

    use super::*;
    use crate::scratch::Scratch;

    fn dir(path: PathBuf, ensure: HostEnsure) -> MountSource {
        MountSource::Dir(DirMount {
            path,
            ensure,
            quota: None,
            stat_virt: StatVirt::Strict,
            host_perms: HostPerms::Private,
            follow_symlink: false,
        })
    }

    fn file(path: PathBuf, ensure: HostEnsure) -> MountSource {
        MountSource::File(FileMount { path, ensure, on_change: FileChange::Ignore })
    }

    fn disk(path: PathBuf) -> MountSource {
        MountSource::Disk(DiskMount { path, fstype: None })
    }

    fn touch(path: &Path) {
        std::fs::File::create(path).unwrap();
    }

    /// Opens for writing and returns the code of the refusal, or nothing.
    fn code(home: &Path, source: &MountSource) -> Option<&'static str> {
        open(source, true, home).err().map(|error| error.code())
    }

    #[test]
    fn a_source_is_what_the_file_says_or_is_refused_by_its_kind() {
        let scratch = Scratch::new();
        let home = scratch.path().join("home");
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir(path("folder")).unwrap();
        touch(&path("file"));
        symlink("folder", path("link")).unwrap();
        let must = HostEnsure::MustExist;
        for (source, expected) in [
            (dir(path("folder"), must), None),
            (dir(path("file"), must), Some("msb::mount::kind")),
            (dir(path("link"), must), Some("msb::mount::link")),
            (dir(path("none"), must), Some("msb::mount::source")),
            (file(path("file"), must), None),
            (file(path("folder"), must), Some("msb::mount::kind")),
            (file(path("link"), must), Some("msb::mount::link")),
            (file(path("none/below"), must), Some("msb::mount::source")),
            (disk(path("file")), None),
            (disk(path("folder")), Some("msb::mount::kind")),
            (disk("/dev/null".into()), Some("msb::mount::kind")),
            (dir("/".into(), must), Some("msb::mount::access")),
            (dir("/proc".into(), must), Some("msb::mount::access")),
            (file("/proc/self/status".into(), must), Some("msb::mount::access")),
        ] {
            assert_eq!(code(&home, &source), expected, "{source:?}");
        }
    }

    #[test]
    fn what_is_to_be_there_is_made_for_its_owner_and_never_something_else() {
        let scratch = Scratch::new();
        let home = scratch.path().join("home");
        let path = |name: &str| scratch.path().join(name);
        let folder = dir(path("a/b"), HostEnsure::Ensure);
        look(&folder, true, &home).unwrap();
        assert!(!path("a").exists(), "looking makes nothing");
        open(&folder, true, &home).unwrap();
        let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(path("a/b")), 0o700);
        open(&file(path("c/file"), HostEnsure::Ensure), true, &home).unwrap();
        assert_eq!(mode(path("c/file")), 0o600);
        assert_eq!(code(&home, &dir(path("c/file"), HostEnsure::Ensure)), Some("msb::mount::kind"));
        assert_eq!(code(&home, &file(path("a/b"), HostEnsure::Ensure)), Some("msb::mount::kind"));
    }

    #[test]
    fn a_home_is_shown_to_no_guest_but_for_its_volumes() {
        let scratch = Scratch::new();
        let home = scratch.path().join("home");
        std::fs::create_dir_all(home.join("volumes/v/data")).unwrap();
        std::fs::create_dir_all(home.join("db")).unwrap();
        touch(&home.join("db/state"));
        let must = HostEnsure::MustExist;
        for path in ["", "db"] {
            let source = dir(home.join(path), must);
            assert_eq!(code(&home, &source), Some("msb::mount::access"), "{path:?}");
        }
        assert_eq!(code(&home, &file(home.join("db/state"), must)), Some("msb::mount::access"));
        assert_eq!(code(&home, &disk(home.join("db/state"))), Some("msb::mount::access"));
        assert_eq!(code(&home, &dir(home.join("volumes/v/data"), must)), None);
    }

    #[test]
    fn s5_a_source_that_is_swapped_for_a_link_is_refused_or_what_it_was() {
        use std::os::unix::fs::MetadataExt as _;
        use std::sync::atomic::{AtomicBool, Ordering};

        let scratch = Scratch::new();
        let home = scratch.path().join("home");
        let path = |name: &str| scratch.path().join(name);
        std::fs::create_dir(path("canary")).unwrap();
        std::fs::create_dir(path("source")).unwrap();
        let canary = std::fs::metadata(path("canary")).unwrap().ino();
        let is_done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    std::fs::rename(path("source"), path("away")).unwrap();
                    symlink("canary", path("source")).unwrap();
                    std::fs::remove_file(path("source")).unwrap();
                    std::fs::rename(path("away"), path("source")).unwrap();
                }
            });
            let source = dir(path("source"), HostEnsure::MustExist);
            let mut seen = std::collections::BTreeMap::new();
            // On one processor whole turns of the scheduler may pass before it is met in its place.
            let mut looks = 0..5_000_000;
            while looks.next().is_some_and(|look| look < 5_000 || !seen.contains_key("opened")) {
                let what = match open(&source, true, &home) {
                    Ok(opened) => {
                        assert_ne!(fstat(&opened.fd).unwrap().st_ino, canary);
                        "opened"
                    }
                    Err(error) => error.code(),
                };
                *seen.entry(what).or_insert(0) += 1;
            }
            is_done.store(true, Ordering::Relaxed);
            assert!(seen.contains_key("opened"), "{seen:?}");
        });
    }
}
