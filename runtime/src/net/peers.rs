//! Siblings: connections between the machines of a project, from runtime to runtime, with no port of
//! the host between them.
//!
//! ```text
//! guest ─ stack ─ caller's runtime ── peer.sock ── target's runtime ─ stack ─ guest
//!          198.19.0.1 is db            call, answer         198.19.0.1 is web
//! ```
//!
//! The caller's guest hears nothing before the target's guest has answered. Both ends ask their own launch
//! record, and what is open is asked about again when that changes.

mod datagrams;
mod line;
mod reach;

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, connect, socket_with,
    sockopt,
};
use schema::lifecycle::Phase;
use schema::link::{SIBLINGS_V4, SIBLINGS_V6};
use schema::name::InstanceName;
use schema::peer::{Answer, Call, NAMES, Refused, SOCKET, link_name};
use schema::project::Transport;
use schema::project::network::{Cidr, Protocol};
use serde::{Deserialize, Serialize};

use super::engine::{Engine, FLOWS_MAX};
use super::icmp::{self, Refusal};
use super::limits::Budget;
use super::rest::Rest;
use super::table::{Key, Table};
use super::tcp::{Bench, Connection};
use super::watch::{Interest, Watch};
use crate::clock::Clock;

use datagrams::Datagrams;
pub(super) use line::{Answering, Asked, Asking};
use line::{Line, say};
#[cfg(test)]
pub(super) use reach::tests;
pub(crate) use reach::{Own, Reach};

/// How long a caller may take to say what it wants, and a target to answer.
pub(super) const HANDSHAKE: Duration = Duration::from_secs(10);
/// Callers that have not said yet what they want, at most; others wait to be taken.
const KNOCKS_MAX: usize = 64;
/// How long it counts which replicas are ready.
const LOOKED: Duration = Duration::from_secs(1);
/// The longest record of a machine that is read.
const RECORD_BYTES_MAX: u64 = 1 << 20;

/// What a machine needs to have siblings.
#[derive(Debug)]
pub(crate) struct Settings {
    /// Which machine it is.
    pub(crate) own: Own,
    /// What the file lets it do.
    pub(crate) reach: Reach,
    /// Its folder, beside which those of the others lie.
    pub(crate) folder: OwnedFd,
    /// Where it is called.
    pub(crate) socket: UnixListener,
}

impl Settings {
    /// Returns the same once more, with descriptors of its own.
    pub(super) fn again(&self) -> io::Result<Self> {
        Ok(Self {
            own: self.own.clone(),
            reach: self.reach.clone(),
            folder: self.folder.try_clone()?,
            socket: self.socket.try_clone()?,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Peers {
    own: Own,
    pub(super) reach: Reach,
    folder: OwnedFd,
    socket: UnixListener,
    token: u64,
    /// Siblings that have called.
    called: BTreeSet<InstanceName>,
    knocks: HashMap<u64, Knock>,
    flows: Table<Datagrams>,
    looked: Option<Instant>,
    rest: Rest,
}

/// A caller that has not said yet what it wants.
#[derive(Debug)]
struct Knock {
    host: OwnedFd,
    heard: Line,
    until: Instant,
}

/// Of a record only where the machine is.
#[derive(Deserialize)]
struct Standing {
    phase: Phase,
}

/// Tells whether an address is one at which a sibling is shown.
pub(super) fn is_sibling(address: IpAddr) -> bool {
    let networks: [(IpAddr, u8); 2] =
        [(SIBLINGS_V4.0.into(), SIBLINGS_V4.1), (SIBLINGS_V6.0.into(), SIBLINGS_V6.1)];
    networks.into_iter().any(|(network, bits)| {
        Cidr::around(network, bits).is_some_and(|network| network.contains(address))
    })
}

impl Peers {
    pub(super) fn new(settings: Settings, token: u64) -> Self {
        let Settings { own, reach, folder, socket } = settings;
        Self {
            own,
            reach,
            folder,
            socket,
            token,
            called: BTreeSet::new(),
            knocks: HashMap::new(),
            flows: Table::default(),
            looked: None,
            rest: Rest::default(),
        }
    }

    pub(super) fn flows(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn has_flow(&self, key: &Key) -> bool {
        self.flows.has(key)
    }

    /// Returns when something is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let knocks = self.knocks.values().map(|knock| knock.until).min();
        [knocks, self.flows.deadline(), self.rest.until()].into_iter().flatten().min()
    }

    /// Calls a port of a sibling: who is connected to has not said yet whether it takes the call.
    fn dial(
        &self,
        target: &InstanceName,
        (protocol, port): (Transport, u16),
    ) -> io::Result<(OwnedFd, Asking)> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(&self.folder, self.path(target, ""), flags, Mode::empty())?;
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let host = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        // Through the folder's descriptor it is short, however long the home's path.
        let place = format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd());
        connect(&host, &SocketAddrUnix::new(place)?)?;
        if !is_ours(&host) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let nonce = format!("{:016x}", u64::from_ne_bytes(crate::sys::random()?));
        let call = line(&self.own.call(protocol, port, &nonce));
        let asking = Asking::new(call, reach::answer(target, &nonce, None));
        Ok((host, asking))
    }

    /// Returns where a file of a sibling's is, from the folder of this machine.
    fn path(&self, target: &InstanceName, file: &str) -> String {
        let name = link_name(&self.own.project, target.sandbox.as_str(), &target.slot());
        format!("../{NAMES}/{name}/{file}")
    }

    fn is_ready(&self, target: &InstanceName) -> bool {
        let path = self.path(target, schema::record::FILE);
        let read = || -> io::Result<Standing> {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
            let file = std::fs::File::from(openat(&self.folder, path, flags, Mode::empty())?);
            let mut bytes = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, RECORD_BYTES_MAX), &mut bytes)?;
            Ok(serde_json::from_slice(&bytes)?)
        };
        read().is_ok_and(|record| record.phase == Phase::Ready)
    }

