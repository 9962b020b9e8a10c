//! The agent's channel: bytes in, frames out, and the other way round.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Instant;

use schema::wire::message::{Boot, Error, ErrorCode};
use schema::wire::{
    CONTROL_SESSION, CREDIT_START_BYTES, DecodeError, Decoder, Frame, Kind, Message, PREAMBLE,
    STREAM_MAIN, generation,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, watch};

use super::switch::{Effect, Switch};
use crate::clock::{Clock as _, HostClock};
use crate::logs::{ExecLog, Source};

/// How much is read at once.
const READ_BYTES: usize = 64 * 1024;

/// What the supervisor is told of the channel.
#[derive(Debug)]
pub(crate) enum Heard {
    /// The agent wrote its first byte.
    FirstByte,
    /// The agent said something in session 0.
    Control(Message),
    /// The agent said something in a session of the runtime's own.
    Session(u32, Message),
    /// A session of the runtime's own was reset.
    Reset(u32),
    /// A session of the runtime's own, or one whose client went, wrote something.
    Output(u32, u16, Vec<u8>),
    /// A session of the runtime's own writes no more on this stream.
    Ended(u32, u16),
    /// The channel cannot be used any more.
    Lost(String),
}

/// What the clients are told of the channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum State {
    /// The guest boots.
    Booting,
    /// The guest is up; the bytes are the agent's `Ready`.
    Ready(Rc<[u8]>),
    /// The channel is gone.
    Lost,
}

/// Where the channel, its clients and the supervisor meet.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) switch: RefCell<Switch>,
    pub(super) wake_agent: Notify,
    pub(super) wake_clients: RefCell<HashMap<u32, Rc<Notify>>>,
    pub(super) state: watch::Sender<State>,
    pub(super) client_went: Notify,
    boot: RefCell<BootFeed>,
    log: Rc<ExecLog>,
    /// When a client last said something, or was told something.
    used: Cell<Option<Instant>>,
}

/// What is left of the boot record, and how much of it the agent wants.
#[derive(Debug)]
struct BootFeed {
    rest: Vec<u8>,
    credit: u32,
}

impl Hub {
    /// Returns a hub without clients.
    pub(crate) fn new(log: Rc<ExecLog>) -> Rc<Self> {
        Rc::new(Self {
            switch: RefCell::new(Switch::new()),
            wake_agent: Notify::new(),
            wake_clients: RefCell::default(),
            state: watch::Sender::new(State::Booting),
            client_went: Notify::new(),
            boot: RefCell::new(BootFeed { rest: Vec::new(), credit: CREDIT_START_BYTES }),
            log,
            used: Cell::new(None),
        })
    }

    /// Notes that a client says something, or is told something.
    pub(super) fn note_use(&self) {
        self.used.set(Some(HostClock.now()));
    }

    /// Returns when a client last said something, or was told something.
    pub(crate) const fn last_used(&self) -> Option<Instant> {
        self.used.get()
    }

    /// Tells whether a session is open that a client began, a detached one included.
    pub(crate) fn serves_clients(&self) -> bool {
        self.switch.borrow().serves_clients()
    }

    /// Says something in a session; session 0 is the runtime's.
    pub(crate) fn say(&self, session: u32, message: impl Into<Message>) {
        self.switch.borrow_mut().send(message.into().to_frame(session));
        self.wake_agent.notify_one();
    }

    /// Opens a session of the runtime's own with this message; returns its id.
    pub(crate) fn open_session(&self, message: impl Into<Message>) -> u32 {
        let id = self.switch.borrow_mut().open_own(&message.into());
        self.wake_agent.notify_one();
        id
    }

    /// Sends bytes in a session of the runtime's own, within what is granted from the start.
    pub(crate) fn send(&self, session: u32, bytes: &[u8]) {
        for frame in schema::wire::frame::data_frames(session, STREAM_MAIN, bytes) {
            self.switch.borrow_mut().send(frame);
        }
        self.wake_agent.notify_one();
    }

