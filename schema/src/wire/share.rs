//! Shared folders: the kernel's FUSE messages, as they are, and one of ours before them.
//!
//! A message carries its own length in its first four bytes, in the byte order of the machine, so
//! nothing is added on the way. The agent says whose the sandbox is before the kernel of the guest
//! asks for the first file of a mount.

/// The most that one read or write carries.
pub const DATA_BYTES_MAX: usize = 1 << 20;

/// The largest message: a write and what stands before its bytes.
pub const MESSAGE_BYTES_MAX: usize = DATA_BYTES_MAX + 4096;

/// The bytes before every call of the kernel.
pub const CALL_HEAD_BYTES: usize = 40;

/// The bytes before every answer to it.
pub const ANSWER_HEAD_BYTES: usize = 16;

/// Our own call, which has no answer: the user of the sandbox.
pub const OPCODE_USER: u32 = 0x4d53_4200;

/// Returns the message that says who the user of the sandbox is.
#[must_use]
pub fn user_call(uid: u32, gid: u32) -> [u8; CALL_HEAD_BYTES + 8] {
    let mut bytes = [0; CALL_HEAD_BYTES + 8];
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    let words = [(0, len), (4, OPCODE_USER), (CALL_HEAD_BYTES, uid), (CALL_HEAD_BYTES + 4, gid)];
    for (at, word) in words {
        if let Some(place) = bytes.get_mut(at..at + 4) {
            place.copy_from_slice(&word.to_ne_bytes());
        }
    }
    bytes
}

/// Returns the length of the message that begins with `bytes`; `None` where that is not known yet.
///
/// # Errors
/// No answer has that length.
pub fn answer_bytes(bytes: &[u8]) -> Result<Option<usize>, BadLength> {
    let Some(first) = bytes.first_chunk() else { return Ok(None) };
    let claimed = u32::from_ne_bytes(*first);
    match usize::try_from(claimed) {
        Ok(len @ ANSWER_HEAD_BYTES..=MESSAGE_BYTES_MAX) => Ok(Some(len)),
        _ => Err(BadLength(claimed)),
    }
}

/// A length that no message has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a message of {0} bytes")]
pub struct BadLength(pub u32);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_it_says_within_bounds() {
        let bytes = |len: u32| [&len.to_ne_bytes()[..], &[0; 12]].concat();
        assert_eq!(answer_bytes(&bytes(16)), Ok(Some(16)));
        assert_eq!(answer_bytes(&[16, 0, 0]), Ok(None));
        for len in [0, 15, u32::MAX] {
            assert_eq!(answer_bytes(&bytes(len)), Err(BadLength(len)));
        }
    }
}
