//! One TCP connection: a socket of the stack towards the guest, a socket of the host towards the world.
//!
//! ```text
//! guest ─ stack's receive buffer ─▶ host's socket        each way ends for itself
//! guest ◀─ stack's send buffer ──── host's socket        nothing is read that has no room
//! ```
//!
//! The host's side is dialled before the guest's call is answered, so a guest's `connect` says the
//! truth. Room that appears on one side re-opens reading on the other within the same turn.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread, read, write};
use rustix::net::{Shutdown, shutdown, sockopt};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::wire::IpEndpoint;

use super::addresses::GUEST;
use super::ether::Wire;
use super::hello::{self, HELLO_BYTES_MAX, Hello};
use super::limits::{Budget, Lacks};
use super::link::Outgoing;
use super::peers::{Answering, Asked, Asking};
use super::pieces::Pieces;
use super::stack::Stack;
use super::watch::Interest;

/// How long a dial may take.
const DIAL: Duration = Duration::from_secs(30);
/// How long a guest may take to answer a call from outside.
const ANSWER: Duration = Duration::from_secs(10);
/// How long a guest may take to say whom it asks for.
const GREETING: Duration = Duration::from_secs(10);
/// How long one side may be ended and the other say nothing.
const HALF_OPEN: Duration = Duration::from_secs(600);

/// Where a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The host's socket is being connected; the guest's call waits.
    Dialling,
    /// The guest was called and has not answered.
    Calling,
    /// Both sides are there.
    Open,
    /// The host's side broke; what the guest sent before lies where it lies.
    Broken,
}

/// Whether one way still carries bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    Ended,
}

/// Whether whom a guest asks for is still to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Greeting {
    /// Nobody wants to know, or it is known.
    Over,
    /// Nothing goes out before it is known.
    Awaited,
}

/// What has to be said between the runtimes of siblings before bytes go.
#[derive(Debug)]
enum Handshake {
    /// The host's side is no sibling.
    None,
    /// The sibling has not said yet whether it takes the call.
    Asking(Asking),
    /// The sibling waits to hear whether the guest takes the call.
    Answering(Answering),
    /// All was said.
    Over,
}

/// What a turn came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Turned {
    /// It goes on.
    On,
    /// It goes on if the guest may speak with whom it asks for.
    Asks(String),
    /// It is over and can be forgotten.
    Over,
}

/// See the module.
pub(super) struct Connection {
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    host: OwnedFd,
    peer: Option<IpAddr>,
    stage: Stage,
    greeting: Greeting,
    asks: Option<String>,
    handshake: Handshake,
    to_host: Way,
    to_guest: Way,
    /// When it is given up where nothing happens.
    until: Option<Instant>,
    /// How what comes for the guest is cut.
    pieces: Pieces,
    /// Where more would have moved, had it been allowed to.
    lacks: Lacks,
    /// Bytes that went each way.
    pub(super) moved: Moved,
}

/// Bytes of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub(super) to_host: u64,
    pub(super) to_guest: u64,
}

/// What a turn works with.
pub(super) struct Bench<'a> {
    pub(super) stack: &'a mut Stack,
    pub(super) wire: Wire,
    pub(super) outgoing: &'a mut Outgoing,
    pub(super) now: Instant,
    /// What may still be moved.
    pub(super) budget: Budget,
}

impl Connection {
    /// Takes a call of the guest to `remote`, for which `host` is being connected.
    ///
    /// `None` where nobody can be called so: no address or no port.
    pub(super) fn of_guest(
        remote: SocketAddr,
        host: OwnedFd,
        buffer_bytes: usize,
        now: Instant,
    ) -> Option<Self> {
        let mut socket = socket(buffer_bytes);
        socket.listen(IpEndpoint::from(remote)).ok()?;
        socket.pause_synack(true);
        Some(Self::new(socket, host, Stage::Dialling, now + DIAL))
    }

