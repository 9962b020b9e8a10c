//! What the kernel is told of interfaces, addresses and routes, a message each.
//!
//! ```text
//! message: head │ fixed part of its kind │ attributes, each padded to four bytes
//! ```
//!
//! Everything is in the byte order of the machine but addresses, which are in
//! that of the network. Saying the same thing twice changes nothing.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};

use crate::sys;

/// The loopback interface, which every network has under this number.
pub(crate) const LOOPBACK: u32 = 1;

/// Lengths: of the head of a message, of the head of an attribute, and what both are padded to.
const HEAD_BYTES: usize = 16;
const ATTRIBUTE_HEAD_BYTES: usize = 4;
const PADDING: usize = 4;

/// Kinds of messages.
const ERROR: u16 = 2;
const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;

/// Flags of messages: it is asked, and answered; what is there is changed; what is not is made.
const ASK: u16 = 0x1 | 0x4;
const REPLACE: u16 = 0x100;
const CREATE: u16 = 0x400;

/// Attributes, which each kind counts anew.
const LINK_MTU: u16 = 4;
const ADDRESS_WHOLE: u16 = 1;
const ADDRESS_LOCAL: u16 = 2;
const ROUTE_TO: u16 = 1;
const ROUTE_DEVICE: u16 = 4;
const ROUTE_GATEWAY: u16 = 5;

/// An interface that is up.
const UP: u32 = 1;

/// An address that is ours at once: nobody else is asked whether it is theirs.
const NO_DUPLICATES: u8 = 0x02;

/// Where routes stand, who made them, and that they lead to a single host's neighbour.
const MAIN_TABLE: u8 = 254;
const MADE_AT_BOOT: u8 = 3;
const UNICAST: u8 = 1;

/// The most that an answer takes: an error, and the message that it is about.
const ANSWER_BYTES_MAX: usize = 1024;

/// The kernel's routing tables.
#[derive(Debug)]
pub(crate) struct Routes(OwnedFd);

impl Routes {
    pub(crate) fn open() -> io::Result<Self> {
        sys::network::routing_socket().map(Self)
    }

    /// Brings an interface up, with the largest packet that it is to take, where one is given.
    pub(crate) fn bring_up(&self, device: u32, mtu: Option<u32>) -> io::Result<()> {
        self.ask(link(device, mtu))
    }

    /// Gives an interface an address, in a network of `prefix` bits.
    pub(crate) fn add_address(&self, device: u32, address: IpAddr, prefix: u8) -> io::Result<()> {
        self.ask(address_of(device, address, prefix))
    }

    /// Makes a network reachable by way of a gateway on an interface.
    pub(crate) fn add_route(
        &self,
        device: u32,
        (to, prefix): (IpAddr, u8),
        gateway: IpAddr,
    ) -> io::Result<()> {
        self.ask(route(device, (to, prefix), gateway))
    }

    /// Says one thing, and returns what the kernel makes of it.
    fn ask(&self, message: Message) -> io::Result<()> {
        let bytes = message.finish();
        // A message goes whole or not at all.
        sys::io::write(self.0.as_fd(), &bytes)?;
        let mut answer = [0; ANSWER_BYTES_MAX];
        let count = sys::io::read(self.0.as_fd(), &mut answer)?;
        understood(answer.get(..count).unwrap_or_default())
    }
}

/// Reads the kernel's answer: an error, of number 0 where all is well.
fn understood(answer: &[u8]) -> io::Result<()> {
    let strange = || io::Error::from(io::ErrorKind::InvalidData);
    let (head, rest) = answer.split_first_chunk::<HEAD_BYTES>().ok_or_else(strange)?;
    let (number, _) = rest.split_first_chunk::<4>().ok_or_else(strange)?;
    let [_, _, _, _, low, high, ..] = *head;
    if u16::from_ne_bytes([low, high]) != ERROR {
        return Err(strange());
    }
    match i32::from_ne_bytes(*number) {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number.saturating_neg())),
    }
}

fn link(device: u32, mtu: Option<u32>) -> Message {
    let mut message = Message::new(NEW_LINK, ASK);
    // Any family; one byte and the kind of hardware are not said.
    message.put(&[0; 4]);
    message.put(&device.to_ne_bytes());
    // The flags, and which of them are meant.
    message.put(&UP.to_ne_bytes());
    message.put(&UP.to_ne_bytes());
    if let Some(mtu) = mtu {
        message.attribute(LINK_MTU, &mtu.to_ne_bytes());
    }
    message
}

