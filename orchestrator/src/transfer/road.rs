//! Moves a tree between its two ends until both have said how it ended.
//!
//! Where an end fails, the other one is told at once and what is half done goes
//! away; whoever failed first says why.

use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::hand::{Done, Hand};
use super::line::{Line, Pipe};
use super::{Moved, Tally, TransferError};
use crate::sessions::signals::Signals;

/// At least this often whoever looks on hears how far it is.
const LOOK_EVERY: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// See the module.
pub(super) struct Road<'a> {
    /// The session that sends a tree to us.
    pub(super) get: Option<Line>,
    /// The session that takes a tree from us.
    pub(super) put: Option<Line>,
    /// The end that is no session.
    pub(super) hand: Option<Hand>,
    /// What ends us.
    pub(super) signals: &'a mut Signals,
    /// Who looks on.
    pub(super) watch: &'a mut dyn FnMut(Moved),
    /// How far it is.
    pub(super) moved: Moved,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    HearGet,
    HearPut,
    Write,
    Read,
}

impl Road<'_> {
    /// Moves until the end.
    pub(super) fn travel(mut self, tally: &mut Tally) -> Result<(), TransferError> {
        let done = self.go(tally);
        if done.is_err() {
            for line in [self.get.take(), self.put.take()].into_iter().flatten() {
                line.abandon(tally);
            }
            if let Some(hand) = self.hand.take() {
                hand.give_up();
            }
        }
        done
    }

    fn go(&mut self, tally: &mut Tally) -> Result<(), TransferError> {
        loop {
            if let Some(over) = self.get.take_if(|get| get.is_over()) {
                self.got(over, tally)?;
            }
            if let Some(over) = self.put.take_if(|put| put.is_over()) {
                return self.taken(over, tally);
            }
            if self.get.is_none() && self.put.is_none() {
                return Ok(());
            }
            for line in [&mut self.get, &mut self.put].into_iter().flatten() {
                line.flush()?;
            }
            let ready = self.wait()?;
            self.look();
            if let Some(signal) = self.signals.take().first() {
                return Err(TransferError::Signalled(u8::try_from(*signal).unwrap_or(15)));
            }
            for wish in ready {
                self.serve(wish, tally)?;
            }
        }
    }

    /// Says how far it is: by the files where they are seen, by the stream where they are not.
    fn look(&mut self) {
        if let Some(totals) = self.hand.as_ref().and_then(Hand::so_far) {
            self.moved = Moved { files: Some(totals.files), bytes: totals.bytes };
        } else if self.moved.files.is_none() {
            let line = self.put.as_ref().or(self.get.as_ref());
            self.moved.bytes = line.map_or(self.moved.bytes, Line::moved);
        }
        (self.watch)(self.moved);
    }

    /// The guest has sent its tree to the end, or said why not.
    fn got(&mut self, mut get: Line, tally: &mut Tally) -> Result<(), TransferError> {
        // Only now does the other end see the end of the stream.
        get.close();
        let counted = get.finish(tally);
        let hand = self.hand.take().map(Hand::wait);
        let Some((done, own)) = hand else {
            // Another guest takes it, and counts for itself.
            return counted.map(drop);
        };
        tally.append(own);
        let (files, bytes) = counted?;
        match done {
            Done::Whole(Some(totals)) => tally.add(totals.files, totals.bytes),
            Done::Whole(None) => tally.add(files, bytes),
            Done::Told(note) => return Err(TransferError::Told(note)),
            Done::Closed => return Err(TransferError::Closed),
        }
        Ok(())
    }

    /// The guest has taken the tree to the end, or said why not.
    fn taken(&mut self, put: Line, tally: &mut Tally) -> Result<(), TransferError> {
        let (files, bytes) = put.finish(tally)?;
        tally.add(files, bytes);
        Ok(())
    }

    fn wait(&self) -> Result<Vec<Wish>, TransferError> {
        let mut wants: Vec<(Wish, BorrowedFd<'_>, PollFlags)> = Vec::with_capacity(4);
        if let Some(get) = &self.get {
            // What waits for the pipe is bounded by what was granted, so this can go on.
            let (fd, flags) = get.relay();
            wants.push((Wish::HearGet, fd, flags));
            wants.extend(get.wants_write().map(|fd| (Wish::Write, fd, PollFlags::OUT)));
        }
        if let Some(put) = &self.put {
            let (fd, flags) = put.relay();
            wants.push((Wish::HearPut, fd, flags));
            wants.extend(put.wants_read().map(|fd| (Wish::Read, fd, PollFlags::IN)));
        }
        let mut fds: Vec<PollFd<'_>> =
            wants.iter().map(|(_, fd, flags)| PollFd::from_borrowed_fd(*fd, *flags)).collect();
        let pipes = self.signals.pipes();
        fds.extend(pipes.map(|pipe| PollFd::from_borrowed_fd(pipe, PollFlags::IN)));
        match poll(&mut fds, Some(&LOOK_EVERY)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(TransferError::Host("wait for the guest", errno.into())),
        }
        let ready = wants.iter().zip(&fds).filter(|(_, fd)| !fd.revents().is_empty());
        Ok(ready.map(|((wish, ..), _)| *wish).collect())
    }

    fn serve(&mut self, wish: Wish, tally: &mut Tally) -> Result<(), TransferError> {
        match (wish, &mut self.get, &mut self.put) {
            (Wish::HearGet, Some(get), _) => get.hear()?,
            (Wish::HearPut, _, Some(put)) => put.hear()?,
            (Wish::Write, Some(get), _) => {
                if get.write()? == Pipe::Over {
                    return Err(self.reader_gone(tally));
                }
            }
            (Wish::Read, _, Some(put)) => {
                if put.read()? == Pipe::Over {
                    return self.source_ended(tally);
                }
            }
            (Wish::HearGet | Wish::HearPut | Wish::Write | Wish::Read, ..) => {}
        }
        Ok(())
    }

    /// Whoever takes the tree has gone; returns why.
    fn reader_gone(&mut self, tally: &mut Tally) -> TransferError {
        if let Some(note) = self.put.as_ref().and_then(Line::objection) {
            return TransferError::Told(note);
        }
        let Some((done, own)) = self.hand.take().map(Hand::wait) else {
            return TransferError::Closed;
        };
        tally.append(own);
        match done {
            Done::Told(note) => TransferError::Told(note),
            Done::Whole(_) | Done::Closed => TransferError::Closed,
        }
    }

    /// Nothing more comes through the pipe: the guest is told, if what came was whole.
    fn source_ended(&mut self, tally: &mut Tally) -> Result<(), TransferError> {
        if let Some(hand) = self.hand.take_if(|hand| hand.fills()) {
            let (done, own) = hand.wait();
            tally.append(own);
            if let Done::Told(note) = done {
                return Err(TransferError::Told(note));
            }
        }
        if let Some(put) = &mut self.put {
            put.end();
        }
        Ok(())
    }
}
