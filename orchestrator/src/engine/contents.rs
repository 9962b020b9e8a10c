//! What the host's files hold that are mounted one by one and whose change is to do something.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use schema::name::InstanceName;
use schema::project::{FileMount, HostEnsure};

use super::sources::{KEY_BYTES, NONBLOCK};
use crate::observe::Source;
use crate::plan::Wish;

/// The largest file whose content is compared.
const CONTENT_BYTES_MAX: u64 = 16 << 20;

/// Opens what is named and never what a link leads to, as a mount does.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// Returns today's digests of what the wish follows; without a key only what is too large.
pub(super) fn of(
    wish: &Wish,
    key: Option<&[u8; KEY_BYTES]>,
) -> BTreeMap<(InstanceName, String), Source> {
    let mut found = BTreeMap::new();
    for (name, sandbox) in &wish.project.sandboxes {
        for mount in &sandbox.mounts {
            if let Some(source) = mount.followed().and_then(|file| read(file, key)) {
                found.insert((name.clone(), mount.content_path()), source);
            }
        }
    }
    found
}

/// Reads one file; `None` where there is nothing to say of it without a key.
///
/// One that is not there yet and will be made is as empty as it will be.
pub(super) fn read(mount: &FileMount, key: Option<&[u8; KEY_BYTES]>) -> Option<Source> {
    let flags = NONBLOCK | NOFOLLOW;
    let opened = File::options().read(true).custom_flags(flags).open(&mount.path);
    let will_be_made = |error: &io::Error| {
        error.kind() == io::ErrorKind::NotFound && mount.ensure == HostEnsure::Ensure
    };
    let file = match opened {
        Ok(file) => Some(file),
        Err(error) if will_be_made(&error) => None,
        Err(_) => return key.map(|_| Source::Missing),
    };
    if let Some(file) = &file {
        match file.metadata() {
            Ok(there) if !there.is_file() => return key.map(|_| Source::Missing),
            Ok(there) if there.len() > CONTENT_BYTES_MAX => return Some(Source::TooLarge),
            _ => {}
        }
    }
    let mut hasher = blake3::Hasher::new_keyed(key?);
    // It may have grown since it was looked at.
    let read =
        file.map_or(Ok(0), |file| io::copy(&mut file.take(CONTENT_BYTES_MAX + 1), &mut hasher));
    match read {
        Err(_) => Some(Source::Missing),
        Ok(bytes) if bytes > CONTENT_BYTES_MAX => Some(Source::TooLarge),
        Ok(_) => Some(Source::Digest(hasher.finalize().to_hex().to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::project::FileChange;

    #[test]
    fn a_file_counts_by_what_it_holds_up_to_a_limit() {
        let scratch = crate::scratch::Scratch::new();
        let path = scratch.path().join("app.conf");
        let mount =
            |ensure| FileMount { path: path.clone(), ensure, on_change: FileChange::Restart };
        let key = [7; KEY_BYTES];
        let must = || read(&mount(HostEnsure::MustExist), Some(&key));
        assert_eq!(must(), Some(Source::Missing));
        let absent = read(&mount(HostEnsure::Ensure), Some(&key));
        let file = File::create(&path).unwrap();
        assert_eq!(must(), absent, "what will be made is empty");
        file.set_len(CONTENT_BYTES_MAX).unwrap();
        assert!(matches!(must(), Some(Source::Digest(_))));
        assert_ne!(must(), absent);
        file.set_len(CONTENT_BYTES_MAX + 1).unwrap();
        assert_eq!(must(), Some(Source::TooLarge));
        assert_eq!(read(&mount(HostEnsure::Ensure), None), Some(Source::TooLarge));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
        assert_eq!(must(), Some(Source::Missing), "a link is not followed");
    }
}
