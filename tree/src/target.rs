//! Where a tree goes: into a folder, or to a new name.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use schema::wire::files::{Destination, FileNote, NoteKind};

use crate::noted;

/// See the module. Holds the folder, whatever becomes of its name.
#[derive(Debug)]
pub struct Target {
    folder: OwnedFd,
    /// What stands in the place of the tree's own name; none: its content goes into the folder.
    base: Option<Vec<u8>>,
    /// What all entries stand below; none: anything.
    name: Option<Vec<u8>>,
}

/// Where an entry goes, in components below the target's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    /// The components; none for the folder itself.
    pub(crate) parts: Vec<&'a [u8]>,
    /// How many folders of the tree it stands in; none for the tree itself.
    pub(crate) depth: Option<usize>,
}

impl Target {
    /// Finds where a tree called `name` goes that is sent to `path`; `None` is an archive with
    /// names of its own.
    ///
    /// # Errors
    /// There is no such folder, or what is there is none.
    pub fn find(path: &Path, name: Option<&[u8]>, into: Destination) -> Result<Self, FileNote> {
        let refused = |why: &str, errno: Errno| {
            noted(NoteKind::Target, path.as_os_str().as_bytes(), why, &errno.into())
        };
        let own = name.filter(|name| !name.is_empty()).map(<[u8]>::to_vec);
        let inside = |folder| Self { folder, base: own.clone(), name: name.map(<[u8]>::to_vec) };
        match (open(path), into) {
            (Ok(folder), _) => Ok(inside(folder)),
            (Err(Errno::NOENT), Destination::NewFolder) => {
                let mode = Mode::from_raw_mode(0o755);
                let made = rustix::fs::mkdir(path, mode).and_then(|()| open(path));
                made.map(inside).map_err(|errno| refused("the folder cannot be made", errno))
            }
            (Err(Errno::NOENT | Errno::NOTDIR), Destination::Either) => Self::named(path, name)
                .map_err(|errno| refused("the folder above it cannot be used", errno)),
            (Err(errno @ Errno::NOENT), Destination::Folder) => {
                Err(refused("there is no such folder", errno))
            }
            (Err(errno @ Errno::NOTDIR), Destination::Folder | Destination::NewFolder) => {
                Err(refused("it is no folder", errno))
            }
            (Err(errno), _) => Err(refused("the folder cannot be used", errno)),
        }
    }

    fn named(path: &Path, name: Option<&[u8]>) -> Result<Self, Errno> {
        let base = path.file_name().ok_or(Errno::NOENT)?.as_bytes().to_vec();
        let above = path.parent().filter(|above| !above.as_os_str().is_empty());
        let folder = open(above.unwrap_or(Path::new(".")))?;
        Ok(Self { folder, base: Some(base), name: name.map(<[u8]>::to_vec) })
    }

    /// Returns the folder.
    pub(crate) fn folder(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }

    /// Returns where an entry of this path goes; `None` is one that is not of the tree.
    pub(crate) fn place<'a>(&'a self, path: &'a [u8]) -> Option<Place<'a>> {
        let rest = match self.name.as_deref() {
            None | Some(b"") => path,
            Some(name) => match path.strip_prefix(name)? {
                b"" => b"",
                rest => rest.strip_prefix(b"/")?,
            },
        };
        let below = rest.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
        let parts: Vec<&[u8]> = self.base.as_deref().into_iter().chain(below).collect();
        let above = usize::from(self.base.is_some());
        let depth = (parts.len() - above).checked_sub(1);
        Some(Place { parts, depth })
    }
}

/// Opens a folder for what is done below it; it need not be readable.
fn open(path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(
        base: Option<&str>,
        name: Option<&str>,
        path: &str,
        expected: Option<(&str, Option<usize>)>,
    ) {
        let bytes = |text: &str| text.as_bytes().to_vec();
        let folder = open(Path::new("/")).unwrap();
        let target = Target { folder, base: base.map(bytes), name: name.map(bytes) };
        let place = target.place(path.as_bytes());
        let place = place.map(|place| (place.parts.join(&b'/'), place.depth));
        let expected = expected.map(|(path, depth)| (bytes(path), depth));
        assert_eq!(place, expected, "{base:?} {name:?} {path}");
    }

    #[test]
    fn what_is_of_the_tree_goes_below_its_new_name() {
        check(Some("app"), Some("app"), "app/a/b", Some(("app/a/b", Some(1))));
        check(Some("new"), Some("app"), "app/a", Some(("new/a", Some(0))));
        check(Some("new"), Some("app"), "app", Some(("new", None)));
        check(None, Some(""), "a/b", Some(("a/b", Some(1))));
        check(Some("new"), Some(""), "a", Some(("new/a", Some(0))));
        check(Some("new"), Some(""), "", Some(("new", None)));
        check(None, None, "", Some(("", None)));
        check(None, None, "x/y", Some(("x/y", Some(1))));
    }

    #[test]
    fn what_is_not_of_the_tree_goes_nowhere() {
        check(Some("app"), Some("app"), "other", None);
        check(Some("app"), Some("app"), "apple", None);
        check(Some("app"), Some("app"), "", None);
    }
}
