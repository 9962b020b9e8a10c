//! The kernel's word that a file system found an error in itself.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::check;

/// Room for the events of one read.
const EVENTS_BYTES: usize = 4096;

/// Length of an event without what follows it.
const HEAD_BYTES: usize = 24;

/// The kind of information that names a file system, `FAN_EVENT_INFO_TYPE_FID`.
const INFO_FID: u8 = 1;

/// What the kernel tells file systems apart by.
pub(crate) type FileSystem = [u8; 8];

/// A queue of errors.
#[derive(Debug)]
pub(crate) struct Errors {
    fd: OwnedFd,
}

impl Errors {
    /// Returns an empty queue.
    pub(crate) fn open() -> io::Result<Self> {
        let flags = libc::FAN_CLASS_NOTIF | libc::FAN_REPORT_FID | libc::FAN_CLOEXEC;
        let mode = libc::O_RDONLY.cast_unsigned();
        // SAFETY: the call takes two integers.
        let raw = check(unsafe { libc::fanotify_init(flags | libc::FAN_NONBLOCK, mode) })?;
        // SAFETY: the kernel has just given us this descriptor; nothing else owns it.
        Ok(Self { fd: unsafe { OwnedFd::from_raw_fd(raw) } })
    }

    /// Hears of the errors of the file system that holds this folder, and returns which it is.
    pub(crate) fn watch(&self, folder: impl AsFd) -> io::Result<FileSystem> {
        let what = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        let folder = folder.as_fd().as_raw_fd();
        let queue = self.fd.as_raw_fd();
        // SAFETY: both descriptors are borrowed, so they are open; a null path means the folder.
        check(unsafe {
            libc::fanotify_mark(queue, what, libc::FAN_FS_ERROR, folder, std::ptr::null())
        })?;
        // SAFETY: an all-zero `statfs` is a valid value of a plain C struct.
        let mut about: libc::statfs = unsafe { std::mem::zeroed() };
        // SAFETY: `about` is a live value of the type that the call fills.
        check(unsafe { libc::fstatfs(folder, &raw mut about) })?;
        // SAFETY: the identity is eight bytes that may have any value.
        Ok(unsafe { std::mem::transmute::<libc::fsid_t, FileSystem>(about.f_fsid) })
    }

    /// Empties the queue; returns the file systems that had errors.
    pub(crate) fn take(&self) -> Vec<FileSystem> {
        let mut events = [0; EVENTS_BYTES];
        let mut found = Vec::new();
        while let Ok(count) = super::io::read(self.fd.as_fd(), &mut events)
            && count > 0
        {
            found.extend(parse(events.get(..count).unwrap_or_default()));
        }
        found
    }
}

impl AsFd for Errors {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns the file systems that events name.
fn parse(mut events: &[u8]) -> Vec<FileSystem> {
    let mut found = Vec::new();
    while let Some((length, _)) = events.split_first_chunk::<4>() {
        let length = u32::from_ne_bytes(*length) as usize;
        let Some((event, rest)) = events.split_at_checked(length.max(HEAD_BYTES)) else {
            break;
        };
        events = rest;
        let mut infos = event.get(HEAD_BYTES..).unwrap_or_default();
        // Each begins with its kind, a byte of nothing, and its length.
        while let Some(([kind, _, a, b], _)) = infos.split_first_chunk::<4>() {
            let length = usize::from(u16::from_ne_bytes([*a, *b])).max(4);
            let Some((info, rest)) = infos.split_at_checked(length) else {
                break;
            };
            infos = rest;
            if *kind == INFO_FID {
                found.extend(info.get(4..).and_then(|rest| rest.first_chunk()));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_found_among_what_follows_an_event() {
        let mut event = vec![0; HEAD_BYTES];
        event.extend([5, 0, 12, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
        event.extend([INFO_FID, 0, 16, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0]);
        let length = u32::try_from(event.len()).unwrap();
        event.splice(..4, length.to_ne_bytes());
        let twice = [event.clone(), event.clone()].concat();
        assert_eq!(parse(&twice), [[1, 2, 3, 4, 5, 6, 7, 8]; 2]);
        for cut in 0..event.len() {
            assert!(parse(&event[..cut]).is_empty(), "cut at {cut}");
        }
    }
}
