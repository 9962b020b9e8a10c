//! A file that nobody can see until it is whole.
//!
//! It has no name while it is written, so a process that dies leaves nothing.
//! File systems that cannot do that get a name in the temporary folder.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags};
use rustix::rand::{GetRandomFlags, getrandom};

use super::digest::hex;

/// How the names of files begin that are whole and have not got their own name yet.
pub const READY: &str = "ready";

/// A file on its way into the store.
#[derive(Debug)]
pub struct Draft {
    file: File,
    folder: PathBuf,
    /// Its name, where the file system insists on one.
    named: Option<PathBuf>,
}

impl Draft {
    /// Returns an empty file that will live beside `folder`, on the same file system.
    pub fn create(folder: &Path) -> io::Result<Self> {
        Self::create_as(folder, 0o600)
    }

    /// Returns an empty file with these permissions, as far as the umask lets them.
    pub fn create_as(folder: &Path, mode: u32) -> io::Result<Self> {
        let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
        match rustix::fs::open(folder, flags, Mode::from_raw_mode(mode)) {
            Ok(file) => Ok(Self { file: file.into(), folder: folder.to_owned(), named: None }),
            Err(error) if is_unable(error) => Self::create_named(folder, mode),
            Err(error) => Err(error.into()),
        }
    }

    fn create_named(folder: &Path, mode: u32) -> io::Result<Self> {
        let path = folder.join(unique("draft")?);
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(&path)?;
        // Whoever tidies up can see that somebody is still writing.
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { file, folder: folder.to_owned(), named: Some(path) })
    }

    /// Returns the file, to be read and written.
    pub const fn file(&self) -> &File {
        &self.file
    }

    /// Makes the content durable and gives it its name, read-only, over whatever was there.
    pub fn publish(self, to: &Path) -> io::Result<()> {
        self.file.set_permissions(fs::Permissions::from_mode(0o444))?;
        self.publish_as_it_is(to)
    }

    /// Makes the content durable and gives it its name, over whatever was there.
    pub fn publish_as_it_is(mut self, to: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        let named = match self.named.take() {
            Some(named) => named,
            None => self.give_name()?,
        };
        let renamed = fs::rename(&named, to);
        if renamed.is_err() {
            drop(fs::remove_file(&named));
        }
        // Whoever uses it from now on may want it to himself.
        rustix::fs::flock(&self.file, FlockOperation::Unlock)?;
        renamed
    }

    /// Gives the file a name for the moment before it gets its own.
    fn give_name(&self) -> io::Result<PathBuf> {
        let named = self.folder.join(unique(READY)?);
        // Held before it can be seen, so that one nobody holds is what a dead process left.
        rustix::fs::flock(&self.file, FlockOperation::NonBlockingLockExclusive)?;
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        rustix::fs::linkat(CWD, own, CWD, &named, AtFlags::SYMLINK_FOLLOW)?;
        Ok(named)
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(path) = &self.named {
            drop(fs::remove_file(path));
        }
    }
}

fn is_unable(error: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    matches!(error, Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOSYS)
}

/// Returns a file name that nothing else uses, also not what a process left whose id came again.
fn unique(what: &str) -> io::Result<OsString> {
    let mut random = [0; 8];
    // Fewer than 256 bytes come whole.
    getrandom(&mut random, GetRandomFlags::empty())?;
    Ok(format!("{what}-{}", hex(&random)).into())
}

/// Makes the names in a folder durable.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_draft_appears_whole_or_not_at_all() {
        let folder = Scratch::new();
        for create in [Draft::create, |folder: &Path| Draft::create_named(folder, 0o600)] {
            let to = folder.path().join("blob");
            drop(create(folder.path()).unwrap());
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
            let draft = create(folder.path()).unwrap();
            draft.file().write_all(b"whole").unwrap();
            draft.publish(&to).unwrap();
            assert_eq!(fs::read(&to).unwrap(), b"whole");
            assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o444);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
            fs::remove_file(&to).unwrap();
        }
    }
}
