//! A gateway alone with its guest: all of the network that needs no host, for whoever tries any bytes on it.
//!
//! Far ends are this process's. Nothing is asked of a policy: every connection is allowed.

use std::fmt;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Instant;

use super::echo;
use super::ether::{Framed, Wire};
use super::fragments::{Fragments, Unfit, WORK_MAX};
use super::icmp::{self, Refusal};
use super::limits::Budget;
use super::link::{Incoming, Outgoing};
use super::packet::{self, Carries, Dropped};
use super::stack::Stack;
use super::table::{Key, Table};
use super::tcp::{Bench, Connection, Turned};

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 8;
/// Packets in pieces at a time.
pub const FRAGMENTED_MAX: usize = WORK_MAX;
/// The buffers of each, each way.
const BUFFER_BYTES: usize = 64 << 10;

/// See the module.
pub struct Alone {
    stack: Stack,
    wire: Wire,
    incoming: Incoming,
    fragments: Fragments,
    malformed: u64,
    outgoing: Outgoing,
    connections: Table<(Connection, UnixStream)>,
    next_token: u64,
}

/// What is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load {
    /// Connections that are not over.
    pub connections: usize,
    /// Packets of which not every piece is there.
    pub fragmented: usize,
    /// Frames and packets that were none.
    pub malformed: u64,
    /// Whether more would be made for the guest.
    pub has_room: bool,
}

impl Alone {
    /// Returns one whose guest has this hardware address.
    #[must_use]
    pub fn new(guest: [u8; 6], now: Instant) -> Self {
        Self {
            stack: Stack::new(1, now),
            wire: Wire::new(guest),
            incoming: Incoming::new(),
            fragments: Fragments::default(),
            malformed: 0,
            outgoing: Outgoing::default(),
            connections: Table::default(),
            next_token: 0,
        }
    }

    /// Hears bytes of the guest's end of the wire.
    ///
    /// # Errors
    /// This process has no descriptors left.
    pub fn hear(&mut self, mut bytes: &[u8], now: Instant) -> io::Result<()> {
        loop {
            let count = self.incoming.push(bytes);
            bytes = bytes.get(count..).unwrap_or_default();
            let mut incoming = std::mem::replace(&mut self.incoming, Incoming::none());
            let mut heard = Ok(());
            while let Some(frame) = incoming.next() {
                match self.wire.open(frame, &mut self.outgoing) {
                    Framed::Packet(packet) if heard.is_ok() => {
                        heard = self.hear_packet(packet, now);
                    }
                    Framed::Packet(_) | Framed::Nothing => {}
                    Framed::Foreign => self.malformed += 1,
                }
            }
            self.incoming = incoming;
            heard?;
            if bytes.is_empty() {
                return Ok(());
            }
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
                        self.malformed += 1;
                        Ok(())
                    }
                };
            }
            Err(Dropped::Malformed | Dropped::NotItsOwn | Dropped::Unsupported) => {
                self.malformed += 1;
                return Ok(());
            }
        };
        let remote = packet.remote();
        match packet.carries {
            Carries::Tcp { from, begins, .. } => {
                let key = Key { port: from, remote };
                if !self.connections.has(&key) && (!begins || !self.call(key, now)?) {
                    self.stack.refuse(bytes, (self.wire, &mut self.outgoing), now);
                    return Ok(());
                }
                self.turn(key, now, |connection, bench| connection.turn(Some(bytes), bench));
            }
            Carries::Udp { .. } => {
                icmp::refuse(bytes, Refusal::Port, (self.wire, &mut self.outgoing));
            }
            Carries::Icmp(message) => {
                if let Some(asked) = echo::asked(packet.to, message) {
                    icmp::answer(packet.to, &asked, (self.wire, &mut self.outgoing));
                }
            }
        }
        Ok(())
    }

    /// Begins a connection that the guest asks for; tells whether there is one now.
    fn call(&mut self, key: Key, now: Instant) -> io::Result<bool> {
        if self.connections.len() >= CONNECTIONS_MAX {
            return Ok(false);
        }
        let (host, far) = UnixStream::pair()?;
        host.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let Some(connection) = Connection::of_guest(key.remote, host.into(), BUFFER_BYTES, now)
        else {
            return Ok(false);
        };
        // Ports on which a guest says whom it asks for, so that this is read too.
        let connection =
            if key.remote.port() % 2 == 1 { connection.awaiting_hello() } else { connection };
        self.next_token += 1;
        self.connections.insert(key, self.next_token, (connection.with_host_there(), far));
        Ok(true)
    }

    fn turn(
        &mut self,
        key: Key,
        now: Instant,
        work: impl FnOnce(&mut Connection, &mut Bench<'_>) -> Turned,
    ) {
        let Some(row) = self.connections.get_mut(&key) else { return };
        let (connection, far) = &mut row.it;
        let Self { stack, wire, outgoing, .. } = self;
        let mut bench = Bench { stack, wire: *wire, outgoing, now, budget: Budget::FREE };
        let mut turned = work(connection, &mut bench);
        if matches!(turned, Turned::Asks(_)) {
            turned = connection.may_speak(&mut bench);
        }
        // The far end takes whatever comes.
        let mut room = [0; 4096];
        while matches!(far.read(&mut room), Ok(1..)) {}
        let due = connection.due(bench.stack, now);
        if turned == Turned::Over {
            self.connections.remove(&key);
        } else {
            self.connections.set_due(&key, due);
        }
    }

    /// Lets the far end of one connection say something; nothing is its end.
    ///
    /// # Errors
    /// The socket between us broke.
    pub fn speak(&mut self, nth: usize, bytes: &[u8], now: Instant) -> io::Result<()> {
        let mut keys = self.connections.keys();
        keys.sort_unstable();
        let Some(key) = keys.get(nth % keys.len().max(1)).copied() else { return Ok(()) };
        let Some(row) = self.connections.get_mut(&key) else { return Ok(()) };
        let far = &mut row.it.1;
        let said = match bytes {
            [] => far.shutdown(Shutdown::Write),
            bytes => far.write(bytes).map(drop),
        };
        match said.map_err(|error| error.kind()) {
            Ok(())
            | Err(ErrorKind::WouldBlock | ErrorKind::BrokenPipe | ErrorKind::NotConnected) => {}
            Err(kind) => return Err(kind.into()),
        }
        self.turn(key, now, |connection, bench| connection.turn(None, bench));
        Ok(())
    }

    /// Does what is due.
    pub fn tick(&mut self, now: Instant) {
        self.fragments.expire(now);
        for key in self.connections.due(now) {
            self.turn(key, now, Connection::tick);
        }
    }

    /// Returns when something is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.connections.deadline(), self.fragments.deadline()].into_iter().flatten().min()
    }

    /// Returns the frames that wait for the guest.
    pub fn take_frames(&mut self) -> Vec<Vec<u8>> {
        self.outgoing.take()
    }

    /// Returns what is held.
    #[must_use]
    pub fn load(&self) -> Load {
        Load {
            connections: self.connections.len(),
            fragmented: self.fragments.len(),
            malformed: self.incoming.malformed + self.malformed,
            has_room: self.outgoing.has_room(),
        }
    }
}

