//! Files that a Sandboxfile includes: beneath the repository of the project, or named in full.
//!
//! A relative path is opened beneath one descriptor, so neither `..` nor a
//! link leads out of the repository, whatever changes meanwhile.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use schema::sandboxfile::limits::Limits;
use schema::sandboxfile::problem::{Code, shown};
use schema::sandboxfile::resolve::{Included, Includes, Refused, Trust};
use schema::sandboxfile::source::{Format, SourceFile};

use super::SUFFIXES;

/// Opens what the files of one project include.
#[derive(Debug)]
pub struct Beneath<'a> {
    /// The working folder, from which messages name files.
    pub from: &'a Path,
    /// The folder that relative paths may not leave.
    pub base: PathBuf,
    /// Whose files these are.
    pub trust: Trust,
    /// What a reading may cost.
    pub limits: &'a Limits,
}

/// Returns the repository that a folder lies in, else the folder.
#[must_use]
pub fn repository(folder: &Path) -> PathBuf {
    let found = folder.ancestors().find(|ancestor| ancestor.join(".git").exists());
    found.unwrap_or(folder).to_path_buf()
}

impl Includes for Beneath<'_> {
    fn open(&mut self, folder: &Path, path: &str) -> Result<Included, Refused> {
        let format = Format::of(Path::new(path)).ok_or_else(|| {
            let message = format!("`{}` has no suffix that is read", shown(path));
            let help = format!("use one of these suffixes: {SUFFIXES}");
            refused(Code::FILE_UNKNOWN_FORMAT, message, &help)
        })?;
        let file = if Path::new(path).is_absolute() {
            self.open_absolute(path)?
        } else {
            self.open_beneath(folder, path)?
        };
        let unreadable = |error: &std::io::Error| {
            let code = match error.kind() {
                std::io::ErrorKind::NotFound => Code::FILE_NOT_FOUND,
                _ => Code::FILE_UNREADABLE,
            };
            let message = format!("`{}` cannot be read: {error}", shown(path));
            refused(code, message, "write the path of a file, relative to this one")
        };
        let kind = file.metadata().map_err(|error| unreadable(&error))?.file_type();
        if !kind.is_file() {
            let message = format!("`{}` is not a file", shown(path));
            return Err(refused(Code::FILE_UNREADABLE, message, "name a file; there are no globs"));
        }
        // A link within the repository leads to where its relative paths begin.
        let identity = real_path(file.as_fd()).map_err(|error| unreadable(&error))?;
        let most = u64::try_from(self.limits.file_bytes).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        file.take(most).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
        let folder = identity.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
        let name = identity.strip_prefix(self.from).unwrap_or(&identity).to_path_buf();
        Ok(Included { file: SourceFile { path: name, bytes, format }, folder, identity })
    }
}

impl Beneath<'_> {
    fn open_absolute(&self, path: &str) -> Result<File, Refused> {
        if self.trust == Trust::Untrusted {
            let message = format!("`{}` lies outside, and the file is a stranger's", shown(path));
            return Err(refused(Code::FILE_OUTSIDE, message, "include files beside this one"));
        }
        // A pipe that nobody writes to is not waited for.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        opened(path, rustix::fs::open(path, flags, Mode::empty()))
    }

    fn open_beneath(&self, folder: &Path, path: &str) -> Result<File, Refused> {
        let outside = || {
            let message =
                format!("`{}` leads out of {}", shown(path), shown(&self.base.to_string_lossy()));
            let help = "include files of this repository, or write the absolute path";
            refused(Code::FILE_OUTSIDE, message, help)
        };
        let within = folder.strip_prefix(&self.base).map_err(|_| outside())?.join(path);
        let within = plain(&within).ok_or_else(outside)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::DIRECTORY;
        let base = rustix::fs::open(&self.base, flags, Mode::empty());
        let base = base.map_err(|errno| not_opened(path, errno))?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
        match rustix::fs::openat2(&base, &within, flags, Mode::empty(), resolve) {
            Err(rustix::io::Errno::XDEV) => Err(outside()),
            other => opened(path, other),
        }
    }
}

/// Takes `.` and `..` out of a relative path by its text; `None` where it leads out.
fn plain(path: &Path) -> Option<PathBuf> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => plain.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

fn opened(path: &str, found: rustix::io::Result<std::os::fd::OwnedFd>) -> Result<File, Refused> {
    found.map(File::from).map_err(|errno| not_opened(path, errno))
}

fn not_opened(path: &str, errno: rustix::io::Errno) -> Refused {
    let error = std::io::Error::from(errno);
    let code = match errno {
        rustix::io::Errno::NOENT => Code::FILE_NOT_FOUND,
        _ => Code::FILE_UNREADABLE,
    };
    let message = format!("`{}` cannot be opened: {error}", shown(path));
    refused(code, message, "write the path of a file, relative to this one")
}

fn refused(code: Code, message: String, help: &str) -> Refused {
    Refused { code, message, help: help.to_owned() }
}

/// Returns the path that a descriptor was opened by, links resolved.
fn real_path(file: BorrowedFd<'_>) -> std::io::Result<PathBuf> {
    use std::os::fd::AsRawFd as _;
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::store::atomic;

    fn open(scratch: &Scratch, folder: &str, path: &str) -> Result<Included, Refused> {
        let limits = Limits::default();
        let base = scratch.path().join("repo").canonicalize().unwrap();
        let (from, trust) = (base.as_path(), Trust::Untrusted);
        let folder = base.join(folder);
        Beneath { from, base: base.clone(), trust, limits: &limits }.open(&folder, path)
    }

    fn repo() -> Scratch {
        let scratch = Scratch::new();
        let path = scratch.path();
        std::fs::create_dir_all(path.join("repo/app")).unwrap();
        std::fs::create_dir_all(path.join("repo/lib")).unwrap();
        atomic::write(&path.join("repo/lib/db.kdl"), b"sandbox \"db\"").unwrap();
        atomic::write(&path.join("secret.kdl"), b"x").unwrap();
        std::os::unix::fs::symlink("../../secret.kdl", path.join("repo/app/out.kdl")).unwrap();
        std::os::unix::fs::symlink("../lib/db.kdl", path.join("repo/app/in.kdl")).unwrap();
        scratch
    }

    #[test]
    fn sf_m10_a_neighbour_in_the_repository_is_included() {
        let scratch = repo();
        for path in ["../lib/db.kdl", "in.kdl", "./../app/../lib/db.kdl"] {
            let included = open(&scratch, "app", path).unwrap();
            assert_eq!(included.file.path, Path::new("lib/db.kdl"), "{path}");
            assert!(included.folder.ends_with("repo/lib"));
        }
    }

    #[test]
    fn sf_m10_nothing_leads_out_of_the_repository() {
        let scratch = repo();
        let secret = scratch.path().join("secret.kdl");
        for path in ["../../secret.kdl", "out.kdl", secret.to_str().unwrap()] {
            let refused = open(&scratch, "app", path).unwrap_err();
            assert_eq!(refused.code, Code::FILE_OUTSIDE, "{path}: {}", refused.message);
        }
    }

    #[test]
    fn sf_f9_only_files_are_included() {
        let scratch = repo();
        std::fs::create_dir(scratch.path().join("repo/app/folder.kdl")).unwrap();
        let code = |path| open(&scratch, "app", path).unwrap_err().code;
        assert_eq!(code("folder.kdl"), Code::FILE_UNREADABLE);
        assert_eq!(code("absent.kdl"), Code::FILE_NOT_FOUND);
        assert_eq!(code("a.toml"), Code::FILE_UNKNOWN_FORMAT);
    }
}
