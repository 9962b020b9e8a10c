//! Extended attributes as they stand behind their inode.

use super::super::tree::Xattr;

/// Prefixes that have a number; a name that is all prefix has an empty rest.
const PREFIXES: [(&[u8], u8); 4] = [
    (b"user.", 1),
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"security.", 6),
];
/// The header before the first attribute.
const HEADER_BYTES: usize = 12;

/// Returns the attributes as bytes, a multiple of four; empty if there are none.
pub(super) fn encode(xattrs: &[Xattr]) -> Vec<u8> {
    if xattrs.is_empty() {
        return Vec::new();
    }
    let mut bytes = vec![0; HEADER_BYTES];
    for (name, value) in xattrs {
        let prefix = PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix));
        let Some((prefix, number)) = prefix else { continue };
        let rest = &name[prefix.len()..];
        let lengths = u8::try_from(rest.len()).ok().zip(u16::try_from(value.len()).ok());
        let Some((rest_bytes, value_bytes)) = lengths else { continue };
        bytes.extend_from_slice(&[rest_bytes, *number]);
        bytes.extend_from_slice(&value_bytes.to_le_bytes());
        bytes.extend_from_slice(rest);
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// Returns how an inode says that `bytes` of attributes follow it.
pub(super) fn count(bytes: usize) -> u16 {
    match bytes.checked_sub(HEADER_BYTES) {
        Some(rest) => u16::try_from(rest / 4 + 1).unwrap_or(u16::MAX),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_have_a_header_and_are_padded() {
        let xattr = |name: &[u8], value: &[u8]| (name.into(), value.into());
        let bytes = encode(&[xattr(b"user.ab", b"xyz"), xattr(b"system.posix_acl_access", b"a")]);
        let expected =
            [&[0; 12][..], &[2, 1, 3, 0], b"abxyz", &[0; 3], &[0, 2, 1, 0], b"a", &[0; 3]];
        assert_eq!(bytes, expected.concat());
        assert_eq!((count(bytes.len()), count(0)), (6, 0));
    }
}
