//! TCP towards the guest: one interface, and for each connection a set of one socket.
//!
//! Every packet is known by its connection before the stack sees it, so the stack looks through
//! one socket and not through all of them.

use std::net::IpAddr;
use std::time::Instant as Moment;

use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, Checksum, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr};

use super::addresses::{GATEWAY, GATEWAY6, MTU};
use super::ether::Wire;
use super::link::Outgoing;

/// See the module.
pub(super) struct Stack {
    interface: Interface,
    began: Moment,
}

impl Stack {
    /// Returns the stack of a gateway; `seed` chooses its first sequence numbers.
    pub(super) fn new(seed: u64, now: Moment) -> Self {
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut nothing = Outgoing::default();
        let mut port = Port { packet: None, wire: Wire::new([0; 6]), outgoing: &mut nothing };
        let mut interface = Interface::new(config, &mut port, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // There is room for two.
            addresses.push(IpCidr::new(IpAddr::V4(GATEWAY).into(), 30)).ok();
            addresses.push(IpCidr::new(IpAddr::V6(GATEWAY6).into(), 64)).ok();
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).ok();
        interface.routes_mut().add_default_ipv6_route(GATEWAY6).ok();
        // Whatever address the guest calls is ours to answer for.
        interface.set_any_ip(true);
        Self { interface, began: now }
    }

    /// Returns a moment in the stack's own time.
    pub(super) fn time(&self, now: Moment) -> Instant {
        let micros = now.saturating_duration_since(self.began).as_micros();
        Instant::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Lets a connection hear a packet, if there is one, and say what it has to.
    pub(super) fn turn(
        &mut self,
        sockets: &mut SocketSet<'static>,
        packet: Option<&[u8]>,
        (wire, outgoing): (Wire, &mut Outgoing),
        now: Moment,
    ) {
        let now = self.time(now);
        let mut port = Port { packet, wire, outgoing };
        self.interface.poll(now, &mut port, sockets);
    }

    /// Answers a segment that belongs to no connection, which is a reset.
    pub(super) fn refuse(
        &mut self,
        packet: &[u8],
        (wire, outgoing): (Wire, &mut Outgoing),
        now: Moment,
    ) {
        let mut none = SocketSet::new(Vec::new());
        self.turn(&mut none, Some(packet), (wire, outgoing), now);
    }

    /// Returns when a connection has to be turned again, if nothing happens before.
    pub(super) fn due(&mut self, sockets: &SocketSet<'static>, now: Moment) -> Option<Moment> {
        let time = self.time(now);
        let delay = self.interface.poll_delay(time, sockets)?;
        Some(now + std::time::Duration::from(delay))
    }

    /// Returns what a socket needs to call the guest.
    pub(super) fn context(&mut self) -> &mut smoltcp::iface::Context {
        self.interface.context()
    }
}

/// One packet in, any number out.
struct Port<'p> {
    packet: Option<&'p [u8]>,
    wire: Wire,
    outgoing: &'p mut Outgoing,
}

impl phy::Device for Port<'_> {
    type RxToken<'a>
        = Received<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Room<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Room<'_>)> {
        let packet = self.packet.take()?;
        Some((Received(packet), Room { wire: self.wire, outgoing: self.outgoing }))
    }

    fn transmit(&mut self, _: Instant) -> Option<Room<'_>> {
        self.outgoing.has_room().then_some(Room { wire: self.wire, outgoing: self.outgoing })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        // The link loses and turns no bit: what comes is believed, what goes the guest looks at.
        capabilities.checksum.ipv4 = Checksum::Tx;
        capabilities.checksum.tcp = Checksum::Tx;
        capabilities
    }
}

struct Received<'a>(&'a [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

struct Room<'a> {
    wire: Wire,
    outgoing: &'a mut Outgoing,
}

impl TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.wire.send(self.outgoing, length, fill)
    }
}
