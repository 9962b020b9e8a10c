//! How a local client shares a machine's agent channel.
//!
//! The runtime speaks first: [`Welcome`], then the agent's cached `Ready` as a
//! frame. A client opens sessions only with ids of its range.

/// The first bytes on a relay socket; the last one is the version.
pub const PREAMBLE: [u8; 8] = *b"MSBRELY\x01";

/// How many session ids belong to one client.
pub const IDS_PER_SLOT: u32 = 1 << 20;

/// How many clients a machine serves at once; slot 0 is the runtime's own.
pub const CLIENTS_MAX: u32 = 128;

/// Length of a [`Welcome`].
pub const WELCOME_BYTES: usize = 16;

/// What the runtime writes first on a relay connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Welcome {
    /// The first session id the client may use.
    pub first: u32,
    /// The id after the last one.
    pub end: u32,
}

impl Welcome {
    /// Returns the welcome of a slot; slots count from 1.
    #[must_use]
    pub const fn of_slot(slot: u32) -> Self {
        Self { first: slot * IDS_PER_SLOT, end: (slot + 1) * IDS_PER_SLOT }
    }

    /// Returns the bytes to write.
    #[must_use]
    pub fn to_bytes(self) -> [u8; WELCOME_BYTES] {
        let mut out = [0; WELCOME_BYTES];
        let (preamble, range) = out.split_at_mut(8);
        preamble.copy_from_slice(&PREAMBLE);
        let (first, end) = range.split_at_mut(4);
        first.copy_from_slice(&self.first.to_be_bytes());
        end.copy_from_slice(&self.end.to_be_bytes());
        out
    }

    /// Returns the welcome that these bytes are, or `None` if they are something else.
    #[must_use]
    pub fn parse(bytes: &[u8; WELCOME_BYTES]) -> Option<Self> {
        let (preamble, range) = bytes.split_first_chunk::<8>()?;
        let (first, end) = range.split_first_chunk::<4>()?;
        let end = end.first_chunk::<4>()?;
        (*preamble == PREAMBLE)
            .then(|| Self { first: u32::from_be_bytes(*first), end: u32::from_be_bytes(*end) })
    }

    /// Tells whether a session id belongs to this client.
    #[must_use]
    pub const fn holds(self, session: u32) -> bool {
        self.first <= session && session < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_welcome_survives_its_bytes() {
        let welcome = Welcome::of_slot(3);
        assert_eq!(Welcome::parse(&welcome.to_bytes()), Some(welcome));
        assert!(welcome.holds(3 << 20) && !welcome.holds(4 << 20) && !welcome.holds(0));
    }

    #[test]
    fn other_bytes_are_no_welcome() {
        assert_eq!(Welcome::parse(&[0; WELCOME_BYTES]), None);
    }
}
