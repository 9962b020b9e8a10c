//! Datagrams: a flow of the guest to one far end has a connected socket of the host.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket, UdpRepr};

use super::addresses::{GUEST, GUEST6};
use super::ether::Wire;
use super::limits::Lane;
use super::link::Outgoing;

/// How long a flow is kept that says nothing.
const IDLE: Duration = Duration::from_secs(60);
/// The same where one question had one answer.
const IDLE_ASKED: Duration = Duration::from_secs(10);
/// The longest datagram.
pub(super) const DATAGRAM_BYTES_MAX: usize = 65_507;
/// How many datagrams are taken at once.
const BATCH: usize = 64;

/// See the module.
pub(super) struct Flow {
    host: OwnedFd,
    /// As the guest called it.
    remote: SocketAddr,
    port: u16,
    sent: u64,
    came: u64,
    last: Instant,
}

/// What reading a flow came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// Nothing waits any more.
    All,
    /// The far end says that nobody listens.
    Refused,
}

impl Flow {
    pub(super) const fn new(host: OwnedFd, remote: SocketAddr, port: u16, now: Instant) -> Self {
        Self { host, remote, port, sent: 0, came: 0, last: now }
    }

    /// Returns the host's socket.
    pub(super) fn host(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    /// Sends a datagram of the guest; what the host does not take now is lost, as datagrams are.
    pub(super) fn send(&mut self, payload: &[u8], now: Instant) -> Came {
        (self.last, self.sent) = (now, self.sent + 1);
        match send(&self.host, payload, SendFlags::NOSIGNAL) {
            Err(Errno::CONNREFUSED) => Came::Refused,
            Ok(_) | Err(_) => Came::All,
        }
    }

    /// Gives the guest what came.
    pub(super) fn receive(
        &mut self,
        scratch: &mut [u8],
        (wire, outgoing, limit): (Wire, &mut Outgoing, &mut Lane),
        now: Instant,
    ) -> Came {
        for _ in 0..BATCH {
            match recv(&self.host, &mut *scratch, RecvFlags::empty()) {
                Ok((count, _)) => {
                    (self.last, self.came) = (now, self.came + 1);
                    let payload = scratch.get(..count).unwrap_or_default();
                    if limit.passes(count, now) {
                        deliver((self.remote, self.port), payload, (wire, outgoing));
                    }
                }
                Err(Errno::CONNREFUSED) => return Came::Refused,
                Err(Errno::INTR) => {}
                Err(_) => break,
            }
        }
        Came::All
    }

    /// Returns when it is forgotten.
    pub(super) fn until(&self) -> Instant {
        self.last + if (self.sent, self.came) == (1, 1) { IDLE_ASKED } else { IDLE }
    }
}

/// Gives the guest's `port` a datagram from `from`.
pub(super) fn deliver(
    (from, port): (SocketAddr, u16),
    payload: &[u8],
    (wire, outgoing): (Wire, &mut Outgoing),
) {
    if !outgoing.has_room() || payload.len() > DATAGRAM_BYTES_MAX {
        return;
    }
    let checks = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: from.port(), dst_port: port };
    let length = udp.header_len() + payload.len();
    let emit = |bytes: &mut [u8], source: IpAddr, guest: IpAddr| {
        let mut datagram = UdpPacket::new_unchecked(bytes);
        let fill = |room: &mut [u8]| room.copy_from_slice(payload);
        udp.emit(&mut datagram, &source.into(), &guest.into(), payload.len(), fill, &checks);
    };
    match from.ip() {
        IpAddr::V4(source) => {
            let ip = Ipv4Repr {
                src_addr: source,
                dst_addr: GUEST,
                next_header: IpProtocol::Udp,
                payload_len: length,
                hop_limit: 64,
            };
            wire.send(outgoing, ip.buffer_len() + length, |packet| {
                let mut packet = Ipv4Packet::new_unchecked(packet);
                ip.emit(&mut packet, &checks);
                emit(packet.payload_mut(), source.into(), GUEST.into());
            });
        }
        IpAddr::V6(source) => {
            let ip = Ipv6Repr {
                src_addr: source,
                dst_addr: GUEST6,
                next_header: IpProtocol::Udp,
                payload_len: length,
                hop_limit: 64,
            };
            wire.send(outgoing, ip.buffer_len() + length, |packet| {
                let mut packet = Ipv6Packet::new_unchecked(packet);
                ip.emit(&mut packet);
                emit(packet.payload_mut(), source.into(), GUEST6.into());
            });
        }
    }
}
