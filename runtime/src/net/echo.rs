//! Echoes to the world, through the host's unprivileged sockets for them.
//!
//! The kernel puts a number of its own into what goes out; the guest gets its own back. Where the host
//! does not let us (`net.ipv4.ping_group_range`), an echo is answered as not allowed.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto, recv, send,
    socket_with,
};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr};

use super::addresses::GUEST6;
use super::ether::Wire;
use super::icmp;
use super::limits::Lane;
use super::link::Outgoing;

/// How long a flow of echoes is kept that says nothing.
const IDLE: Duration = Duration::from_secs(30);
/// How many answers are taken at once.
const BATCH: usize = 16;

/// The echoes of one number to one far end.
pub(super) struct Echo {
    host: OwnedFd,
    remote: IpAddr,
    ident: u16,
    last: Instant,
}

/// An echo that a guest asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) ident: u16,
    pub(super) sequence: u16,
    pub(super) data: &'a [u8],
}

/// Reads an echo request to `to`.
pub(super) fn asked(to: IpAddr, message: &[u8]) -> Option<Asked<'_>> {
    let checks = ChecksumCapabilities::default();
    match to {
        IpAddr::V4(_) => {
            let packet = Icmpv4Packet::new_checked(message).ok()?;
            match Icmpv4Repr::parse(&packet, &checks).ok()? {
                Icmpv4Repr::EchoRequest { ident, seq_no, data } => {
                    Some(Asked { ident, sequence: seq_no, data })
                }
                _ => None,
            }
        }
        IpAddr::V6(to) => {
            let packet = Icmpv6Packet::new_checked(message).ok()?;
            match Icmpv6Repr::parse(&GUEST6, &to, &packet, &checks).ok()? {
                Icmpv6Repr::EchoRequest { ident, seq_no, data } => {
                    Some(Asked { ident, sequence: seq_no, data })
                }
                _ => None,
            }
        }
    }
}

impl Echo {
    /// Opens the host's socket.
    pub(super) fn open(remote: IpAddr, ident: u16, now: Instant) -> Result<Self, Errno> {
        let (family, protocol) = match remote {
            IpAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP),
            IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let host = socket_with(family, SocketType::DGRAM, flags, Some(protocol))?;
        connect(&host, &SocketAddr::new(remote, 0))?;
        Ok(Self { host, remote, ident, last: now })
    }

    /// Returns the host's socket.
    pub(super) fn host(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    /// Sends an echo; what the host does not take now is lost.
    pub(super) fn send(&mut self, asked: &Asked<'_>, now: Instant) {
        self.last = now;
        let Asked { ident, sequence, data } = *asked;
        let checks = ChecksumCapabilities::default();
        let message = match self.remote {
            IpAddr::V4(_) => {
                let echo = Icmpv4Repr::EchoRequest { ident, seq_no: sequence, data };
                let mut bytes = vec![0; echo.buffer_len()];
                echo.emit(&mut Icmpv4Packet::new_unchecked(&mut bytes[..]), &checks);
                bytes
            }
            IpAddr::V6(to) => {
                let echo = Icmpv6Repr::EchoRequest { ident, seq_no: sequence, data };
                let mut bytes = vec![0; echo.buffer_len()];
                // The kernel knows the address it sends from, and sums again.
                echo.emit(&to, &to, &mut Icmpv6Packet::new_unchecked(&mut bytes[..]), &checks);
                bytes
            }
        };
        send(&self.host, &message, SendFlags::NOSIGNAL).ok();
    }

    /// Gives the guest the answers that came.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        (wire, outgoing, limit): (Wire, &mut Outgoing, &mut Lane),
        now: Instant,
    ) {
        for _ in 0..BATCH {
            let count = match recv(&self.host, &mut *scratch, RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(_) => break,
            };
            self.last = now;
            // Type, code, sum, number, place in line: the same for both protocols.
            let Some((head, data)) = scratch.get(..count).and_then(<[u8]>::split_first_chunk::<8>)
            else {
                continue;
            };
            let [kind, _, _, _, _, _, high, low] = *head;
            let is_answer = kind == if self.remote.is_ipv4() { 0 } else { 129 };
            if is_answer && limit.passes(data.len(), now) {
                let answer =
                    Asked { ident: self.ident, sequence: u16::from_be_bytes([high, low]), data };
                icmp::answer(self.remote, &answer, (wire, &mut *outgoing));
            }
        }
    }

    /// Returns when it is forgotten.
    pub(super) fn until(&self) -> Instant {
        self.last + IDLE
    }
}