    fn forget_knock(&mut self, token: u64, watch: &mut Watch) -> Option<Knock> {
        let knock = self.knocks.remove(&token)?;
        watch.forget(token, knock.host.as_fd());
        Some(knock)
    }

    fn answer(&self, nonce: &str, refused: Option<Refused>) -> Vec<u8> {
        line::<Answer>(&self.own.answer(nonce, refused))
    }
}

/// Returns a message as the line it is said in.
fn line<T: Serialize>(message: &T) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Tells whether the other end of a socket belongs to this user, or to root.
fn is_ours(socket: &OwnedFd) -> bool {
    let own = rustix::process::getuid();
    sockopt::socket_peercred(socket).is_ok_and(|peer| peer.uid == own || peer.uid.is_root())
}

impl<C: Clock> Engine<C> {
    /// Takes calls of siblings from now on, and knows them by name.
    pub(super) fn begin_with_siblings(&mut self) -> io::Result<()> {
        self.look_for_siblings();
        self.wait_for_callers()
    }

    /// Takes over what the file says now; what is open and no longer allowed ends.
    pub(super) fn reach_others(&mut self, reach: Reach) -> io::Result<()> {
        self.peers.reach = reach;
        self.look_for_siblings();
        self.ask_again()
    }

    /// Looks which replicas are ready, unless that was looked at a moment ago.
    pub(super) fn look_at_replicas(&mut self, now: Instant) {
        let is_fresh = self.peers.looked.is_some_and(|looked| now < looked + LOOKED);
        if self.peers.reach.has_replicas() && !is_fresh {
            self.look_for_siblings();
        }
    }

    fn look_for_siblings(&mut self) {
        let Peers { reach, own, called, .. } = &self.peers;
        let siblings = reach.siblings(own, called, |target| self.peers.is_ready(target));
        self.names.resolver.set_siblings(siblings);
        self.peers.looked = Some(self.clock.now());
    }

    /// Returns whom the guest calls at an address, if it may.
    fn whom(
        &mut self,
        protocol: Protocol,
        remote: SocketAddr,
        now: Instant,
    ) -> Option<InstanceName> {
        let target = self.names.resolver.sibling(remote.ip());
        let target = target.and_then(|target| InstanceName::parse(target).ok());
        let target = target.filter(|target| self.peers.reach.may_call(target, remote.port()));
        if target.is_none() {
            // Nothing else leads to these addresses, so this only counts it.
            self.gate.egress(protocol, remote, (&mut self.pins, now));
        }
        target
    }

    /// Begins a connection to a sibling that the guest asks for.
    pub(super) fn call_sibling(
        &mut self,
        key: Key,
        now: Instant,
    ) -> io::Result<Option<Connection>> {
        let Some(target) = self.whom(Protocol::Tcp, key.remote, now) else { return Ok(None) };
        let (host, asking) = match self.peers.dial(&target, (Transport::Tcp, key.remote.port())) {
            Ok(dialled) => dialled,
            Err(error) => {
                tracing::debug!(%target, %error, "a sibling was not reached");
                return Ok(None);
            }
        };
        let connection = Connection::of_guest(key.remote, host, self.buffer_bytes(), now);
        Ok(connection.map(|connection| connection.asking(asking, now + HANDSHAKE)))
    }

