//! Who talks to whom: every session, every client, and whose turn it is.
//!
//! The switch only looks at heads, credit and the first message of a session;
//! it holds no descriptor. Towards the agent clients take turns, a frame each.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use schema::wire::message::{self, ClientGone, Done, ErrorCode};
use schema::wire::relay::{CLIENTS_MAX, IDS_PER_SLOT, Welcome};
use schema::wire::{
    CONTROL_SESSION, CREDIT_BYTES_MAX, CREDIT_START_BYTES, Frame, Kind, Message, SESSIONS_MAX,
    SESSIONS_PER_CLIENT_MAX, STREAM_MAIN,
};
use tokio::sync::OwnedSemaphorePermit;

use super::outbox::Outbox;
use super::window::{GROWN_BYTES_MAX, Window};

/// The runtime's own slot.
pub(super) const OWN_SLOT: u32 = 0;

/// How many frames of the runtime's own wait for an agent that does not read.
const OWN_FRAMES_MAX: usize = 1024;

/// Below this number messages belong to session 0.
const FIRST_SESSION_MESSAGE: u16 = 0x0100;

/// Numbers that any session may carry.
const CODE_ERROR: u16 = 0x0008;
const CODE_DONE: u16 = 0x0009;

/// The number of `ClockSync`.
const CODE_CLOCK_SYNC: u16 = 0x000A;

/// A frame with the permit of the client that sent it, freed when it is written.
type Sent = (Frame, Option<OwnedSemaphorePermit>);

/// See the module.
#[derive(Debug)]
pub(super) struct Switch {
    sessions: HashMap<u32, Session>,
    clients: BTreeMap<u32, Client>,
    own: VecDeque<Frame>,
    last_turn: u32,
    last_slot: u32,
    next_own: u32,
    /// The first id of each slot that was never used, so that no two sessions share one.
    fresh: HashMap<u32, u32>,
    budget: u32,
    /// Whether a grant waits for budget.
    is_holding: bool,
    /// Names of logged sessions that are over.
    logs_over: Vec<Arc<str>>,
}

#[derive(Debug)]
struct Client {
    welcome: Welcome,
    to_agent: VecDeque<Sent>,
    outbox: Outbox,
    sessions: usize,
}

#[derive(Debug)]
struct Session {
    /// Whose it is; [`OWN_SLOT`] also when its client went away.
    slot: u32,
    opener: Opener,
    /// Its name in the log, if it is logged.
    log: Option<Arc<str>>,
    is_terminal: bool,
    /// The message that opened it.
    opened_by: u16,
    receive: [Window; 2],
    consumed: [u32; 2],
    send: u32,
    is_done_here: bool,
}

/// Who opened a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// The runtime itself.
    Runtime,
    /// A client, which may be gone.
    Client,
}

/// What a frame of the agent means outside of the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    /// A frame of session 0.
    Control(Frame),
    /// A message, or the reset, of a session of the runtime's own.
    Own(Frame),
    /// Bytes of a session: `log` names it where they are logged.
    Output { session: u32, is_own: bool, log: Option<Logged>, stream: u16, bytes: Vec<u8> },
    /// A session of the runtime's own writes no more on this stream.
    Ended { session: u32, stream: u16 },
    /// Something waits for this client.
    Wake(u32),
}

/// How a session stands in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Logged {
    pub(super) name: Arc<str>,
    pub(super) is_terminal: bool,
}

/// What a client did that no client may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A session that is not of its range.
    Range,
    /// A message that belongs to session 0.
    ControlMessage,
}

/// The agent reads nothing while it keeps asking for answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stuck;

impl Switch {
    pub(super) fn new() -> Self {
        Self {
            sessions: HashMap::new(),
            clients: BTreeMap::new(),
            own: VecDeque::new(),
            last_turn: 0,
            last_slot: 0,
            next_own: 1,
            fresh: HashMap::new(),
            budget: GROWN_BYTES_MAX,
            is_holding: false,
            logs_over: Vec::new(),
        }
    }

    /// Returns how many sessions are open.
    pub(super) fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Tells whether a session is open that a client began, a detached one included.
    pub(super) fn serves_clients(&self) -> bool {
        self.sessions.values().any(|session| session.opener == Opener::Client)
    }

    /// Tells whether a client began this session.
    pub(super) fn is_of_client(&self, id: u32) -> bool {
        self.sessions.get(&id).is_some_and(|session| session.opener == Opener::Client)
    }

    /// Sends a frame of the runtime's own; a time that still waits is old, and replaced.
    pub(super) fn send(&mut self, frame: Frame) {
        if is_time(&frame)
            && let Some(old) = self.own.iter_mut().find(|old| is_time(old))
        {
            *old = frame;
            return;
        }
        self.own.push_back(frame);
    }

