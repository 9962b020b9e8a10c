//! Published ports: what comes from outside is handed to the guest.
//!
//! Listeners are bound before the machine is started. Who calls waits until the guest answers, and hears a
//! reset where nobody listens in it.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, accept_with, bind, getsockname,
    ipproto, listen, recvfrom, sendto, socket_with, sockopt,
};
use schema::project::Transport;
use schema::project::network::Protocol;
use schema::record::Bound;

use super::addresses::GATEWAY;
use super::engine::Engine;
use super::limits::Budget;
use super::rest::Rest;
use super::table::Key;
use super::tcp::{Bench, Connection};
use super::udp;
use super::watch::Interest;
use crate::clock::Clock;

/// Calls that wait to be taken.
const BACKLOG: i32 = 128;
/// Calls that are taken at once.
const BATCH: usize = 64;
/// How long a peer that sends datagrams is known.
const IDLE: Duration = Duration::from_secs(60);

/// A port of the host that leads to one of the guest.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: OwnedFd,
    transport: Transport,
    guest: u16,
    bound: SocketAddr,
    auto: bool,
    /// Who sends datagrams, and from which port of the gateway the guest sees it.
    peers: HashMap<SocketAddr, u16>,
    rest: Rest,
}

/// A peer that sends datagrams to a published port.
#[derive(Debug)]
pub(super) struct Visit {
    listener: u64,
    peer: SocketAddr,
    last: Instant,
}

impl Listener {
    /// Binds `address`; its port 0 is any.
    ///
    /// # Errors
    /// The port is taken, forbidden, or the address is not this host's.
    pub(crate) fn bind(transport: Transport, address: SocketAddr, guest: u16) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let (kind, protocol) = match transport {
            Transport::Tcp => (SocketType::STREAM, ipproto::TCP),
            Transport::Udp => (SocketType::DGRAM, ipproto::UDP),
        };
        let socket = socket_with(family, kind, flags, Some(protocol))?;
        if address.is_ipv6() {
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if transport == Transport::Tcp {
            // A port whose last connection is only cooling down is free.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        bind(&socket, &address)?;
        if transport == Transport::Tcp {
            listen(&socket, BACKLOG)?;
        }
        let bound = SocketAddr::try_from(getsockname(&socket)?)?;
        Ok(Self {
            socket,
            transport,
            guest,
            bound,
            auto: false,
            peers: HashMap::new(),
            rest: Rest::default(),
        })
    }

    /// Returns the same port once more: it stays bound for as long as one of them is.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            socket: self.socket.try_clone()?,
            transport: self.transport,
            guest: self.guest,
            bound: self.bound,
            auto: self.auto,
            peers: HashMap::new(),
            rest: Rest::default(),
        })
    }

    /// Leads to another port of the guest from now on.
    pub(super) const fn lead_to(&mut self, kept: &Bound) {
        (self.guest, self.auto) = (kept.guest, kept.auto);
    }

    /// Notes that the kernel chose the port.
    pub(super) const fn chosen(mut self) -> Self {
        self.auto = true;
        self
    }

    /// Returns until when nobody is taken.
    pub(super) const fn rests(&self) -> Option<Instant> {
        self.rest.until()
    }

    /// Returns what was bound.
    pub(crate) fn record(&self) -> Bound {
        Bound {
            bind: self.bound.ip(),
            host: self.bound.port(),
            guest: self.guest,
            protocol: self.transport,
            auto: self.auto,
        }
    }
}

impl<C: Clock> Engine<C> {
    /// Takes calls on a port from now on.
    pub(super) fn listen(&mut self, listener: Listener) -> io::Result<()> {
        let token = self.token();
        self.watch.set(token, listener.socket.as_fd(), Interest::READ)?;
        self.listeners.push((token, listener));
        Ok(())
    }