    /// Ends a session of the runtime's own.
    pub(crate) fn leave(&self, session: u32) {
        self.switch.borrow_mut().leave_own(session);
        self.wake_agent.notify_one();
    }

    /// Sends the boot record.
    pub(crate) fn boot(&self, record: Vec<u8>) {
        let bytes = u32::try_from(record.len()).unwrap_or(u32::MAX);
        self.say(CONTROL_SESSION, Boot { generation: generation::CURRENT, bytes });
        self.boot.borrow_mut().rest = record;
        self.feed(0);
    }

    /// Lets clients talk to the agent; `ready` is what each of them reads first.
    pub(crate) fn open(&self, ready: &Message) {
        let frame = ready.to_frame(CONTROL_SESSION).to_bytes();
        self.state.send_replace(State::Ready(frame.into()));
    }

    /// Returns how many sessions are open.
    pub(crate) fn session_count(&self) -> u32 {
        u32::try_from(self.switch.borrow().session_count()).unwrap_or(u32::MAX)
    }

    /// Waits until no client is left.
    pub(crate) async fn clients_gone(&self) {
        while !self.wake_clients.borrow().is_empty() {
            self.client_went.notified().await;
        }
    }

    /// Sends as much of the boot record as the agent wants.
    fn feed(&self, granted: u32) {
        let mut boot = self.boot.borrow_mut();
        boot.credit = boot.credit.saturating_add(granted);
        let count = boot.rest.len().min(boot.credit as usize);
        let now: Vec<u8> = boot.rest.drain(..count).collect();
        boot.credit -= u32::try_from(count).unwrap_or(0);
        let frames = schema::wire::frame::data_frames(CONTROL_SESSION, STREAM_MAIN, &now);
        frames.for_each(|frame| self.switch.borrow_mut().send(frame));
        self.wake_agent.notify_one();
    }

    pub(super) fn wake_client(&self, slot: u32) {
        if let Some(wake) = self.wake_clients.borrow().get(&slot) {
            wake.notify_one();
        }
    }

    pub(super) fn end_logs(&self) {
        for name in self.switch.borrow_mut().take_logs_over() {
            self.log.over(&name);
        }
    }
}

/// Why a channel is over that nothing broke.
pub(crate) const CLOSED: &str = "the agent closed its channel";

/// Moves bytes between the agent and the hub until the channel is lost.
pub(crate) async fn run(hub: Rc<Hub>, stream: UnixStream, heard: mpsc::Sender<Heard>) {
    let (reader, writer) = stream.into_split();
    let why = tokio::select! {
        why = read(&hub, reader, &heard) => why,
        why = write(&hub, writer) => why,
    };
    hub.state.send_replace(State::Lost);
    // The supervisor may have ended already; then nobody wants to know.
    heard.send(Heard::Lost(why)).await.ok();
}

async fn read(hub: &Hub, mut reader: OwnedReadHalf, heard: &mpsc::Sender<Heard>) -> String {
    if let Err(why) = read_preamble(&mut reader, heard).await {
        return why;
    }
    let (mut decoder, mut bytes, mut effects) = (Decoder::default(), vec![0; READ_BYTES], vec![]);
    loop {
        match reader.read(&mut bytes).await {
            Ok(0) => return CLOSED.into(),
            Ok(count) => decoder.push(&bytes[..count]),
            Err(error) => return format!("the agent's channel cannot be read: {error}"),
        }
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    let mut switch = hub.switch.borrow_mut();
                    if switch.is_of_client(frame.session) {
                        hub.note_use();
                    }
                    switch.hear_agent(frame, &mut effects);
                }
                Ok(None) => break,
                Err(error) => return format!("the agent broke its protocol: {error}"),
            }
            for effect in effects.drain(..) {
                if let Err(why) = apply(hub, effect, heard).await {
                    return why;
                }
            }
            hub.end_logs();
        }
        hub.wake_agent.notify_one();
        if hub.switch.borrow().check().is_err() {
            return "the agent does not read what it asks for".into();
        }
    }
}

