//! The thread of a machine's network: one loop over one set of descriptors.
//!
//! Every wait is followed by a pass that goes as far as it can: frames of the guest, bytes both ways of
//! each connection that something happened to, frames for the guest. What is waited for is said anew for
//! each connection that was touched, so room on one side re-opens reading on the other.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use schema::control::NetworkFigures;
use schema::project::network::{Direction, Protocol};

use super::command::{Command, Ports};
use super::dial::{self, Dialled};
use super::echo::{self, Echo};
use super::ether::{Framed, Wire};
use super::faults::Faults;
use super::fragments::{Fragments, Unfit};
use super::gate::{Denial, Gate};
use super::icmp::{self, Refusal};
use super::limits::{Budget, Limits};
use super::link::{Filled, Incoming, Outgoing};
use super::listen::{Listener, Visit};
use super::names::{self, Names};
use super::outlook::Outlook;
use super::packet::{self, Carries, Dropped, Packet};
use super::peers::{self, Peers};
use super::pins::Pins;
use super::stack::Stack;
use super::table::{Key, Table};
use super::tcp::{Bench, Connection, Turned};
use super::traffic::{Carried, Traffic};
use super::udp::{self, Came};
use super::watch::{Interest, Watch};
use crate::clock::Clock;

const LINK: u64 = 0;
const WAKE: u64 = 1;
pub(super) const FIRST: u64 = 2;

/// Frames of the guest that are handled before anybody else has a turn.
const FRAMES: usize = 256;
/// The buffers of the first connections, each way, and of those beyond.
const BUFFER_BYTES: usize = 256 << 10;
pub(super) const BUFFER_BYTES_BEYOND: usize = 32 << 10;
const LARGE_BUFFERS: usize = 64;
/// Flows of echoes at a time.
const ECHOES_MAX: usize = 64;
/// Flows of datagrams at a time.
pub(super) const FLOWS_MAX: usize = 1024;
/// The ports of the gateway that call the guest.
pub(super) const CALLING: (u16, u16) = (32_768, 60_999);

/// See the module.
pub(super) struct Engine<C> {
    pub(super) clock: C,
    pub(super) watch: Watch,
    pub(super) link: OwnedFd,
    pub(super) wake: OwnedFd,
    pub(super) commands: Receiver<Command>,
    pub(super) wire: Wire,
    pub(super) stack: Stack,
    pub(super) incoming: Incoming,
    pub(super) fragments: Fragments,
    pub(super) faults: Faults,
    pub(super) outgoing: Outgoing,
    pub(super) gate: Gate,
    /// What others see of what was carried.
    pub(super) traffic: Traffic,
    pub(super) limits: Limits,
    pub(super) pins: Pins,
    pub(super) names: Names,
    pub(super) outlook: Outlook,
    /// Names that were not looked up.
    pub(super) denied_names: u64,
    pub(super) connections: Table<Connection>,
    pub(super) flows: Table<udp::Flow>,
    pub(super) visits: Table<Visit>,
    pub(super) echoes: Table<Echo>,
    pub(super) peers: Peers,
    pub(super) listeners: Vec<(u64, Listener)>,
    pub(super) next_token: u64,
    pub(super) next_port: u16,
    pub(super) scratch: Vec<u8>,
    /// Whether the guest may have sent something that was not looked at.
    pub(super) has_more: bool,
}

/// Tells whether a connection is one to the resolver.
pub(super) fn is_question(key: &Key) -> bool {
    key.remote.port() == names::PORT && !peers::is_sibling(key.remote.ip())
}

