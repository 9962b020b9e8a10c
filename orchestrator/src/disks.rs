//! Uppers and volume disks: made once per size, copied with their holes.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{FlockOperation, SeekFrom, flock, seek};
use thiserror::Error;

use crate::store::atomic;

/// Where e2fsprogs puts its maker of file systems.
const MKE2FS: [&str; 3] = ["/usr/sbin/mke2fs", "/sbin/mke2fs", "/usr/local/sbin/mke2fs"];

/// The bytes that one copy call is asked for.
const COPY_BYTES_MAX: usize = 1 << 30;

/// Why a disk was not made.
#[derive(Debug, Error)]
pub enum DiskError {
    /// The program that makes file systems is not installed.
    #[error("cannot find mke2fs")]
    NoMke2fs,
    /// The program that makes file systems failed.
    #[error("mke2fs failed on {}: {said}", path.display())]
    Mke2fs {
        /// The disk's file.
        path: PathBuf,
        /// Its last words.
        said: String,
    },
    /// A file could not be made, copied or renamed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was attempted.
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the host answered.
        #[source]
        source: io::Error,
    },
}

/// What a disk is for; it names the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The private writable layer of a machine.
    Upper,
    /// A volume.
    Volume,
}

impl Purpose {
    const fn label(self) -> &'static str {
        match self {
            Self::Upper => "msb-upper",
            Self::Volume => "msb-data",
        }
    }
}

/// Makes an empty disk of `bytes` at `path`, synced; the file must not be there yet.
///
/// Uppers are copied from a blank that is kept per size. A volume is made by
/// itself, so that no two volumes share the identity of their file system.
///
/// # Errors
/// Nothing is left at `path`.
pub fn make(home: &Path, purpose: Purpose, bytes: u64, path: &Path) -> Result<(), DiskError> {
    let made = match purpose {
        Purpose::Upper => blank(home, bytes).and_then(|blank| copy_sparse(&blank, path)),
        Purpose::Volume => format(purpose, bytes, path),
    };
    if made.is_err() {
        drop(fs::remove_file(path));
    }
    made
}

/// Makes a disk larger; one that is large enough stays as it is.
///
/// The file system follows when a guest mounts it.
///
/// # Errors
/// Somebody uses it, or the host does not let it grow.
pub fn grow(path: &Path, bytes: u64) -> Result<(), DiskError> {
    let failed = |source| DiskError::File { what: "grow", path: path.to_owned(), source };
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
    flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| failed(errno.into()))?;
    if file.metadata().map_err(failed)?.len() < bytes {
        file.set_len(bytes).and_then(|()| file.sync_all()).map_err(failed)?;
    }
    Ok(())
}

/// Returns the blank of this size; makes it where there is none.
///
/// One command at a time makes blanks: what another has begun by then, nobody goes on with.
fn blank(home: &Path, bytes: u64) -> Result<PathBuf, DiskError> {
    let folder = home.join("templates");
    let path = folder.join(format!("blank-{bytes}.ext4"));
    if path.is_file() {
        return Ok(path);
    }
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| DiskError::File { what, path, source }
    };
    let _alone = atomic::alone(&folder).map_err(failed("lock", &folder))?;
    if path.is_file() {
        return Ok(path);
    }
    let draft = atomic::beside(&path).map_err(failed("name", &path))?;
    let made = format(Purpose::Upper, bytes, &draft)
        .and_then(|()| fs::rename(&draft, &path).map_err(failed("rename", &draft)));
    if made.is_err() {
        drop(fs::remove_file(&draft));
    }
    made.map(|()| path)
}

fn format(purpose: Purpose, bytes: u64, path: &Path) -> Result<(), DiskError> {
    let failed = |what| {
        let path = path.to_owned();
        move |source| DiskError::File { what, path, source }
    };
    let program =
        MKE2FS.iter().find(|path| Path::new(path).is_file()).ok_or(DiskError::NoMke2fs)?;
    let file = create(path).map_err(failed("make"))?;
    file.set_len(bytes).map_err(failed("size"))?;
    let output = Command::new(program)
        .args(["-q", "-F", "-t", "ext4", "-b", "4096", "-I", "256", "-m", "0"])
        .args(["-L", purpose.label()])
        .args(["-E", "assume_storage_prezeroed=1,nodiscard,root_owner=0:0"])
        .arg(path)
        .env_clear()
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .stdin(Stdio::null())
        .output()
        .map_err(failed("start mke2fs for"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        // It tells the kernel's answer in words alone.
        let full = io::Error::from(rustix::io::Errno::NOSPC);
        if said.contains("No space left on device") {
            return Err(failed("make a file system on")(full));
        }
        return Err(DiskError::Mke2fs { path: path.to_owned(), said });
    }
    file.sync_all().map_err(failed("sync"))
}

fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)
}

