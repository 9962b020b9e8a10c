//! Every session of the machine, and the processes that outlived theirs.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::OwnedFd;

use schema::wire::message::{Done, Error, ErrorCode};
use schema::wire::{Frame, SESSIONS_MAX};

use crate::channel::Channel;
use crate::session::forward::Forward;
use crate::session::{Leftover, Session};
use crate::sys;
use crate::sys::children::Ended;
use crate::sys::signals;

/// How many pipes are emptied for processes whose session is over.
const DISCARDS_MAX: usize = 256;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: BTreeMap<u32, Session>,
    forwards: BTreeMap<u32, Forward>,
    /// Ids of sessions whose client has not answered the last word yet.
    said: BTreeSet<u32>,
    leftovers: Vec<Leftover>,
    /// Pipes that nobody reads any more, but somebody may write to.
    discards: Vec<OwnedFd>,
    /// Somebody ended, or left: groups may be empty now.
    has_change: bool,
}

impl Sessions {
    /// Tells whether a session may be opened under this id.
    ///
    /// # Errors
    /// It is in use, or there are too many.
    pub(crate) fn admit(&self, id: u32) -> Result<(), Error> {
        let is_live = self.live.contains_key(&id) || self.forwards.contains_key(&id);
        if is_live || self.said.contains(&id) {
            let text = format!("session {id} is in use");
            return Err(Error::new(ErrorCode::BadSession, text));
        }
        if self.live.len() + self.forwards.len() + self.said.len() >= SESSIONS_MAX {
            let text = format!("{SESSIONS_MAX} sessions are open");
            return Err(Error::new(ErrorCode::TooMany, text));
        }
        Ok(())
    }

    /// Takes a session that was started.
    pub(crate) fn add(&mut self, id: u32, session: Session) {
        self.live.insert(id, session);
    }

    /// Takes a connection that was begun.
    pub(crate) fn add_forward(&mut self, id: u32, forward: Forward) {
        self.forwards.insert(id, forward);
    }

    /// Takes note of a session that ended as it began; the client has yet to answer.
    pub(crate) fn add_said(&mut self, id: u32) {
        self.said.insert(id);
    }

    /// Returns a session with a command.
    pub(crate) fn get_mut(&mut self, id: u32) -> Option<&mut Session> {
        self.live.get_mut(&id)
    }

