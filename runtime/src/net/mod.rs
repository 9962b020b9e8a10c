//! The network of one machine: a stack of its own between the guest's wire and sockets of the host.
//!
//! ```text
//! guest ─ frames ─ link ─ ether ─ packet ─┬─ stack: tcp ─┐
//!                                         ├─ udp ────────┼─ sockets of the host
//!                                         └─ icmp        │
//!                    published ports ─ listen ───────────┤
//!                           siblings ─ peers ────────────┘
//! ```
//!
//! Nothing of the host is configured and nothing needs privileges. [`engine`] is one thread with one loop;
//! everything else here is told the time and moves bytes. `gate` asks the policy before a flow begins.

mod addresses;
pub mod alone;
mod command;
mod dial;
pub mod dns;
mod echo;
mod engine;
mod ether;
mod faults;
mod fragments;
mod gate;
mod handle;
mod hello;
mod icmp;
mod limits;
mod link;
mod listen;
mod names;
pub(crate) mod outlook;
mod packet;
pub(crate) mod peers;
mod pieces;
pub mod pins;
mod published;
mod recent;
mod rest;
mod stack;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod traffic;
mod udp;
mod used;
mod watch;

pub(crate) use gate::Denial;
pub(crate) use handle::{Net, Settings};
pub(crate) use listen::Listener;
pub(crate) use published::{PortError, bind};
pub(crate) use traffic::{Carried, Traffic};

use std::net::IpAddr;

/// Tells whether an address is the gateway's.
fn is_gateway(address: IpAddr) -> bool {
    address == addresses::GATEWAY || address == addresses::GATEWAY6
}