/// Copies a file with its holes, synced.
///
/// # Errors
/// The copy is incomplete; the caller removes it.
pub fn copy_sparse(from: &Path, to: &Path) -> Result<(), DiskError> {
    let failed = |source| DiskError::File { what: "copy to", path: to.to_owned(), source };
    let copy = || -> io::Result<()> {
        let source = File::open(from)?;
        let target = create(to)?;
        let length = source.metadata()?.len();
        target.set_len(length)?;
        let mut at = 0;
        while at < length {
            let start = match seek(&source, SeekFrom::Data(at)) {
                Ok(start) => start,
                // Nothing but a hole follows.
                Err(rustix::io::Errno::NXIO) => break,
                Err(errno) => return Err(errno.into()),
            };
            let end = seek(&source, SeekFrom::Hole(start))?;
            copy_range(&source, &target, start, end)?;
            at = end;
        }
        target.sync_all()
    };
    copy().map_err(failed)
}

fn copy_range(source: &File, target: &File, start: u64, end: u64) -> io::Result<()> {
    let (mut from, mut to) = (start, start);
    while from < end {
        let wanted = usize::try_from(end - from).unwrap_or(COPY_BYTES_MAX).min(COPY_BYTES_MAX);
        let copied =
            rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), wanted)?;
        if copied == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

/// Returns when a disk or a folder was last written to, milliseconds since 1970, as far as its
/// files tell.
#[must_use]
pub fn written_ms(path: &Path) -> Option<u64> {
    let mut last = None;
    look_at(path, &mut |meta| last = last.max(meta.modified().ok()));
    let since = last?.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}

/// Returns what a file, or a folder with all that is in it, occupies on the host.
#[must_use]
pub fn occupied(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    let (mut bytes, mut linked) = (0, BTreeSet::new());
    let is_folder = path.is_dir();
    look_at(path, &mut |meta| {
        // A file with two names occupies what it does once; the folder itself is the volume's.
        let counts = meta.nlink() < 2 || meta.is_dir() || linked.insert((meta.dev(), meta.ino()));
        if counts {
            bytes += meta.blocks() * 512;
        }
    });
    let own = if is_folder { fs::metadata(path).map_or(0, |meta| meta.blocks() * 512) } else { 0 };
    bytes.saturating_sub(own)
}

/// Looks at a file, or at a folder and all that is in it, without following a link.
fn look_at(path: &Path, see: &mut impl FnMut(&fs::Metadata)) {
    let mut waiting = vec![path.to_path_buf()];
    while let Some(path) = waiting.pop() {
        // What went meanwhile, or is not for us to see, counts for nothing.
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        see(&meta);
        if meta.is_dir() {
            let below = fs::read_dir(&path).into_iter().flatten().flatten();
            waiting.extend(below.map(|entry| entry.path()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use std::io::{Seek, Write};

    #[test]
    fn a_copy_has_the_bytes_and_the_holes_of_its_source() {
        let folder = Scratch::new();
        let (from, to) = (folder.path().join("from"), folder.path().join("to"));
        let mut file = create(&from).unwrap();
        file.set_len(64 << 20).unwrap();
        file.seek(io::SeekFrom::Start(32 << 20)).unwrap();
        file.write_all(b"in the middle").unwrap();
        file.sync_all().unwrap();
        copy_sparse(&from, &to).unwrap();
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap());
        assert!(occupied(&to) < 1 << 20, "{} bytes are not sparse", occupied(&to));
    }

    #[test]
    fn what_a_killed_command_has_begun_goes_when_the_next_makes_a_blank() {
        let folder = Scratch::new();
        let templates = folder.path().join("templates");
        fs::create_dir(&templates).unwrap();
        create(&templates.join(".blank-67108864.0123abcd.tmp")).unwrap();
        let path = folder.path().join("upper");
        make(folder.path(), Purpose::Upper, 64 << 20, &path).unwrap();
        let names = fs::read_dir(&templates).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["blank-67108864.ext4"]);
    }

    #[test]
    fn a_failed_copy_leaves_nothing() {
        let folder = Scratch::new();
        fs::create_dir(folder.path().join("templates")).unwrap();
        let path = folder.path().join("upper");
        create(&path).unwrap();
        assert!(make(folder.path(), Purpose::Upper, 64 << 20, &path).is_err());
        assert!(!path.exists());
    }
}