    /// Tells whether the agent still takes what it is sent.
    pub(super) fn check(&self) -> Result<(), Stuck> {
        if self.own.len() > OWN_FRAMES_MAX { Err(Stuck) } else { Ok(()) }
    }

    /// Opens a session of the runtime's own with this message; returns its id.
    pub(super) fn open_own(&mut self, message: &Message) -> u32 {
        let id = self.next_own;
        self.next_own = if id + 1 < IDS_PER_SLOT { id + 1 } else { 1 };
        let frame = message.to_frame(id);
        self.sessions.insert(id, Session::opened(OWN_SLOT, &frame));
        self.own.push_back(frame);
        id
    }

    /// Ends a session of the runtime's own; one that is over already stays so.
    pub(super) fn leave_own(&mut self, id: u32) {
        if self.sessions.get(&id).is_some_and(|session| session.slot == OWN_SLOT) {
            self.close(id);
            let over = message::Error::new(ErrorCode::ClientGone, "nobody wants more of it");
            self.own.push_back(Frame::reset(id, &over));
        }
    }

    /// Takes a new client; `None` where there are too many.
    pub(super) fn join(&mut self) -> Option<(u32, Welcome)> {
        let slots = (self.last_slot + 1..=CLIENTS_MAX).chain(1..=self.last_slot);
        let slot = slots.into_iter().find(|slot| !self.clients.contains_key(slot))?;
        self.last_slot = slot;
        let range = Welcome::of_slot(slot);
        let first = self.fresh.get(&slot).copied().unwrap_or(range.first);
        // A range that is used up begins again; its old sessions are long over.
        let first = if first < range.end { first } else { range.first };
        let welcome = Welcome { first, end: range.end };
        let (to_agent, outbox) = (VecDeque::new(), Outbox::default());
        self.clients.insert(slot, Client { welcome, to_agent, outbox, sessions: 0 });
        Some((slot, welcome))
    }

    /// Forgets a client; the agent ends what was its, and what goes on goes to the log alone.
    pub(super) fn leave(&mut self, slot: u32) {
        let Some(client) = self.clients.remove(&slot) else { return };
        // What it had asked for before it went is still asked for.
        self.own.extend(client.to_agent.into_iter().map(|(frame, _)| frame));
        let mut grants = Vec::new();
        for (id, session) in self.sessions.iter_mut().filter(|(_, session)| session.slot == slot) {
            session.slot = OWN_SLOT;
            for (stream, window) in (0_u16..).zip(&mut session.receive) {
                grants.push(Frame::credit(*id, stream, window.top_up()));
            }
        }
        self.own.extend(grants.into_iter().filter(|grant| grant.granted() > 0));
        self.own.push_back(Message::ClientGone(ClientGone { slot }).to_frame(CONTROL_SESSION));
    }

