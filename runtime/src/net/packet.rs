//! A packet of the guest, looked at before anything is done with it.
//!
//! Only what a guest of ours sends in good order is looked at further: from its own address, whole,
//! without options or extension headers.

use std::net::{IpAddr, SocketAddr};

use smoltcp::wire::{IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket};

use super::addresses::{GUEST, GUEST6};

/// A packet, by what it carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet<'a> {
    /// Where it goes.
    pub(super) to: IpAddr,
    /// What it carries.
    pub(super) carries: Carries<'a>,
}

/// See [`Packet`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Carries<'a> {
    /// A segment of TCP.
    Tcp { from: u16, to: u16, begins: bool },
    /// A datagram.
    Udp { from: u16, to: u16, payload: &'a [u8] },
    /// A message of ICMP, its header included.
    Icmp(&'a [u8]),
}

/// Why a packet is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It is none, or cut.
    Malformed,
    /// It says to come from somebody else.
    NotItsOwn,
    /// It is a piece of one.
    Fragment,
    /// It has options, or carries something else.
    Unsupported,
}

/// Looks at a packet.
pub(super) fn look(bytes: &[u8]) -> Result<Packet<'_>, Dropped> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => v4(bytes),
        Some(6) => v6(bytes),
        _ => Err(Dropped::Malformed),
    }
}

fn v4(bytes: &[u8]) -> Result<Packet<'_>, Dropped> {
    let packet = Ipv4Packet::new_checked(bytes).map_err(|_| Dropped::Malformed)?;
    if packet.src_addr() != GUEST {
        return Err(Dropped::NotItsOwn);
    }
    if packet.header_len() != 20 {
        return Err(Dropped::Unsupported);
    }
    if packet.more_frags() || packet.frag_offset() != 0 {
        return Err(Dropped::Fragment);
    }
    let payload = bytes
        .get(usize::from(packet.header_len())..usize::from(packet.total_len()))
        .ok_or(Dropped::Malformed)?;
    let carries = carried(packet.next_header(), IpProtocol::Icmp, payload)?;
    Ok(Packet { to: packet.dst_addr().into(), carries })
}

fn v6(bytes: &[u8]) -> Result<Packet<'_>, Dropped> {
    let packet = Ipv6Packet::new_checked(bytes).map_err(|_| Dropped::Malformed)?;
    if packet.src_addr() != GUEST6 {
        return Err(Dropped::NotItsOwn);
    }
    let end = packet.header_len() + usize::from(packet.payload_len());
    let payload = bytes.get(packet.header_len()..end).ok_or(Dropped::Malformed)?;
    let carries = match packet.next_header() {
        IpProtocol::Ipv6Frag => return Err(Dropped::Fragment),
        next => carried(next, IpProtocol::Icmpv6, payload)?,
    };
    Ok(Packet { to: packet.dst_addr().into(), carries })
}

fn carried(next: IpProtocol, icmp: IpProtocol, payload: &[u8]) -> Result<Carries<'_>, Dropped> {
    match next {
        IpProtocol::Tcp => {
            let segment = TcpPacket::new_checked(payload).map_err(|_| Dropped::Malformed)?;
            let (from, to) = (segment.src_port(), segment.dst_port());
            if from == 0 || to == 0 {
                return Err(Dropped::Malformed);
            }
            let begins = segment.syn() && !segment.ack() && !segment.rst();
            Ok(Carries::Tcp { from, to, begins })
        }
        IpProtocol::Udp => {
            let datagram = UdpPacket::new_checked(payload).map_err(|_| Dropped::Malformed)?;
            let (from, to) = (datagram.src_port(), datagram.dst_port());
            let data = payload.get(8..usize::from(datagram.len())).ok_or(Dropped::Malformed)?;
            if from == 0 || to == 0 {
                return Err(Dropped::Malformed);
            }
            Ok(Carries::Udp { from, to, payload: data })
        }
        next if next == icmp => Ok(Carries::Icmp(payload)),
        _ => Err(Dropped::Unsupported),
    }
}

impl Packet<'_> {
    /// Returns the far end of a segment or a datagram.
    pub(super) fn remote(&self) -> SocketAddr {
        let port = match self.carries {
            Carries::Tcp { to, .. } | Carries::Udp { to, .. } => to,
            Carries::Icmp(_) => 0,
        };
        SocketAddr::new(self.to, port)
    }
}
