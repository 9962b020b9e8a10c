//! Bytes to frames and back.
//!
//! ```text
//! u32 length │ u32 session │ u8 kind │ u8 flags │ u16 code │ payload
//!            └──────────── counted by length ─────────────────────┘
//! ```
//!
//! Integers are big-endian. The head is judged before anything is held, and a
//! buffer grows with the bytes that came, never by the length that was claimed.

use thiserror::Error;

/// Length of the head, the length field included.
pub const HEAD_BYTES: usize = 12;

/// The largest payload of a message.
pub const MESSAGE_BYTES_MAX: usize = 1024 * 1024;

/// The largest payload of a data frame.
pub const DATA_BYTES_MAX: usize = 64 * 1024;

/// Flag of a data frame: nothing follows on this stream.
pub const FLAG_END: u8 = 1;

/// What a frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A CBOR message; the code is its number.
    Message,
    /// Bytes of a stream; the code is the stream.
    Data,
    /// A grant of bytes for a stream; the code is the stream.
    Credit,
    /// The end of a session in both directions, at once.
    Reset,
}

impl Kind {
    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Message),
            1 => Some(Self::Data),
            2 => Some(Self::Credit),
            3 => Some(Self::Reset),
            _ => None,
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Message => 0,
            Self::Data => 1,
            Self::Credit => 2,
            Self::Reset => 3,
        }
    }

    const fn payload_bytes_max(self) -> usize {
        match self {
            Self::Message | Self::Reset => MESSAGE_BYTES_MAX,
            Self::Data => DATA_BYTES_MAX,
            Self::Credit => 4,
        }
    }
}

/// One unit of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Which conversation it belongs to.
    pub session: u32,
    /// What it carries.
    pub kind: Kind,
    /// Bits that depend on the kind; only [`FLAG_END`] of data is defined.
    pub flags: u8,
    /// Message number or stream.
    pub code: u16,
    /// The content.
    pub payload: Vec<u8>,
}

/// Why bytes are not frames; the channel cannot be used any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length is below the head or above what the kind allows.
    #[error("a frame of kind {kind} claims {length} bytes")]
    Length {
        /// The length field.
        length: u32,
        /// The kind byte.
        kind: u8,
    },
    /// No such kind.
    #[error("no frame has the kind {0}")]
    UnknownKind(u8),
    /// A flag that is reserved is set.
    #[error("a frame has the reserved flags {0:#04x}")]
    ReservedFlags(u8),
    /// A credit frame does not hold exactly one grant.
    #[error("a credit frame holds {0} bytes instead of 4")]
    Credit(usize),
}

impl Frame {
    /// Returns a data frame.
    ///
    /// The bytes must not be more than [`DATA_BYTES_MAX`]; see [`data_frames`].
    #[must_use]
    pub fn data(session: u32, stream: u16, bytes: &[u8]) -> Self {
        Self { session, kind: Kind::Data, flags: 0, code: stream, payload: bytes.to_vec() }
    }

    /// Returns the frame that ends a stream.
    #[must_use]
    pub const fn end(session: u32, stream: u16) -> Self {
        Self { session, kind: Kind::Data, flags: FLAG_END, code: stream, payload: Vec::new() }
    }

    /// Returns a grant of `bytes` for a stream.
    #[must_use]
    pub fn credit(session: u32, stream: u16, bytes: u32) -> Self {
        let payload = bytes.to_be_bytes().to_vec();
        Self { session, kind: Kind::Credit, flags: 0, code: stream, payload }
    }

    /// Returns the bytes that a credit frame grants; zero for any other kind.
    #[must_use]
    pub fn granted(&self) -> u32 {
        match (self.kind, <[u8; 4]>::try_from(self.payload.as_slice())) {
            (Kind::Credit, Ok(bytes)) => u32::from_be_bytes(bytes),
            _ => 0,
        }
    }

    /// Tells whether this is the last frame of its stream.
    #[must_use]
    pub fn is_end(&self) -> bool {
        self.kind == Kind::Data && self.flags & FLAG_END != 0
    }

    /// Appends the frame's bytes to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let head = (self.session, self.kind, self.flags, self.code);
        encode(head, &self.payload, out);
    }

    /// Returns the frame's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_BYTES + self.payload.len());
        self.encode(&mut out);
        out
    }
}

/// Appends a data frame of bytes that are nobody's yet; see [`Frame::data`].
pub fn encode_data(session: u32, stream: u16, bytes: &[u8], out: &mut Vec<u8>) {
    encode((session, Kind::Data, 0, stream), bytes, out);
}

fn encode((session, kind, flags, code): (u32, Kind, u8, u16), payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len() + HEAD_BYTES - 4)
        .expect("payloads are bounded far below 4 GiB by their makers");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&session.to_be_bytes());
    out.extend_from_slice(&[kind.byte(), flags]);
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Returns the frames that carry `bytes` on a stream, each within the limit.
pub fn data_frames(session: u32, stream: u16, bytes: &[u8]) -> impl Iterator<Item = Frame> {
    bytes.chunks(DATA_BYTES_MAX).map(move |chunk| Frame::data(session, stream, chunk))
}

