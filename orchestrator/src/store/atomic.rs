//! Files that are either old or new, never half of each.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Writes `bytes` to `path` by way of a synced temporary file beside it; mode 0600.
///
/// # Errors
/// The old content stands whatever fails.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = beside(path)?;
    let written = write_new(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
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

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut hidden = std::ffi::OsString::from(".");
    hidden.push(name);
    hidden.push(format!(".{}.tmp", random_hex(4)?));
    Ok(path.with_file_name(hidden))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
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
}