    /// Takes a datagram of the guest for a sibling.
    pub(super) fn send_to_sibling(
        &mut self,
        key: Key,
        (bytes, payload): (&[u8], &[u8]),
        now: Instant,
    ) -> io::Result<()> {
        if !self.peers.flows.has(&key) {
            let Some(target) = self.whom(Protocol::Udp, key.remote, now) else {
                icmp::refuse(bytes, Refusal::Prohibited, (self.wire, &mut self.outgoing));
                return Ok(());
            };
            if self.peers.flows.len() >= FLOWS_MAX {
                return Ok(());
            }
            let dialled = self.peers.dial(&target, (Transport::Udp, key.remote.port()));
            let Ok((host, asking)) = dialled else {
                icmp::refuse(bytes, Refusal::Port, (self.wire, &mut self.outgoing));
                return Ok(());
            };
            let token = self.token();
            let flow = Datagrams::of_guest(host, asking, now + HANDSHAKE);
            self.peers.flows.insert(key, token, flow);
        }
        let passes = self.limits.egress.passes(payload.len(), now);
        if let Some(row) = self.peers.flows.get_mut(&key).filter(|_| passes) {
            row.it.send(payload, now);
        }
        self.wait_for_flow(key)
    }

    fn wait_for_flow(&mut self, key: Key) -> io::Result<()> {
        let Some(row) = self.peers.flows.get_mut(&key) else { return Ok(()) };
        let until = row.it.until();
        self.watch.set(row.token, row.it.host(), row.it.interest())?;
        self.peers.flows.set_due(&key, Some(until));
        Ok(())
    }

    /// Something happened to a descriptor of the host's; tells whether it has to do with siblings.
    pub(super) fn hear_peers(&mut self, token: u64) -> io::Result<bool> {
        if token == self.peers.token {
            self.take_callers()?;
            return Ok(true);
        }
        if let Some(key) = self.peers.flows.key(token) {
            let now = self.clock.now();
            let Self { peers, scratch, wire, outgoing, limits, .. } = self;
            if let Some(row) = peers.flows.get_mut(&key) {
                row.it.go_on(scratch, &key, (*wire, outgoing, &mut limits.ingress), now);
            }
            self.wait_for_flow(key)?;
            return Ok(true);
        }
        let Some(knock) = self.peers.knocks.get_mut(&token) else { return Ok(false) };
        let heard = knock.heard.hear(&knock.host);
        if heard == Ok(None) {
            return Ok(true);
        }
        let knock = self.peers.forget_knock(token, &mut self.watch);
        if let (Ok(Some(line)), Some(knock)) = (heard, knock) {
            match serde_json::from_slice::<Call>(&line) {
                Ok(call) => self.hear_call(&call, knock.host)?,
                Err(error) => tracing::warn!(%error, "a caller said what is no call"),
            }
        }
        self.wait_for_callers()?;
        Ok(true)
    }

