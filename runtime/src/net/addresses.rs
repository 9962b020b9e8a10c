//! The addresses that every machine has, and its gateway.

pub(super) use schema::link::{
    GATEWAY_V4 as GATEWAY, GATEWAY_V6 as GATEWAY6, GUEST_V4 as GUEST, GUEST_V6 as GUEST6,
};

/// The gateway's hardware.
pub(super) const GATEWAY_MAC: [u8; 6] = schema::link::GATEWAY_MAC.0;
/// The longest packet.
pub(super) const MTU: usize = schema::link::MTU as usize;
