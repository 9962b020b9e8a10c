//! The link between a guest and its stack: addresses, and frames on a stream.
//!
//! ```text
//! guest eth0 ─ VMM ─ stream of frames ─ stack
//! frame: u32 length, big-endian │ Ethernet frame of so many bytes
//! ```
//!
//! Every machine has the same addresses; nobody but its own stack ever sees them.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The guest.
pub const GUEST_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);

/// Gateway, resolver and the host itself, as the guest sees them.
pub const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);

/// The bits that guest and gateway share.
pub const PREFIX_V4: u8 = 30;

/// The guest, in IPv6.
pub const GUEST_V6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x7362, 0, 0, 0, 0, 0, 2);

/// The gateway, in IPv6.
pub const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x7362, 0, 0, 0, 0, 0, 1);

/// The bits that guest and gateway share, in IPv6.
pub const PREFIX_V6: u8 = 64;

/// Where siblings are shown, with the bits of that network.
pub const SIBLINGS_V4: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 19, 0, 0), 16);

/// Where siblings are shown in IPv6, with the bits of that network.
pub const SIBLINGS_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0xfd6d, 0x7362, 1, 0, 0, 0, 0, 0), 64);

/// The hardware address of the gateway.
pub const GATEWAY_MAC: Mac = Mac([0x02, 0x6d, 0x73, 0x62, 0x00, 0x01]);

/// What the guest calls the host.
pub const HOST_NAME: &str = "host.msb.internal";

/// The largest packet: a frame without its Ethernet header.
pub const MTU: u32 = 65_520;

/// The bytes of the length before each frame, which is big-endian and does not count itself.
pub const LENGTH_BYTES: usize = 4;

/// The shortest frame: an Ethernet header.
pub const FRAME_BYTES_MIN: usize = 14;

/// The longest frame: an Ethernet header, and [`MTU`].
pub const FRAME_BYTES_MAX: usize = 65_534;

/// The first bytes of the hardware address of every guest.
const GUEST_MAC: [u8; 2] = [0x02, 0x6d];

/// The hardware address of a network device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mac(pub [u8; 6]);

/// A text is not the hardware address of a network device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hardware address")]
pub struct MacError(String);

impl Mac {
    /// Returns the address of a machine's own device: it is known by the machine's id.
    #[must_use]
    pub fn of_machine(id: &str) -> Self {
        let [a, b, c, d, ..] = *blake3::hash(id.as_bytes()).as_bytes();
        let [first, second] = GUEST_MAC;
        Self([first, second, a, b, c, d])
    }
}

/// Prints as the guest's kernel does: `02:6d:73:62:00:01`.
impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || MacError(text.to_owned());
        let mut mac = Self([0; 6]);
        let mut parts = text.split(':');
        for byte in &mut mac.0 {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(wrong)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| wrong())?;
        }
        // One spelling only, so that equal texts and equal addresses are the same thing.
        if parts.next().is_some() || mac.to_string() != text { Err(wrong()) } else { Ok(mac) }
    }
}

impl TryFrom<String> for Mac {
    type Error = MacError;

    fn try_from(text: String) -> Result<Self, MacError> {
        text.parse()
    }
}

impl From<Mac> for String {
    fn from(mac: Mac) -> Self {
        mac.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt_9_2_a_machine_is_known_by_its_id() {
        let one = Mac::of_machine("4f2a9c017be3d85a");
        assert_eq!(one, Mac::of_machine("4f2a9c017be3d85a"));
        assert_ne!(one, Mac::of_machine("4f2a9c017be3d85b"));
        assert!(one.to_string().starts_with("02:6d:"), "{one}");
        assert_ne!(one, GATEWAY_MAC);
    }

    #[test]
    fn a_hardware_address_has_one_spelling() {
        assert_eq!("02:6d:73:62:00:01".parse(), Ok(GATEWAY_MAC));
        for text in
            ["", "02:6d:73:62:00", "02:6d:73:62:00:01:02", "02:6D:73:62:00:01", "2:6d:73:62:0:+1"]
        {
            text.parse::<Mac>().unwrap_err();
        }
    }

    #[test]
    fn rt_9_1_a_frame_holds_the_largest_packet_and_no_more() {
        let mtu = usize::try_from(MTU).unwrap();
        assert_eq!(FRAME_BYTES_MIN + mtu, FRAME_BYTES_MAX);
    }
}
