//! The wire to a guest: Ethernet frames over a stream socket, each after its length.
//!
//! The length is big-endian, four bytes. What no frame can be as long as is counted and passed
//! over: the stream goes on behind it.

use std::io;
use std::os::fd::AsFd;

use rustix::io::{Errno, read, write};

use super::traffic::Carried;

/// The shortest frame: an Ethernet header.
pub(super) const FRAME_BYTES_MIN: usize = 14;
/// The longest.
pub(super) const FRAME_BYTES_MAX: usize = 65_534;

/// The bytes before a frame.
const LENGTH_BYTES: usize = 4;
/// What is read at once.
const READ_BYTES: usize = 256 << 10;
/// From here on nothing more is made for the guest until it has taken some.
const OUT_BYTES_MAX: usize = 4 << 20;
/// How many frames may wait for the guest.
const OUT_FRAMES_MAX: usize = 1024;

/// What comes from the guest.
#[derive(Debug)]
pub(super) struct Incoming {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes of a frame that is passed over.
    skip: usize,
    /// Frames that were none.
    pub(super) malformed: u64,
}

impl Incoming {
    pub(super) fn new() -> Self {
        let bytes = vec![0; READ_BYTES + LENGTH_BYTES + FRAME_BYTES_MAX];
        Self { bytes, start: 0, end: 0, skip: 0, malformed: 0 }
    }

    /// Returns what stands in for it while it is elsewhere.
    pub(super) const fn none() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0, skip: 0, malformed: 0 }
    }

    /// Tells whether a whole frame is there already.
    pub(super) fn holds(&self) -> bool {
        let waiting = self.bytes.get(self.start..self.end).unwrap_or_default();
        waiting.split_first_chunk::<LENGTH_BYTES>().is_some_and(|(length, rest)| {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            self.skip > 0 || length > FRAME_BYTES_MAX || rest.len() >= length
        })
    }

    /// Reads what is there; returns whether the stream goes on.
    pub(super) fn fill(&mut self, link: impl AsFd) -> io::Result<Filled> {
        self.make_room();
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        match read(link, room) {
            Ok(0) => Ok(Filled::Over),
            Ok(count) => {
                self.end += count;
                Ok(Filled::Some)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(Filled::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Puts bytes behind those that are there, as [`Self::fill`] does; returns how many fitted.
    pub(super) fn push(&mut self, bytes: &[u8]) -> usize {
        self.make_room();
        let room = self.bytes.get_mut(self.end..).unwrap_or_default();
        let count = room.len().min(bytes.len());
        room[..count].copy_from_slice(&bytes[..count]);
        self.end += count;
        count
    }

    fn make_room(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.bytes.len() - self.end < LENGTH_BYTES + FRAME_BYTES_MAX {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
    }

    /// Returns the next whole frame.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let waiting = self.bytes.get(self.start..self.end)?;
            if self.skip > 0 {
                let passed = self.skip.min(waiting.len());
                self.start += passed;
                self.skip -= passed;
                if self.skip > 0 {
                    return None;
                }
                continue;
            }
            let (length, _) = waiting.split_first_chunk::<LENGTH_BYTES>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&length) {
                self.malformed += 1;
                self.start += LENGTH_BYTES;
                self.skip = length;
                continue;
            }
            if waiting.len() < LENGTH_BYTES + length {
                return None;
            }
            let from = self.start + LENGTH_BYTES;
            self.start = from + length;
            return self.bytes.get(from..from + length);
        }
    }
}

/// What reading came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Filled {
    /// Something was read.
    Some,
    /// There is nothing now.
    Nothing,
    /// The guest's machine is gone.
    Over,
}

/// What waits for the guest.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    bytes: Vec<u8>,
    start: usize,
    /// Where each frame that is not wholly written ends.
    ends: std::collections::VecDeque<usize>,
    /// Packets that were cut.
    cut: u32,
    /// What went through the wire, both ways.
    pub(super) carried: Carried,
}

impl Outgoing {
    /// Tells whether something waits.
    pub(super) fn waits(&self) -> bool {
        self.start < self.bytes.len()
    }