    /// Leads calls on a port to another one of the guest from now on.
    pub(super) fn point(&mut self, kept: &Bound) {
        let at = SocketAddr::new(kept.bind, kept.host);
        let is_it = |one: &Listener| (one.transport, one.bound) == (kept.protocol, at);
        for (_, listener) in self.listeners.iter_mut().filter(|(_, one)| is_it(one)) {
            if listener.guest != kept.guest {
                listener.guest = kept.guest;
                // Who sent datagrams to the other one is somebody new here.
                listener.peers.clear();
            }
        }
    }

    /// Takes no more calls on a port; connections that are open go on.
    pub(super) fn silence(&mut self, gone: &Bound) {
        let at = SocketAddr::new(gone.bind, gone.host);
        let is_it = |one: &Listener| (one.transport, one.bound) == (gone.protocol, at);
        while let Some(at) = self.listeners.iter().position(|(_, one)| is_it(one)) {
            let (token, listener) = self.listeners.swap_remove(at);
            self.watch.forget(token, listener.socket.as_fd());
        }
    }

    /// Takes what waits on a published port.
    pub(super) fn accept(&mut self, at: usize) -> io::Result<()> {
        for _ in 0..BATCH {
            let Some((_, listener)) = self.listeners.get(at) else { break };
            let taken = match listener.transport {
                Transport::Tcp => self.accept_call(at)?,
                Transport::Udp => self.accept_datagram(at),
            };
            if !taken {
                break;
            }
        }
        Ok(())
    }

    fn accept_call(&mut self, at: usize) -> io::Result<bool> {
        let now = self.clock.now();
        let Some((token, listener)) = self.listeners.get_mut(at) else { return Ok(false) };
        let (guest, local) = (listener.guest, listener.bound);
        let host = match accept_with(&listener.socket, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)
        {
            Ok(host) => host,
            // Whoever called is gone.
            Err(Errno::CONNABORTED | Errno::INTR) => return Ok(true),
            Err(Errno::AGAIN) => return Ok(false),
            // There are too many files: the others wait.
            Err(_) => {
                listener.rest.begin(now);
                self.watch.set(*token, listener.socket.as_fd(), Interest::default())?;
                return Ok(false);
            }
        };
        let peer = rustix::net::getpeername(&host).ok().flatten();
        let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
        let peer = peer.map_or(local.ip(), |peer| peer.ip().to_canonical());
        let most = usize::from(self.gate.network().limits.max_connections);
        let allowed = self.gate.ingress(Protocol::Tcp, (peer, guest), now);
        let from = self.calling_port(guest, GATEWAY.into());
        let from = from.filter(|_| allowed && self.connections.len() < most);
        let Some(from) = from else {
            // Closing it now says reset.
            sockopt::set_socket_linger(&host, Some(Duration::ZERO)).ok();
            return Ok(true);
        };
        sockopt::set_tcp_nodelay(&host, true)?;
        let buffer = self.buffer_bytes();
        let Self { stack, wire, outgoing, .. } = self;
        let mut bench = Bench { stack, wire: *wire, outgoing, now, budget: Budget::FREE };
        let seen = SocketAddr::from((GATEWAY, from));
        let called = Connection::of_peer((guest, seen), (host, peer), buffer, &mut bench);
        let Some(connection) = called else { return Ok(true) };
        let key = Key { port: guest, remote: seen };
        let token = self.token();
        self.connections.insert(key, token, connection);
        self.turn(key, |connection, bench| connection.turn(None, bench))?;
        Ok(true)
    }

    /// Takes calls again where there was a rest.
    pub(super) fn tick_listeners(&mut self, now: Instant) -> io::Result<()> {
        for (token, listener) in &mut self.listeners {
            if listener.rest.ends(now) {
                self.watch.set(*token, listener.socket.as_fd(), Interest::READ)?;
            }
        }
        Ok(())
    }

