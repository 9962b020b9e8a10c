//! The folder that all machines' folders lie in, held open where many are looked at.

use std::path::Path;

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Mode, OFlags};
use schema::record::FILE;

use super::folder::Stamp;

/// The folder of machines.
#[derive(Debug)]
pub struct Shelf(Option<OwnedFd>);

impl Shelf {
    /// Opens the folder of machines of `home`; where it cannot be, each machine is looked at.
    #[must_use]
    pub fn of(home: &Path) -> Self {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Self(rustix::fs::open(home.join("machines"), flags, Mode::empty()).ok())
    }

    /// Tells whether a machine's record is still the one that was read before.
    #[must_use]
    pub fn is_still(&self, id: &str, stamp: &Stamp) -> bool {
        let Some(folder) = &self.0 else { return false };
        let record = [id, "/", FILE].concat();
        let found = rustix::fs::statat(folder, record, AtFlags::SYMLINK_NOFOLLOW);
        found.is_ok_and(|found| {
            // Where a field is no number of this size, it is none that was read.
            let nanos = i64::try_from(found.st_mtime_nsec).unwrap_or(-1);
            *stamp == Stamp::from(found.st_ino, (found.st_mtime, nanos))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machines::Folder;
    use crate::scratch::Scratch;

    #[test]
    fn a_record_is_still_the_same_until_it_is_replaced() {
        let home = Scratch::new();
        let folder = Folder::of(home.path(), "00112233aabbccdd");
        std::fs::create_dir_all(folder.path()).unwrap();
        let written = |text: &str| {
            let draft = folder.file("draft");
            crate::store::atomic::write(&draft, text.as_bytes()).unwrap();
            std::fs::rename(draft, folder.file(FILE)).unwrap();
            // As whoever takes the record over stamps it.
            let meta = std::fs::symlink_metadata(folder.file(FILE)).unwrap();
            Stamp::of(&meta)
        };
        let shelf = Shelf::of(home.path());
        let (first, id) = (written("1"), "00112233aabbccdd");
        assert!(shelf.is_still(id, &first));
        let kept = std::fs::File::open(folder.file(FILE)).unwrap();
        let second = written("2");
        assert!(!shelf.is_still(id, &first) && shelf.is_still(id, &second));
        drop(kept);
        assert!(!shelf.is_still("ffffffffffffffff", &second), "of a machine that is not there");
    }
}
