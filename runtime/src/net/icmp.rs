//! What the gateway says by ICMP: that a port or a host is not to be reached, and that it is there.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv4DstUnreachable, Icmpv4Packet, Icmpv4Repr, Icmpv6DstUnreachable, Icmpv6Packet, Icmpv6Repr,
    IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr,
};

use super::addresses::{GATEWAY, GATEWAY6, GUEST, GUEST6};
use super::echo::Asked;
use super::ether::Wire;
use super::link::Outgoing;

/// Hops that an answer may take; the guest is the next one.
const HOPS: u8 = 64;
/// The bytes of a datagram that a refusal repeats, at most.
const REPEATED: usize = 512;

/// Why something is not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody listens there.
    Port,
    /// It is not allowed.
    Prohibited,
    /// There is no way there.
    Host,
}

/// Gives the guest the answer to an echo, as `from` gave it.
pub(super) fn answer(from: IpAddr, echo: &Asked<'_>, (wire, outgoing): (Wire, &mut Outgoing)) {
    if !outgoing.has_room() {
        return;
    }
    let Asked { ident, sequence: seq_no, data } = *echo;
    match from {
        IpAddr::V4(from) => {
            send4((from, &Icmpv4Repr::EchoReply { ident, seq_no, data }), (wire, outgoing));
        }
        IpAddr::V6(from) => {
            send6((from, &Icmpv6Repr::EchoReply { ident, seq_no, data }), (wire, outgoing));
        }
    }
}

/// Tells the guest that a packet of its was not delivered.
pub(super) fn refuse(packet: &[u8], why: Refusal, (wire, outgoing): (Wire, &mut Outgoing)) {
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            let Ok(sent) = Ipv4Packet::new_checked(packet) else { return };
            let header = Ipv4Repr {
                src_addr: sent.src_addr(),
                dst_addr: sent.dst_addr(),
                next_header: sent.next_header(),
                payload_len: sent.payload().len(),
                hop_limit: sent.hop_limit(),
            };
            let data = sent.payload().get(..REPEATED.min(sent.payload().len())).unwrap_or_default();
            let reason = match why {
                Refusal::Port => Icmpv4DstUnreachable::PortUnreachable,
                Refusal::Prohibited => Icmpv4DstUnreachable::CommProhibited,
                Refusal::Host => Icmpv4DstUnreachable::HostUnreachable,
            };
            send4(
                (GATEWAY, &Icmpv4Repr::DstUnreachable { reason, header, data }),
                (wire, outgoing),
            );
        }
        Some(6) => {
            let Ok(sent) = Ipv6Packet::new_checked(packet) else { return };
            let header = Ipv6Repr {
                src_addr: sent.src_addr(),
                dst_addr: sent.dst_addr(),
                next_header: sent.next_header(),
                payload_len: sent.payload().len(),
                hop_limit: sent.hop_limit(),
            };
            let data = sent.payload().get(..REPEATED.min(sent.payload().len())).unwrap_or_default();
            let reason = match why {
                Refusal::Port => Icmpv6DstUnreachable::PortUnreachable,
                Refusal::Prohibited => Icmpv6DstUnreachable::AdminProhibit,
                Refusal::Host => Icmpv6DstUnreachable::AddrUnreachable,
            };
            send6(
                (GATEWAY6, &Icmpv6Repr::DstUnreachable { reason, header, data }),
                (wire, outgoing),
            );
        }
        _ => {}
    }
}

fn send4(
    (from, message): (std::net::Ipv4Addr, &Icmpv4Repr<'_>),
    (wire, outgoing): (Wire, &mut Outgoing),
) {
    let checks = ChecksumCapabilities::default();
    let ip = Ipv4Repr {
        src_addr: from,
        dst_addr: GUEST,
        next_header: IpProtocol::Icmp,
        payload_len: message.buffer_len(),
        hop_limit: HOPS,
    };
    wire.send(outgoing, ip.buffer_len() + message.buffer_len(), |packet| {
        let mut packet = Ipv4Packet::new_unchecked(packet);
        ip.emit(&mut packet, &checks);
        message.emit(&mut Icmpv4Packet::new_unchecked(packet.payload_mut()), &checks);
    });
}

fn send6(
    (from, message): (std::net::Ipv6Addr, &Icmpv6Repr<'_>),
    (wire, outgoing): (Wire, &mut Outgoing),
) {
    let checks = ChecksumCapabilities::default();
    let ip = Ipv6Repr {
        src_addr: from,
        dst_addr: GUEST6,
        next_header: IpProtocol::Icmpv6,
        payload_len: message.buffer_len(),
        hop_limit: HOPS,
    };
    wire.send(outgoing, ip.buffer_len() + message.buffer_len(), |packet| {
        let mut packet = Ipv6Packet::new_unchecked(packet);
        ip.emit(&mut packet);
        let mut inner = Icmpv6Packet::new_unchecked(packet.payload_mut());
        message.emit(&from, &GUEST6, &mut inner, &checks);
    });
}
