//! The resolver's messages on their way: to the guest by datagram and by stream, and to servers.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::io::{Errno, read, write};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use schema::project::network::Direction;

use super::dial::{self, Dialled};
use super::dns::{Act, Asker, Heard, Noted, QueryId, Resolver, Transport};
use super::engine::Engine;
use super::gate::Denial;
use super::table::Key;
use super::tcp::Connection;
use super::udp;
use super::watch::{Interest, Watch};
use crate::clock::Clock;

/// The port of every resolver.
pub(super) const PORT: u16 = 53;
/// The bytes of a length before a message on a stream.
const LENGTH_BYTES: usize = 2;
/// Askers by stream are numbered behind every port.
const STREAMS: u64 = 1 << 32;
/// The longest message.
const MESSAGE_BYTES_MAX: usize = 65_535;
/// What waits to be written on a stream of the guest's, at most: it asks more than it reads.
const ANSWERS_BYTES_MAX: usize = 256 << 10;

/// See the module.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) resolver: Resolver,
    tries: HashMap<u64, Try>,
    tokens: HashMap<QueryId, u64>,
    streams: HashMap<u64, Stream>,
}

/// A question to a server.
#[derive(Debug)]
struct Try {
    query: QueryId,
    server: SocketAddr,
    by: Transport,
    socket: OwnedFd,
    out: Vec<u8>,
    came: Vec<u8>,
}

/// A guest that asks by a stream.
#[derive(Debug)]
struct Stream {
    /// This end of it; the other one is a connection's.
    end: OwnedFd,
    to: SocketAddr,
    out: Vec<u8>,
    came: Vec<u8>,
}

/// Whether a stream goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    On,
    Ended,
}

impl Names {
    pub(super) fn new(resolver: Resolver) -> Self {
        Self { resolver, tries: HashMap::new(), tokens: HashMap::new(), streams: HashMap::new() }
    }

    fn forget_try(&mut self, token: u64, watch: &mut Watch) {
        if let Some(one) = self.tries.remove(&token) {
            self.tokens.remove(&one.query);
            watch.forget(token, one.socket.as_fd());
        }
    }

    fn forget_stream(&mut self, token: u64, watch: &mut Watch) {
        if let Some(one) = self.streams.remove(&token) {
            watch.forget(token, one.end.as_fd());
        }
    }
}

impl<C: Clock> Engine<C> {
    /// Takes a question that came as a datagram.
    pub(super) fn ask(&mut self, key: Key, message: &[u8], now: Instant) -> io::Result<()> {
        self.look_at_replicas(now);
        self.outlook.glance(&mut self.names.resolver, now);
        let asker = Asker { id: key.port.into(), by: Transport::Udp, to: key.remote };
        let acts = self.names.resolver.asked(self.gate.network(), asker, message, now);
        self.do_all(acts)
    }

    /// Takes a guest that will ask by a stream; returns the connection's end of it.
    pub(super) fn ask_by_stream(
        &mut self,
        key: Key,
        now: Instant,
    ) -> io::Result<Option<Connection>> {
        let (end, theirs) = UnixStream::pair()?;
        end.set_nonblocking(true)?;
        theirs.set_nonblocking(true)?;
        let token = self.token();
        let end = OwnedFd::from(end);
        self.watch.set(token, end.as_fd(), Interest::READ)?;
        let stream = Stream { end, to: key.remote, out: Vec::new(), came: Vec::new() };
        self.names.streams.insert(token, stream);
        let buffer = super::engine::BUFFER_BYTES_BEYOND;
        Ok(Connection::of_guest(key.remote, theirs.into(), buffer, now)
            .map(Connection::with_host_there))
    }

