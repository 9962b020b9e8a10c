//! The machine folder, reached through the descriptor that came with the process.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat, renameat, unlinkat};

/// The machine folder. Names in it are single components.
#[derive(Debug)]
pub(crate) struct Folder {
    fd: OwnedFd,
}

/// Whether a file must survive a crash of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durability {
    /// The kernel writes it when it likes.
    Lazy,
    /// It is on disk before the call returns.
    Synced,
}

impl Folder {
    /// Takes an open folder; `O_PATH` is enough.
    pub(crate) const fn new(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Returns the descriptor.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    /// Returns a path of `name` that is short and does not follow the folder's name.
    pub(crate) fn short_path(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.fd.as_raw_fd()))
    }

    /// Returns where it lies now, for people.
    pub(crate) fn shown(&self) -> String {
        let path = std::fs::read_link(format!("/proc/self/fd/{}", self.fd.as_raw_fd()));
        path.map_or_else(|_| "?".to_owned(), |path| path.display().to_string())
    }

    /// Opens a file of the folder for appending, making it if it is absent.
    pub(crate) fn append(&self, name: &str) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        self.open(name, flags)
    }

    /// Opens the lock file, making it if it is absent.
    pub(crate) fn lock_file(&self, name: &str) -> io::Result<OwnedFd> {
        Ok(self.open(name, OFlags::RDWR | OFlags::CREATE)?.into())
    }

    /// Returns a file's content, or nothing where there is no file.
    pub(crate) fn read(&self, name: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        match self.open(name, OFlags::RDONLY) {
            Ok(file) => file.take(bytes_max).read_to_end(&mut content).map(|_| content),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(content),
            Err(e) => Err(e),
        }
    }

    /// Puts `content` in the place of a file: a reader sees the old one or the new one, whole.
    pub(crate) fn replace(&self, name: &str, content: &[u8], how: Durability) -> io::Result<()> {
        let temporary = format!("{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
        let mut file = self.open(&temporary, flags)?;
        let written = file.write_all(content).and_then(|()| match how {
            Durability::Synced => file.sync_all(),
            Durability::Lazy => Ok(()),
        });
        let renamed = written.and_then(|()| self.rename(&temporary, name));
        if renamed.is_err() {
            // Half a file is nobody's; where even that fails, the next one takes its place.
            drop(self.remove(&temporary));
        }
        renamed?;
        if how == Durability::Synced {
            File::from(openat(&self.fd, ".", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
                .sync_all()?;
        }
        Ok(())
    }

    /// Gives a file another name.
    pub(crate) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.fd, from, &self.fd, to)?)
    }

    /// Removes a file; one that is not there is as good.
    pub(crate) fn remove(&self, name: &str) -> io::Result<()> {
        match unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes everything but `keep`; links are removed, never followed.
    pub(crate) fn clear_but(&self, keep: &[&str]) -> io::Result<()> {
        for entry in std::fs::read_dir(self.short_path("."))? {
            let entry = entry?;
            if keep.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            if entry.file_type()?.is_dir() {
                std::fs::remove_dir_all(entry.path())?;
            } else {
                unlinkat(CWD, entry.path(), AtFlags::empty())?;
            }
        }
        Ok(())
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<File> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(openat(&self.fd, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A folder of its own for a test, gone with it.
    pub(crate) struct Scratch {
        pub(crate) path: PathBuf,
    }

    impl Scratch {
        pub(crate) fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("msb-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self { path }
        }

        pub(crate) fn open(&self) -> Folder {
            Folder::new(File::open(&self.path).unwrap().into())
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.path).ok();
        }
    }

    #[test]
    fn a_file_is_replaced_whole() {
        let scratch = Scratch::new("replace");
        let folder = scratch.open();
        folder.replace("record", b"old", Durability::Lazy).unwrap();
        folder.replace("record", b"new", Durability::Synced).unwrap();
        assert_eq!(folder.read("record", 100).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(&scratch.path).unwrap().count(), 1);
    }

    #[test]
    fn clearing_keeps_one_file_and_follows_no_link() {
        let scratch = Scratch::new("clear");
        let outside = Scratch::new("clear-outside");
        let kept = outside.open();
        kept.replace("data", b"x", Durability::Lazy).unwrap();
        let folder = scratch.open();
        folder.replace("record", b"r", Durability::Lazy).unwrap();
        folder.replace("upper.ext4", b"u", Durability::Lazy).unwrap();
        std::fs::create_dir(scratch.path.join("root")).unwrap();
        std::os::unix::fs::symlink(&outside.path, scratch.path.join("root/vol")).unwrap();
        std::os::unix::fs::symlink(&outside.path, scratch.path.join("link")).unwrap();
        folder.clear_but(&["record", "events"]).unwrap();
        let left: Vec<_> = std::fs::read_dir(&scratch.path).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert_eq!(kept.read("data", 9).unwrap(), b"x");
    }
}
