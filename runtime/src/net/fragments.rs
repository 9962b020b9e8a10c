//! Packets in pieces: those of the guest are put together, those that are too long for it are cut.
//!
//! A piece that overlaps another, or says that the packet is as long as it cannot be, ends the packet that it
//! belongs to: the wire loses nothing and says nothing twice.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use smoltcp::wire::{Ipv4Packet, Ipv6Packet};

use super::addresses::MTU;

/// Packets that are in work at a time; the one that was begun first goes when another comes.
pub(super) const WORK_MAX: usize = 32;
/// How long a packet may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Stretches of one packet that have come, with gaps between them.
const STRETCHES_MAX: usize = 64;
/// The longest packet without its header, by protocol.
const BYTES_MAX_V4: usize = 65_535 - HEAD_V4;
const BYTES_MAX_V6: usize = 65_535;
const HEAD_V4: usize = 20;
const HEAD_V6: usize = 40;
/// The header of a piece, by IPv6.
const PIECE_V6: usize = 8;
/// The protocol by which a piece says that it is one.
const FRAGMENT_V6: u8 = 44;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    work: VecDeque<Work>,
}

/// A piece that belongs to no packet there could be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// A packet of which not everything is there.
#[derive(Debug)]
struct Work {
    whose: Whose,
    until: Instant,
    /// The header of the first piece; empty until that is there.
    head: Vec<u8>,
    bytes: Vec<u8>,
    /// What is there of them, in order, with gaps between.
    there: Vec<(usize, usize)>,
    total: Option<usize>,
}

/// What the pieces of a packet have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Whose {
    to: IpAddr,
    protocol: u8,
    ident: u32,
}

/// A piece.
struct Piece<'a> {
    whose: Whose,
    head: &'a [u8],
    start: usize,
    bytes: &'a [u8],
    has_more: bool,
}

impl Fragments {
    /// Takes a piece; returns the packet that is whole with it.
    pub(super) fn take(&mut self, packet: &[u8], now: Instant) -> Result<Option<Vec<u8>>, Unfit> {
        self.expire(now);
        let piece = read(packet).ok_or(Unfit)?;
        let at = self.work.iter().position(|work| work.whose == piece.whose);
        let is_alone = piece.start == 0 && !piece.has_more;
        let mut work = match at.filter(|_| !is_alone).and_then(|at| self.work.remove(at)) {
            Some(work) => work,
            None => Work::new(piece.whose, now),
        };
        work.add(&piece)?;
        if work.is_whole() {
            return Ok(Some(work.whole(piece.whose.to)));
        }
        // Where it was: whoever was begun first stands first.
        let at = at.unwrap_or(self.work.len());
        if self.work.len() >= WORK_MAX {
            self.work.pop_front();
        }
        self.work.insert(at.min(self.work.len()), work);
        Ok(None)
    }

    /// Forgets what took too long.
    pub(super) fn expire(&mut self, now: Instant) {
        while self.work.front().is_some_and(|work| work.until <= now) {
            self.work.pop_front();
        }
    }

    /// Returns when something is forgotten.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.work.front().map(|work| work.until)
    }

    /// Returns how many packets are in work.
    pub(super) fn len(&self) -> usize {
        self.work.len()
    }
}

impl Work {
    fn new(whose: Whose, now: Instant) -> Self {
        let (head, bytes, there) = (Vec::new(), Vec::new(), Vec::new());
        Self { whose, until: now + PATIENCE, head, bytes, there, total: None }
    }

    fn add(&mut self, piece: &Piece<'_>) -> Result<(), Unfit> {
        let (start, end) = (piece.start, piece.start + piece.bytes.len());
        let after = self.there.partition_point(|(_, until)| *until <= start);
        let overlaps = self.there.get(after).is_some_and(|(from, _)| *from < end);
        let is_beyond = self.total.is_some_and(|total| end > total || !piece.has_more);
        let is_before = !piece.has_more && end < self.bytes.len();
        if overlaps || is_beyond || is_before || self.there.len() >= STRETCHES_MAX {
            return Err(Unfit);
        }
        if start == 0 {
            self.head = piece.head.to_vec();
        }
        if !piece.has_more {
            self.total = Some(end);
        }
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(start..end).ok_or(Unfit)?.copy_from_slice(piece.bytes);
        self.there.insert(after, (start, end));
        self.join(after);
        Ok(())
    }

    /// Joins a stretch with those that it touches.
    fn join(&mut self, at: usize) {
        if let [(_, end), (start, until)] = self.there.get(at..at + 2).unwrap_or_default()
            && end == start
        {
            self.there[at].1 = *until;
            self.there.remove(at + 1);
        }
        let Some(before) = at.checked_sub(1) else { return };
        if let [(_, end), (start, until)] = self.there.get(before..=at).unwrap_or_default()
            && end == start
        {
            self.there[before].1 = *until;
            self.there.remove(at);
        }
    }

    fn is_whole(&self) -> bool {
        self.total.is_some_and(|total| self.there == [(0, total)])
    }

