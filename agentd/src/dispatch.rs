//! What each frame of the runtime asks for.

use schema::wire::message::{
    Done, Error, ErrorCode, ExecFailed, OnGone, Refused, Signal, StatsReply, TcpOpen, Update,
    Updated,
};
use schema::wire::relay::IDS_PER_SLOT;
use schema::wire::{CONTROL_SESSION, DecodeError, Frame, Kind, Message};

use crate::boot::{Share, follow_clock, set_share, user_of};
use crate::figures;
use crate::log;
use crate::serve::Agent;
use crate::session::Session;
use crate::session::forward::Forward;
use crate::session::settings::Settings;
use crate::session::tree::Errand;
use crate::sessions::Abandoned;
use crate::sys;

/// The largest number of a signal.
const SIGNAL_MAX: u8 = 64;

impl Agent {
    /// Does what a frame asks for.
    pub(crate) fn hear(&mut self, frame: &Frame) {
        match frame.kind {
            Kind::Message => self.hear_message(frame),
            Kind::Data => self.hear_data(frame),
            Kind::Credit => self.sessions.hear_credit(frame),
            Kind::Reset => self.hear_reset(frame.session),
        }
    }

    fn hear_message(&mut self, frame: &Frame) {
        let id = frame.session;
        match Message::decode(frame.code, &frame.payload) {
            Ok(message) if id == CONTROL_SESSION => self.hear_control(message),
            Ok(message) => self.hear_in_session(id, message),
            Err(error @ DecodeError::UnknownCode(code)) => {
                self.refuse(id, ErrorCode::Unsupported, error.to_string(), code);
            }
            Err(error @ DecodeError::Payload { code, .. }) => {
                if id == CONTROL_SESSION {
                    self.refuse(id, ErrorCode::BadMessage, error.to_string(), code);
                } else {
                    let mut refusal = Error::new(ErrorCode::BadMessage, error.to_string());
                    refusal.operation = Some(code);
                    self.reset(id, &refusal);
                }
            }
        }
    }

    fn hear_control(&mut self, message: Message) {
        match message {
            // Of several that came together only the last tells the time.
            Message::ClockSync(sync) => self.time_heard = Some(sync.unix_ns),
            Message::ClientGone(gone) => self.client_gone(gone.slot),
            Message::Shutdown(shutdown) => self.shut_down(shutdown.grace_ms, None),
            Message::Update(update) => self.update(&update),
            Message::Stats(_) => self.tell_figures(),
            // The other side's way to say that it heard the last word.
            Message::Done(_) | Message::Error(_) => {}
            other => {
                let text = "this message has no meaning in session 0 of a guest that is up";
                self.refuse(CONTROL_SESSION, ErrorCode::BadSession, text.into(), other.code());
            }
        }
    }

    /// Says what the guest uses. A folder of somebody else's machine uses nothing of its own.
    fn tell_figures(&mut self) {
        let figures = match self.settings.place.is_machine() {
            true => figures::look(),
            false => StatsReply::default(),
        };
        self.channel.say(CONTROL_SESSION, figures);
    }

    /// Follows the time that was heard last.
    pub(crate) fn follow_time(&mut self) {
        let Some(unix_ns) = self.time_heard.take() else { return };
        if self.settings.place.is_machine()
            && let Err(error) = follow_clock(unix_ns)
        {
            log::error!("following the host's clock: {error}");
        }
    }

    fn hear_in_session(&mut self, id: u32, message: Message) {
        match message {
            Message::Exec(exec) => {
                self.open(id, 0x0100, |settings| Session::start(id, &exec, settings));
            }
            Message::TreeGet(get) => {
                self.open(id, 0x0230, |settings| Session::carry(id, Errand::Get(&get), settings));
            }
            Message::TreePut(put) => {
                self.open(id, 0x0231, |settings| Session::carry(id, Errand::Put(&put), settings));
            }
            Message::TcpOpen(open) => self.connect(id, &open),
            Message::Signal(signal) => self.signal(id, &signal),
            Message::Resize(size) => {
                self.ask(id, 0x0105, |session| session.resize(&size));
            }
            Message::Done(_) => self.sessions.hear_done(id, &mut self.channel),
            Message::Error(_) => {}
            other => {
                let text = format!("this message has no meaning in session {id}");
                self.refuse(id, ErrorCode::BadSession, text, other.code());
            }
        }
    }

    /// Opens a session with the message of this number.
    fn open(
        &mut self,
        id: u32,
        code: u16,
        start: impl FnOnce(&Settings) -> Result<Session, ExecFailed>,
    ) {
        if !self.admits(id, code) {
            return;
        }
        match start(&self.settings) {
            Ok(session) => self.sessions.add(id, session),
            Err(failure) => {
                self.channel.say(id, failure);
                self.channel.say(id, Done {});
                self.sessions.add_said(id);
            }
        }
    }