    /// Something happened to a descriptor of the resolver's; tells whether it was one.
    pub(super) fn hear_names(&mut self, token: u64) -> io::Result<bool> {
        if self.names.streams.contains_key(&token) {
            self.hear_stream(token)?;
            return Ok(true);
        }
        let Some(one) = self.names.tries.get_mut(&token) else { return Ok(false) };
        let (query, server) = (one.query, one.server);
        let heard = match one.by {
            Transport::Udp => one.datagram(&mut self.scratch),
            Transport::Tcp => one.stream(&mut self.scratch),
        };
        let now = self.clock.now();
        let (network, resolver) = (self.gate.network(), &mut self.names.resolver);
        let acts = match heard {
            Ok(None) => {
                let interest = Interest { read: true, write: !one.out.is_empty() };
                self.watch.set(token, one.socket.as_fd(), interest)?;
                return Ok(true);
            }
            Ok(Some(message)) => {
                resolver.heard(network, Heard { query, server, message: &message }, now)
            }
            Err(_) => {
                self.names.forget_try(token, &mut self.watch);
                self.names.resolver.failed(network, query, now)
            }
        };
        self.do_all(acts)?;
        Ok(true)
    }

    /// Does what is due of questions in flight.
    pub(super) fn tick_names(&mut self, now: Instant) -> io::Result<()> {
        if self.names.resolver.deadline().is_some_and(|due| due <= now) {
            let acts = self.names.resolver.tick(self.gate.network(), now);
            self.do_all(acts)?;
        }
        Ok(())
    }

    fn hear_stream(&mut self, token: u64) -> io::Result<()> {
        let Some(stream) = self.names.streams.get_mut(&token) else { return Ok(()) };
        let mut goes = stream.flush();
        let mut questions = Vec::new();
        if goes == Goes::On {
            goes = stream.fill(&mut self.scratch);
            while let Some(question) = take_message(&mut stream.came) {
                questions.push(question);
            }
        }
        let to = stream.to;
        let now = self.clock.now();
        self.look_at_replicas(now);
        self.outlook.glance(&mut self.names.resolver, now);
        for question in questions {
            let asker = Asker { id: STREAMS | token, by: Transport::Tcp, to };
            let acts = self.names.resolver.asked(self.gate.network(), asker, &question, now);
            self.do_all(acts)?;
        }
        if goes == Goes::Ended {
            self.names.forget_stream(token, &mut self.watch);
        } else {
            self.wait_for_stream(token)?;
        }
        Ok(())
    }

    fn wait_for_stream(&mut self, token: u64) -> io::Result<()> {
        let Some(stream) = self.names.streams.get(&token) else { return Ok(()) };
        // Who does not read its answers is not asked for more questions.
        let read = stream.out.len() < ANSWERS_BYTES_MAX;
        let interest = Interest { read, write: !stream.out.is_empty() };
        self.watch.set(token, stream.end.as_fd(), interest)
    }

    fn do_all(&mut self, acts: Vec<Act>) -> io::Result<()> {
        // What fails at once makes more to do.
        let mut open: std::collections::VecDeque<Act> = acts.into();
        while let Some(act) = open.pop_front() {
            match act {
                Act::Answer { asker, message } => self.answer(asker, &message)?,
                Act::Ask { query, server, by, message } => {
                    if self.send_question((query, server, by), &message).is_err() {
                        let now = self.clock.now();
                        let network = self.gate.network();
                        open.extend(self.names.resolver.failed(network, query, now));
                    }
                }
                Act::Forget { query } => {
                    if let Some(token) = self.names.tokens.get(&query).copied() {
                        self.names.forget_try(token, &mut self.watch);
                    }
                }
                Act::Pin { name, addresses, ttl } => {
                    let now = self.clock.now();
                    self.pins.pin(&name, &addresses, ttl, now);
                }
                Act::Note(noted) => {
                    self.note_name(noted);
                }
            }
        }
        Ok(())
    }

    fn note_name(&mut self, noted: Noted) {
        tracing::debug!(?noted, "names");
        let (by, name) = match noted {
            Noted::Denied { name } => {
                self.denied_names += 1;
                // Many rules together decide about a name.
                ("names", name)
            }
            Noted::Rebinding { name, is_emptied: true, .. } => ("rebind-protection", name),
            _ => return,
        };
        let direction = Direction::Egress;
        let denial = Denial { by: by.into(), direction, protocol: "dns", remote: name };
        self.gate.tell(denial, self.clock.now());
    }