    fn whole(mut self, to: IpAddr) -> Vec<u8> {
        let mut packet = std::mem::take(&mut self.head);
        let head_bytes = packet.len();
        packet.append(&mut self.bytes);
        let length = |from: usize| u16::try_from(packet.len() - from).unwrap_or(u16::MAX);
        match to {
            IpAddr::V4(_) => {
                let total = length(0);
                let mut head = Ipv4Packet::new_unchecked(&mut packet[..]);
                head.clear_flags();
                head.set_frag_offset(0);
                head.set_total_len(total);
                head.fill_checksum();
            }
            IpAddr::V6(_) => {
                let payload = length(head_bytes);
                let mut head = Ipv6Packet::new_unchecked(&mut packet[..]);
                head.set_payload_len(payload);
                head.set_next_header(self.whose.protocol.into());
            }
        }
        packet
    }
}

/// Reads a piece, if it is one that can be.
fn read(packet: &[u8]) -> Option<Piece<'_>> {
    let (piece, most) = match packet.first()? >> 4 {
        4 => (read_v4(packet)?, BYTES_MAX_V4),
        _ => (read_v6(packet)?, BYTES_MAX_V6),
    };
    let is_cut = piece.has_more && !piece.bytes.len().is_multiple_of(8);
    let fits = !piece.bytes.is_empty() && piece.start + piece.bytes.len() <= most;
    (fits && !is_cut).then_some(piece)
}

fn read_v4(packet: &[u8]) -> Option<Piece<'_>> {
    let head = Ipv4Packet::new_checked(packet).ok()?;
    let whose = Whose {
        to: head.dst_addr().into(),
        protocol: head.next_header().into(),
        ident: head.ident().into(),
    };
    Some(Piece {
        whose,
        head: packet.get(..HEAD_V4)?,
        start: head.frag_offset().into(),
        bytes: packet.get(HEAD_V4..usize::from(head.total_len()))?,
        has_more: head.more_frags(),
    })
}

fn read_v6(packet: &[u8]) -> Option<Piece<'_>> {
    let head = Ipv6Packet::new_checked(packet).ok()?;
    let payload = packet.get(HEAD_V6..HEAD_V6 + usize::from(head.payload_len()))?;
    let (piece, bytes) = payload.split_first_chunk::<PIECE_V6>()?;
    let [protocol, _, high, low, ident @ ..] = *piece;
    let place = u16::from_be_bytes([high, low]);
    let ident = u32::from_be_bytes(ident);
    // A piece of pieces would be put together again and again.
    (protocol != FRAGMENT_V6).then_some(Piece {
        whose: Whose { to: head.dst_addr().into(), protocol, ident },
        head: packet.get(..HEAD_V6)?,
        start: usize::from(place & !7),
        bytes,
        has_more: place & 1 == 1,
    })
}

/// Cuts a packet that is longer than the guest takes; `ident` tells its pieces from those of another.
pub(super) fn cut(packet: &[u8], ident: u32) -> Vec<Vec<u8>> {
    let is_v4 = packet.first().is_some_and(|first| first >> 4 == 4);
    let head_bytes = if is_v4 { HEAD_V4 } else { HEAD_V6 };
    let room = (MTU - head_bytes - if is_v4 { 0 } else { PIECE_V6 }) & !7;
    let Some((head, bytes)) = packet.split_at_checked(head_bytes) else { return Vec::new() };
    let pieces = bytes.chunks(room).enumerate().map(|(nth, piece)| {
        let (start, has_more) = (nth * room, (nth + 1) * room < bytes.len());
        let start = u16::try_from(start).unwrap_or(u16::MAX);
        let cut = if is_v4 { piece_v4 } else { piece_v6 };
        cut((head, piece), (start, has_more), ident)
    });
    pieces.collect()
}

fn piece_v4((head, bytes): (&[u8], &[u8]), (start, has_more): (u16, bool), ident: u32) -> Vec<u8> {
    let mut piece = [head, bytes].concat();
    let total = u16::try_from(piece.len()).unwrap_or(u16::MAX);
    let [.., high, low] = ident.to_be_bytes();
    let mut packet = Ipv4Packet::new_unchecked(&mut piece[..]);
    packet.set_total_len(total);
    packet.set_ident(u16::from_be_bytes([high, low]));
    packet.clear_flags();
    packet.set_more_frags(has_more);
    packet.set_frag_offset(start);
    packet.fill_checksum();
    piece
}

