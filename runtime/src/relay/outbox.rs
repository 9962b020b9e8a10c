//! What waits for a client, bounded by the credit that its sessions granted.
//!
//! Small pieces of a stream become one, so that a guest that writes byte by
//! byte costs no more memory than one that does not. Sessions take turns.

use std::collections::{BTreeMap, VecDeque};

use schema::wire::frame::{DATA_BYTES_MAX, FLAG_END};
use schema::wire::{Frame, Kind};

/// How many messages of one session wait; more than that no agent of ours sends.
const MESSAGES_MAX: usize = 64;

/// The largest total of their payloads.
const MESSAGE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A session has more messages waiting than any agent of ours sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flooded;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    sessions: BTreeMap<u32, Waiting>,
    last: u32,
}

#[derive(Debug, Default)]
struct Waiting {
    parts: VecDeque<Part>,
    messages: usize,
    message_bytes: usize,
}

#[derive(Debug)]
enum Part {
    /// Bytes of one stream; may be joined by more of the same.
    Stream { stream: u16, bytes: VecDeque<u8>, end: bool },
    /// Anything else; what comes after it stays after it.
    Frame(Frame),
}

impl Outbox {
    /// Takes a frame.
    ///
    /// # Errors
    /// Too many messages of this session wait.
    pub(super) fn push(&mut self, frame: Frame) -> Result<(), Flooded> {
        self.sessions.entry(frame.session).or_default().push(frame)
    }

    /// Drops what waits of a session and puts its last frame in the place.
    pub(super) fn end(&mut self, frame: Frame) {
        let (session, message_bytes) = (frame.session, frame.payload.len());
        let parts = VecDeque::from([Part::Frame(frame)]);
        self.sessions.insert(session, Waiting { parts, messages: 1, message_bytes });
    }

    /// Returns how many bytes of one stream wait.
    pub(super) fn waiting(&self, session: u32, stream: u16) -> usize {
        let parts = self.sessions.get(&session).into_iter().flat_map(|waiting| &waiting.parts);
        let of_stream = parts.filter_map(|part| match part {
            Part::Stream { stream: other, bytes, .. } if *other == stream => Some(bytes.len()),
            Part::Stream { .. } | Part::Frame(_) => None,
        });
        of_stream.sum()
    }

    /// Returns the next frame, of the session whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let after = self.sessions.range(self.last.saturating_add(1)..).next();
        let id = *after.or_else(|| self.sessions.iter().next())?.0;
        self.last = id;
        let waiting = self.sessions.get_mut(&id)?;
        let frame = waiting.pop(id);
        if waiting.parts.is_empty() {
            self.sessions.remove(&id);
        }
        frame
    }
}

impl Waiting {
    fn push(&mut self, frame: Frame) -> Result<(), Flooded> {
        if frame.kind != Kind::Data {
            self.messages += 1;
            self.message_bytes += frame.payload.len();
            self.parts.push_back(Part::Frame(frame));
            let too_many = self.messages > MESSAGES_MAX || self.message_bytes > MESSAGE_BYTES_MAX;
            return if too_many { Err(Flooded) } else { Ok(()) };
        }
        let is_end = frame.is_end();
        // Standard output and standard error have no order between them; messages do.
        let open = self.parts.iter_mut().rev().map_while(|part| match part {
            Part::Stream { stream, bytes, end } => Some((*stream, bytes, end)),
            Part::Frame(_) => None,
        });
        for (stream, bytes, end) in open {
            if stream == frame.code {
                bytes.extend(frame.payload);
                *end |= is_end;
                return Ok(());
            }
        }
        let (stream, bytes) = (frame.code, VecDeque::from(frame.payload));
        self.parts.push_back(Part::Stream { stream, bytes, end: is_end });
        Ok(())
    }

    fn pop(&mut self, session: u32) -> Option<Frame> {
        let part = self.parts.pop_front()?;
        let (stream, mut bytes, end) = match part {
            Part::Frame(frame) => {
                self.messages -= 1;
                self.message_bytes -= frame.payload.len();
                return Some(frame);
            }
            Part::Stream { stream, bytes, end } => (stream, bytes, end),
        };
        let mut frame = Frame::data(session, stream, &[]);
        if bytes.len() <= DATA_BYTES_MAX {
            frame.flags = if end { FLAG_END } else { 0 };
            frame.payload = bytes.into();
        } else {
            frame.payload = front(&mut bytes, DATA_BYTES_MAX);
            self.parts.push_front(Part::Stream { stream, bytes, end });
        }
        Some(frame)
    }
}

/// Takes the first bytes, in pieces and not one by one.
fn front(bytes: &mut VecDeque<u8>, count: usize) -> Vec<u8> {
    let (first, second) = bytes.as_slices();
    let mut taken = Vec::with_capacity(count);
    taken.extend_from_slice(&first[..first.len().min(count)]);
    taken.extend_from_slice(&second[..second.len().min(count - taken.len())]);
    bytes.drain(..taken.len());
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(session: u32, code: u16) -> Frame {
        Frame { session, kind: Kind::Message, flags: 0, code, payload: vec![0xa0] }
    }

    fn drained(outbox: &mut Outbox) -> Vec<Frame> {
        std::iter::from_fn(|| outbox.pop()).collect()
    }

    #[test]
    fn small_pieces_become_one_and_messages_keep_their_place() {
        let mut outbox = Outbox::default();
        outbox.push(message(7, 0x0101)).unwrap();
        for _ in 0..3 {
            outbox.push(Frame::data(7, 0, b"o")).unwrap();
            outbox.push(Frame::data(7, 1, b"e")).unwrap();
        }
        outbox.push(Frame::end(7, 0)).unwrap();
        outbox.push(message(7, 0x0103)).unwrap();
        outbox.push(Frame::data(7, 1, b"late")).unwrap();
        let mut out = Frame::data(7, 0, b"ooo");
        out.flags = FLAG_END;
        let expected = [
            message(7, 0x0101),
            out,
            Frame::data(7, 1, b"eee"),
            message(7, 0x0103),
            Frame::data(7, 1, b"late"),
        ];
        assert_eq!(drained(&mut outbox), expected);
    }

    #[test]
    fn sessions_take_turns_and_a_frame_is_bounded() {
        let mut outbox = Outbox::default();
        for _ in 0..3 {
            outbox.push(Frame::data(7, 0, &[0; DATA_BYTES_MAX])).unwrap();
        }
        outbox.push(Frame::data(9, 0, b"key")).unwrap();
        let order: Vec<(u32, usize)> =
            drained(&mut outbox).iter().map(|f| (f.session, f.payload.len())).collect();
        let bulk = (7, DATA_BYTES_MAX);
        assert_eq!(order, [bulk, (9, 3), bulk, bulk]);
    }

    #[test]
    fn a_flood_of_messages_is_refused_and_a_last_word_replaces_it() {
        let mut outbox = Outbox::default();
        for _ in 0..MESSAGES_MAX {
            outbox.push(message(7, 0x0101)).unwrap();
        }
        assert_eq!(outbox.push(message(7, 0x0101)), Err(Flooded));
        outbox.end(message(7, 8));
        assert_eq!(drained(&mut outbox), [message(7, 8)]);
    }
}
