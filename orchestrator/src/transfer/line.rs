//! One session that carries a tree, with its end of the pipe.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::event::PollFlags;
use rustix::fs::OFlags;
use rustix::io::Errno;
use schema::wire::files::{FileNote, NoteKind, Notes};
use schema::wire::frame::DATA_BYTES_MAX;
use schema::wire::message::{Done, Error, ErrorCode, Exited};
use schema::wire::{
    CREDIT_BYTES_MAX, CREDIT_START_BYTES, Frame, Kind, Message, STREAM_MAIN, STREAM_STDERR,
};

use super::{Tally, TransferError, connect};
use crate::sessions::relay::{BACKLOG_BYTES_MAX, RESET_CODE, Relay, RelayError};

/// Consumed bytes are granted again in pieces of at least this size.
const GRANT_BYTES: u32 = CREDIT_BYTES_MAX / 4;

/// How much is kept of what was passed on, so that it is not moved for every piece.
const PASSED_ON_BYTES_MAX: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub(super) struct Line {
    relay: Relay,
    session: u32,
    /// Gone once nothing more goes through it.
    pipe: Option<OwnedFd>,
    /// What came of the tree and waits for the pipe.
    waiting: Vec<u8>,
    written: usize,
    /// What was taken of each stream and not granted again.
    consumed: [u32; 2],
    /// What may be sent.
    credit: u32,
    notes: Notes,
    /// What the guest said at last.
    last: Option<FileNote>,
    exited: Option<Exited>,
    tally: Tally,
    /// How much of the stream has gone through, headers and all.
    moved: u64,
}

/// What the pipe's other end did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pipe {
    /// It is as it was.
    Open,
    /// It is gone: nobody reads any more, or nothing more comes.
    Over,
}

impl Line {
    /// Opens a session; `pipe` is where its tree comes from, or goes.
    pub(super) fn open(
        socket: &Path,
        message: &Message,
        pipe: OwnedFd,
    ) -> Result<Self, TransferError> {
        let flags = rustix::fs::fcntl_getfl(&pipe).map_err(refused)?;
        rustix::fs::fcntl_setfl(&pipe, flags | OFlags::NONBLOCK).map_err(refused)?;
        let mut relay = connect(socket)?;
        let session = relay.open(message)?;
        if matches!(message, Message::TreeGet(_)) {
            // A tree is bulk: what the window may grow to is granted at once.
            let more = CREDIT_BYTES_MAX - CREDIT_START_BYTES;
            relay.send(&Frame::credit(session, STREAM_MAIN, more));
        }
        Ok(Self {
            relay,
            session,
            pipe: Some(pipe),
            waiting: Vec::new(),
            written: 0,
            consumed: [0; 2],
            credit: CREDIT_START_BYTES,
            notes: Notes::default(),
            last: None,
            exited: None,
            tally: Tally::default(),
            moved: 0,
        })
    }

    /// Returns the connection, and what is waited for on it.
    pub(super) fn relay(&self) -> (BorrowedFd<'_>, PollFlags) {
        let wishes =
            if self.relay.backlog() > 0 { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        (self.relay.as_fd(), wishes)
    }

    /// Returns the pipe, where something waits for it to be written.
    pub(super) fn wants_write(&self) -> Option<BorrowedFd<'_>> {
        self.pipe.as_ref().filter(|_| self.backlog() > 0).map(OwnedFd::as_fd)
    }