impl<C: Clock> Engine<C> {
    /// Works until the machine is gone or somebody says so.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.watch.set(WAKE, self.wake.as_fd(), Interest::READ)?;
        loop {
            let listening =
                Interest { read: self.outgoing.has_room(), write: self.outgoing.waits() };
            self.watch.set(LINK, self.link.as_fd(), listening)?;
            let now = self.clock.now();
            let timeout = self.deadline(now).map(|due| due.saturating_duration_since(now));
            let timeout = if self.has_more { Some(Duration::ZERO) } else { timeout };
            for event in self.watch.wait(timeout)? {
                match event.token {
                    LINK => self.has_more = true,
                    WAKE => {
                        if self.hear_commands()? == Turned::Over {
                            return Ok(());
                        }
                    }
                    token => self.hear(token)?,
                }
            }
            // What was held back while nothing could be answered goes on with room, not with an event.
            self.has_more |= self.incoming.holds();
            if self.has_more && self.hear_guest()? == Turned::Over {
                return Ok(());
            }
            self.tick()?;
            self.outgoing.drain(self.link.as_fd())?;
            let denials = self.gate.total() + self.denied_names;
            self.traffic.show(Carried { denials, ..self.outgoing.carried });
        }
    }

    /// Returns when something is due. Where the guest takes nothing, nothing is.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        if !self.outgoing.has_room() {
            return None;
        }
        let names = self.names.resolver.deadline();
        [
            self.connections.deadline(),
            self.flows.deadline(),
            self.visits.deadline(),
            names,
            self.echoes.deadline(),
            self.peers.deadline(),
            self.limits.deadline(now),
            self.fragments.deadline(),
            Some(self.outlook.deadline()),
            self.listeners.iter().filter_map(|(_, one)| one.rests()).min(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    fn hear_commands(&mut self) -> io::Result<Turned> {
        let mut counter = [0; 8];
        // That there is nothing to read is as good.
        rustix::io::read(&self.wake, &mut counter).ok();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Policy(network)) => {
                    self.limits.follow(&network.limits, self.clock.now());
                    self.gate.replace(*network);
                    self.ask_again()?;
                }
                Ok(Command::Ports(ports)) => self.publish(ports),
                Ok(Command::Siblings(reach)) => self.reach_others(*reach)?,
                Ok(Command::Tell(answer)) => {
                    // Whoever asked may be gone.
                    answer.send(self.figures()).ok();
                }
                Err(TryRecvError::Empty) => return Ok(Turned::On),
                Err(TryRecvError::Disconnected) => return Ok(Turned::Over),
            }
        }
    }

    fn publish(&mut self, Ports { new, kept, gone, done }: Ports) {
        kept.iter().for_each(|kept| self.point(kept));
        gone.iter().for_each(|gone| self.silence(gone));
        // Whoever asked may be gone.
        done.send(new.into_iter().try_for_each(|listener| self.listen(listener))).ok();
    }

    /// Handles what the guest sent.
    fn hear_guest(&mut self) -> io::Result<Turned> {
        let mut count = 0;
        while count < FRAMES && self.outgoing.has_room() {
            let now = self.clock.now();
            // Taken out for the time, so that the frame can be looked at while all else changes.
            let mut incoming = std::mem::replace(&mut self.incoming, Incoming::none());
            let mut is_empty = true;
            while count < FRAMES && self.outgoing.has_room() {
                let Some(frame) = incoming.next() else { break };
                (is_empty, count) = (false, count + 1);
                match self.wire.open(frame, &mut self.outgoing) {
                    Framed::Packet(packet) => self.hear_packet(packet, now)?,
                    Framed::Nothing => {}
                    Framed::Foreign => incoming.malformed += 1,
                }
            }
            let count = std::mem::take(&mut incoming.malformed);
            self.incoming = incoming;
            self.note_faults(count, now);
            if is_empty {
                match self.incoming.fill(self.link.as_fd())? {
                    Filled::Some => {}
                    Filled::Nothing => {
                        self.has_more = false;
                        break;
                    }
                    Filled::Over => return Ok(Turned::Over),
                }
            }
            self.outgoing.drain(self.link.as_fd())?;
        }
        Ok(Turned::On)
    }

    /// Counts what was no frame or no packet, and tells where it is very much.
    fn note_faults(&mut self, count: u64, now: Instant) {
        if self.faults.add(count, now) {
            let (by, remote) = ("malformed frames".into(), "the wire".into());
            let direction = Direction::Egress;
            self.gate.tell(Denial { by, direction, protocol: "ethernet", remote }, now);
        }
    }

    fn hear_packet(&mut self, bytes: &[u8], now: Instant) -> io::Result<()> {
        let packet = match packet::look(bytes) {
            Ok(packet) => packet,
            Err(Dropped::Fragment) => {
                return match self.fragments.take(bytes, now) {
                    Ok(Some(whole)) => self.hear_packet(&whole, now),
                    Ok(None) => Ok(()),
                    Err(Unfit) => {
                        self.note_faults(1, now);
                        Ok(())
                    }
                };
            }
            Err(Dropped::Malformed | Dropped::NotItsOwn | Dropped::Unsupported) => {
                self.note_faults(1, now);
                return Ok(());
            }
        };
        match packet.carries {
            Carries::Tcp { from, begins, .. } => {
                let key = Key { port: from, remote: packet.remote() };
                self.hear_segment(key, (bytes, begins), now)
            }
            Carries::Udp { from, payload, .. } => {
                let key = Key { port: from, remote: packet.remote() };
                self.hear_datagram(key, (bytes, payload), now)
            }
            Carries::Icmp(message) => self.hear_icmp(&packet, (bytes, message), now),
        }
    }

    fn hear_icmp(
        &mut self,
        packet: &Packet<'_>,
        (bytes, message): (&[u8], &[u8]),
        now: Instant,
    ) -> io::Result<()> {
        let Some(asked) = echo::asked(packet.to, message) else { return Ok(()) };
        if super::is_gateway(packet.to) {
            icmp::answer(packet.to, &asked, (self.wire, &mut self.outgoing));
            return Ok(());
        }
        let key = Key { port: asked.ident, remote: SocketAddr::new(packet.to, 0) };
        if !self.echoes.has(&key) {
            let allowed = self.gate.egress(Protocol::Icmp, key.remote, (&mut self.pins, now));
            if !allowed || self.echoes.len() >= ECHOES_MAX {
                return Ok(());
            }
            let Ok(echo) = Echo::open(packet.to, asked.ident, now) else {
                icmp::refuse(bytes, Refusal::Prohibited, (self.wire, &mut self.outgoing));
                return Ok(());
            };
            let token = self.token();
            self.watch.set(token, echo.host(), Interest::READ)?;
            self.echoes.insert(key, token, echo);
        }
        let passes = self.limits.egress.passes(asked.data.len(), now);
        if let Some(row) = self.echoes.get_mut(&key).filter(|_| passes) {
            row.it.send(&asked, now);
            let until = row.it.until();
            self.echoes.set_due(&key, Some(until));
        }
        Ok(())
    }

    fn hear_segment(
        &mut self,
        key: Key,
        (bytes, begins): (&[u8], bool),
        now: Instant,
    ) -> io::Result<()> {
        let is_known = self.connections.has(&key);
        if !is_known && (!begins || !self.call(key, bytes, now)?) {
            self.stack.refuse(bytes, (self.wire, &mut self.outgoing), now);
            return Ok(());
        }
        self.turn(key, |connection, bench| connection.turn(Some(bytes), bench))
    }

    /// Begins a connection that the guest asks for; tells whether there is one now.
    fn call(&mut self, key: Key, bytes: &[u8], now: Instant) -> io::Result<bool> {
        let most = usize::from(self.gate.network().limits.max_connections);
        let is_sibling = peers::is_sibling(key.remote.ip());
        if is_sibling || key.remote.port() == names::PORT {
            let begun = match self.connections.len() < most {
                true if is_sibling => self.call_sibling(key, now)?,
                true => self.ask_by_stream(key, now)?,
                false => None,
            };
            let Some(connection) = begun else { return Ok(false) };
            let token = self.token();
            self.connections.insert(key, token, connection);
            return Ok(true);
        }
        let allowed = self.gate.egress(Protocol::Tcp, key.remote, (&mut self.pins, now));
        if !allowed || self.connections.len() >= most {
            return Ok(false);
        }
        let host = match dial::tcp(key.remote) {
            Dialled::Soon(host) => host,
            Dialled::Refused => return Ok(false),
            Dialled::Unreachable => {
                icmp::refuse(bytes, Refusal::Host, (self.wire, &mut self.outgoing));
                return Ok(false);
            }
        };
        let buffer = self.buffer_bytes();
        let Some(connection) = Connection::of_guest(key.remote, host, buffer, now) else {
            return Ok(false);
        };
        self.pins.hold(key.remote.ip(), now);
        let is_tls = self.gate.network().tls.ports.contains(&key.remote.port());
        let connection = if is_tls { connection.awaiting_hello() } else { connection };
        let token = self.token();
        self.connections.insert(key, token, connection);
        Ok(true)
    }

    /// Lets one connection work, and says what it waits for then.
    pub(super) fn turn(
        &mut self,
        key: Key,
        work: impl FnOnce(&mut Connection, &mut Bench<'_>) -> Turned,
    ) -> io::Result<()> {
        let budget =
            if is_question(&key) { Budget::FREE } else { self.limits.budget(self.clock.now()) };
        self.turn_within(key, budget, work)
    }

    /// Lets one connection work that may move only so much.
    pub(super) fn turn_within(
        &mut self,
        key: Key,
        budget: Budget,
        work: impl FnOnce(&mut Connection, &mut Bench<'_>) -> Turned,
    ) -> io::Result<()> {
        let Some(row) = self.connections.get_mut(&key) else { return Ok(()) };
        let now = self.clock.now();
        let Self { stack, wire, outgoing, watch, gate, pins, limits, .. } = self;
        let mut bench = Bench { stack, wire: *wire, outgoing, now, budget };
        let mut turned = work(&mut row.it, &mut bench);
        if let Turned::Asks(name) = &turned {
            let allowed = gate.greets(key.remote, name, (pins, now));
            turned = if allowed { row.it.may_speak(&mut bench) } else { row.it.reset(&mut bench) };
        }
        limits.note(key, (budget, bench.budget), row.it.lacks(), now);
        match turned {
            Turned::On | Turned::Asks(_) => {
                watch.set(row.token, row.it.host(), row.it.interest())?;
                let due = row.it.due(bench.stack, now);
                self.connections.set_due(&key, due);
            }
            Turned::Over => {
                if row.it.peer().is_none() {
                    pins.release(key.remote.ip(), now);
                }
                watch.forget(row.token, row.it.host());
                drop(self.connections.remove(&key));
            }
        }
        Ok(())
    }

    fn hear_datagram(
        &mut self,
        key: Key,
        (bytes, payload): (&[u8], &[u8]),
        now: Instant,
    ) -> io::Result<()> {
        if self.answer_peer(&key, payload, now) {
            return Ok(());
        }
        if peers::is_sibling(key.remote.ip()) {
            return self.send_to_sibling(key, (bytes, payload), now);
        }
        if key.remote.port() == names::PORT {
            return self.ask(key, payload, now);
        }
        if !self.flows.has(&key) {
            if !self.gate.egress(Protocol::Udp, key.remote, (&mut self.pins, now)) {
                icmp::refuse(bytes, Refusal::Prohibited, (self.wire, &mut self.outgoing));
                return Ok(());
            }
            if self.flows.len() >= FLOWS_MAX {
                return Ok(());
            }
            let Ok(host) = dial::udp(key.remote) else {
                icmp::refuse(bytes, Refusal::Host, (self.wire, &mut self.outgoing));
                return Ok(());
            };
            let token = self.token();
            self.watch.set(token, host.as_fd(), Interest::READ)?;
            self.pins.hold(key.remote.ip(), now);
            self.flows.insert(key, token, udp::Flow::new(host, key.remote, key.port, now));
        }
        let Some(row) = self.flows.get_mut(&key) else { return Ok(()) };
        if !self.limits.egress.passes(payload.len(), now) {
            return Ok(());
        }
        if row.it.send(payload, now) == Came::Refused {
            icmp::refuse(bytes, Refusal::Port, (self.wire, &mut self.outgoing));
        }
        let until = row.it.until();
        self.flows.set_due(&key, Some(until));
        Ok(())
    }

    /// Something happened to a descriptor of the host's.
    fn hear(&mut self, token: u64) -> io::Result<()> {
        if let Some(key) = self.connections.key(token) {
            return self.turn(key, |connection, bench| connection.dialled(bench));
        }
        if let Some(key) = self.flows.key(token) {
            let now = self.clock.now();
            let Some(row) = self.flows.get_mut(&key) else { return Ok(()) };
            let way = (self.wire, &mut self.outgoing, &mut self.limits.ingress);
            row.it.receive(&mut self.scratch, way, now);
            let until = row.it.until();
            self.flows.set_due(&key, Some(until));
            return Ok(());
        }
        if let Some(key) = self.echoes.key(token) {
            let now = self.clock.now();
            let Some(row) = self.echoes.get_mut(&key) else { return Ok(()) };
            let way = (self.wire, &mut self.outgoing, &mut self.limits.ingress);
            row.it.receive(&mut self.scratch, way, now);
            return Ok(());
        }
        if self.hear_names(token)? || self.hear_peers(token)? {
            return Ok(());
        }
        if let Some(at) = self.listeners.iter().position(|(known, _)| *known == token) {
            self.accept(at)?;
        }
        Ok(())
    }

    fn tick(&mut self) -> io::Result<()> {
        if !self.outgoing.has_room() {
            return Ok(());
        }
        let now = self.clock.now();
        for key in self.connections.due(now) {
            self.turn(key, |connection, bench| connection.tick(bench))?;
        }
        self.fragments.expire(now);
        self.outlook.tick(&mut self.names.resolver, now);
        self.serve_waiting(now)?;
        for key in self.flows.due(now) {
            self.end_flow(&key);
        }
        for key in self.visits.due(now) {
            self.end_visit(&key);
        }
        for key in self.echoes.due(now) {
            if let Some(row) = self.echoes.get_mut(&key) {
                self.watch.forget(row.token, row.it.host());
                drop(self.echoes.remove(&key));
            }
        }
        self.tick_listeners(now)?;
        self.tick_peers(now)?;
        self.tick_names(now)
    }

    fn end_flow(&mut self, key: &Key) {
        if let Some(row) = self.flows.get_mut(key) {
            let now = self.clock.now();
            self.pins.release(key.remote.ip(), now);
            self.watch.forget(row.token, row.it.host());
            drop(self.flows.remove(key));
        }
    }

    /// Asks about everything that is open again, under another policy.
    pub(super) fn ask_again(&mut self) -> io::Result<()> {
        let now = self.clock.now();
        for key in self.connections.keys() {
            let outside = self.connections.get_mut(&key).and_then(|row| row.it.peer());
            let allowed = match outside {
                peer if peers::is_sibling(key.remote.ip()) => {
                    self.may_go_on(Protocol::Tcp, &key, peer.is_some())
                }
                Some(peer) => self.gate.ingress(Protocol::Tcp, (peer, key.port), now),
                None => self.gate.egress(Protocol::Tcp, key.remote, (&mut self.pins, now)),
            };
            if !allowed {
                self.turn(key, |connection, bench| connection.reset(bench))?;
            }
        }
        for key in self.flows.keys() {
            if !self.gate.egress(Protocol::Udp, key.remote, (&mut self.pins, now)) {
                self.end_flow(&key);
            }
        }
        self.ask_flows_again();
        Ok(())
    }

    pub(super) fn buffer_bytes(&self) -> usize {
        if self.connections.len() < LARGE_BUFFERS { BUFFER_BYTES } else { BUFFER_BYTES_BEYOND }
    }

    fn figures(&self) -> NetworkFigures {
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let denied = self.gate.denied().iter();
        let given = self.names.resolver.given();
        let flows = self.flows.len() + self.visits.len() + self.echoes.len();
        NetworkFigures {
            connections: count(self.connections.len()),
            flows: count(flows + self.peers.flows()),
            malformed: self.faults.total(),
            denied_names: self.denied_names,
            denied: denied.map(|(by, count)| (by.to_string(), *count)).collect(),
            siblings: given.map(|(who, at)| (who.to_owned(), at.to_vec())).collect(),
        }
    }

    pub(super) fn token(&mut self) -> u64 {
        self.next_token += 1;
        FIRST + self.next_token
    }
}