    /// Begins a connection.
    fn connect(&mut self, id: u32, open: &TcpOpen) {
        if !self.admits(id, 0x0300) {
            return;
        }
        match Forward::open(id, open) {
            Ok(forward) => self.sessions.add_forward(id, forward),
            Err(failure) => {
                self.channel.say(id, failure);
                self.channel.say(id, Done {});
                self.sessions.add_said(id);
            }
        }
    }

    /// Tells whether the message of this number may open a session; says why not.
    fn admits(&mut self, id: u32, code: u16) -> bool {
        let admitted = if self.is_stopping() {
            Err(Error::new(ErrorCode::Stopping, "the guest is shutting down"))
        } else {
            self.sessions.admit(id)
        };
        let Err(mut refusal) = admitted else { return true };
        refusal.operation = Some(code);
        self.channel.say(id, refusal);
        false
    }

    fn signal(&mut self, id: u32, signal: &Signal) {
        if signal.number == 0 || signal.number > SIGNAL_MAX {
            let text = format!("{} is no signal", signal.number);
            self.refuse(id, ErrorCode::BadMessage, text, 0x0104);
            return;
        }
        self.ask(id, 0x0104, |session| session.signal(signal));
    }

    /// Does something with a session that must be there; what ended just now is no error.
    fn ask(&mut self, id: u32, code: u16, what: impl FnOnce(&Session) -> std::io::Result<()>) {
        let Some(session) = self.sessions.get_mut(id) else {
            if !self.sessions.was_said(id) {
                self.refuse(id, ErrorCode::BadSession, format!("there is no session {id}"), code);
            }
            return;
        };
        if let Err(error) = what(session) {
            let mut refusal = Error::new(ErrorCode::Internal, error.to_string());
            refusal.errno = error.raw_os_error();
            refusal.operation = Some(code);
            self.channel.say(id, refusal);
        }
    }

    fn hear_data(&mut self, frame: &Frame) {
        if let Err(refusal) = self.sessions.hear_data(frame, &mut self.channel) {
            self.reset(frame.session, &refusal);
        }
    }

    fn hear_reset(&mut self, id: u32) {
        if self.sessions.abandon(id, sys::clock::monotonic_ms()) == Abandoned::Live {
            self.channel.say(id, Done {});
        }
    }

    /// Ends a session that broke the rules.
    fn reset(&mut self, id: u32, why: &Error) {
        self.sessions.abandon(id, sys::clock::monotonic_ms());
        self.channel.send(&Frame::reset(id, why));
    }

    fn client_gone(&mut self, slot: u32) {
        let now = sys::clock::monotonic_ms();
        let first = slot.saturating_mul(IDS_PER_SLOT);
        let end = first.saturating_add(IDS_PER_SLOT);
        self.sessions.forget_said(first, end);
        // Those of the runtime itself have no client that goes.
        self.sessions.close_forwards(first.max(CONTROL_SESSION + 1), end, &mut self.channel);
        let is_theirs = |id: u32| (first..end).contains(&id) && id != CONTROL_SESSION;
        let gone: Vec<u32> = self
            .sessions
            .iter()
            .filter(|(id, session)| is_theirs(*id) && session.on_gone() == OnGone::Kill)
            .map(|(id, _)| id)
            .collect();
        for id in gone {
            self.sessions.abandon(id, now);
            self.channel.say(id, Done {});
        }
    }

    fn update(&mut self, update: &Update) {
        let mut update = update.clone();
        let mut refused = Vec::new();
        if let Some(user) = update.user.take() {
            match user_of(&self.settings.place, Some(&user)) {
                Ok(_) => update.user = Some(user),
                Err(unknown) => refused.push(("user", unknown.to_string())),
            }
        }
        let mut applied: Vec<String> =
            self.settings.apply(&update).into_iter().map(String::from).collect();
        let share = Share { cpus: update.cpus, memory_bytes: update.memory_bytes };
        let asked = [("cpus", share.cpus.is_some()), ("memory", share.memory_bytes.is_some())];
        let asked = asked.into_iter().filter(|(_, is_asked)| *is_asked).map(|(field, _)| field);
        if self.settings.place.is_machine() {
            refused.extend(set_share(share));
        } else {
            let why = "there is no machine";
            refused.extend(asked.clone().map(|field| (field, why.to_owned())));
        }
        let taken = asked.filter(|field| !refused.iter().any(|(name, _)| name == field));
        applied.extend(taken.map(String::from));
        let refused =
            refused.into_iter().map(|(field, why)| Refused { field: field.into(), why }).collect();
        self.channel.report(Updated { applied, refused });
    }

    fn refuse(&mut self, session: u32, code: ErrorCode, text: String, operation: u16) {
        let mut refusal = Error::new(code, text);
        refusal.operation = Some(operation);
        self.channel.say(session, refusal);
    }
}