    fn accept_datagram(&mut self, at: usize) -> bool {
        let now = self.clock.now();
        let Some((_, listener)) = self.listeners.get(at) else { return false };
        let (count, peer) = match recvfrom(&listener.socket, &mut *self.scratch, RecvFlags::empty())
        {
            Ok((count, _, peer)) => (count, peer),
            Err(Errno::INTR | Errno::CONNREFUSED) => return true,
            Err(_) => return false,
        };
        let Some(peer) = peer.and_then(|peer| SocketAddr::try_from(peer).ok()) else { return true };
        let Some(from) = self.port_of(at, peer, now) else { return true };
        if !self.limits.ingress.passes(count, now) {
            return true;
        }
        let Some((_, listener)) = self.listeners.get(at) else { return false };
        let payload = self.scratch.get(..count).unwrap_or_default();
        let seen = SocketAddr::from((GATEWAY, from));
        udp::deliver((seen, listener.guest), payload, (self.wire, &mut self.outgoing));
        true
    }

    /// Returns the port of the gateway from which the guest sees a peer.
    fn port_of(&mut self, at: usize, peer: SocketAddr, now: Instant) -> Option<u16> {
        let (token, listener) = self.listeners.get(at)?;
        let (token, guest) = (*token, listener.guest);
        if let Some(from) = listener.peers.get(&peer).copied() {
            let key = Key { port: guest, remote: SocketAddr::from((GATEWAY, from)) };
            if let Some(row) = self.visits.get_mut(&key) {
                row.it.last = now;
                self.visits.set_due(&key, Some(now + IDLE));
                return Some(from);
            }
        }
        let allowed = self.gate.ingress(Protocol::Udp, (peer.ip().to_canonical(), guest), now);
        if !allowed || self.visits.len() >= super::engine::FLOWS_MAX {
            return None;
        }
        let from = self.calling_port(guest, GATEWAY.into())?;
        let key = Key { port: guest, remote: SocketAddr::from((GATEWAY, from)) };
        let visit_token = self.token();
        self.visits.insert(key, visit_token, Visit { listener: token, peer, last: now });
        self.visits.set_due(&key, Some(now + IDLE));
        let (_, listener) = self.listeners.get_mut(at)?;
        listener.peers.insert(peer, from);
        Some(from)
    }

    /// Sends an answer of the guest to a peer; tells whether it was one.
    pub(super) fn answer_peer(&mut self, key: &Key, payload: &[u8], now: Instant) -> bool {
        let Some(row) = self.visits.get_mut(key) else { return false };
        row.it.last = now;
        let (listener, peer) = (row.it.listener, row.it.peer);
        self.visits.set_due(key, Some(now + IDLE));
        if !self.limits.egress.passes(payload.len(), now) {
            return true;
        }
        if let Some((_, listener)) = self.listeners.iter().find(|(token, _)| *token == listener) {
            // What the host does not take now is lost, as datagrams are.
            sendto(&listener.socket, payload, SendFlags::NOSIGNAL, &peer).ok();
        }
        true
    }

    /// Forgets a peer that has said nothing for long.
    pub(super) fn end_visit(&mut self, key: &Key) {
        let Some(visit) = self.visits.remove(key) else { return };
        let mut listeners = self.listeners.iter_mut();
        if let Some((_, listener)) = listeners.find(|(token, _)| *token == visit.listener) {
            listener.peers.remove(&visit.peer);
        }
    }

    /// Returns a port of an address of ours that does not speak with this port of the guest.
    pub(super) fn calling_port(&mut self, guest: u16, address: IpAddr) -> Option<u16> {
        let (first, last) = super::engine::CALLING;
        for _ in first..=last {
            let port = self.next_port;
            self.next_port = if port >= last { first } else { port + 1 };
            let key = Key { port: guest, remote: SocketAddr::new(address, port) };
            let is_flow = self.flows.has(&key) || self.peers.has_flow(&key);
            if !self.connections.has(&key) && !self.visits.has(&key) && !is_flow {
                return Some(port);
            }
        }
        None
    }
}