/// Bytes that came, waiting to be whole frames.
#[derive(Debug, Default)]
pub struct Decoder {
    pending: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Takes bytes as they came.
    pub fn push(&mut self, bytes: &[u8]) {
        // What was read is dropped only now and then, so that many small frames cost one move.
        if self.start > 0 && (self.start == self.pending.len() || self.start > DATA_BYTES_MAX) {
            self.pending.drain(..self.start);
            self.start = 0;
        }
        self.pending.extend_from_slice(bytes);
    }

    /// Returns the next whole frame, or `None` until more bytes come.
    ///
    /// # Errors
    /// The first head that no sender of this protocol writes; the channel is then unusable.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let waiting = &self.pending[self.start..];
        let Some((head, rest)) = waiting.split_first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        let [l0, l1, l2, l3, s0, s1, s2, s3, kind_byte, flags, c0, c1] = *head;
        let length = u32::from_be_bytes([l0, l1, l2, l3]);
        let kind = Kind::from_byte(kind_byte).ok_or(FrameError::UnknownKind(kind_byte))?;
        let payload_bytes = (length as usize)
            .checked_sub(HEAD_BYTES - 4)
            .filter(|bytes| *bytes <= kind.payload_bytes_max())
            .ok_or(FrameError::Length { length, kind: kind_byte })?;
        let allowed = if kind == Kind::Data { FLAG_END } else { 0 };
        if flags & !allowed != 0 {
            return Err(FrameError::ReservedFlags(flags));
        }
        if kind == Kind::Credit && payload_bytes != 4 {
            return Err(FrameError::Credit(payload_bytes));
        }
        let Some(payload) = rest.get(..payload_bytes) else {
            return Ok(None);
        };
        let frame = Frame {
            session: u32::from_be_bytes([s0, s1, s2, s3]),
            kind,
            flags,
            code: u16::from_be_bytes([c0, c1]),
            payload: payload.to_vec(),
        };
        self.start += HEAD_BYTES + payload_bytes;
        Ok(Some(frame))
    }

    /// Tells whether part of a frame is waiting.
    #[must_use]
    pub fn is_inside_a_frame(&self) -> bool {
        self.start < self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_frames() -> Vec<Frame> {
        vec![
            Frame::data(7, 1, b"hello"),
            Frame::end(7, 1),
            Frame::credit(9, 0, 65_536),
            Frame { session: 3, kind: Kind::Message, flags: 0, code: 0x0100, payload: vec![0xa0] },
            Frame { session: 3, kind: Kind::Reset, flags: 0, code: 0, payload: vec![0xa0] },
        ]
    }

    #[test]
    fn frames_survive_any_cut() {
        let frames = some_frames();
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        for step in 1..=bytes.len() {
            let mut decoder = Decoder::default();
            let mut seen = Vec::new();
            for chunk in bytes.chunks(step) {
                decoder.push(chunk);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "cut every {step} bytes");
            assert!(!decoder.is_inside_a_frame());
        }
    }

    #[test]
    fn bytes_become_a_frame_without_being_one_first() {
        let mut bytes = Vec::new();
        encode_data(7, 1, b"hello", &mut bytes);
        assert_eq!(bytes, Frame::data(7, 1, b"hello").to_bytes());
    }

    fn refused(head: [u8; HEAD_BYTES], why: FrameError) {
        let mut decoder = Decoder::default();
        decoder.push(&head);
        assert_eq!(decoder.next_frame(), Err(why));
    }

    #[test]
    fn a_length_is_refused_at_the_head() {
        refused([0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1], FrameError::Length { length: 7, kind: 0 });
        let length = u32::try_from(MESSAGE_BYTES_MAX).unwrap() + 9;
        let [a, b, c, d] = length.to_be_bytes();
        refused([a, b, c, d, 0, 0, 0, 1, 0, 0, 0, 1], FrameError::Length { length, kind: 0 });
        let length = u32::try_from(DATA_BYTES_MAX).unwrap() + 9;
        let [a, b, c, d] = length.to_be_bytes();
        refused([a, b, c, d, 0, 0, 0, 1, 1, 0, 0, 1], FrameError::Length { length, kind: 1 });
    }

    #[test]
    fn unknown_kinds_and_flags_are_refused() {
        refused([0, 0, 0, 8, 0, 0, 0, 1, 9, 0, 0, 1], FrameError::UnknownKind(9));
        refused([0, 0, 0, 8, 0, 0, 0, 1, 0, 1, 0, 1], FrameError::ReservedFlags(1));
        refused([0, 0, 0, 8, 0, 0, 0, 1, 2, 0, 0, 1], FrameError::Credit(0));
    }
}