    /// Tells whether more can be made.
    pub(super) fn has_room(&self) -> bool {
        self.bytes.len() - self.start < OUT_BYTES_MAX && self.ends.len() < OUT_FRAMES_MAX
    }

    /// Returns a number that no packet before had that was cut.
    pub(super) fn next_cut(&mut self) -> u32 {
        self.cut = self.cut.wrapping_add(1);
        self.cut
    }

    /// Adds a frame of this length, which `fill` writes.
    pub(super) fn frame<R>(&mut self, length: usize, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        let from = self.bytes.len();
        self.bytes.extend_from_slice(&u32::try_from(length).unwrap_or(0).to_be_bytes());
        self.bytes.resize(from + LENGTH_BYTES + length, 0);
        self.ends.push_back(self.bytes.len());
        fill(self.bytes.get_mut(from + LENGTH_BYTES..).unwrap_or_default())
    }

    /// Takes everything out, frame by frame; nothing of it was written yet.
    pub(super) fn take(&mut self) -> Vec<Vec<u8>> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut start = std::mem::take(&mut self.start);
        let frame = |end| {
            let frame = bytes.get(start + LENGTH_BYTES..end).unwrap_or_default().to_vec();
            start = end;
            frame
        };
        self.ends.drain(..).map(frame).collect()
    }

    /// Writes what the link takes.
    pub(super) fn drain(&mut self, link: impl AsFd) -> io::Result<()> {
        while self.waits() {
            match write(&link, self.bytes.get(self.start..).unwrap_or_default()) {
                Ok(count) => self.start += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(errno) => return Err(errno.into()),
            }
        }
        while self.ends.front().is_some_and(|end| *end <= self.start) {
            self.ends.pop_front();
        }
        if !self.waits() {
            self.bytes.clear();
            self.start = 0;
        } else if self.start > OUT_BYTES_MAX {
            self.bytes.drain(..self.start);
            self.ends.iter_mut().for_each(|end| *end -= self.start);
            self.start = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(frame: &[u8]) -> Vec<u8> {
        let length = u32::try_from(frame.len()).unwrap().to_be_bytes();
        [&length, frame].concat()
    }

    #[test]
    fn frames_come_whole_however_the_stream_is_cut() {
        let frames: Vec<Vec<u8>> = [14, 60, 1514, 65_534]
            .map(|length| vec![u8::try_from(length % 251).unwrap(); length])
            .to_vec();
        let stream: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
        for cut in [1, 3, 4, 7, 1000, 70_000] {
            let (mut incoming, mut came) = (Incoming::new(), Vec::new());
            for part in stream.chunks(cut) {
                assert_eq!(incoming.push(part), part.len());
                while let Some(frame) = incoming.next() {
                    came.push(frame.to_vec());
                }
            }
            assert!(came == frames, "cut into {cut}");
        }
    }

    #[test]
    fn what_is_no_frame_is_counted_and_passed_over() {
        let mut incoming = Incoming::new();
        let stream = [
            framed(&[1; 13]),
            framed(&[2; 20]),
            framed(&[]),
            framed(&vec![3; 65_535]),
            framed(&[4; 14]),
        ];
        let mut came = Vec::new();
        for part in stream.concat().chunks(999) {
            incoming.push(part);
            while let Some(frame) = incoming.next() {
                came.push((frame[0], frame.len()));
            }
        }
        assert_eq!((came.as_slice(), incoming.malformed), (&[(2, 20), (4, 14)][..], 3));
    }

    #[test]
    fn what_waits_is_written_in_its_order() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        let (mut outgoing, mut incoming) = (Outgoing::default(), Incoming::new());
        let (mut made, mut came) = (0_u32, 0_u32);
        while came < 2000 {
            while made < 2000 && outgoing.has_room() {
                outgoing.frame(1000, |frame| frame[..4].copy_from_slice(&made.to_be_bytes()));
                made += 1;
            }
            outgoing.drain(&ours).unwrap();
            incoming.fill(&theirs).unwrap();
            while let Some(frame) = incoming.next() {
                assert_eq!(frame[..4], came.to_be_bytes());
                came += 1;
            }
        }
        assert!(!outgoing.waits());
    }
}