async fn read_preamble(
    reader: &mut OwnedReadHalf,
    heard: &mpsc::Sender<Heard>,
) -> Result<(), String> {
    let mut preamble = [0; PREAMBLE.len()];
    let mut count = 0;
    while count < preamble.len() {
        match reader.read(&mut preamble[count..]).await {
            Ok(0) => return Err("the agent closed its channel before its first word".into()),
            Ok(more) if count == 0 => {
                count = more;
                tell(heard, Heard::FirstByte).await?;
            }
            Ok(more) => count += more,
            Err(error) => return Err(format!("the agent's channel cannot be read: {error}")),
        }
    }
    if preamble == PREAMBLE {
        return Ok(());
    }
    Err("what speaks on the agent's channel is no agent of this version".into())
}

async fn apply(hub: &Hub, effect: Effect, heard: &mpsc::Sender<Heard>) -> Result<(), String> {
    match effect {
        Effect::Wake(slot) => {
            hub.wake_client(slot);
            Ok(())
        }
        Effect::Output { session, is_own, log, stream, bytes } => {
            if let Some(log) = log {
                let source = match (log.is_terminal, stream) {
                    (true, _) => Source::Output,
                    (false, STREAM_MAIN) => Source::Stdout,
                    (false, _) => Source::Stderr,
                };
                hub.log.output(&log.name, source, &bytes);
            }
            if is_own { tell(heard, Heard::Output(session, stream, bytes)).await } else { Ok(()) }
        }
        Effect::Ended { session, stream } => tell(heard, Heard::Ended(session, stream)).await,
        Effect::Control(frame) if frame.kind == Kind::Credit => {
            hub.feed(frame.granted());
            Ok(())
        }
        Effect::Control(frame) if frame.kind == Kind::Message => match decoded(&frame) {
            Ok(Some(message)) => tell(heard, Heard::Control(message)).await,
            Ok(None) => Ok(()),
            Err(refusal) if refusal.code == ErrorCode::Unsupported => {
                hub.say(CONTROL_SESSION, refusal);
                Ok(())
            }
            Err(refusal) => Err(format!("the agent broke its protocol: {}", refusal.message)),
        },
        Effect::Control(_) => Err("the agent broke its protocol in session 0".into()),
        Effect::Own(frame) if frame.kind == Kind::Reset => {
            tell(heard, Heard::Reset(frame.session)).await
        }
        Effect::Own(frame) => match decoded(&frame) {
            Ok(Some(message)) => tell(heard, Heard::Session(frame.session, message)).await,
            Ok(None) => Ok(()),
            Err(refusal) => {
                hub.say(frame.session, refusal);
                Ok(())
            }
        },
    }
}

async fn tell(heard: &mpsc::Sender<Heard>, what: Heard) -> Result<(), String> {
    heard.send(what).await.map_err(|_| "the supervisor has ended".into())
}

/// Returns the message of a frame, or the answer to one that is none.
fn decoded(frame: &Frame) -> Result<Option<Message>, Error> {
    if frame.kind != Kind::Message {
        return Ok(None);
    }
    Message::decode(frame.code, &frame.payload).map(Some).map_err(|error| {
        let code = match error {
            DecodeError::UnknownCode(_) => ErrorCode::Unsupported,
            DecodeError::Payload { .. } => ErrorCode::BadMessage,
        };
        let mut refusal = Error::new(code, error.to_string());
        refusal.operation = Some(frame.code);
        refusal
    })
}

async fn write(hub: &Hub, mut writer: OwnedWriteHalf) -> String {
    let mut bytes = Vec::new();
    loop {
        let next = hub.switch.borrow_mut().next_for_agent();
        let Some(frame) = next else {
            hub.wake_agent.notified().await;
            continue;
        };
        bytes.clear();
        frame.encode(&mut bytes);
        if let Err(error) = writer.write_all(&bytes).await {
            return format!("the agent's channel cannot be written: {error}");
        }
    }
}
