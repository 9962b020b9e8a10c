//! From frames to packets: the gateway's hardware address is told, and nobody else's.

use std::net::Ipv6Addr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol,
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv6Packet, Ipv6Repr, NdiscNeighborFlags, NdiscRepr,
    RawHardwareAddress,
};

use super::addresses::{GATEWAY, GATEWAY_MAC, GATEWAY6, GUEST, GUEST6, MTU};
use super::fragments;
use super::link::{FRAME_BYTES_MIN, Outgoing};

/// Where the guest is on its wire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wire {
    guest: EthernetAddress,
}

/// What a frame holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framed<'a> {
    /// A packet of the internet protocols.
    Packet(&'a [u8]),
    /// It was a question of the wire's own, or nobody's business.
    Nothing,
    /// It is not from this guest.
    Foreign,
}

impl Wire {
    pub(super) const fn new(guest: [u8; 6]) -> Self {
        Self { guest: EthernetAddress(guest) }
    }

    /// Takes a frame apart; what the wire asks itself is answered here.
    pub(super) fn open<'f>(self, frame: &'f [u8], outgoing: &mut Outgoing) -> Framed<'f> {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return Framed::Foreign };
        if ethernet.src_addr() != self.guest {
            return Framed::Foreign;
        }
        let to = ethernet.dst_addr();
        let payload = frame.get(FRAME_BYTES_MIN..).unwrap_or_default();
        if matches!(ethernet.ethertype(), EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6) {
            outgoing.carried.take(payload.len());
        }
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                self.answer_arp(payload, outgoing);
                Framed::Nothing
            }
            EthernetProtocol::Ipv6 if self.answer_neighbor(payload, outgoing) => Framed::Nothing,
            EthernetProtocol::Ipv4 | EthernetProtocol::Ipv6 if to == GATEWAY_ADDRESS => {
                Framed::Packet(payload)
            }
            // Broadcast, multicast and what else a system says to its neighbors.
            _ => Framed::Nothing,
        }
    }

    /// Adds a packet for the guest, which `fill` writes; one that is too long for it goes in pieces.
    pub(super) fn send<R>(
        self,
        outgoing: &mut Outgoing,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        if length <= MTU {
            return self.send_one(outgoing, length, fill);
        }
        let mut packet = vec![0; length];
        let result = fill(&mut packet);
        for piece in fragments::cut(&packet, outgoing.next_cut()) {
            self.send_one(outgoing, piece.len(), |room| room.copy_from_slice(&piece));
        }
        result
    }

    fn send_one<R>(
        self,
        outgoing: &mut Outgoing,
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        outgoing.carried.give(length);
        outgoing.frame(FRAME_BYTES_MIN + length, |frame| {
            let (header, packet) = frame.split_at_mut(FRAME_BYTES_MIN.min(frame.len()));
            let result = fill(packet);
            let protocol = match packet.first().map(|first| first >> 4) {
                Some(6) => EthernetProtocol::Ipv6,
                _ => EthernetProtocol::Ipv4,
            };
            let mut header = EthernetFrame::new_unchecked(header);
            header.set_dst_addr(self.guest);
            header.set_src_addr(GATEWAY_ADDRESS);
            header.set_ethertype(protocol);
            result
        })
    }

    fn answer_arp(self, payload: &[u8], outgoing: &mut Outgoing) {
        let asked = ArpPacket::new_checked(payload).ok().and_then(|arp| ArpRepr::parse(&arp).ok());
        let Some(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr,
            target_protocol_addr,
            ..
        }) = asked
        else {
            return;
        };
        let is_ours = operation == ArpOperation::Request
            && source_hardware_addr == self.guest
            && target_protocol_addr == GATEWAY;
        if !is_ours {
            return;
        }
        let answer = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: GATEWAY_ADDRESS,
            source_protocol_addr: GATEWAY,
            target_hardware_addr: self.guest,
            target_protocol_addr: GUEST,
        };
        outgoing.frame(FRAME_BYTES_MIN + answer.buffer_len(), |frame| {
            let mut ethernet = EthernetFrame::new_unchecked(frame);
            ethernet.set_dst_addr(self.guest);
            ethernet.set_src_addr(GATEWAY_ADDRESS);
            ethernet.set_ethertype(EthernetProtocol::Arp);
            answer.emit(&mut ArpPacket::new_unchecked(ethernet.payload_mut()));
        });
    }

    /// Answers who asks for the gateway by IPv6; tells whether it was such a question.
    fn answer_neighbor(self, payload: &[u8], outgoing: &mut Outgoing) -> bool {
        let Ok(ip) = Ipv6Packet::new_checked(payload) else { return false };
        if ip.next_header() != IpProtocol::Icmpv6 {
            return false;
        }
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        let checks = ChecksumCapabilities::default();
        let message = Icmpv6Packet::new_checked(ip.payload()).ok();
        let asked = message.and_then(|it| Icmpv6Repr::parse(&from, &to, &it, &checks).ok());
        let Some(Icmpv6Repr::Ndisc(asked)) = asked else { return false };
        if let NdiscRepr::NeighborSolicit { target_addr, .. } = asked
            && target_addr == GATEWAY6
            && (from == GUEST6 || is_link_local(from))
        {
            self.tell_neighbor(from, outgoing);
        }
        true
    }

    fn tell_neighbor(self, to: Ipv6Addr, outgoing: &mut Outgoing) {
        let answer = Icmpv6Repr::Ndisc(NdiscRepr::NeighborAdvert {
            flags: NdiscNeighborFlags::SOLICITED
                | NdiscNeighborFlags::OVERRIDE
                | NdiscNeighborFlags::ROUTER,
            target_addr: GATEWAY6,
            lladdr: Some(RawHardwareAddress::from(GATEWAY_ADDRESS)),
        });
        let ip = Ipv6Repr {
            src_addr: GATEWAY6,
            dst_addr: to,
            next_header: IpProtocol::Icmpv6,
            payload_len: answer.buffer_len(),
            hop_limit: 255,
        };
        self.send(outgoing, ip.buffer_len() + answer.buffer_len(), |packet| {
            let mut packet = Ipv6Packet::new_unchecked(packet);
            ip.emit(&mut packet);
            let mut message = Icmpv6Packet::new_unchecked(packet.payload_mut());
            answer.emit(&GATEWAY6, &to, &mut message, &ChecksumCapabilities::default());
        });
    }
}

const GATEWAY_ADDRESS: EthernetAddress = EthernetAddress(GATEWAY_MAC);

const fn is_link_local(address: Ipv6Addr) -> bool {
    address.segments()[0] & 0xffc0 == 0xfe80
}
