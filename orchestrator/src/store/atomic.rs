//! Files that are either old or new, never half of each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

/// Writes `bytes` to `path` by way of a synced temporary file beside it; mode 0600.
///
/// # Errors
/// The old content stands whatever fails.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    put(path, |temporary| write_new(temporary, bytes, 0o600))
}

/// Writes a file that people own: the mode and owner of an old one stay, a link is followed, and a
/// new one is as open as the user's mask has it.
///
/// # Errors
/// The old content stands whatever fails; one that may not be written to is not replaced.
pub fn write_owned(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let Ok(target) = fs::canonicalize(path) else {
        return put(path, |temporary| write_new(temporary, bytes, 0o666));
    };
    let old = OpenOptions::new().write(true).open(&target)?.metadata()?;
    put(&target, |temporary| {
        write_new(temporary, bytes, 0o600)?;
        let new = fs::metadata(temporary)?;
        if (new.uid(), new.gid()) != (old.uid(), old.gid()) {
            chown(temporary, Some(old.uid()), Some(old.gid()))?;
        }
        fs::set_permissions(temporary, old.permissions())
    })
}

/// Makes a temporary file beside `path` and renames it there.
fn put(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let temporary = beside(path)?;
    let written = write(&temporary).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        drop(fs::remove_file(&temporary));
        return written;
    }
    sync_folder(path)
}

/// Writes `bytes` to `path` by way of a temporary file beside it; the kernel syncs it when it likes.
///
/// # Errors
/// The old content stands whatever fails.
pub fn write_lazily(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path)?;
    let make = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary);
    let written = make().and_then(|mut file| file.write_all(bytes));
    let written = written.and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        drop(fs::remove_file(&temporary));
    }
    written
}

/// Tells whether a file is one that a command of ours was writing, by its name.
#[must_use]
pub fn is_draft(name: &str) -> bool {
    name.starts_with('.') && name.ends_with(".tmp")
}

/// Lets nobody else make files in a folder as long as what is returned lives, and removes what others
/// had begun by then: nobody goes on with it.
///
/// # Errors
/// The folder cannot be opened, locked or listed.
pub fn alone(folder: &Path) -> io::Result<File> {
    let lock = File::open(folder)?;
    retry_on_intr(|| flock(&lock, FlockOperation::LockExclusive))?;
    for entry in fs::read_dir(folder)?.flatten() {
        if entry.file_name().to_str().is_some_and(is_draft) {
            drop(fs::remove_file(entry.path()));
        }
    }
    Ok(lock)
}

/// Makes the entries of the folder that holds `path` durable.
///
/// # Errors
/// The folder cannot be opened or synced.
pub fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

/// Returns `count` random bytes as lower-case hexadecimal digits.
///
/// # Errors
/// The kernel's source of chance cannot be read.
pub fn random_hex(count: usize) -> io::Result<String> {
    Ok(random(count)?.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Returns `count` random bytes.
///
/// # Errors
/// The kernel's source of chance cannot be read.
pub fn random(count: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; count];
    io::Read::read_exact(&mut File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// Returns the name of a temporary file beside `path`, which nobody has; see [`is_draft`].
///
/// # Errors
/// `path` names no file, or the host has no random bytes.
pub fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", random_hex(4)?));
    Ok(path.with_file_name(hidden))
}

fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_beside_it() {
        let folder = crate::scratch::Scratch::new();
        let path = folder.path().join("record");
        write(&path, b"one").unwrap();
        write_lazily(&path, b"zwei").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_of_the_user_keeps_its_mode_and_its_link() {
        let folder = crate::scratch::Scratch::new();
        let (path, link) = (folder.path().join("file"), folder.path().join("link"));
        write_owned(&path, b"one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        write_owned(&link, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