    fn answer(&mut self, asker: Asker, message: &[u8]) -> io::Result<()> {
        if let Ok(port) = u16::try_from(asker.id) {
            udp::deliver((asker.to, port), message, (self.wire, &mut self.outgoing));
            return Ok(());
        }
        let token = asker.id & !STREAMS;
        let Some(stream) = self.names.streams.get_mut(&token) else { return Ok(()) };
        let length = u16::try_from(message.len()).unwrap_or(0).to_be_bytes();
        stream.out.extend_from_slice(&length);
        stream.out.extend_from_slice(message);
        if stream.flush() == Goes::Ended {
            self.names.forget_stream(token, &mut self.watch);
            return Ok(());
        }
        self.wait_for_stream(token)
    }

    fn send_question(
        &mut self,
        (query, server, by): (QueryId, SocketAddr, Transport),
        message: &[u8],
    ) -> io::Result<()> {
        let (socket, out) = match by {
            Transport::Udp => {
                let socket = dial::server(server)?;
                send(&socket, message, SendFlags::NOSIGNAL)?;
                (socket, Vec::new())
            }
            Transport::Tcp => match dial::tcp(server) {
                Dialled::Soon(socket) => {
                    let length = u16::try_from(message.len()).map_err(io::Error::other)?;
                    (socket, [&length.to_be_bytes()[..], message].concat())
                }
                Dialled::Refused | Dialled::Unreachable => {
                    return Err(io::ErrorKind::NotConnected.into());
                }
            },
        };
        let token = self.token();
        let interest = Interest { read: true, write: !out.is_empty() };
        self.watch.set(token, socket.as_fd(), interest)?;
        self.names.tokens.insert(query, token);
        self.names.tries.insert(token, Try { query, server, by, socket, out, came: Vec::new() });
        Ok(())
    }
}

impl Try {
    fn datagram(&self, scratch: &mut [u8]) -> Result<Option<Vec<u8>>, Errno> {
        match recv(&self.socket, &mut *scratch, RecvFlags::empty()) {
            Ok((count, _)) => Ok(Some(scratch.get(..count).unwrap_or_default().to_vec())),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(errno) => Err(errno),
        }
    }

    fn stream(&mut self, scratch: &mut [u8]) -> Result<Option<Vec<u8>>, Errno> {
        flush(&self.socket, &mut self.out)?;
        loop {
            match read(&self.socket, &mut *scratch) {
                Ok(0) => return Err(Errno::PIPE),
                Ok(count) => {
                    self.came.extend_from_slice(scratch.get(..count).unwrap_or_default());
                    if let Some(message) = take_message(&mut self.came) {
                        return Ok(Some(message));
                    }
                }
                Err(Errno::AGAIN | Errno::INTR | Errno::NOTCONN) => return Ok(None),
                Err(errno) => return Err(errno),
            }
        }
    }
}

impl Stream {
    fn flush(&mut self) -> Goes {
        match flush(&self.end, &mut self.out) {
            Ok(()) => Goes::On,
            Err(_) => Goes::Ended,
        }
    }

    /// Reads what is there, and no more than a message beyond those that are taken.
    fn fill(&mut self, scratch: &mut [u8]) -> Goes {
        while self.came.len() <= MESSAGE_BYTES_MAX + LENGTH_BYTES {
            match read(&self.end, &mut *scratch) {
                Ok(0) => return Goes::Ended,
                Ok(count) => self.came.extend_from_slice(scratch.get(..count).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(_) => return Goes::Ended,
            }
        }
        Goes::On
    }
}

/// Writes what can be written now; what cannot stays.
fn flush(to: &OwnedFd, out: &mut Vec<u8>) -> Result<(), Errno> {
    while !out.is_empty() {
        match write(to, out) {
            Ok(count) => drop(out.drain(..count)),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN | Errno::NOTCONN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Takes the first whole message off a stream.
fn take_message(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
    let length = usize::from(u16::from_be_bytes(*length));
    let message = rest.get(..length)?.to_vec();
    bytes.drain(..LENGTH_BYTES + length);
    Some(message)
}
