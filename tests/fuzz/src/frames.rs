//! Target `frames`: any bytes on the wire of a guest, and what far ends say meanwhile.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use runtime::net::alone::{Alone, CONNECTIONS_MAX, FRAGMENTED_MAX};
use schema::link::{FRAME_BYTES_MAX, FRAME_BYTES_MIN, GATEWAY_MAC, GATEWAY_V4, GUEST_V4, GUEST_V6};

const GUEST_MAC: [u8; 6] = [2, 0x6d, 1, 2, 3, 4];
/// Who is called where the target itself says so.
const FAR_V4: [u8; 3] = [93, 184, 216];
const TCP: u8 = 6;
/// Steps from here on are pieces of packets.
const PIECES: u8 = 0xe0;
/// Bytes for the guest that may come of one step: what waits at most, and a frame.
const STEP_BYTES_MAX: usize = (4 << 20) + FRAME_BYTES_MAX;

/// A gateway, and what its guest has heard.
struct Bench {
    gateway: Alone,
    now: Instant,
    /// By the guest's port and who is called: the next byte of each side.
    heard: BTreeMap<(u16, [u8; 4], u16), (u32, u32)>,
}

/// Does what `bytes` say, and holds that what the guest is told is well made, that what is held is
/// bounded, and that nothing is due for ever.
///
/// The bytes are [`crate::steps`].
pub(crate) fn check(bytes: &[u8]) {
    #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
    let now = Instant::now();
    let mut bench = Bench { gateway: Alone::new(GUEST_MAC, now), now, heard: BTreeMap::new() };
    for (step, how, body) in crate::steps(bytes) {
        bench.step(step, how, body);
        bench.hold();
    }
}

