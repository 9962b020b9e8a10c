//! Which generation introduced which message, and what two sides agree on.
//!
//! One integer counts what both sides can say. A sender asks [`may_send`]
//! before it sends, so that an operation newer than the other side fails by
//! name and nothing else is affected.

use thiserror::Error;

/// What this build can say.
pub const CURRENT: u32 = 1;

/// Returns what two sides have in common.
#[must_use]
pub const fn negotiate(ours: u32, theirs: u32) -> u32 {
    if ours < theirs { ours } else { theirs }
}

/// An operation that is newer than what was negotiated.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{operation} needs generation {required} of the agent, the sandbox has {negotiated}")]
pub struct UnsupportedOperation {
    /// The name of the message.
    pub operation: &'static str,
    /// The generation that introduced it.
    pub required: u32,
    /// What both sides can say.
    pub negotiated: u32,
}

/// Every message number, with its name and the generation that introduced it.
pub const MESSAGES: &[(u16, &str, u32)] = &[
    (0x0001, "Hello", 1),
    (0x0002, "Boot", 1),
    (0x0003, "BootStep", 1),
    (0x0004, "BootFailed", 1),
    (0x0005, "Ready", 1),
    (0x0008, "Error", 1),
    (0x0009, "Done", 1),
    (0x000A, "ClockSync", 1),
    (0x000B, "ClientGone", 1),
    (0x000C, "Shutdown", 1),
    (0x000D, "Stopping", 1),
    (0x000E, "Bye", 1),
    (0x000F, "Stats", 1),
    (0x0010, "StatsReply", 1),
    (0x0011, "Update", 1),
    (0x0012, "Updated", 1),
    (0x0013, "Notice", 1),
    (0x0100, "Exec", 1),
    (0x0101, "Started", 1),
    (0x0102, "ExecFailed", 1),
    (0x0103, "Exited", 1),
    (0x0104, "Signal", 1),
    (0x0105, "Resize", 1),
    (0x0230, "TreeGet", 1),
    (0x0231, "TreePut", 1),
    (0x0300, "TcpOpen", 1),
    (0x0301, "TcpOpened", 1),
    (0x0302, "TcpFailed", 1),
];

/// Returns the name of a message number, if this build knows it.
#[must_use]
pub fn name(code: u16) -> Option<&'static str> {
    MESSAGES.iter().find(|(number, ..)| *number == code).map(|(_, name, _)| *name)
}

/// Tells whether a message may be sent to a side with the negotiated generation.
///
/// # Errors
/// The message is newer than what was negotiated.
pub fn may_send(code: u16, negotiated: u32) -> Result<(), UnsupportedOperation> {
    let known = MESSAGES.iter().find(|(number, ..)| *number == code);
    let (operation, required) =
        known.map_or(("an unnumbered message", u32::MAX), |(_, name, since)| (*name, *since));
    if required <= negotiated {
        return Ok(());
    }
    Err(UnsupportedOperation { operation, required, negotiated })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_generation_is_spoken() {
        assert_eq!(negotiate(1, 3), 1);
        assert_eq!(negotiate(3, 2), 2);
    }

    #[test]
    fn a_newer_message_fails_by_name() {
        assert_eq!(may_send(0x0100, 1), Ok(()));
        let refused = may_send(0x0100, 0).unwrap_err();
        assert_eq!((refused.operation, refused.required, refused.negotiated), ("Exec", 1, 0));
    }

    #[test]
    fn no_number_is_used_twice() {
        let mut numbers: Vec<u16> = MESSAGES.iter().map(|(number, ..)| *number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), MESSAGES.len());
    }
}
