//! The extended inode: 64 bytes with 32-bit owners and nanoseconds.

use super::super::tree::{Attributes, Content};
use super::directory::FileType;

/// Bytes of an inode, without what follows it.
pub(super) const INODE_BYTES: u64 = 64;
/// Inodes are numbered by where they stand, in this unit.
pub(super) const SLOT_BYTES: u64 = 32;

/// How the content of an inode is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// All of it in data blocks.
    Plain,
    /// The last partial block behind the inode.
    Inline,
}

/// What an inode says beside its attributes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub layout: Layout,
    /// The count by which attributes are announced.
    pub xattr_count: u16,
    pub size: u64,
    /// The first data block, or the number of a device.
    pub place: u32,
    /// A number from 1, for programs that want small ones.
    pub serial: u32,
    pub links: u32,
}

/// Returns the inode's bytes.
pub(super) fn encode(attributes: &Attributes, content: &Content, shape: &Shape) -> [u8; 64] {
    let layout = match shape.layout {
        Layout::Plain => 0,
        Layout::Inline => 2,
    };
    let format: u16 = 1 | layout << 1;
    let mode = attributes.mode | type_bits(content);
    let mut bytes = [0; 64];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &format.to_le_bytes());
    put(2, &shape.xattr_count.to_le_bytes());
    put(4, &mode.to_le_bytes());
    put(8, &shape.size.to_le_bytes());
    put(16, &shape.place.to_le_bytes());
    put(20, &shape.serial.to_le_bytes());
    put(24, &attributes.uid.to_le_bytes());
    put(28, &attributes.gid.to_le_bytes());
    put(32, &attributes.mtime().seconds.to_le_bytes());
    put(40, &attributes.mtime().nanos.to_le_bytes());
    put(44, &shape.links.to_le_bytes());
    bytes
}

/// Returns the number of a device as Linux writes it in 32 bits.
pub(super) const fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12
}

/// Returns what kind of inode this is, as folders say it.
pub(super) const fn file_type(content: &Content) -> FileType {
    match content {
        Content::Folder(_) => FileType::Folder,
        Content::File(_) => FileType::File,
        Content::Symlink(_) => FileType::Symlink,
        Content::Character(..) => FileType::Character,
        Content::Block(..) => FileType::Block,
        Content::Fifo => FileType::Fifo,
    }
}

const fn type_bits(content: &Content) -> u16 {
    match content {
        Content::Folder(_) => 0o040_000,
        Content::File(_) => 0o100_000,
        Content::Symlink(_) => 0o120_000,
        Content::Character(..) => 0o020_000,
        Content::Block(..) => 0o060_000,
        Content::Fifo => 0o010_000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_are_those_of_linux() {
        assert_eq!(device_number(1, 3), 0x103);
        assert_eq!(device_number(8, 300), 0x0010_082c);
    }
}
