//! What the guest's kernel and this server agree on before anything else.

use rustix::io::Errno;

use super::wire::{DATA_BYTES_MAX, Greeting};

/// The version of the protocol that this server speaks.
const MAJOR: u32 = 7;
const MINOR: u32 = 38;
/// The oldest whose messages have the shapes that are read here.
const MINOR_MIN: u32 = 31;

/// How far the kernel may read ahead.
const READAHEAD_BYTES_MAX: u32 = 1 << 20;
/// Requests that nobody waits for, and from where on the kernel holds back.
const BACKGROUND_MAX: u16 = 64;
const CONGESTION: u16 = 48;
const PAGE_BYTES: usize = 4096;

const ASYNC_READ: u32 = 1;
const BIG_WRITES: u32 = 1 << 5;
const AUTO_INVAL_DATA: u32 = 1 << 12;
const DO_READDIRPLUS: u32 = 1 << 13;
const READDIRPLUS_AUTO: u32 = 1 << 14;
const ASYNC_DIO: u32 = 1 << 15;
const PARALLEL_DIROPS: u32 = 1 << 18;
const MAX_PAGES: u32 = 1 << 22;
/// Without it each write asks for an attribute first.
const HANDLE_KILLPRIV_V2: u32 = 1 << 28;

const WANTED: u32 = ASYNC_READ
    | BIG_WRITES
    | AUTO_INVAL_DATA
    | DO_READDIRPLUS
    | READDIRPLUS_AUTO
    | ASYNC_DIO
    | PARALLEL_DIROPS
    | MAX_PAGES
    | HANDLE_KILLPRIV_V2;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) minor: u32,
    pub(super) max_readahead: u32,
    pub(super) flags: u32,
    pub(super) background: u16,
    pub(super) congestion: u16,
    pub(super) max_write: u32,
    pub(super) max_pages: u16,
}

/// Answers a greeting.
///
/// # Errors
/// The kernel is too old, or speaks another language altogether.
pub(super) fn agree(greeting: &Greeting) -> Result<Agreed, Errno> {
    if greeting.major != MAJOR || greeting.minor < MINOR_MIN {
        return Err(Errno::PROTO);
    }
    let (max_write, max_pages) = (DATA_BYTES_MAX, DATA_BYTES_MAX / PAGE_BYTES);
    Ok(Agreed {
        minor: MINOR.min(greeting.minor),
        max_readahead: greeting.max_readahead.min(READAHEAD_BYTES_MAX),
        flags: greeting.flags & WANTED,
        background: BACKGROUND_MAX,
        congestion: CONGESTION,
        max_write: u32::try_from(max_write).unwrap_or(u32::MAX),
        max_pages: u16::try_from(max_pages).unwrap_or(u16::MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_both_know_is_agreed_on() {
        let greeting = Greeting { major: 7, minor: 41, max_readahead: 131_072, flags: u32::MAX };
        let agreed = agree(&greeting).unwrap();
        assert_eq!((agreed.minor, agreed.max_readahead, agreed.flags), (38, 131_072, WANTED));
        let few = agree(&Greeting { flags: ASYNC_READ, ..greeting }).unwrap();
        assert_eq!(few.flags, ASYNC_READ);
    }

    #[test]
    fn a_kernel_whose_messages_have_other_shapes_is_refused() {
        for (major, minor) in [(7, 30), (6, 40), (8, 0)] {
            let greeting = Greeting { major, minor, max_readahead: 0, flags: 0 };
            assert_eq!(agree(&greeting), Err(Errno::PROTO));
        }
    }
}
