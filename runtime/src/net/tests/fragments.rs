//! Packets in pieces, on the wire of a guest.

use std::net::IpAddr;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    Icmpv6Packet, Icmpv6Repr, IpProtocol, Ipv4Packet, Ipv4Repr, Ipv6Packet, Ipv6Repr, UdpPacket,
    UdpRepr,
};

use super::super::addresses::{GATEWAY, GATEWAY6, GUEST, GUEST6, MTU};
use super::super::fragments::{Fragments, cut};
use super::super::udp::DATAGRAM_BYTES_MAX;
use super::guest::Guest;
use super::{echo_datagrams, hosts, policy};
use crate::clock::{Clock as _, HostClock};
use schema::project::network::Preset;

const FROM: u16 = 5000;

/// A datagram of the guest to a port of the gateway, whole.
fn datagram(port: u16, payload: &[u8]) -> Vec<u8> {
    let checks = ChecksumCapabilities::default();
    let udp = UdpRepr { src_port: FROM, dst_port: port };
    let length = udp.header_len() + payload.len();
    let ip = Ipv4Repr {
        src_addr: GUEST,
        dst_addr: GATEWAY,
        next_header: IpProtocol::Udp,
        payload_len: length,
        hop_limit: 64,
    };
    let mut bytes = vec![0; ip.buffer_len() + length];
    let mut packet = Ipv4Packet::new_unchecked(&mut bytes[..]);
    ip.emit(&mut packet, &checks);
    let mut inner = UdpPacket::new_unchecked(packet.payload_mut());
    let fill = |room: &mut [u8]| room.copy_from_slice(payload);
    udp.emit(&mut inner, &GUEST.into(), &GATEWAY.into(), payload.len(), fill, &checks);
    bytes
}

/// Takes pieces until a packet is whole.
fn take_whole(guest: &mut Guest) -> (Vec<u8>, usize) {
    let mut fragments = Fragments::default();
    for count in 1.. {
        let packet = guest.take();
        assert!(packet.len() <= MTU, "{} bytes", packet.len());
        let is_piece = match packet[0] >> 4 {
            4 => {
                let head = Ipv4Packet::new_checked(&packet[..]).unwrap();
                assert!(head.verify_checksum());
                head.more_frags() || head.frag_offset() > 0
            }
            _ => packet[6] == 44,
        };
        if !is_piece {
            return (packet, count);
        }
        if let Some(whole) = fragments.take(&packet, HostClock.now()).unwrap() {
            return (whole, count);
        }
    }
    unreachable!("pieces without an end");
}

#[test]
fn rt_9_7_datagrams_go_out_and_come_back_up_to_the_longest_there_is() {
    let port = echo_datagrams();
    let mut guest = Guest::new(hosts(), Vec::new());
    for (length, pieces) in [(9, 1), (65_492, 1), (65_493, 2), (DATAGRAM_BYTES_MAX, 2)] {
        let payload: Vec<u8> = (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect();
        let whole = datagram(port, &payload);
        if pieces == 1 {
            guest.put(&whole);
        } else {
            // Small ones, the last first.
            let mut small = whole.clone();
            Ipv4Packet::new_unchecked(&mut small[..]).set_ident(9);
            cut(&small, 9).iter().rev().for_each(|piece| guest.put(piece));
        }
        let (came, count) = take_whole(&mut guest);
        assert_eq!(count, pieces, "{length}");
        let ip = Ipv4Packet::new_checked(&came[..]).unwrap();
        let udp = UdpPacket::new_checked(ip.payload()).unwrap();
        let (from, to) = (IpAddr::V4(GATEWAY).into(), IpAddr::V4(GUEST).into());
        assert!(udp.verify_checksum(&from, &to), "{length}");
        assert!((udp.dst_port(), udp.payload()) == (FROM, &payload[..]), "{length}");
    }
    let figures = guest.figures();
    assert_eq!((figures.flows, figures.malformed), (1, 0));
}

#[test]
fn rt_9_7_an_echo_in_pieces_is_answered_in_pieces_by_ipv6_too() {
    let mut guest = Guest::new(policy(Preset::None, &[]), Vec::new());
    let data = vec![7; 65_500];
    let checks = ChecksumCapabilities::default();
    let echo = Icmpv6Repr::EchoRequest { ident: 7, seq_no: 1, data: &data };
    let ip = Ipv6Repr {
        src_addr: GUEST6,
        dst_addr: GATEWAY6,
        next_header: IpProtocol::Icmpv6,
        payload_len: echo.buffer_len(),
        hop_limit: 64,
    };
    let mut bytes = vec![0; ip.buffer_len() + echo.buffer_len()];
    let mut packet = Ipv6Packet::new_unchecked(&mut bytes[..]);
    ip.emit(&mut packet);
    let mut inner = Icmpv6Packet::new_unchecked(packet.payload_mut());
    echo.emit(&GUEST6, &GATEWAY6, &mut inner, &checks);
    cut(&bytes, 3).iter().for_each(|piece| guest.put(piece));
    let (came, count) = take_whole(&mut guest);
    let ip = Ipv6Packet::new_checked(&came[..]).unwrap();
    let inner = Icmpv6Packet::new_checked(ip.payload()).unwrap();
    let answer = Icmpv6Repr::parse(&GATEWAY6, &GUEST6, &inner, &checks).unwrap();
    assert_eq!(answer, Icmpv6Repr::EchoReply { ident: 7, seq_no: 1, data: &data });
    assert_eq!(count, 2);
}

#[test]
fn rt_9_7_pieces_that_overlap_are_counted_and_what_comes_behind_them_passes() {
    let mut guest = Guest::new(policy(Preset::None, &[]), Vec::new());
    let pieces = cut(&datagram(9, &[1; 65_507]), 5);
    guest.put(&pieces[0]);
    guest.put(&pieces[0]);
    guest.put(&[&pieces[1][..], b"behind"].concat());
    guest.until("it is counted", |guest| guest.figures().malformed == 1);
    assert!(guest.ping(GATEWAY.into()));
    assert_eq!(guest.figures().flows, 0);
}
