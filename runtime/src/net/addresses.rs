//! The addresses that every machine has, and its gateway.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The guest.
pub(super) const GUEST: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 2);
/// The gateway, the resolver and the host.
pub(super) const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// The guest.
pub(super) const GUEST6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x7362, 0, 0, 0, 0, 0, 2);
/// The gateway, the resolver and the host.
pub(super) const GATEWAY6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x7362, 0, 0, 0, 0, 0, 1);
/// The gateway's hardware.
pub(super) const GATEWAY_MAC: [u8; 6] = [0x02, 0x6d, 0x73, 0x62, 0x00, 0x01];
/// The longest packet.
pub(super) const MTU: usize = 65_520;