fn piece_v6((head, bytes): (&[u8], &[u8]), (start, has_more): (u16, bool), ident: u32) -> Vec<u8> {
    let protocol = head.get(6).copied().unwrap_or_default();
    let [high, low] = (start | u16::from(has_more)).to_be_bytes();
    let middle = [&[protocol, 0, high, low][..], &ident.to_be_bytes()].concat();
    let mut piece = [head, &middle, bytes].concat();
    let payload = u16::try_from(middle.len() + bytes.len()).unwrap_or(u16::MAX);
    let mut packet = Ipv6Packet::new_unchecked(&mut piece[..]);
    packet.set_payload_len(payload);
    packet.set_next_header(FRAGMENT_V6.into());
    piece
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::addresses::{GUEST, GUEST6};

    fn now() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        Instant::now()
    }

    /// A packet of IPv4 that says to hold datagrams.
    fn v4(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(20 + bytes.len()).unwrap().to_be_bytes();
        let head = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, 17, 0, 0];
        let mut packet = [&head[..], &GUEST.octets(), &[9, 9, 9, 9], bytes].concat();
        Ipv4Packet::new_unchecked(&mut packet[..]).fill_checksum();
        packet
    }

    fn v6(bytes: &[u8]) -> Vec<u8> {
        let length = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        let head = [0x60, 0, 0, 0, length[0], length[1], 17, 64];
        [&head[..], &GUEST6.octets(), &[9; 16], bytes].concat()
    }

    /// The piece of a packet of IPv4 with these bytes from this place on.
    fn piece(ident: u32, start: u16, bytes: &[u8], has_more: bool) -> Vec<u8> {
        piece_v4((&v4(&[])[..20], bytes), (start, has_more), ident)
    }

    fn noise(count: usize) -> Vec<u8> {
        (0..count).map(|at| u8::try_from(at * 31 % 251).unwrap()).collect()
    }

    #[test]
    fn rt_9_7_the_longest_packets_are_cut_and_put_together_again_in_any_order() {
        for (whole, count) in [(v4(&noise(65_515)), 2), (v6(&noise(65_535)), 2), (v6(&noise(9)), 1)]
        {
            let mut pieces = cut(&whole, 7);
            assert_eq!(pieces.len(), count);
            assert!(pieces.iter().all(|piece| piece.len() <= MTU));
            for _ in 0..count {
                pieces.rotate_left(1);
                let mut fragments = Fragments::default();
                let mut came = Vec::new();
                for piece in &pieces {
                    came.extend(fragments.take(piece, now()).unwrap());
                }
                let mut expected = whole.clone();
                if count == 2 && whole[0] >> 4 == 4 {
                    // A packet that may be cut says so, and each is told apart.
                    let mut head = Ipv4Packet::new_unchecked(&mut expected[..]);
                    head.clear_flags();
                    head.set_ident(7);
                    head.fill_checksum();
                }
                assert!(came == [expected], "{count} of {} bytes", whole.len());
                assert_eq!(fragments.len(), 0);
            }
        }
    }

    #[test]
    fn rt_9_7_pieces_that_overlap_or_end_elsewhere_end_their_packet() {
        let first = piece(1, 0, &[1; 32], true);
        for (what, second) in [
            ("the same again", first.clone()),
            ("within the first, as teardrop says it", piece(1, 8, &[2; 8], false)),
            ("over its end", piece(1, 24, &[2; 16], true)),
            ("before its end", piece(1, 16, &[2; 3], false)),
        ] {
            let mut fragments = Fragments::default();
            assert_eq!(fragments.take(&first, now()), Ok(None), "{what}");
            assert_eq!(fragments.take(&second, now()), Err(Unfit), "{what}");
            assert_eq!(fragments.len(), 0, "{what}");
        }
        let mut fragments = Fragments::default();
        assert_eq!(fragments.take(&piece(1, 64, &[1; 8], false), now()), Ok(None));
        assert_eq!(
            fragments.take(&piece(1, 72, &[1; 8], true), now()),
            Err(Unfit),
            "behind the end"
        );
        for (what, bytes) in [
            ("no bytes", piece(1, 0, &[], true)),
            ("in the middle of eight", piece(1, 0, &[1; 9], true)),
            ("longer than a packet", piece(1, 65_512, &[1; 8], false)),
            ("pieces of a piece", cut(&v6(&[FRAGMENT_V6; 70_000][..65_528]), 1).swap_remove(0)),
        ] {
            let bytes = if what == "pieces of a piece" {
                let mut bytes = bytes;
                bytes[40] = FRAGMENT_V6;
                bytes
            } else {
                bytes
            };
            assert_eq!(fragments.take(&bytes, now()), Err(Unfit), "{what}");
        }
        assert_eq!(fragments.len(), 0);
    }

    #[test]
    fn rt_9_7_so_many_are_in_work_and_only_for_so_long() {
        let (mut fragments, begun) = (Fragments::default(), now());
        for ident in 0..100 {
            assert_eq!(fragments.take(&piece(ident, 8, &[1; 8], true), begun), Ok(None));
            assert!(fragments.len() <= WORK_MAX);
        }
        assert_eq!(fragments.take(&piece(68, 16, &[1; 8], false), begun), Ok(None), "it is there");
        assert!(fragments.take(&piece(68, 0, &[1; 8], true), begun).unwrap().is_some());
        assert_eq!(fragments.take(&piece(99, 16, &[1; 8], false), begun), Ok(None));
        assert_eq!(fragments.deadline(), Some(begun + PATIENCE));
        fragments.expire(begun + PATIENCE);
        assert_eq!((fragments.len(), fragments.deadline()), (0, None));
        // Every second piece of a packet, and then some.
        let taken = (0..200).map(|nth| {
            let piece = piece(5, nth * 16 + 8, &[1; 8], true);
            fragments.take(&piece, begun).is_ok()
        });
        assert!(!taken.collect::<Vec<_>>()[64], "not with more gaps than that");
    }
}
