//! Folders as blocks of sorted names.

use super::{BLOCK, BLOCK_BYTES};

/// Bytes of one entry, its name apart.
const ENTRY_BYTES: usize = 12;

/// What kind of inode a name leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum FileType {
    File = 1,
    Folder = 2,
    Character = 3,
    Block = 4,
    Fifo = 5,
    Symlink = 7,
}

/// One name of a folder.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub name: &'a [u8],
    pub inode: u64,
    pub kind: FileType,
}

/// Returns the size of a folder with these names, in the order of their bytes.
///
/// Each block but the last counts in full.
pub(super) fn size<'a>(names: impl Iterator<Item = &'a [u8]>) -> u64 {
    let (mut blocks, mut used) = (0_u64, 0);
    for name in names {
        let needed = ENTRY_BYTES + name.len();
        if used + needed > BLOCK_BYTES {
            blocks += 1;
            used = 0;
        }
        used += needed;
    }
    blocks * BLOCK + used as u64
}

/// Returns the folder's bytes; `entries` come in the order of their names.
pub(super) fn encode(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = entries;
    while !rest.is_empty() {
        let mut used = 0;
        let fitting = rest.iter().take_while(|entry| {
            used += ENTRY_BYTES + entry.name.len();
            used <= BLOCK_BYTES
        });
        let (block, after) = rest.split_at(fitting.count());
        bytes.resize(bytes.len().next_multiple_of(BLOCK_BYTES), 0);
        encode_block(block, &mut bytes);
        rest = after;
    }
    bytes
}

fn encode_block(entries: &[Entry<'_>], bytes: &mut Vec<u8>) {
    let mut name_at = entries.len() * ENTRY_BYTES;
    for entry in entries {
        bytes.extend_from_slice(&entry.inode.to_le_bytes());
        bytes.extend_from_slice(&u16::try_from(name_at).unwrap_or(u16::MAX).to_le_bytes());
        bytes.extend_from_slice(&[entry.kind as u8, 0]);
        name_at += entry.name.len();
    }
    for entry in entries {
        bytes.extend_from_slice(entry.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_known_before_is_the_size_written() {
        for count in [0, 1, 3, 300, 1000] {
            let names: Vec<_> = (0..count).map(|n| format!("name-{n:05}").into_bytes()).collect();
            let entries: Vec<_> =
                names.iter().map(|name| Entry { name, inode: 1, kind: FileType::File }).collect();
            let bytes = encode(&entries);
            assert_eq!(bytes.len() as u64, size(names.iter().map(Vec::as_slice)), "{count}");
        }
    }

    #[test]
    fn names_follow_their_entries() {
        let entry = |name, inode| Entry { name, inode, kind: FileType::Folder };
        let bytes = encode(&[entry(b".", 1), entry(b"..", 2)]);
        let head = |inode: u8, at: u8| [inode, 0, 0, 0, 0, 0, 0, 0, at, 0, 2, 0];
        assert_eq!(bytes, [&head(1, 24)[..], &head(2, 25), b".", b".."].concat());
    }
}
