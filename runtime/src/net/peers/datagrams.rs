//! Datagrams between siblings: a stream of the host's, on which each has its length before it.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::{Errno, read, write};
use schema::peer::LENGTH_BYTES;

use super::line::{Asked, Asking};
use crate::net::ether::Wire;
use crate::net::limits::Lane;
use crate::net::link::Outgoing;
use crate::net::table::Key;
use crate::net::udp::{self, DATAGRAM_BYTES_MAX};
use crate::net::watch::Interest;

/// How long a flow is kept that says nothing.
const IDLE: Duration = Duration::from_secs(60);
/// How long a flow that was refused is remembered, so that not every datagram asks again.
const REFUSED: Duration = Duration::from_secs(1);
/// What waits to be written at most; beyond it datagrams are lost, as datagrams are.
const OUT_BYTES_MAX: usize = 256 << 10;
/// How many times the stream is read at once.
const BATCH: usize = 16;

/// See the module.
#[derive(Debug)]
pub(in crate::net) struct Datagrams {
    host: OwnedFd,
    stage: Stage,
    /// Whether the sibling began it.
    is_called: bool,
    out: Vec<u8>,
    came: Vec<u8>,
    until: Instant,
}

/// Where a flow stands.
#[derive(Debug)]
enum Stage {
    /// The sibling has not answered yet.
    Asking(Asking),
    /// Datagrams go both ways.
    Open,
    /// There is nothing at the other end.
    Closed,
}

impl Datagrams {
    /// Returns a flow that the guest began.
    pub(super) fn of_guest(host: OwnedFd, asking: Asking, until: Instant) -> Self {
        let (out, came) = (Vec::new(), Vec::new());
        Self { host, stage: Stage::Asking(asking), is_called: false, out, came, until }
    }

    /// Returns a flow that a sibling began.
    pub(super) fn of_sibling(host: OwnedFd, now: Instant) -> Self {
        let (out, came) = (Vec::new(), Vec::new());
        Self { host, stage: Stage::Open, is_called: true, out, came, until: now + IDLE }
    }

    /// Returns the socket between the two.
    pub(super) fn host(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    /// Tells whether the sibling began it.
    pub(super) const fn is_called(&self) -> bool {
        self.is_called
    }

    /// Returns when it is forgotten.
    pub(super) const fn until(&self) -> Instant {
        self.until
    }

    /// Returns what it waits for.
    pub(super) const fn interest(&self) -> Interest {
        match &self.stage {
            Stage::Asking(asking) => Interest { read: true, write: asking.has_words() },
            Stage::Open => Interest { read: true, write: !self.out.is_empty() },
            Stage::Closed => Interest { read: false, write: false },
        }
    }

    /// Takes a datagram of the guest.
    pub(super) fn send(&mut self, payload: &[u8], now: Instant) {
        let Ok(length) = u16::try_from(payload.len()) else { return };
        let is_closed = matches!(self.stage, Stage::Closed);
        if is_closed || self.out.len() + LENGTH_BYTES + payload.len() > OUT_BYTES_MAX {
            return;
        }
        self.out.extend_from_slice(&length.to_be_bytes());
        self.out.extend_from_slice(payload);
        if matches!(self.stage, Stage::Open) {
            self.until = now + IDLE;
            self.flush(now);
        }
    }

    /// Does what can be done by now, and gives the guest what came.
    pub(super) fn go_on(
        &mut self,
        scratch: &mut [u8],
        key: &Key,
        (wire, outgoing, limit): (Wire, &mut Outgoing, &mut Lane),
        now: Instant,
    ) {
        if let Stage::Asking(asking) = &mut self.stage {
            match asking.go_on(&self.host) {
                Asked::Pending => return,
                Asked::Taken => (self.stage, self.until) = (Stage::Open, now + IDLE),
                Asked::Refused => return self.close(now),
            }
        }
        self.flush(now);
        for _ in 0..BATCH {
            if !matches!(self.stage, Stage::Open) {
                return;
            }
            match read(&self.host, &mut *scratch) {
                Ok(0) => return self.close(now),
                Ok(count) => {
                    self.until = now + IDLE;
                    self.came.extend_from_slice(scratch.get(..count).unwrap_or_default());
                }
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close(now),
            }
            while let Some(datagram) = take(&mut self.came) {
                if datagram.len() > DATAGRAM_BYTES_MAX {
                    return self.close(now);
                }
                if limit.passes(datagram.len(), now) {
                    udp::deliver(address(key), &datagram, (wire, &mut *outgoing));
                }
            }
        }
    }

    fn flush(&mut self, now: Instant) {
        while !self.out.is_empty() {
            match write(&self.host, &self.out) {
                Ok(count) => drop(self.out.drain(..count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => return self.close(now),
            }
        }
    }

    fn close(&mut self, now: Instant) {
        (self.stage, self.until) = (Stage::Closed, now + REFUSED);
        (self.out, self.came) = (Vec::new(), Vec::new());
    }
}

const fn address(key: &Key) -> (SocketAddr, u16) {
    (key.remote, key.port)
}

/// Takes the first whole datagram off a stream.
fn take(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let datagram = rest.get(..length)?.to_vec();
    bytes.drain(..LENGTH_BYTES + length);
    Some(datagram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_9_10_a_datagram_is_taken_when_it_is_whole_an_empty_one_too() {
        let mut bytes = [&[0, 3][..], b"abc", &[0, 0], &[0, 2], b"x"].concat();
        assert_eq!(take(&mut bytes).unwrap(), b"abc");
        assert_eq!(take(&mut bytes).unwrap(), b"");
        assert_eq!(take(&mut bytes), None);
        bytes.push(b'y');
        assert_eq!(take(&mut bytes).unwrap(), b"xy");
        assert!(bytes.is_empty());
    }
}