    /// Returns every session with a command.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.live.iter().map(|(id, session)| (*id, session))
    }

    /// Returns every session with a command.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut Session)> {
        self.live.iter_mut().map(|(id, session)| (*id, session))
    }

    /// Returns every connection.
    pub(crate) fn forwards(&self) -> impl Iterator<Item = (u32, &Forward)> {
        self.forwards.iter().map(|(id, forward)| (*id, forward))
    }

    /// Takes bytes for a session; one that ended while they were under way is no error.
    ///
    /// # Errors
    /// They may not be sent.
    pub(crate) fn hear_data(&mut self, frame: &Frame, channel: &mut Channel) -> Result<(), Error> {
        if let Some(session) = self.live.get_mut(&frame.session) {
            return session.hear_data(frame, channel);
        }
        let forward = self.forwards.get_mut(&frame.session);
        forward.map_or(Ok(()), |forward| forward.hear_data(frame, channel))
    }

    /// Takes a grant for an output of a session.
    pub(crate) fn hear_credit(&mut self, frame: &Frame) {
        if let Some(session) = self.live.get_mut(&frame.session) {
            session.hear_credit(frame);
        } else if let Some(forward) = self.forwards.get_mut(&frame.session) {
            forward.hear_credit(frame);
        }
    }

    /// Writes what waits for the other side of a session.
    pub(crate) fn pump_input(&mut self, id: u32, channel: &mut Channel) {
        if let Some(session) = self.live.get_mut(&id) {
            session.pump_input(channel);
        } else if let Some(forward) = self.forwards.get_mut(&id) {
            forward.pump_input(channel);
        }
    }

    /// Reads one output of a session once.
    pub(crate) fn pump_output(
        &mut self,
        (id, index): (u32, usize),
        channel: &mut Channel,
        buffer: &mut [u8],
    ) {
        if let Some(session) = self.live.get_mut(&id) {
            session.pump_output(index, channel, buffer);
        } else if let Some(forward) = self.forwards.get_mut(&id) {
            forward.pump_output(channel, buffer);
        }
    }

    /// Tells whether this id is a session whose end was said.
    pub(crate) fn was_said(&self, id: u32) -> bool {
        self.said.contains(&id)
    }

    /// Returns the pipes to empty.
    pub(crate) fn discards(&self) -> &[OwnedFd] {
        &self.discards
    }

    /// Tells whether every command has said its last word; connections keep nobody waiting.
    pub(crate) fn are_all_said(&self) -> bool {
        self.live.is_empty()
    }

    /// Takes note of a child that ended.
    pub(crate) fn hear_end(&mut self, ended: Ended, now_ms: u64, channel: &mut Channel) {
        self.has_change = true;
        let session = self.live.values_mut().find(|session| session.pid() == Some(ended.pid));
        if let Some(session) = session {
            session.hear_end(ended, now_ms, channel);
        }
    }

    /// Takes note that a client has said everything.
    pub(crate) fn hear_done(&mut self, id: u32, channel: &mut Channel) {
        if self.said.remove(&id) {
            return;
        }
        if let Some(session) = self.live.get_mut(&id) {
            session.hear_done(channel);
        } else if let Some(forward) = self.forwards.get_mut(&id) {
            forward.hear_done(channel);
        }
    }

    /// Ends a session at once; the client is not told.
    pub(crate) fn abandon(&mut self, id: u32, now_ms: u64) -> Abandoned {
        if self.said.remove(&id) {
            return Abandoned::WasSaid;
        }
        if self.forwards.remove(&id).is_some() {
            return Abandoned::Live;
        }
        let Some(session) = self.live.remove(&id) else {
            return Abandoned::Unknown;
        };
        let (leftover, pipes) = session.abandon(now_ms);
        self.leftovers.push(leftover);
        self.has_change = true;
        self.discard(pipes);
        Abandoned::Live
    }

    /// Closes the connections of a range whose client is gone.
    pub(crate) fn close_forwards(&mut self, first: u32, end: u32, channel: &mut Channel) {
        for (id, _) in self.forwards.extract_if(first..end, |_, _| true) {
            channel.say(id, Done {});
        }
    }

    /// Forgets ids of a range whose client will never answer.
    pub(crate) fn forget_said(&mut self, first: u32, end: u32) {
        self.said.retain(|id| !(first..end).contains(id));
    }

    /// Does what is due: ends of streams, last words, ends of commands whose client went.
    pub(crate) fn settle(&mut self, now_ms: u64, channel: &mut Channel) {
        let mut over = Vec::new();
        let mut pipes = Vec::new();
        for (id, session) in &mut self.live {
            pipes.extend(session.settle(now_ms, channel));
            if session.has_said_all() {
                over.push(*id);
            }
        }
        self.discard(pipes);
        for session in over.into_iter().filter_map(|id| self.live.remove_entry(&id)) {
            let (id, session) = session;
            if !session.has_client_said_all() {
                self.said.insert(id);
            }
            self.leftovers.push(session.into_leftover());
            self.has_change = true;
        }
        for (id, forward) in &mut self.forwards {
            forward.settle(channel);
            if forward.has_said_all() && !forward.has_client_said_all() {
                self.said.insert(*id);
            }
        }
        self.forwards.retain(|_, forward| !forward.has_said_all());
        for leftover in &mut self.leftovers {
            if leftover.kill_at_ms.is_some_and(|at| now_ms >= at) {
                leftover.kill_at_ms = None;
                drop(leftover.group.signal(signals::KILL));
            }
        }
        // A group that still has processes refuses to go, and is asked again when one has ended.
        if std::mem::take(&mut self.has_change) {
            self.leftovers.retain(|leftover| !leftover.group.remove());
        }
    }

    /// Sends a signal to the processes whose session is over.
    pub(crate) fn signal_leftovers(&self, number: u8) {
        for leftover in &self.leftovers {
            drop(leftover.group.signal(number));
        }
    }

    /// Returns the earliest moment at which something is due.
    pub(crate) fn deadline_ms(&self) -> Option<u64> {
        let sessions = self.live.values().filter_map(Session::deadline_ms);
        let leftovers = self.leftovers.iter().filter_map(|leftover| leftover.kill_at_ms);
        sessions.chain(leftovers).min()
    }

    /// Empties a pipe that nobody reads; it goes when the last writer has closed it.
    pub(crate) fn empty_discard(&mut self, index: usize, buffer: &mut [u8]) {
        use std::os::fd::AsFd as _;
        let Some(pipe) = self.discards.get(index) else {
            return;
        };
        match sys::io::read(pipe.as_fd(), buffer) {
            Ok(count) if count > 0 => {}
            Err(error) if crate::channel::is_temporary(&error) => {}
            Ok(_) | Err(_) => drop(self.discards.swap_remove(index)),
        }
    }

    fn discard(&mut self, pipes: Vec<OwnedFd>) {
        self.discards.extend(pipes);
        let excess = self.discards.len().saturating_sub(DISCARDS_MAX);
        self.discards.drain(..excess);
    }
}

/// What an id was that is no session any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// A session with a command or a connection.
    Live,
    /// A session whose last word was said.
    WasSaid,
    /// No session.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_in_use_until_the_client_has_answered() {
        let mut sessions = Sessions::default();
        sessions.add_said(7);
        assert_eq!(sessions.admit(7).unwrap_err().code, ErrorCode::BadSession);
        assert_eq!(sessions.abandon(7, 0), Abandoned::WasSaid);
        assert_eq!(sessions.admit(7), Ok(()));
        assert_eq!(sessions.abandon(7, 0), Abandoned::Unknown);
    }

    #[test]
    fn there_is_a_most_of_sessions() {
        let mut sessions = Sessions::default();
        let most = u32::try_from(SESSIONS_MAX).unwrap();
        (0..most).for_each(|id| sessions.add_said(id));
        assert_eq!(sessions.admit(most).unwrap_err().code, ErrorCode::TooMany);
        sessions.forget_said(10, 20);
        assert_eq!(sessions.admit(most), Ok(()));
    }
}