    /// Returns the pipe, where what it holds may be sent.
    pub(super) fn wants_read(&self) -> Option<BorrowedFd<'_>> {
        let may =
            self.credit > 0 && self.relay.backlog() < BACKLOG_BYTES_MAX && self.exited.is_none();
        self.pipe.as_ref().filter(|_| may).map(OwnedFd::as_fd)
    }

    /// Returns how much of the stream has gone through.
    pub(super) const fn moved(&self) -> u64 {
        self.moved
    }

    /// Sends what the connection takes now.
    pub(super) fn flush(&mut self) -> Result<(), TransferError> {
        Ok(self.relay.flush()?)
    }

    /// Tells whether the guest's side has ended and all it sent has gone on.
    pub(super) fn is_over(&self) -> bool {
        self.exited.is_some() && self.backlog() == 0
    }

    const fn backlog(&self) -> usize {
        self.waiting.len() - self.written
    }

    /// Takes what has come.
    pub(super) fn hear(&mut self) -> Result<(), TransferError> {
        self.relay.fill()?;
        while let Some(frame) = self.relay.next_frame()? {
            if frame.session == self.session {
                self.take(frame)?;
            } else if frame.kind == Kind::Message {
                // Session 0 speaks to every client: the agent is gone, or the guest stops.
                if let Ok(Message::Error(error)) = Message::decode(frame.code, &frame.payload) {
                    return Err(RelayError::Refused(error).into());
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame) -> Result<(), TransferError> {
        match frame.kind {
            Kind::Data if frame.code == STREAM_STDERR => self.take_notes(&frame.payload)?,
            Kind::Data => self.take_data(frame),
            Kind::Credit => self.credit = self.credit.saturating_add(frame.granted()),
            Kind::Message => return self.take_message(frame.code, &frame.payload),
            Kind::Reset => return self.take_message(RESET_CODE, &frame.payload),
        }
        Ok(())
    }

    fn take_data(&mut self, frame: Frame) {
        if self.backlog() == 0 {
            (self.waiting, self.written) = (frame.payload, 0);
        } else {
            self.waiting.extend_from_slice(&frame.payload);
        }
    }

    fn take_notes(&mut self, bytes: &[u8]) -> Result<(), TransferError> {
        self.notes.push(bytes);
        while let Some(note) = self.notes.next_note()? {
            match note.kind {
                NoteKind::Unsafe | NoteKind::Skipped | NoteKind::Changed => {
                    self.tally.leave_out(note);
                }
                NoteKind::Copied | NoteKind::Failed | NoteKind::Missing | NoteKind::Target => {
                    self.last = Some(note);
                }
            }
        }
        self.consume(STREAM_STDERR, bytes.len());
        Ok(())
    }

    fn take_message(&mut self, code: u16, payload: &[u8]) -> Result<(), TransferError> {
        match Message::decode(code, payload).map_err(RelayError::Message)? {
            Message::ExecFailed(failed) => Err(TransferError::Exec(failed)),
            Message::Error(error) => Err(RelayError::Refused(error).into()),
            Message::Exited(exited) => {
                self.exited = Some(exited);
                Ok(())
            }
            // A later agent may say more than this build needs to know.
            _ => Ok(()),
        }
    }

    /// Grants what was consumed, in pieces.
    fn consume(&mut self, stream: u16, count: usize) {
        let consumed = &mut self.consumed[usize::from(stream == STREAM_STDERR)];
        *consumed = consumed.saturating_add(u32::try_from(count).unwrap_or(u32::MAX));
        let least = if stream == STREAM_MAIN { GRANT_BYTES } else { CREDIT_START_BYTES / 2 };
        if *consumed >= least {
            let grant = std::mem::take(consumed);
            self.relay.send(&Frame::credit(self.session, stream, grant));
        }
    }

    /// Passes on to the pipe what it takes.
    pub(super) fn write(&mut self) -> Result<Pipe, TransferError> {
        let Some(pipe) = &self.pipe else { return Ok(Pipe::Over) };
        let mut count = 0;
        let done = loop {
            let rest = &self.waiting[self.written + count..];
            if rest.is_empty() {
                break Ok(Pipe::Open);
            }
            match rustix::io::write(pipe, rest) {
                Ok(more) => count += more,
                Err(Errno::AGAIN) => break Ok(Pipe::Open),
                Err(Errno::INTR) => {}
                Err(Errno::PIPE) => break Ok(Pipe::Over),
                Err(errno) => break Err(refused(errno)),
            }
        };
        self.written += count;
        self.moved += count as u64;
        // A sender that is always ahead must not keep what was passed on long ago.
        if self.backlog() == 0 || self.written > PASSED_ON_BYTES_MAX {
            self.waiting.drain(..self.written);
            self.written = 0;
        }
        self.consume(STREAM_MAIN, count);
        done
    }

    /// Sends what the pipe holds, as far as it may be sent.
    pub(super) fn read(&mut self) -> Result<Pipe, TransferError> {
        let mut buffer = [0; DATA_BYTES_MAX];
        let Some(pipe) = &self.pipe else { return Ok(Pipe::Over) };
        while self.credit > 0 && self.relay.backlog() < BACKLOG_BYTES_MAX {
            let most = buffer.len().min(self.credit as usize);
            match rustix::io::read(pipe, &mut buffer[..most]) {
                Ok(0) => return Ok(Pipe::Over),
                Ok(count) => {
                    self.relay.send_data(self.session, STREAM_MAIN, &buffer[..count]);
                    self.moved += count as u64;
                    self.credit -= u32::try_from(count).unwrap_or(self.credit);
                }
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
        Ok(Pipe::Open)
    }

    /// Says that the tree which is sent has come to its end.
    pub(super) fn end(&mut self) {
        self.pipe = None;
        self.relay.send(&Frame::end(self.session, STREAM_MAIN));
    }

    /// Lets go of the pipe: whoever reads it sees the end.
    pub(super) fn close(&mut self) {
        self.pipe = None;
    }

    /// Says goodbye after the guest has ended, and returns what it said at last.
    pub(super) fn finish(mut self, tally: &mut Tally) -> Result<(u64, u64), TransferError> {
        self.relay.send(&Message::Done(Done {}).to_frame(self.session));
        // How it ended is known, whatever becomes of the connection.
        self.relay.flush().ok();
        tally.append(self.tally);
        match (self.last, self.exited) {
            (Some(note), Some(exited))
                if note.kind == NoteKind::Copied && exited.code == Some(0) =>
            {
                Ok((note.files.unwrap_or(0), note.bytes.unwrap_or(0)))
            }
            (Some(note), _) if note.kind != NoteKind::Copied => Err(TransferError::Told(note)),
            (_, Some(exited)) => Err(TransferError::Ended(exited)),
            (_, None) => Err(RelayError::Lost.into()),
        }
    }

    /// Tells the guest to forget it, at once; what it has half done it takes away.
    pub(super) fn abandon(mut self, tally: &mut Tally) {
        let error = Error::new(ErrorCode::ClientGone, "the copy was given up");
        self.relay.send(&Frame::reset(self.session, &error));
        // A connection that cannot be written ends the session as well.
        self.relay.flush().ok();
        tally.append(self.tally);
    }

    /// Returns what the guest said against the tree, where it said something.
    pub(super) fn objection(&self) -> Option<FileNote> {
        self.last.clone().filter(|note| note.kind != NoteKind::Copied)
    }
}

fn refused(errno: Errno) -> TransferError {
    TransferError::Host("move what is copied", errno.into())
}