    /// Takes a frame of a client.
    ///
    /// # Errors
    /// The client broke the rules of the relay and is to be let go.
    pub(super) fn hear_client(
        &mut self,
        slot: u32,
        frame: Frame,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Fault> {
        let Some(client) = self.clients.get_mut(&slot) else { return Ok(()) };
        if !client.welcome.holds(frame.session) {
            return Err(Fault::Range);
        }
        let is_common = matches!(frame.code, CODE_ERROR | CODE_DONE);
        if frame.kind == Kind::Message && frame.code < FIRST_SESSION_MESSAGE && !is_common {
            return Err(Fault::ControlMessage);
        }
        if !self.sessions.contains_key(&frame.session) {
            // Anything but an opening is late news of a session that is over.
            if frame.kind != Kind::Message || is_common {
                return Ok(());
            }
            if let Err(refusal) = self.admit(slot) {
                self.say_last(slot, Frame::reset(frame.session, &refusal));
                return Ok(());
            }
            self.open(slot, &frame);
        }
        if let Some(frame) = self.checked(frame)
            && let Some(client) = self.clients.get_mut(&slot)
        {
            client.to_agent.push_back((frame, permit));
        }
        Ok(())
    }

    fn admit(&self, slot: u32) -> Result<(), message::Error> {
        let mine = self.clients.get(&slot).map_or(0, |client| client.sessions);
        let (count, whose) = if mine >= SESSIONS_PER_CLIENT_MAX {
            (mine, "this client")
        } else if self.sessions.len() >= SESSIONS_MAX {
            (self.sessions.len(), "this machine")
        } else {
            return Ok(());
        };
        let text = format!("{whose} has {count} sessions open, which is the most");
        Err(message::Error::new(ErrorCode::TooMany, text))
    }

    fn open(&mut self, slot: u32, frame: &Frame) {
        self.sessions.insert(frame.session, Session::opened(slot, frame));
        let fresh = self.fresh.entry(slot).or_default();
        *fresh = (*fresh).max(frame.session + 1);
        if let Some(client) = self.clients.get_mut(&slot) {
            client.sessions += 1;
        }
    }

    /// Returns the frame as the agent may get it, or nothing.
    fn checked(&mut self, mut frame: Frame) -> Option<Frame> {
        let id = frame.session;
        let session = self.sessions.get_mut(&id)?;
        match frame.kind {
            Kind::Data => {
                let bytes = u32::try_from(frame.payload.len()).unwrap_or(u32::MAX);
                let left = session.send.checked_sub(bytes).filter(|_| frame.code == STREAM_MAIN);
                let Some(left) = left else {
                    return Some(self.break_off(id, "more was sent than was granted"));
                };
                session.send = left;
            }
            Kind::Credit => {
                let window = session.receive.get_mut(usize::from(frame.code))?;
                let client = self.clients.get(&session.slot);
                let waiting = client.map_or(0, |client| client.outbox.waiting(id, frame.code));
                let granted = window.grant(frame.granted(), waiting, &mut self.budget);
                self.is_holding |= window.is_held();
                if granted == 0 {
                    return None;
                }
                frame = Frame::credit(id, frame.code, granted);
            }
            Kind::Message if frame.code == CODE_DONE => session.is_done_here = true,
            Kind::Message => {}
            Kind::Reset => self.close(id),
        }
        Some(frame)
    }

    /// Takes a frame of the agent.
    pub(super) fn hear_agent(&mut self, frame: Frame, effects: &mut Vec<Effect>) {
        if frame.session == CONTROL_SESSION {
            effects.push(Effect::Control(frame));
            return;
        }
        // A session that was reset here may have had frames under way.
        let Some(session) = self.sessions.get(&frame.session) else { return };
        let (slot, id) = (session.slot, frame.session);
        if frame.kind == Kind::Data {
            self.data_from_agent(frame, effects);
        } else if frame.kind == Kind::Credit {
            self.credit_from_agent(slot, frame, effects);
        } else {
            let is_over = self.is_last_word(&frame);
            self.hand_over(slot, frame, effects);
            if is_over {
                self.end_of_agent(id);
            }
        }
    }

    fn data_from_agent(&mut self, frame: Frame, effects: &mut Vec<Effect>) {
        let (id, stream) = (frame.session, usize::from(frame.code));
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let slot = session.slot;
        let window = session.receive.get_mut(stream);
        let taken = window.map(|window| window.take(frame.payload.len(), &mut self.budget));
        if taken != Some(Ok(())) {
            let frame = self.break_off(id, "the agent sent more than was granted");
            self.own.push_back(frame.clone());
            self.say_last(slot, frame);
            effects.push(Effect::Wake(slot));
            return;
        }
        let log = session.log.clone();
        let log = log.map(|name| Logged { name, is_terminal: session.is_terminal });
        let is_own = slot == OWN_SLOT;
        if (is_own || log.is_some()) && !frame.payload.is_empty() {
            let (stream, bytes) = (frame.code, frame.payload.clone());
            effects.push(Effect::Output { session: id, is_own, log, stream, bytes });
        }
        if is_own {
            if frame.is_end() {
                effects.push(Effect::Ended { session: id, stream: frame.code });
            }
            self.consume(id, stream, frame.payload.len());
        } else {
            self.hand_over(slot, frame, effects);
        }
        self.release_held();
    }

    /// Lets the agent go on with a session that the runtime itself reads.
    fn consume(&mut self, id: u32, stream: usize, bytes: usize) {
        let Some(session) = self.sessions.get_mut(&id) else { return };
        let Some(consumed) = session.consumed.get_mut(stream) else { return };
        *consumed = consumed.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        if *consumed >= CREDIT_START_BYTES / 4 {
            *consumed = 0;
            let granted = session.receive[stream].top_up();
            let stream = u16::try_from(stream).unwrap_or(u16::MAX);
            self.own.push_back(Frame::credit(id, stream, granted));
        }
    }

    fn credit_from_agent(&mut self, slot: u32, frame: Frame, effects: &mut Vec<Effect>) {
        if let Some(session) = self.sessions.get_mut(&frame.session)
            && frame.code == STREAM_MAIN
        {
            session.send = session.send.saturating_add(frame.granted()).min(CREDIT_BYTES_MAX);
            if slot != OWN_SLOT {
                self.hand_over(slot, frame, effects);
            }
        }
    }

    fn hand_over(&mut self, slot: u32, frame: Frame, effects: &mut Vec<Effect>) {
        if slot == OWN_SLOT {
            effects.push(Effect::Own(frame));
            return;
        }
        let id = frame.session;
        let Some(client) = self.clients.get_mut(&slot) else { return };
        if client.outbox.push(frame).is_err() {
            let frame = self.break_off(id, "the agent sent too many messages");
            self.own.push_back(frame.clone());
            self.say_last(slot, frame);
        }
        effects.push(Effect::Wake(slot));
    }

    /// Tells whether the agent has nothing more to say in the session.
    fn is_last_word(&self, frame: &Frame) -> bool {
        let Some(session) = self.sessions.get(&frame.session) else { return false };
        match frame.kind {
            Kind::Reset => true,
            Kind::Message if frame.code == CODE_DONE => true,
            // A refused opening made no session.
            Kind::Message if frame.code == CODE_ERROR => matches!(
                Message::decode(frame.code, &frame.payload),
                Ok(Message::Error(error)) if error.operation == Some(session.opened_by)
            ),
            Kind::Message | Kind::Data | Kind::Credit => false,
        }
    }

    /// The agent is done with a session; one that nobody else answers for is answered here.
    fn end_of_agent(&mut self, id: u32) {
        let Some(session) = self.sessions.get(&id) else { return };
        if session.slot == OWN_SLOT && !session.is_done_here {
            self.own.push_back(Message::Done(Done {}).to_frame(id));
        }
        self.close(id);
    }

    /// Ends a session that broke the rules; returns the frame that says so.
    fn break_off(&mut self, id: u32, why: &str) -> Frame {
        self.close(id);
        Frame::reset(id, &message::Error::new(ErrorCode::BeyondCredit, why))
    }

    fn say_last(&mut self, slot: u32, frame: Frame) {
        if let Some(client) = self.clients.get_mut(&slot) {
            client.outbox.end(frame);
        }
    }

    fn close(&mut self, id: u32) {
        let Some(session) = self.sessions.remove(&id) else { return };
        for window in session.receive {
            window.close(&mut self.budget);
        }
        if let Some(client) = self.clients.get_mut(&session.slot) {
            client.sessions -= 1;
        }
        self.logs_over.extend(session.log);
        self.release_held();
    }

    fn release_held(&mut self) {
        if !self.is_holding || self.budget == 0 {
            return;
        }
        self.is_holding = false;
        for (id, session) in &mut self.sessions {
            for (stream, window) in (0_u16..).zip(&mut session.receive) {
                if window.is_held() {
                    let granted = window.release(&mut self.budget);
                    self.is_holding |= window.is_held();
                    self.own.push_back(Frame::credit(*id, stream, granted));
                }
            }
        }
    }

    /// Returns the names of logged sessions that are over since the last call.
    pub(super) fn take_logs_over(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.logs_over)
    }