impl fmt::Debug for Alone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alone").field("load", &self.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::net::addresses::{GATEWAY_MAC, GUEST};

    const MAC: [u8; 6] = [2, 0x6d, 1, 2, 3, 4];

    /// A segment of the guest to 9.9.9.9, on the wire; each says that a packet may be as long as they get.
    fn segment(flags: u8, sequence: u32, acknowledged: u32) -> Vec<u8> {
        let [s, a] = [sequence, acknowledged].map(u32::to_be_bytes);
        let end = [0x60, flags, 0xff, 0xff, 0, 0, 0, 0, 2, 4, 0xff, 0xc8];
        let ip = [0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0, 0];
        let tcp = [&[0x9c, 0x40, 0, 80][..], &s, &a, &end].concat();
        let packet = [&ip[..], &GUEST.octets(), &[9, 9, 9, 9], &tcp].concat();
        [&[0, 0, 0, 58][..], &GATEWAY_MAC, &MAC, &[8, 0], &packet].concat()
    }

    /// The bytes that each frame carries.
    fn carried(gateway: &mut Alone) -> Vec<usize> {
        gateway
            .take_frames()
            .iter()
            .map(|frame| frame.len() - 54)
            .filter(|count| *count > 0)
            .collect()
    }

    #[test]
    fn small_pieces_for_a_busy_guest_are_gathered_and_an_end_is_not_held_back() {
        #[expect(clippy::disallowed_methods, reason = "a moment to count from")]
        let now = Instant::now();
        let mut gateway = Alone::new(MAC, now);
        gateway.hear(&segment(2, 7, 0), now).unwrap();
        let answer = gateway.take_frames().remove(0);
        let first = u32::from_be_bytes(answer[38..42].try_into().unwrap()) + 1;
        gateway.hear(&segment(0x10, 8, first), now).unwrap();
        for _ in 0..40 {
            gateway.speak(0, &[9; 1000], now).unwrap();
        }
        // The first few, two that were worth it; then none until it is time.
        assert_eq!(carried(&mut gateway), [vec![1000; 4], vec![17_000; 2]].concat());
        assert_eq!(gateway.deadline(), Some(now + Duration::from_millis(2)));
        gateway.tick(now + Duration::from_millis(2));
        assert_eq!(carried(&mut gateway), [2000]);

        // After a rest the next one goes at once.
        let now = now + Duration::from_millis(6);
        gateway.hear(&segment(0x10, 8, first + 40_000), now).unwrap();
        gateway.speak(0, &[9; 1000], now).unwrap();
        assert_eq!(carried(&mut gateway), [1000]);
        for _ in 0..20 {
            gateway.speak(0, &[9; 1000], now).unwrap();
        }
        drop(gateway.take_frames());
        gateway.hear(&segment(0x10, 8, first + 41_000), now).unwrap();
        gateway.speak(0, &[], now).unwrap();
        let last = gateway.take_frames().pop().unwrap();
        assert_eq!(last[47] & 1, 1, "the end is said");
    }
}
