//! The two lines that are said before a connection between siblings is one.

use std::os::fd::AsFd;

use rustix::io::{Errno, write};
use rustix::net::{RecvFlags, recv};
use schema::peer::{Answer, LINE_BYTES_MAX};

/// A line that is being heard. Nothing behind it is taken: that belongs to the connection.
#[derive(Debug, Default)]
pub(in crate::net) struct Line(Vec<u8>);

impl Line {
    /// Returns the line once it is whole; `None` where more is to come.
    pub(super) fn hear(&mut self, from: impl AsFd) -> Result<Option<Vec<u8>>, Errno> {
        let mut room = [0; LINE_BYTES_MAX];
        loop {
            let left = LINE_BYTES_MAX - self.0.len();
            if left == 0 {
                return Err(Errno::MSGSIZE);
            }
            let seen = match recv(&from, &mut room[..left], RecvFlags::PEEK) {
                Ok((0, _)) => return Err(Errno::PIPE),
                Ok((seen, _)) => seen,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno),
            };
            let end = room[..seen].iter().position(|byte| *byte == b'\n');
            let count = end.map_or(seen, |end| end + 1);
            let (count, _) = recv(&from, &mut room[..count], RecvFlags::empty())?;
            self.0.extend_from_slice(&room[..count]);
            if self.0.ends_with(b"\n") {
                return Ok(Some(std::mem::take(&mut self.0)));
            }
        }
    }
}

/// What a caller has said, and waits for an answer to.
#[derive(Debug)]
pub(in crate::net) struct Asking {
    /// What is still to be said.
    out: Vec<u8>,
    heard: Line,
    expected: Answer,
}

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::net) enum Asked {
    /// It is not said, or not answered yet.
    Pending,
    /// It is a connection.
    Taken,
    /// It is none.
    Refused,
}

impl Asking {
    /// Returns a call that is to be said, and the answer that makes a connection of it.
    pub(super) fn new(call: Vec<u8>, expected: Answer) -> Self {
        Self { out: call, heard: Line::default(), expected }
    }

    /// Says what is left to say, and hears the answer.
    pub(in crate::net) fn go_on(&mut self, with: impl AsFd) -> Asked {
        while !self.out.is_empty() {
            match write(&with, &self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Asked::Pending,
                Err(_) => return Asked::Refused,
            }
        }
        match self.heard.hear(with) {
            Ok(None) => Asked::Pending,
            Ok(Some(line)) => match serde_json::from_slice::<Answer>(&line) {
                Ok(answer) if answer == self.expected => Asked::Taken,
                Ok(answer) => {
                    tracing::debug!(?answer, "a sibling refused a call");
                    Asked::Refused
                }
                Err(_) => Asked::Refused,
            },
            Err(_) => Asked::Refused,
        }
    }

    /// Tells whether something is left to say.
    pub(in crate::net) const fn has_words(&self) -> bool {
        !self.out.is_empty()
    }
}

/// What a target says once its guest has answered.
#[derive(Debug)]
pub(in crate::net) struct Answering {
    taken: Vec<u8>,
    refused: Vec<u8>,
}

impl Answering {
    pub(super) const fn new(taken: Vec<u8>, refused: Vec<u8>) -> Self {
        Self { taken, refused }
    }

    /// Says that it is a connection; tells whether that was taken.
    pub(in crate::net) fn take(&self, with: impl AsFd) -> bool {
        say(with, &self.taken)
    }

    /// Says that it is none.
    pub(in crate::net) fn refuse(&self, with: impl AsFd) {
        say(with, &self.refused);
    }
}

/// Says a line on a socket on which nothing was said before, so there is room; tells whether that is so.
pub(super) fn say(with: impl AsFd, line: &[u8]) -> bool {
    write(with, line).is_ok_and(|count| count == line.len())
}