    fn take_callers(&mut self) -> io::Result<()> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while self.peers.knocks.len() < KNOCKS_MAX {
            let host = match accept_with(&self.peers.socket, flags) {
                Ok(host) => host,
                Err(Errno::CONNABORTED | Errno::INTR) => continue,
                Err(Errno::AGAIN) => break,
                Err(_) => {
                    self.peers.rest.begin(self.clock.now());
                    break;
                }
            };
            if !is_ours(&host) {
                tracing::warn!("a caller of a foreign user was turned away");
                continue;
            }
            let token = self.token();
            self.watch.set(token, host.as_fd(), Interest::READ)?;
            let until = self.clock.now() + HANDSHAKE;
            self.peers.knocks.insert(token, Knock { host, heard: Line::default(), until });
        }
        self.wait_for_callers()
    }

    fn wait_for_callers(&mut self) -> io::Result<()> {
        let Self { peers, watch, .. } = self;
        let read = peers.knocks.len() < KNOCKS_MAX && !peers.rest.goes_on();
        watch.set(peers.token, peers.socket.as_fd(), Interest { read, write: false })
    }

    fn hear_call(&mut self, call: &Call, host: OwnedFd) -> io::Result<()> {
        let now = self.clock.now();
        let refused = match self.admit(call) {
            Ok(seen) if call.protocol == Transport::Tcp => {
                return self.connect_caller((call, seen), host, now);
            }
            Ok(seen) => {
                let key = Key { port: call.port, remote: seen };
                if say(&host, &self.peers.answer(&call.nonce, None)) {
                    let token = self.token();
                    self.peers.flows.insert(key, token, Datagrams::of_sibling(host, now));
                    self.wait_for_flow(key)?;
                }
                return Ok(());
            }
            Err(refused) => refused,
        };
        tracing::debug!(from = %call.from, port = call.port, ?refused, "a caller was refused");
        say(host, &self.peers.answer(&call.nonce, Some(refused)));
        Ok(())
    }

    /// Judges a call; returns where the guest sees the caller.
    fn admit(&mut self, call: &Call) -> Result<SocketAddr, Refused> {
        let from = reach::instance(&call.from, &call.instance);
        let is_ours = call.project == self.peers.own.project_id;
        let is_taken = call.port != 0 && self.peers.reach.takes(&call.from, call.port);
        let from = from.filter(|_| is_ours && is_taken).ok_or(Refused::NotConnected)?;
        let address = self.names.resolver.address_of_sibling(&from.to_string());
        let address = IpAddr::from(address.ok_or(Refused::Busy)?);
        let (protocol, open, most) = match call.protocol {
            Transport::Tcp => {
                let most = usize::from(self.gate.network().limits.max_connections);
                (Protocol::Tcp, self.connections.len(), most)
            }
            Transport::Udp => (Protocol::Udp, self.peers.flows.len(), FLOWS_MAX),
        };
        if !self.gate.ingress(protocol, (address, call.port), self.clock.now()) {
            return Err(Refused::Denied);
        }
        if open >= most {
            return Err(Refused::Busy);
        }
        if self.peers.called.insert(from) {
            self.look_for_siblings();
        }
        let port = self.calling_port(call.port, address).ok_or(Refused::Busy)?;
        Ok(SocketAddr::new(address, port))
    }

    fn connect_caller(
        &mut self,
        (call, seen): (&Call, SocketAddr),
        host: OwnedFd,
        now: Instant,
    ) -> io::Result<()> {
        let taken = self.peers.answer(&call.nonce, None);
        let refused = self.peers.answer(&call.nonce, Some(Refused::NotListening));
        let buffer = self.buffer_bytes();
        let Self { stack, wire, outgoing, .. } = self;
        let mut bench = Bench { stack, wire: *wire, outgoing, now, budget: Budget::FREE };
        let called = Connection::of_peer((call.port, seen), (host, seen.ip()), buffer, &mut bench);
        let Some(connection) = called else { return Ok(()) };
        let connection = connection.answering(Answering::new(taken, refused));
        let key = Key { port: call.port, remote: seen };
        let token = self.token();
        self.connections.insert(key, token, connection);
        self.turn(key, |connection, bench| connection.turn(None, bench))
    }

    /// Tells whether what is open between the guest and a sibling is still allowed.
    pub(super) fn may_go_on(&mut self, protocol: Protocol, key: &Key, is_called: bool) -> bool {
        if !is_called {
            let now = self.clock.now();
            return self.whom(protocol, key.remote, now).is_some();
        }
        let caller = self.names.resolver.sibling(key.remote.ip());
        let caller = caller.and_then(|caller| InstanceName::parse(caller).ok());
        caller.is_some_and(|caller| self.peers.reach.takes(&caller.sandbox, key.port))
            && self.gate.ingress(protocol, (key.remote.ip(), key.port), self.clock.now())
    }

    /// Asks about the flows of datagrams that are open again.
    pub(super) fn ask_flows_again(&mut self) {
        for key in self.peers.flows.keys() {
            let is_called = self.peers.flows.get_mut(&key).is_some_and(|row| row.it.is_called());
            if !self.may_go_on(Protocol::Udp, &key, is_called) {
                self.end_flow_of_sibling(&key);
            }
        }
    }

    /// Forgets who took too long and what is idle.
    pub(super) fn tick_peers(&mut self, now: Instant) -> io::Result<()> {
        for key in self.peers.flows.due(now) {
            self.end_flow_of_sibling(&key);
        }
        let late = self.peers.knocks.iter().filter(|(_, knock)| knock.until <= now);
        let late: Vec<u64> = late.map(|(token, _)| *token).collect();
        let is_rested = self.peers.rest.ends(now);
        if late.is_empty() && !is_rested {
            return Ok(());
        }
        for token in late {
            drop(self.peers.forget_knock(token, &mut self.watch));
        }
        self.wait_for_callers()
    }

    fn end_flow_of_sibling(&mut self, key: &Key) {
        if let Some(row) = self.peers.flows.get_mut(key) {
            self.watch.forget(row.token, row.it.host());
            drop(self.peers.flows.remove(key));
        }
    }
}