    /// Returns the next frame for the agent, of whoever's turn it is.
    pub(super) fn next_for_agent(&mut self) -> Option<Frame> {
        let waiting = self.clients.iter().filter(|(_, client)| !client.to_agent.is_empty());
        let mut slots: Vec<u32> = waiting.map(|(slot, _)| *slot).collect();
        if !self.own.is_empty() {
            slots.insert(0, OWN_SLOT);
        }
        let after = slots.iter().copied().find(|slot| *slot > self.last_turn);
        let slot = after.or_else(|| slots.first().copied())?;
        self.last_turn = slot;
        if slot == OWN_SLOT {
            return self.own.pop_front();
        }
        let (frame, permit) = self.clients.get_mut(&slot)?.to_agent.pop_front()?;
        drop(permit);
        Some(frame)
    }

    /// Returns the next frame for a client.
    pub(super) fn next_for_client(&mut self, slot: u32) -> Option<Frame> {
        self.clients.get_mut(&slot)?.outbox.pop()
    }
}

fn is_time(frame: &Frame) -> bool {
    frame.session == CONTROL_SESSION && frame.kind == Kind::Message && frame.code == CODE_CLOCK_SYNC
}

impl Session {
    fn opened(slot: u32, frame: &Frame) -> Self {
        let exec = match Message::decode(frame.code, &frame.payload) {
            Ok(Message::Exec(exec)) => Some(exec),
            // What this version does not know is the agent's to refuse.
            Ok(_) | Err(_) => None,
        };
        let is_logged = exec.as_ref().is_some_and(|exec| exec.log);
        let named = exec.as_ref().and_then(|exec| exec.name.as_deref());
        let name = match named {
            Some(name) if slot == OWN_SLOT => Arc::from(name),
            Some(_) | None => Arc::from(frame.session.to_string()),
        };
        Self {
            slot,
            opener: if slot == OWN_SLOT { Opener::Runtime } else { Opener::Client },
            log: is_logged.then_some(name),
            is_terminal: exec.is_some_and(|exec| exec.tty.is_some()),
            opened_by: frame.code,
            receive: [Window::default(); 2],
            consumed: [0; 2],
            send: CREDIT_START_BYTES,
            is_done_here: false,
        }
    }
}