    /// Calls the guest's `port` from `from`, a port of ours that nothing else uses, for a peer from
    /// outside.
    pub(super) fn of_peer(
        (port, from): (u16, SocketAddr),
        (host, peer): (OwnedFd, IpAddr),
        buffer_bytes: usize,
        bench: &mut Bench<'_>,
    ) -> Option<Self> {
        let mut socket = socket(buffer_bytes);
        let guest = IpEndpoint::from(SocketAddr::from((GUEST, port)));
        socket.connect(bench.stack.context(), guest, IpEndpoint::from(from)).ok()?;
        let connection = Self::new(socket, host, Stage::Calling, bench.now + ANSWER);
        Some(Self { peer: Some(peer), ..connection })
    }

    /// Returns who called from outside; `None` where the guest did.
    pub(super) const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    fn new(socket: Socket<'static>, host: OwnedFd, stage: Stage, until: Instant) -> Self {
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(socket);
        Self {
            sockets,
            handle,
            host,
            peer: None,
            stage,
            greeting: Greeting::Over,
            asks: None,
            handshake: Handshake::None,
            to_host: Way::Open,
            to_guest: Way::Open,
            until: Some(until),
            pieces: Pieces::default(),
            lacks: Lacks::default(),
            moved: Moved::default(),
        }
    }

    /// Takes the host's side as connected already.
    pub(super) fn with_host_there(mut self) -> Self {
        (self.stage, self.until) = (Stage::Open, None);
        self.socket().pause_synack(false);
        self
    }

    /// Waits until the sibling at the host's side takes the call.
    pub(super) fn asking(self, asking: Asking, until: Instant) -> Self {
        Self { handshake: Handshake::Asking(asking), until: Some(until), ..self }
    }

    /// Tells the sibling at the host's side whether the guest takes its call.
    pub(super) fn answering(self, answering: Answering) -> Self {
        Self { handshake: Handshake::Answering(answering), ..self }
    }

    /// Waits with what the guest sends until it is known whom it asks for by TLS.
    pub(super) fn awaiting_hello(self) -> Self {
        Self { greeting: Greeting::Awaited, ..self }
    }

    /// Hears that the guest may speak with whom it asked for.
    pub(super) fn may_speak(&mut self, bench: &mut Bench<'_>) -> Turned {
        (self.greeting, self.until) = (Greeting::Over, None);
        self.turn(None, bench)
    }

