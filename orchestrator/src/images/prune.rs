//! What dead commands left in the temporary folder, and taking it away.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use image::draft::READY;
use rustix::fs::FlockOperation;

use super::cache::ImagesHome;

/// Younger files may belong to somebody who has not locked them yet; those that are whole were
/// locked before they had a name.
const AGE_MIN: Duration = Duration::from_secs(3600);

/// Removes temporary files that no process holds locked, whole ones at once and others when they
/// are older than an hour; returns how many there were.
pub fn prune_leftovers(home: &ImagesHome, now_ms: u64) -> usize {
    let now = UNIX_EPOCH + Duration::from_millis(now_ms);
    let Ok(entries) = fs::read_dir(home.tmp()) else {
        return 0;
    };
    let paths = entries.filter_map(Result::ok).map(|entry| entry.path());
    paths.filter(|path| is_abandoned(path, now) && fs::remove_file(path).is_ok()).count()
}

fn is_abandoned(path: &Path, now: SystemTime) -> bool {
    let Ok(file) = File::open(path) else {
        return false;
    };
    let modified = file.metadata().and_then(|metadata| metadata.modified());
    let is_old = modified.is_ok_and(|at| now.duration_since(at).is_ok_and(|age| age > AGE_MIN));
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    let is_whole = name.starts_with(READY.as_bytes());
    // The lock is let go when the file is closed, after the name is gone or kept.
    (is_old || is_whole)
        && rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
}

#[cfg(test)]
mod tests {
    use super::super::builder::Builder;
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn only_what_is_old_or_whole_and_free_goes() {
        let folder = Scratch::new();
        let builder = Builder { program: "/nowhere".into(), arguments: Vec::new() };
        let home = ImagesHome { dir: folder.path().to_owned(), builder };
        home.prepare().unwrap();
        let make = |name: &str| File::create(home.tmp().join(name)).unwrap();
        let held = make("held");
        rustix::fs::flock(&held, FlockOperation::LockExclusive).unwrap();
        drop(make("free"));
        drop(make("ready-1-0"));
        let ready = make("ready-2-0");
        rustix::fs::flock(&ready, FlockOperation::LockExclusive).unwrap();
        let made = held.metadata().unwrap().modified().unwrap().duration_since(UNIX_EPOCH).unwrap();
        let made_ms = u64::try_from(made.as_millis()).unwrap();
        assert_eq!(prune_leftovers(&home, made_ms + 3_500_000), 1, "ready-1-0 is whole");
        assert_eq!(prune_leftovers(&home, made_ms + 3_700_000), 1, "free is old");
        assert!(home.tmp().join("held").exists() && home.tmp().join("ready-2-0").exists());
    }
}
