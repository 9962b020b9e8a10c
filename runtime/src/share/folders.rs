//! Folders, listed.

use std::sync::{Mutex, PoisonError};

use rustix::fs::{FileType, RawDir, SeekFrom, seek};
use rustix::io::Errno;

use super::beneath;
use super::handles::OpenFolder;
use super::reply::{Dirent, Entry, NO_ENTRY, Reply};
use super::serve::{Place, Server};
use super::wire::Name;

/// What is asked of the host at once: some of what is to be told, which is longer.
const LIST_BYTES_MIN: usize = 1 << 10;
const LIST_BYTES_MAX: usize = 32 << 10;

/// The kinds of entries, as a folder tells them.
const KIND_FOLDER: u32 = 4;
const KIND_LINK: u32 = 10;
const KIND_UNKNOWN: u32 = 0;

impl Server {
    pub(super) fn opendir(&self, id: u64, reply: &mut Reply) -> Result<(), Errno> {
        let handle = match self.place(id)? {
            // What is on no host has no descriptor.
            Place::Root | Place::Alone(_) => 0,
            Place::File(_) => return Err(Errno::NOTDIR),
            Place::Node(node) => {
                let fd = beneath::open_folder(node.fd())?;
                self.folders.open(OpenFolder { fd, node, alone: Mutex::default() })
            }
        };
        reply.opened(handle);
        Ok(())
    }

    pub(super) fn readdir(
        &self,
        id: u64,
        handle: u64,
        (offset, size, plus): (u64, u32, bool),
        reply: &mut Reply,
    ) -> Result<(), Errno> {
        let size = usize::try_from(size).unwrap_or(0);
        if handle == 0 {
            let names = self.names(&self.place(id)?);
            list_bare(&names, offset, (size, plus), reply);
            return Ok(());
        }
        let open = self.folders.get(handle)?;
        let _alone = open.alone.lock().unwrap_or_else(PoisonError::into_inner);
        seek(&open.fd, SeekFrom::Start(offset))?;
        let wanted = if plus { size / 4 } else { size };
        let mut buffer = Vec::with_capacity(wanted.clamp(LIST_BYTES_MIN, LIST_BYTES_MAX));
        let mut entries = RawDir::new(&open.fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            let listed = Dirent {
                ino: entry.ino(),
                next: entry.next_entry_cookie(),
                kind: kind(entry.file_type()),
                name,
            };
            let fitted = if plus {
                self.list_with_node(&open, size, &listed, reply)?
            } else {
                reply.dirent(size, None, &listed)
            };
            if !fitted {
                break;
            }
        }
        Ok(())
    }

    /// Adds an entry and the node it leads to; tells whether it fitted.
    fn list_with_node(
        &self,
        open: &OpenFolder,
        size: usize,
        listed: &Dirent<'_>,
        reply: &mut Reply,
    ) -> Result<bool, Errno> {
        let is_special = matches!(listed.name, b"." | b"..");
        let entry = match Name::new(listed.name) {
            Ok(name) if !is_special => match self.find(&open.node, name) {
                Ok(entry) => entry,
                // What went meanwhile, or cannot be looked at, is told by name alone.
                Err(Errno::NFILE) => return Err(Errno::NFILE),
                Err(_) => NO_ENTRY,
            },
            _ => NO_ENTRY,
        };
        let fitted = reply.dirent(size, Some(&entry), listed);
        if !fitted && entry.node != 0 {
            self.nodes.forget(entry.node, 1);
        }
        Ok(fitted)
    }
}

fn list_bare(names: &[(String, u64)], offset: u64, (size, plus): (usize, bool), reply: &mut Reply) {
    let special = [(".", 1), ("..", 1)];
    let all = special.into_iter().chain(names.iter().map(|(name, id)| (name.as_str(), *id)));
    let first = usize::try_from(offset).unwrap_or(usize::MAX);
    for (at, (name, ino)) in all.enumerate().skip(first) {
        let next = at as u64 + 1;
        let listed = Dirent { ino, next, kind: KIND_UNKNOWN, name: name.as_bytes() };
        let entry: Option<&Entry> = plus.then_some(&NO_ENTRY);
        if !reply.dirent(size, entry, &listed) {
            break;
        }
    }
}

/// Returns what a kind is called in a listing. A file may stand for a fifo: it is not told.
const fn kind(kind: FileType) -> u32 {
    match kind {
        FileType::Directory => KIND_FOLDER,
        FileType::Symlink => KIND_LINK,
        _ => KIND_UNKNOWN,
    }
}