    /// Returns the host's socket.
    pub(super) fn host(&self) -> BorrowedFd<'_> {
        self.host.as_fd()
    }

    /// Hears a packet of the guest's, if there is one, and does what can be done by now.
    pub(super) fn turn(&mut self, packet: Option<&[u8]>, bench: &mut Bench<'_>) -> Turned {
        self.run(packet, bench);
        if let Some(name) = self.asks.take() {
            return Turned::Asks(name);
        }
        if self.stage == Stage::Calling && self.socket().may_send() {
            self.has_answered();
        }
        while self.stage == Stage::Open && self.carry(bench) {
            self.run(None, bench);
        }
        match self.asks.take() {
            Some(name) => Turned::Asks(name),
            None => self.judge(),
        }
    }

    /// Hears that the host's socket is connected, or why not.
    pub(super) fn dialled(&mut self, bench: &mut Bench<'_>) -> Turned {
        if self.stage != Stage::Dialling {
            return self.turn(None, bench);
        }
        if let Handshake::Asking(asking) = &mut self.handshake {
            match asking.go_on(&self.host) {
                Asked::Pending => return Turned::On,
                Asked::Taken => self.handshake = Handshake::Over,
                Asked::Refused => return self.reset(bench),
            }
        }
        match sockopt::socket_error(&self.host) {
            Ok(Ok(())) => {
                let awaits = self.greeting == Greeting::Awaited;
                (self.stage, self.until) = (Stage::Open, awaits.then(|| bench.now + GREETING));
                self.socket().pause_synack(false);
                self.turn(None, bench)
            }
            Ok(Err(_)) | Err(_) => self.reset(bench),
        }
    }

    /// The guest has taken a call from outside.
    fn has_answered(&mut self) {
        (self.stage, self.until) = (Stage::Open, None);
        if let Handshake::Answering(answering) = &self.handshake {
            let is_heard = answering.take(&self.host);
            self.handshake = Handshake::Over;
            if !is_heard {
                self.stage = Stage::Broken;
                self.socket().abort();
            }
        }
    }

    /// Ends both sides at once, in a way that both hear of.
    pub(super) fn reset(&mut self, bench: &mut Bench<'_>) -> Turned {
        self.socket().abort();
        self.run(None, bench);
        self.judge()
    }

    /// Looks whether it waited too long.
    pub(super) fn tick(&mut self, bench: &mut Bench<'_>) -> Turned {
        if self.until.is_some_and(|until| until <= bench.now) {
            return self.reset(bench);
        }
        self.turn(None, bench)
    }

    /// Returns when it is to be turned again, if nothing happens before.
    pub(super) fn due(&self, stack: &mut Stack, now: Instant) -> Option<Instant> {
        let timer = stack.due(&self.sockets, now);
        [timer, self.until, self.pieces.until()].into_iter().flatten().min()
    }

    /// Returns what it waits for on the host's side.
    pub(super) fn interest(&self) -> Interest {
        let socket = self.sockets.get::<Socket<'_>>(self.handle);
        match self.stage {
            Stage::Dialling => match &self.handshake {
                Handshake::Asking(asking) => Interest { read: true, write: asking.has_words() },
                _ => Interest { read: false, write: true },
            },
            Stage::Calling | Stage::Broken => Interest::default(),
            Stage::Open => Interest {
                read: self.to_guest == Way::Open
                    && socket.can_send()
                    && self.pieces.until().is_none()
                    && !self.lacks.to_guest,
                write: self.to_host == Way::Open
                    && !self.lacks.to_host
                    && self.greeting == Greeting::Over
                    && socket.can_recv(),
            },
        }
    }

    /// Returns where more would have moved, had it been allowed to.
    pub(super) const fn lacks(&self) -> Lacks {
        self.lacks
    }

    fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    fn run(&mut self, packet: Option<&[u8]>, bench: &mut Bench<'_>) {
        let Bench { stack, wire, outgoing, now, .. } = bench;
        stack.turn(&mut self.sockets, packet, (*wire, outgoing), *now);
    }

    /// Moves bytes both ways; tells whether the stack has something to say for it.
    fn carry(&mut self, bench: &mut Bench<'_>) -> bool {
        let Bench { now, budget, .. } = bench;
        let before = (self.moved, self.to_host, self.to_guest);
        self.lacks = Lacks::default();
        let carried = self.carry_to_host(&mut budget.to_host);
        if carried.and_then(|()| self.carry_to_guest(&mut budget.to_guest, *now)).is_err() {
            self.stage = Stage::Broken;
            self.socket().abort();
            return true;
        }
        let changed = before != (self.moved, self.to_host, self.to_guest);
        if changed {
            let is_half = (self.to_host == Way::Ended) != (self.to_guest == Way::Ended);
            let is_over = self.to_host == Way::Ended && self.to_guest == Way::Ended;
            self.until = (is_half || is_over).then(|| *now + HALF_OPEN);
        }
        changed
    }

    /// Looks for whom the guest asks; tells whether its bytes may go out.
    fn has_greeted(&mut self) -> bool {
        if self.greeting == Greeting::Over {
            return true;
        }
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let is_ended = has_ended(socket);
        match hello::look(socket.peek(HELLO_BYTES_MAX).unwrap_or_default()) {
            Hello::Partial if !is_ended => return false,
            Hello::Tls(Some(name)) => {
                self.asks = Some(name);
                return false;
            }
            Hello::Partial | Hello::Tls(None) | Hello::Other => {}
        }
        (self.greeting, self.until) = (Greeting::Over, None);
        true
    }

    fn carry_to_host(&mut self, budget: &mut u64) -> Result<(), Errno> {
        if !self.has_greeted() {
            return Ok(());
        }
        let Self { sockets, handle, host, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*handle);
        while self.to_host == Way::Open && socket.can_recv() {
            if *budget == 0 {
                self.lacks.to_host = true;
                break;
            }
            let written = socket.recv(|bytes| match write(&*host, within(bytes, *budget)) {
                Ok(count) => (count, Ok(count)),
                Err(errno) => (0, Err(errno)),
            });
            match written.unwrap_or(Err(Errno::AGAIN)) {
                Ok(count) => spend(count, budget, &mut self.moved.to_host),
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if self.to_host == Way::Open && has_ended(socket) && socket.recv_queue() == 0 {
            self.to_host = Way::Ended;
            shutdown(&self.host, Shutdown::Write)?;
        }
        Ok(())
    }

    fn carry_to_guest(&mut self, budget: &mut u64, now: Instant) -> Result<(), Errno> {
        let Self { sockets, handle, host, .. } = self;
        let socket = sockets.get_mut::<Socket<'_>>(*handle);
        while self.to_guest == Way::Open && socket.can_send() {
            if *budget == 0 {
                self.lacks.to_guest = true;
                break;
            }
            let known = (socket.send_queue(), self.moved.to_host);
            if self.pieces.wait(known, now, || ioctl_fionread(&*host).ok()) {
                return Ok(());
            }
            let most = usize::try_from(*budget).unwrap_or(usize::MAX);
            let came =
                socket.send(|room| match read(&*host, room.split_at_mut(most.min(room.len())).0) {
                    Ok(count) => (count, Ok(count)),
                    Err(errno) => (0, Err(errno)),
                });
            match came.unwrap_or(Err(Errno::AGAIN)) {
                Ok(0) if self.to_host == Way::Open && is_cut(&self.handshake, host) => {
                    return Err(Errno::CONNRESET);
                }
                Ok(0) => {
                    self.to_guest = Way::Ended;
                    socket.close();
                }
                Ok(count) => {
                    spend(count, budget, &mut self.moved.to_guest);
                    self.pieces.went(count, now);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Tells whether it is over; who is on the host's side hears of an end that was none.
    fn judge(&mut self) -> Turned {
        let is_over = self.to_host == Way::Ended && self.to_guest == Way::Ended;
        match self.socket().state() {
            // Both ends were said; nobody has to wait for what might still be under way.
            State::TimeWait if is_over => Turned::Over,
            State::Closed => {
                if !is_over {
                    if let Handshake::Answering(answering) = &self.handshake {
                        answering.refuse(&self.host);
                    }
                    // Closing it says reset, not end. Where it cannot be said it closes all the same.
                    sockopt::set_socket_linger(&self.host, Some(Duration::ZERO)).ok();
                }
                Turned::Over
            }
            _ => Turned::On,
        }
    }
}

/// Returns as many of the bytes as may go.
fn within(bytes: &[u8], budget: u64) -> &[u8] {
    let most = usize::try_from(budget).unwrap_or(usize::MAX);
    bytes.get(..most).unwrap_or(bytes)
}

fn spend(count: usize, budget: &mut u64, moved: &mut u64) {
    let count = u64::try_from(count).unwrap_or(0);
    *budget = budget.saturating_sub(count);
    *moved += count;
}

/// Tells whether a sibling has ended both ways at once: it does that in good order only when it has
/// heard our end, and there is no reset between the runtimes of siblings.
fn is_cut(handshake: &Handshake, host: &OwnedFd) -> bool {
    let mut polled = [PollFd::new(host, PollFlags::empty())];
    matches!(handshake, Handshake::Over)
        && poll(&mut polled, Some(&Timespec::default())).is_ok()
        && polled[0].revents().contains(PollFlags::HUP)
}

/// Tells whether the guest has said that nothing more comes. One that is not there yet has not: it may
/// still say whom it asks for.
fn has_ended(socket: &Socket<'_>) -> bool {
    matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait)
}

fn socket(buffer_bytes: usize) -> Socket<'static> {
    let buffer = || SocketBuffer::new(vec![0; buffer_bytes]);
    let mut socket = Socket::new(buffer(), buffer());
    // Bytes come as the other side wrote them; waiting for more of them helps nobody here.
    socket.set_nagle_enabled(false);
    socket.set_ack_delay(None);
    socket
}