fn address_of(device: u32, address: IpAddr, prefix: u8) -> Message {
    let mut message = Message::new(NEW_ADDRESS, ASK | CREATE | REPLACE);
    let flags = if address.is_ipv6() { NO_DUPLICATES } else { 0 };
    let everywhere = 0;
    message.put(&[family(address), prefix, flags, everywhere]);
    message.put(&device.to_ne_bytes());
    message.attribute(ADDRESS_LOCAL, &octets(address));
    message.attribute(ADDRESS_WHOLE, &octets(address));
    message
}

fn route(device: u32, (to, prefix): (IpAddr, u8), gateway: IpAddr) -> Message {
    let mut message = Message::new(NEW_ROUTE, ASK | CREATE | REPLACE);
    let (from_anywhere, any_service, everywhere) = (0, 0, 0);
    message.put(&[family(to), prefix, from_anywhere, any_service]);
    message.put(&[MAIN_TABLE, MADE_AT_BOOT, everywhere, UNICAST]);
    message.put(&[0; 4]);
    if prefix > 0 {
        message.attribute(ROUTE_TO, &octets(to));
    }
    message.attribute(ROUTE_GATEWAY, &octets(gateway));
    message.attribute(ROUTE_DEVICE, &device.to_ne_bytes());
    message
}

/// Returns the number of an address family.
const fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 10,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// A message that is being written.
#[derive(Debug)]
struct Message(Vec<u8>);

impl Message {
    fn new(kind: u16, flags: u16) -> Self {
        let mut message = Self(vec![0; 4]);
        message.put(&kind.to_ne_bytes());
        message.put(&flags.to_ne_bytes());
        // A number of ours, and one of the socket: only one question is ever open.
        message.put(&[0; 8]);
        message
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(ATTRIBUTE_HEAD_BYTES + value.len()).unwrap_or(u16::MAX);
        self.put(&length.to_ne_bytes());
        self.put(&kind.to_ne_bytes());
        self.put(value);
        self.0.resize(self.0.len().next_multiple_of(PADDING), 0);
    }

    /// Returns the bytes, with their number at the front.
    fn finish(mut self) -> Vec<u8> {
        let length = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        for (at, byte) in self.0.iter_mut().zip(length.to_ne_bytes()) {
            *at = byte;
        }
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares a message with what it is to be, written as on x86: low bytes first.
    fn check(message: Message, expected: &str) {
        let words: Vec<String> = message
            .finish()
            .chunks(4)
            .map(|word| word.iter().map(|byte| format!("{byte:02x}")).collect())
            .collect();
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(words, expected);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_interface_comes_up_with_its_largest_packet() {
        let head = "10000500 00000000 00000000 00000000 01000000 01000000 01000000";
        check(link(1, None), &format!("20000000 {head}"));
        let head = head.replacen("00000000 01000000", "00000000 02000000", 1);
        check(link(2, Some(65_520)), &format!("28000000 {head} 08000400 f0ff0000"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_address_is_given_for_good() {
        check(
            address_of(2, [198, 18, 0, 2].into(), 30),
            "28000000 14000505 00000000 00000000 021e0000 02000000 \
             08000200 c6120002 08000100 c6120002",
        );
        let v6 = [0xfd6d, 0x7362, 0, 0, 0, 0, 0, 2];
        let octets = "fd6d7362 00000000 00000000 00000002";
        check(
            address_of(2, v6.into(), 64),
            &format!(
                "40000000 14000505 00000000 00000000 0a400200 02000000 \
                 14000200 {octets} 14000100 {octets}"
            ),
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_route_to_everywhere_names_no_place() {
        check(
            route(2, ([0; 4].into(), 0), [198, 18, 0, 1].into()),
            "2c000000 18000505 00000000 00000000 02000000 fe030001 00000000 \
             08000500 c6120001 08000400 02000000",
        );
        check(
            route(2, ([10, 0, 0, 0].into(), 8), [198, 18, 0, 1].into()),
            "34000000 18000505 00000000 00000000 02080000 fe030001 00000000 \
             08000100 0a000000 08000500 c6120001 08000400 02000000",
        );
    }

    #[test]
    fn an_answer_is_an_error_or_none() {
        let answer = |kind: u16, number: i32| {
            let mut answer = Message::new(kind, 0);
            answer.put(&number.to_ne_bytes());
            understood(&answer.finish())
        };
        answer(ERROR, 0).unwrap();
        assert_eq!(answer(ERROR, -19).unwrap_err().raw_os_error(), Some(19));
        assert_eq!(answer(NEW_LINK, 0).unwrap_err().raw_os_error(), None);
        understood(&[0; 19]).unwrap_err();
    }

    #[test]
    fn the_kernel_says_what_it_refuses() {
        let routes = Routes::open().unwrap();
        // No such interface, or nobody who may change one.
        let refused = routes.bring_up(0x7fff_fff0, None).unwrap_err();
        assert!(matches!(refused.raw_os_error(), Some(19 | 1)), "{refused}");
    }
}