impl Bench {
    fn step(&mut self, step: u8, how: u8, body: &[u8]) {
        if step >= PIECES {
            return self
                .hear(&framed(if how & 1 == 0 { 0x0800 } else { 0x86dd }, &piece(how, body)));
        }
        match step % 7 {
            0 => self.hear(body),
            1 => self.hear(&framed(if how & 1 == 0 { 0x0800 } else { 0x86dd }, body)),
            2 => self.hear(&framed(0x0800, &packet_v4(how, body))),
            3 => self.hear(&framed(0x86dd, &packet_v6(how, body))),
            4 => self.hear(&framed(0x0800, &self.fitting(how, body))),
            5 => self.gateway.speak(how.into(), body, self.now).expect("there are descriptors"),
            _ => {
                self.now += Duration::from_millis(u64::from(how) * 50);
                self.gateway.tick(self.now);
            }
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.gateway.hear(bytes, self.now).expect("there are descriptors");
    }

    /// Makes a segment that follows what was heard last of some connection: flags, then bytes.
    fn fitting(&self, how: u8, body: &[u8]) -> Vec<u8> {
        let nth = usize::from(how) % self.heard.len().max(1);
        let Some(((port, far, to), (ours, theirs))) = self.heard.iter().nth(nth) else {
            return packet_v4(TCP, body);
        };
        let (flags, payload) =
            body.split_first().map_or((0x10, body), |(flags, rest)| (*flags, rest));
        let segment = [
            &port.to_be_bytes()[..],
            &to.to_be_bytes(),
            &ours.to_be_bytes(),
            &theirs.to_be_bytes(),
            &[0x50, flags, 0x40, 0, 0, 0, 0, 0],
            payload,
        ];
        packet_v4_to(*far, TCP, &segment.concat())
    }

    fn hold(&mut self) {
        for _ in 0..3 {
            self.gateway.tick(self.now);
        }
        let frames = self.gateway.take_frames();
        let total: usize = frames.iter().map(Vec::len).sum();
        assert!(total <= STEP_BYTES_MAX, "{total} bytes come of one step");
        for frame in frames {
            self.look(&frame);
        }
        let load = self.gateway.load();
        assert!(load.connections <= CONNECTIONS_MAX, "{load:?}");
        assert!(load.fragmented <= FRAGMENTED_MAX, "{load:?}");
        assert!(load.has_room, "the guest has taken all of it");
        self.gateway.tick(self.now);
        drop(self.gateway.take_frames());
        let deadline = self.gateway.deadline();
        assert!(deadline.is_none_or(|due| due > self.now), "something is due for ever");
    }

    /// Holds that a frame is one that a guest would take.
    fn look(&mut self, frame: &[u8]) {
        assert!(
            (FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()),
            "{} bytes",
            frame.len()
        );
        let (ethernet, packet) = frame.split_at(FRAME_BYTES_MIN);
        assert_eq!(
            ethernet[..12],
            [GUEST_MAC, GATEWAY_MAC.0].concat(),
            "from the gateway to the guest"
        );
        match ethernet[12..] {
            [8, 0] => self.look_v4(packet),
            [0x86, 0xdd] => {
                let length = usize::from(u16::from_be_bytes([packet[4], packet[5]]));
                assert_eq!((packet[0] >> 4, 40 + length), (6, packet.len()));
            }
            [8, 6] => assert_eq!(packet.len(), 28),
            _ => panic!("frames of {:?}", &ethernet[12..]),
        }
    }

    fn look_v4(&mut self, packet: &[u8]) {
        let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
        assert_eq!((packet[0], length), (0x45, packet.len()));
        assert_eq!(sum(&[&packet[..20]]), 0xffff, "the sum of a header");
        assert_eq!(packet[16..20], GUEST_V4.octets(), "to the guest");
        let far: [u8; 4] = packet[12..16].try_into().expect("four bytes");
        assert_ne!(far, GUEST_V4.octets(), "from itself");
        if packet[9] != TCP {
            assert_eq!((packet[9], far), (1, far), "ICMP");
            return;
        }
        let segment = &packet[20..];
        let size = u16::try_from(segment.len()).expect("as long as a packet").to_be_bytes();
        assert_eq!(
            sum(&[&packet[12..20], &[0, TCP], &size, segment]),
            0xffff,
            "the sum of a segment"
        );
        let short = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let long = |at: usize| (u32::from(short(at)) << 16) | u32::from(short(at + 2));
        let header = usize::from(segment[12] >> 4) * 4;
        let flags = segment[13];
        let carried = u32::try_from(segment.len() - header).expect("as long as a packet");
        let next = long(4).wrapping_add(carried + u32::from(flags & 2 != 0) + u32::from(flags & 1));
        let key = (short(2), far, short(0));
        if flags & 4 != 0 {
            self.heard.remove(&key);
        } else if flags & 0x10 != 0 && self.heard.len() < 64 {
            self.heard.insert(key, (long(8), next));
        }
    }
}

fn framed(protocol: u16, packet: &[u8]) -> Vec<u8> {
    let length = u32::try_from(FRAME_BYTES_MIN + packet.len()).expect("steps are short");
    [&length.to_be_bytes()[..], &GATEWAY_MAC.0, &GUEST_MAC, &protocol.to_be_bytes(), packet]
        .concat()
}

fn packet_v4(how: u8, body: &[u8]) -> Vec<u8> {
    let [a, b, c] = FAR_V4;
    let far = if how & 0x80 == 0 { [a, b, c, how >> 5] } else { GATEWAY_V4.octets() };
    packet_v4_to(far, [TCP, 17, 1, how][usize::from(how % 4)], body)
}

fn packet_v4_to(far: [u8; 4], protocol: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, protocol, 0, 0];
    [&head[..], &GUEST_V4.octets(), &far, body].concat()
}

/// Makes a piece of a packet: three bytes say where it belongs, whether more come, and whose it is.
fn piece(how: u8, body: &[u8]) -> Vec<u8> {
    let (&[high, low, ident], bytes) = body.split_first_chunk().unwrap_or((&[0; 3], body));
    let protocol = [17, 1, TCP, 58][usize::from(how >> 1) % 4];
    if how & 1 == 0 {
        let mut packet = packet_v4_to(GATEWAY_V4.octets(), protocol, bytes);
        packet[5] = ident % 4;
        (packet[6], packet[7]) = (high & 0x3f, low);
        return packet;
    }
    let head = [protocol, 0, high, low & 0xf9, 0, 0, 0, ident % 4];
    let mut packet = packet_v6(0xfb, &[&head[..], bytes].concat());
    packet[6] = 44;
    packet
}

fn packet_v6(how: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let protocol = [TCP, 17, 58, how][usize::from(how % 4)];
    let head = [0x60, 0, 0, 0, length[0], length[1], protocol, 64];
    let mut far = [0x20, 1, 0x48, 0x60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, how >> 5];
    if how & 0x80 != 0 {
        far = schema::link::GATEWAY_V6.octets();
    }
    [&head[..], &GUEST_V6.octets(), &far, body].concat()
}

/// Returns the sum of the internet protocols over some bytes; all ones where they hold their own.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            let high = u32::from(pair[0]) << 8;
            total += high + pair.get(1).copied().map_or(0, u32::from);
        }
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    u16::try_from(total).expect("it was folded")
}
