//! A guest without a machine: a second stack at the other end of the wire.

use std::net::{IpAddr, SocketAddr};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant as Moment};

use schema::control::NetworkFigures;
use schema::project::network::Network;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpCidr,
    IpEndpoint,
};

use super::super::addresses::{GATEWAY, GATEWAY_MAC, GATEWAY6, GUEST, GUEST6};
use super::super::dns;
use super::super::handle::{Net, Settings};
use super::super::link::{Filled, Incoming, Outgoing};
use super::super::listen::Listener;
use super::super::{outlook, peers};
use super::siblings::Place;
use crate::clock::{Clock as _, HostClock};

const MAC: [u8; 6] = [2, 0x6d, 1, 2, 3, 4];
const PATIENCE: Duration = Duration::from_secs(30);

/// See the module.
pub(super) struct Guest {
    net: Net,
    wire: End,
    interface: Interface,
    sockets: SocketSet<'static>,
    began: Moment,
    port: u16,
    _place: Place,
}

/// The guest's end of the wire.
struct End {
    link: UnixStream,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl Guest {
    pub(super) fn new(policy: Network, listeners: Vec<Listener>) -> Self {
        Self::with_names(policy, listeners, dns::Settings::of_host_name("box"))
    }

    pub(super) fn with_names(
        policy: Network,
        listeners: Vec<Listener>,
        names: dns::Settings,
    ) -> Self {
        let place = Place::new();
        let alone = place.machine("box", peers::tests::reach(&[], &[]));
        Self::of((policy, listeners), names, alone, &place)
    }

    pub(super) fn of(
        (policy, listeners): (Network, Vec<Listener>),
        names: dns::Settings,
        peers: peers::Settings,
        place: &Place,
    ) -> Self {
        // A host that says nothing of itself: what the names say stays.
        let nowhere = outlook::Settings {
            resolv: "/proc/self/nothing".into(),
            routes: "/proc/self/mem".into(),
            every: Duration::from_secs(60),
        };
        Self::within((policy, listeners), (names, nowhere), peers, place)
    }

    pub(super) fn within(
        (policy, listeners): (Network, Vec<Listener>),
        (names, outlook): (dns::Settings, outlook::Settings),
        peers: peers::Settings,
        place: &Place,
    ) -> Self {
        let (link, theirs) = UnixStream::pair().unwrap();
        link.set_nonblocking(true).unwrap();
        let settings =
            Settings { link: theirs, mac: MAC, policy, listeners, names, outlook, peers, seed: 7 };
        let net = Net::start(settings, HostClock).unwrap();
        let mut wire = End { link, incoming: Incoming::new(), outgoing: Outgoing::default() };
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress(MAC)));
        let mut interface = Interface::new(config, &mut wire, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddr::V4(GUEST).into(), 30)).unwrap();
            addresses.push(IpCidr::new(IpAddr::V6(GUEST6).into(), 64)).unwrap();
        });
        interface.routes_mut().add_default_ipv4_route(GATEWAY).unwrap();
        interface.routes_mut().add_default_ipv6_route(GATEWAY6).unwrap();
        let sockets = SocketSet::new(Vec::new());
        let (began, _place) = (HostClock.now(), place.clone());
        Self { net, wire, interface, sockets, began, port: 40_000, _place }
    }

    pub(super) const fn net(&self) -> &Net {
        &self.net
    }

    pub(super) const fn net_mut(&mut self) -> &mut Net {
        &mut self.net
    }

    pub(super) fn figures(&self) -> NetworkFigures {
        self.net.figures().unwrap()
    }

    /// Works until something is so.
    pub(super) fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) {
        let end = HostClock.now() + PATIENCE;
        loop {
            self.turn();
            if is_so(self) {
                return self.turn();
            }
            assert!(HostClock.now() < end, "not in {PATIENCE:?}: {what}");
        }
    }

    pub(super) fn turn(&mut self) {
        let micros = HostClock.now().duration_since(self.began).as_micros();
        let now = Instant::from_micros(i64::try_from(micros).unwrap());
        self.wire.outgoing.drain(&self.wire.link).unwrap();
        if self.wire.incoming.fill(&self.wire.link).unwrap() == Filled::Nothing {
            // The other side works in a thread of its own.
            std::thread::yield_now();
        }
        self.interface.poll(now, &mut self.wire, &mut self.sockets);
        self.wire.outgoing.drain(&self.wire.link).unwrap();
    }

    /// Puts a packet on the wire as it is.
    pub(super) fn put(&mut self, packet: &[u8]) {
        let kind = if packet[0] >> 4 == 4 { [8, 0] } else { [0x86, 0xdd] };
        let frame = [&GATEWAY_MAC[..], &MAC, &kind, packet].concat();
        self.wire.outgoing.frame(frame.len(), |room| room.copy_from_slice(&frame));
        self.wire.outgoing.drain(&self.wire.link).unwrap();
    }

    /// Waits for a packet, which the guest's own stack does not see.
    pub(super) fn take(&mut self) -> Vec<u8> {
        let end = HostClock.now() + PATIENCE;
        loop {
            if let Some(frame) = self.wire.incoming.next() {
                return frame[14..].to_vec();
            }
            self.wire.outgoing.drain(&self.wire.link).unwrap();
            if self.wire.incoming.fill(&self.wire.link).unwrap() == Filled::Nothing {
                assert!(HostClock.now() < end, "no packet in {PATIENCE:?}");
                std::thread::yield_now();
            }
        }
    }

    pub(super) fn connect(&mut self, to: SocketAddr) -> SocketHandle {
        let mut socket = stream();
        self.port = if self.port == u16::MAX { 40_000 } else { self.port + 1 };
        let context = self.interface.context();
        socket.connect(context, IpEndpoint::from(to), self.port).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn listen(&mut self, port: u16) -> SocketHandle {
        let mut socket = stream();
        socket.listen(port).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn state(&self, handle: SocketHandle) -> tcp::State {
        self.sockets.get::<tcp::Socket<'_>>(handle).state()
    }

    /// Returns who is at the other end, as the guest sees it.
    pub(super) fn far_end(&self, handle: SocketHandle) -> Option<SocketAddr> {
        let end = self.sockets.get::<tcp::Socket<'_>>(handle).remote_endpoint()?;
        Some(SocketAddr::new(end.addr.into(), end.port))
    }

    /// Tells whether the other end may still send.
    pub(super) fn may_hear(&self, handle: SocketHandle) -> bool {
        self.sockets.get::<tcp::Socket<'_>>(handle).may_recv()
    }

    pub(super) fn send(&mut self, handle: SocketHandle, bytes: &[u8]) -> usize {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).send_slice(bytes).unwrap_or(0)
    }

    pub(super) fn receive(&mut self, handle: SocketHandle, to: &mut Vec<u8>) {
        let socket = self.sockets.get_mut::<tcp::Socket<'_>>(handle);
        while socket.can_recv() {
            socket
                .recv(|bytes| {
                    to.extend_from_slice(bytes);
                    (bytes.len(), ())
                })
                .unwrap();
        }
    }

    pub(super) fn abort(&mut self, handle: SocketHandle) {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).abort();
    }

    pub(super) fn close(&mut self, handle: SocketHandle) {
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).close();
    }

    pub(super) fn forget(&mut self, handle: SocketHandle) {
        self.sockets.remove(handle);
    }

    pub(super) fn datagrams(&mut self, port: u16) -> SocketHandle {
        let buffer =
            || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 16], vec![0; 256 << 10]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).unwrap();
        self.sockets.add(socket)
    }

    pub(super) fn send_to(&mut self, handle: SocketHandle, to: SocketAddr, bytes: &[u8]) {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
        socket.send_slice(bytes, IpEndpoint::from(to)).unwrap();
    }

    pub(super) fn receive_from(&mut self, handle: SocketHandle) -> Option<(SocketAddr, Vec<u8>)> {
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
        let (bytes, from) = socket.recv().ok()?;
        Some((SocketAddr::new(from.endpoint.addr.into(), from.endpoint.port), bytes.to_vec()))
    }

    /// Asks whether somebody is there; waits for the answer.
    pub(super) fn ping(&mut self, to: IpAddr) -> bool {
        let buffer =
            || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut socket = icmp::Socket::new(buffer(), buffer());
        socket.bind(icmp::Endpoint::Ident(77)).unwrap();
        let checks = ChecksumCapabilities::default();
        let data = b"are you there";
        match to {
            IpAddr::V4(_) => {
                let message = Icmpv4Repr::EchoRequest { ident: 77, seq_no: 1, data };
                let room = socket.send(message.buffer_len(), to.into()).unwrap();
                message.emit(&mut Icmpv4Packet::new_unchecked(room), &checks);
            }
            IpAddr::V6(to6) => {
                let message = Icmpv6Repr::EchoRequest { ident: 77, seq_no: 1, data };
                let room = socket.send(message.buffer_len(), to.into()).unwrap();
                message.emit(&GUEST6, &to6, &mut Icmpv6Packet::new_unchecked(room), &checks);
            }
        }
        let handle = self.sockets.add(socket);
        let mut came = false;
        self.until("an echo", |guest| {
            let socket = guest.sockets.get_mut::<icmp::Socket<'_>>(handle);
            came = socket.recv().is_ok_and(|(_, from)| IpAddr::from(from) == to);
            came
        });
        came
    }
}

fn stream() -> tcp::Socket<'static> {
    let buffer = || tcp::SocketBuffer::new(vec![0; 256 << 10]);
    tcp::Socket::new(buffer(), buffer())
}

impl Device for End {
    type RxToken<'a> = Came;
    type TxToken<'a> = Goes<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Came, Goes<'_>)> {
        let frame = self.incoming.next()?.to_vec();
        Some((Came(frame), Goes(&mut self.outgoing)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Goes<'_>> {
        self.outgoing.has_room().then_some(Goes(&mut self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 65_534;
        capabilities
    }
}

struct Came(Vec<u8>);

impl RxToken for Came {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Goes<'a>(&'a mut Outgoing);

impl TxToken for Goes<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.frame(length, fill)
    }
}
